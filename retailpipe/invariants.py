"""Verify that bronze, silver and gold agree with the ledger and with each other."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import TYPE_CHECKING

from retailpipe.bronze import build_record, ledger
from retailpipe.environment import Environment
from retailpipe.errors import NothingLoaded, WarehouseError
from retailpipe.reports import Invariant, VerifyReport

if TYPE_CHECKING:
    from retailpipe.connection import Connection

LAYERS = ("bronze", "public_silver", "public_gold", "public_own")
_ROWS_OF_TABLE = """
select
    'rows loaded in the ledger = rows in bronze.{table}', expected::text, actual::text, expected = actual
from
    (
        select sum(rows_loaded) as expected from bronze.loads
        where status in ('loaded', 'correction') and table_name = '{table}'
    ) as ledger,
    (
        select count(*) as actual from bronze."{table}"
        inner join bronze.loads on loads.load_id = "{table}".load_id
        where loads.status in ('loaded', 'correction')
    ) as bronze
"""
_OF_LEDGER = (
    *("rows read = ", "rows loaded in the ledger = ", "rows corrected in the ledger = "),
    "loads whose rows or rejected rows differ",
)
_OF_OWN_MODELS = ("rows of ", "sum of ")
_TABLES = {
    "read = ": "bronze.loads",
    "loads whose rows": "bronze.loads",
    "= rows in bronze": "bronze.raw_transactions",
    "loads in silver": "public_silver.built_loads",
    "= dates in dim_date": "public_silver.dim_date",
    "in dim_product": "public_silver.dim_product",
    "in dim_customer": "public_silver.dim_customer",
    "= invoices": "public_silver.int_invoices",
    "gold by month": "public_gold.monthly_sales_summary",
    "gold by product": "public_gold.top_products",
    "gold by country": "public_gold.country_performance",
    "bronze = gold": "public_gold.customer_lifetime_value",
    "sold: bronze = silver": "public_silver.fact_sales_daily",
    "revenue: bronze = silver": "public_silver.fact_sales_daily",
    "returned: bronze = silver": "public_silver.fact_returns_daily",
    "facts without": "public_silver.fact_sales_daily",
}
"""The table that an invariant is about, by words of its name. The first entry that fits counts."""
_NAMED_TABLE = re.compile(r"= (?:rows in|rows of|sum of) (\w+\.\w+)")
_TABLE = re.compile(r"\b(?:bronze|public_silver|public_gold)\.\w+")


def verify(environment: Environment) -> VerifyReport:
    """Count the rows of every table and compare the layers: rows, keys, quantities, and exact sums of money.

    Raises NothingLoaded if no workbook is loaded, WarehouseError if silver or gold is not built.
    """
    from retailpipe.lineage.verifications import VerificationRun

    with VerificationRun(environment) as events:
        try:
            with environment.warehouse.connect(read_only=True) as connection:
                report = verified(connection)
        except NothingLoaded:
            events.leave()
            raise
        events.verified(report, table_of)
    return report


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
    # Only raw_transactions is built into silver. For tables of other contracts, only the number of rows is compared,
    # and the invariants that the user's models declare.
    for table in sorted(
        {load.table_name for load in ledger.current_loads(connection).values()} - {build_record.OUR_TABLE}
    ):
        rows += connection.rows(_ROWS_OF_TABLE.format(table=table))
    tables = dict(zip(names, (int(count) for count in found), strict=True))
    invariants = tuple(Invariant(name, ok, expected, actual) for name, expected, actual, ok in rows)
    if "bronze.own_models" in names:  # a schema of an older version does not have it
        invariants += _of_own_models(connection)
    return VerifyReport(all(invariant.ok for invariant in invariants), tables, invariants)


def layer_of(invariant: str) -> str:
    """The layer that an invariant checks, by its name: `bronze` against the ledger, `own` for a model of the user, else
    `gold` for silver and gold."""
    if invariant.startswith(_OF_LEDGER):
        return "bronze"
    return "own" if invariant.startswith(_OF_OWN_MODELS) else "gold"


def table_of(invariant: str) -> str:
    """The table that an invariant is about, by its name: the one whose figure is compared with an earlier one."""
    if named := _NAMED_TABLE.search(invariant):
        return named[1]
    return next((table for words, table in _TABLES.items() if words in invariant), "bronze.loads")


def _is_empty(connection: Connection, tables: Sequence[str]) -> bool:
    """Whether no workbook is loaded. Rows without a load are a broken invariant, so then the warehouse is not empty."""
    if "bronze.loads" in tables and ledger.current_loads(connection):
        return False
    rows = f"bronze.{build_record.OUR_TABLE}"
    return rows not in tables or connection.row(f"select exists (select from {rows})") == (False,)


@dataclass(frozen=True)
class _Figure:
    """The number of rows of a table, or the sum of a column of it. Names are not trusted: they come from yml files."""

    schema: str
    table: str
    column: str = ""

    @property
    def name(self) -> str:
        return ".".join(filter(None, (self.schema, self.table, self.column)))

    @property
    def sql(self) -> str:
        table = f"{_quoted(self.schema)}.{_quoted(self.table)}"
        return f"(select {f'sum({_quoted(self.column)}::numeric)' if self.column else 'count(*)'} from {table})"


def _of_own_models(connection: Connection) -> tuple[Invariant, ...]:
    """The invariants that the yml of the user's models declares: the figures of bronze that a model must preserve."""
    pairs: list[tuple[str, list[_Figure], _Figure]] = []
    for model in build_record.own_models(connection):
        if rows_of := model.invariants.get("rows_of"):
            figures = [_Figure(*name.split(".")) for name in rows_of]
            pairs.append(("rows", figures, _Figure(model.schema, model.relation)))
        for column, names in model.invariants.get("sum_of", {}).items():
            figures = [_Figure(*name.split(".")) for name in names]
            pairs.append(("sum", figures, _Figure(model.schema, model.relation, column)))
    missing = _missing(connection, [figure for _, figures, own in pairs for figure in (*figures, own)])
    invariants: list[Invariant] = []
    for kind, figures, own in pairs:
        name = f"{kind} of {' + '.join(figure.name for figure in figures)} = {kind} of {own.name}"
        if absent := [figure for figure in (*figures, own) if figure in missing]:
            what = "is missing or is not a number" if absent[0].column else "is missing"
            invariants.append(Invariant(name, False, "", f"{absent[0].name} {what}"))
            continue
        expected = " + ".join(f"coalesce({figure.sql}, 0)" for figure in figures)
        row = connection.row(
            "select trim_scale(expected)::text, trim_scale(actual)::text, expected = actual "
            f"from (select ({expected})::numeric as expected, coalesce({own.sql}, 0)::numeric as actual) as figures"
        )
        found_expected, found_actual, ok = row or ("", "", False)
        invariants.append(Invariant(name, ok, found_expected, found_actual))
    return tuple(invariants)


def _missing(connection: Connection, figures: Sequence[_Figure]) -> set[_Figure]:
    """The figures whose table does not exist, or whose column does not exist or is not a number."""
    rows = connection.rows(
        """
        select schema, "table", "column"
        from jsonb_to_recordset($1::jsonb) as figure (schema text, "table" text, "column" text)
        where
            to_regclass(format('%I.%I', schema, "table")) is null
            or "column" <> '' and not exists (
                select from pg_attribute
                where
                    attrelid = to_regclass(format('%I.%I', schema, "table"))
                    and attname = "column" and attnum > 0 and not attisdropped
                    and format_type(atttypid, null)
                        in ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision')
            )
        """,
        json.dumps([asdict(figure) for figure in figures]),
    )
    return {_Figure(*row) for row in rows}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


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
