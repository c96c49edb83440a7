"""Verify that bronze, silver and gold agree with the ledger and with each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING

from retailpipe.bronze import ledger
from retailpipe.environment import Environment
from retailpipe.errors import NothingLoaded, WarehouseError
from retailpipe.reports import Invariant, VerifyReport

if TYPE_CHECKING:
    from retailpipe.connection import Connection

LAYERS = ("bronze", "public_silver", "public_gold")
_BUILT_FROM = "raw_transactions"
_ROWS_OF_TABLE = """
select
    'rows loaded in the ledger = rows in bronze.{table}', expected::text, actual::text, expected = actual
from
    (
        select sum(rows_loaded) as expected from bronze.loads
        where status = 'loaded' and table_name = '{table}'
    ) as ledger,
    (
        select count(*) as actual from bronze."{table}"
        inner join bronze.loads on loads.load_id = "{table}".load_id
        where loads.status = 'loaded'
    ) as bronze
"""
_TABLE = re.compile(r"\b(?:bronze|public_silver|public_gold)\.\w+")


def verify(environment: Environment) -> VerifyReport:
    """Count the rows of every table and compare the layers: rows, keys, quantities, and exact sums of money.

    Raises NothingLoaded if no workbook is loaded, WarehouseError if silver or gold is not built.
    """
    with environment.warehouse.connect(read_only=True) as connection:
        return verified(connection)


def verified(connection: Connection) -> VerifyReport:
    """Do the work of `verify` on a read-only connection, so that all figures are from one snapshot."""
    statement = (resources.files("retailpipe") / "invariants.sql").read_text(encoding="utf-8")
    names = _tables(connection)
    if _is_empty(connection, names):
        raise NothingLoaded
    missing = sorted(set(_TABLE.findall(statement)) - set(names))
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise WarehouseError(
            f"silver and gold are not built: missing {', '.join(missing[:3])}{more}",
            hint="Build them with `retailpipe transform`.",
        )
    counts = ", ".join(f"(select count(*) from {name})" for name in names)
    found = connection.row(f"select {counts}") or ()
    rows = connection.rows(statement)
    # Only raw_transactions is built into silver. For tables of other contracts, only the number of rows is compared.
    for table in sorted({load.table_name for load in ledger.current_loads(connection).values()} - {_BUILT_FROM}):
        rows += connection.rows(_ROWS_OF_TABLE.format(table=table))
    tables = dict(zip(names, (int(count) for count in found), strict=True))
    invariants = tuple(Invariant(name, ok, expected, actual) for name, expected, actual, ok in rows)
    return VerifyReport(all(invariant.ok for invariant in invariants), tables, invariants)


def _is_empty(connection: Connection, tables: Sequence[str]) -> bool:
    """Whether no workbook is loaded. Rows without a load are a broken invariant, so then the warehouse is not empty."""
    if "bronze.loads" in tables and ledger.current_loads(connection):
        return False
    rows = f"bronze.{_BUILT_FROM}"
    return rows not in tables or connection.row(f"select exists (select from {rows})") == (False,)


def _tables(connection: Connection) -> list[str]:
    """The names of all tables of the layers, layer by layer, quoted for SQL."""
    layers = ", ".join(f"('{layer}', {place})" for place, layer in enumerate(LAYERS))
    rows = connection.rows(
        f"""
        select format('%I.%I', schemaname, tablename)
        from pg_tables inner join (values {layers}) as layers (schemaname, place) using (schemaname)
        order by place, tablename
        """
    )
    return [name for (name,) in rows]
