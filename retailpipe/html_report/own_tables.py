"""Read the first rows of the user's models, and the points of the charts that their yml asks for.

A model declares a chart in its yml, under `config: {meta: ...}`:

    chart: {kind: bar, x: branch, y: revenue}

kind is bar or line; x is the column of the categories, dates or numbers; y is a column of numbers.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from retailpipe.bronze import build_record
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError
from retailpipe.html_report.facts import OwnColumn, OwnTable, Series

if TYPE_CHECKING:
    from retailpipe.connection import Connection

ROWS_SHOWN = 10
COLUMNS_SHOWN = 10
TABLES_SHOWN = 12
_POINTS_SHOWN = {"bar": 20, "line": 400}
_LONGEST_TEXT = 200
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")
_DATES = ("date", "timestamp without time zone", "timestamp with time zone")
FORM = "chart: {kind: bar or line, x: COLUMN, y: COLUMN of numbers}"


def declared(connection: Connection) -> list[build_record.OwnModel]:
    """The user's models that the last build made tables or views of. Raises WarehouseError."""
    if connection.row("select to_regclass('bronze.own_models') is null") == (True,):
        return []
    return [model for model in build_record.own_models(connection) if model.relation]


def own_tables(environment: Environment, models: list[build_record.OwnModel]) -> tuple[OwnTable, ...]:
    """The first rows of each model. What cannot be read has a `problem` instead. Raises nothing.

    Each table is read in transactions of its own: the query of a view may fail.
    """
    return tuple(_own_table(environment, model) for model in models[:TABLES_SHOWN])


def _own_table(environment: Environment, model: build_record.OwnModel) -> OwnTable:
    table = OwnTable(model.name, f"{model.schema}.{model.relation}")
    try:
        with environment.warehouse.connect(read_only=True) as connection:
            name = f"{_quoted(model.schema)}.{_quoted(model.relation)}"
            table = replace(table, description=_description(connection, name), columns=_columns(connection, name))
            if not table.columns:
                return replace(table, problem=f"{table.relation} does not exist. Build it again.")
            [(total,)] = connection.rows(f"select count(*) from {name}")
            shown = ", ".join(_as_text(column.name) for column in table.columns[:COLUMNS_SHOWN])
            rows = connection.rows(f"select {shown} from {name} limit {ROWS_SHOWN}")
            table = replace(table, rows=tuple(rows), total=total)
            return _with_series(connection, name, table, model.chart)
    except RetailpipeError as error:
        return replace(table, problem=f"The table cannot be read: {error}.")


def _with_series(connection: Connection, name: str, table: OwnTable, chart: Any) -> OwnTable:
    if chart is None:
        return table
    kinds = {column.name: column.kind for column in table.columns}
    wanted = cast("dict[str, Any]", chart) if isinstance(chart, dict) else {}
    kind, x, y = (str(wanted.get(key, "")) for key in ("kind", "x", "y"))
    if set(wanted) != {"kind", "x", "y"} or kind not in _POINTS_SHOWN:
        return replace(table, problem=f"The chart of {table.name} is not drawn: write it as {FORM}.")
    if missing := [column for column in (x, y) if column not in kinds]:
        return replace(table, problem=f"The chart of {table.name} is not drawn: it has no column {missing[0]}.")
    if kinds[y] != "number":
        return replace(table, problem=f"The chart of {table.name} is not drawn: column {y} does not hold numbers.")
    # Categories have no order of their own: the largest come first.
    order = f"{_quoted(y)} desc, {_quoted(x)}" if kinds[x] == "text" and kind == "bar" else _quoted(x)
    rows = connection.rows(
        f"""
        select {_as_text(x)}, {_quoted(y)}::numeric::text from {name}
        where {_quoted(x)} is not null and {_quoted(y)}::text not in ('NaN', 'Infinity', '-Infinity')
        order by {order} limit {_POINTS_SHOWN[kind]}
        """
    )
    points = tuple((text, Decimal(number)) for text, number in rows)
    if not points:
        return replace(table, problem=f"The chart of {table.name} is not drawn: there are no values.")
    return replace(table, series=Series(kind, x, y, kinds[x], points, table.total))


def _description(connection: Connection, name: str) -> str:
    [(text,)] = connection.rows(f"select left(obj_description(to_regclass($1), 'pg_class'), {_LONGEST_TEXT * 5})", name)
    return text or ""


def _columns(connection: Connection, name: str) -> tuple[OwnColumn, ...]:
    rows = connection.rows(
        """
        select attname::text, format_type(atttypid, null) from pg_attribute
        where attrelid = to_regclass($1) and attnum > 0 and not attisdropped
        order by attnum
        """,
        name,
    )
    return tuple(
        OwnColumn(column, "number" if kind in _NUMBERS else "date" if kind in _DATES else "text")
        for column, kind in rows
    )


def _as_text(column: str) -> str:
    return f"left({_quoted(column)}::text, {_LONGEST_TEXT})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
