"""Questions to an environment, which change nothing: its state, the rejected rows, any SELECT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retailpipe.backlog import waiting
from retailpipe.bronze import ledger, schema
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import SourceNotFound, WarehouseError
from retailpipe.keys import INPUT
from retailpipe.reports import StatusReport

if TYPE_CHECKING:
    import pyarrow as pa


def status(environment: Environment, *, contract: Contract | None = None) -> StatusReport:
    """The ledger, newest load first, the workbooks that wait to be loaded; on AWS how many notices were given up."""
    loads: list[dict[str, Any]] = []
    with environment.warehouse.connect(read_only=True) as connection:
        if schema.has_schema(connection):
            loads = connection.table("select * from bronze.loads order by load_id desc").to_pylist()
    waits = tuple(waiting(environment, contract=contract))
    given_up = None
    if environment.stack:
        from retailpipe.aws.notices import given_up as ask

        given_up = ask(environment.stack)
    return StatusReport(environment.store.address, tuple(loads), waits, given_up)


def rejects(environment: Environment, *, source: str | None = None, limit: int | None = None) -> pa.Table:
    """The quarantine: rows of current loads that break the contract, by load and row; of one source, where named.

    Raises SourceNotFound if nothing is loaded of that source.
    """
    with environment.warehouse.connect(read_only=True) as connection:
        if not schema.has_schema(connection):
            raise WarehouseError("nothing is loaded yet", hint="Load a workbook with `retailpipe run FILE`.")
        if source:
            loads = ledger.current_loads(connection)
            if source not in loads and f"{INPUT}{source}" in loads:
                source = f"{INPUT}{source}"
            if source not in loads:
                raise SourceNotFound(f"nothing is loaded of {source}", hint="See the loads with `retailpipe status`.")
        return connection.table(
            """
            select source, rejected_rows.*
            from bronze.rejected_rows inner join bronze.loads using (load_id)
            where $1 in ('', source)
            order by load_id, source_row
            limit $2
            """,
            source or "",
            limit if limit is not None else 2**31 - 1,
        )


def query(environment: Environment, sql: str) -> pa.Table:
    """The rows of one SELECT as an Arrow table, from a transaction that cannot write. Raises WarehouseError."""
    return environment.warehouse.query(sql)
