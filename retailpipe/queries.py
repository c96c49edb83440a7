"""Read-only queries on an environment: its status, the rejected rows, and any SELECT statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retailpipe.backlog import compare, refusals_of
from retailpipe.bindings import Bindings
from retailpipe.bronze import ledger, schema
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import ContractError, SourceNotFound, WarehouseError
from retailpipe.keys import INPUT
from retailpipe.reports import StatusReport

if TYPE_CHECKING:
    import pyarrow as pa


_TOTALS = """
select
    count(*),
    count(*) filter (where status = 'loaded'),
    coalesce(sum(rows_loaded) filter (where status in ('loaded', 'correction')), 0)::bigint
from bronze.loads
"""

# A schema of an earlier version does not have this column.
_CORRECTED_BY = "(to_jsonb(rejected) ->> 'corrected_by')::bigint"


def status(environment: Environment, *, contract: Contract | None = None, newest: int | None = None) -> StatusReport:
    """Return the ledger, newest load first, and the workbooks that are not loaded yet.

    newest: return only this many of the newest loads; default: all. The totals of the report are of all loads.

    If a contract of the environment cannot be read, the report says so, and workbooks are compared by their content
    only: loads are refused until the contract is corrected, but the ledger can be read.

    For an AWS stack, the report also contains the number of messages in the dead-letter queue. Raises StoreError,
    AwsError, WarehouseError.
    """
    loads: list[dict[str, Any]] = []
    totals = (0, 0, 0)
    with environment.warehouse.connect(read_only=True) as connection:
        if schema.has_schema(connection):
            loads = connection.table(
                "select * from bronze.loads order by load_id desc limit $1", 2**31 - 1 if newest is None else newest
            ).to_pylist()
            totals = connection.row(_TOTALS) or totals
    contract_error = ""
    try:
        found = compare(environment, contract=contract)
    except ContractError as error:
        contract_error = f"{error}. {error.hint}"
        found = compare(environment, contract=contract, bindings=Bindings(()))
    refused = refusals_of(environment, found)
    given_up = None
    if environment.stack:
        from retailpipe.aws.notices import given_up as count_given_up

        given_up = count_given_up(environment.stack)
    return StatusReport(
        environment.store.address,
        tuple(loads),
        tuple(found.waiting),
        given_up,
        kept=tuple(found.kept),
        removed=tuple(found.removed),
        refusals=tuple(refused),
        loads_in_ledger=totals[0],
        workbooks_loaded=totals[1],
        rows_loaded=totals[2],
        contract_error=contract_error,
    )


def rejects(environment: Environment, *, source: str | None = None, limit: int | None = None) -> pa.Table:
    """The rejected rows of the current loads, in order of load and row; only those of one source if it is passed.

    Rows that were corrected are among them: `corrected_by` is the load that did it, `corrected_at` when that was.

    Raises SourceNotFound if the source is not loaded, WarehouseError if schema bronze does not exist.
    """
    return counted_rejects(environment, source=source, limit=limit)[0]


def counted_rejects(
    environment: Environment, *, source: str | None = None, limit: int | None = None
) -> tuple[pa.Table, int]:
    """The rows that `rejects` returns, and how many there are without the limit. Raises what `rejects` raises."""
    with environment.warehouse.connect(read_only=True) as connection:
        if not schema.has_schema(connection):
            raise WarehouseError("no workbook is loaded yet", hint="Load a workbook with `retailpipe run FILE`.")
        if source:
            loads = ledger.current_loads(connection)
            if source not in loads and f"{INPUT}{source}" in loads:
                source = f"{INPUT}{source}"
            if source not in loads:
                raise SourceNotFound(f"{source} is not loaded", hint="List the loads with `retailpipe status`.")
        found = connection.table(
            f"""
            select
                source, load_id, rejected.sheet, source_row, cell, column_name, raw_value, code, message, hint, raw_row,
                {_CORRECTED_BY} as corrected_by,
                (
                    select finished_at from bronze.loads as correction
                    where correction.load_id = {_CORRECTED_BY}
                ) as corrected_at,
                count(*) over () as total
            from bronze.rejected_rows as rejected inner join bronze.loads using (load_id)
            where $1 in ('', source)
            order by load_id, sheet, source_row
            limit $2
            """,
            source or "",
            limit if limit is not None else 2**31 - 1,
        )
    totals = found.column("total").slice(0, 1).to_pylist()
    return found.drop_columns("total"), sum(totals)


def query(environment: Environment, sql: str) -> pa.Table:
    """The result of one SELECT as an Arrow table, run in a read-only transaction. Raises WarehouseError."""
    return environment.warehouse.query(sql)
