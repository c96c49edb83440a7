"""Read the first rows of the user's models, and the points of their charts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from retailpipe.bronze import build_record
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError
from retailpipe.html_report.facts import OwnColumn, OwnTable
from retailpipe.html_report.own_series import quoted, series
from retailpipe.html_report.records import beginning, cut

if TYPE_CHECKING:
    from retailpipe.connection import Connection

ROWS_SHOWN = 10
COLUMNS_SHOWN = 10
TABLES_SHOWN = 12
QUERY_SECONDS = 5
"""How long a query may take: a model may be a view, whose query runs each time that it is read."""
_LONGEST_DESCRIPTION = 1000
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")
_DATES = ("date", "timestamp without time zone", "timestamp with time zone")


def declared(connection: Connection) -> list[build_record.OwnModel]:
    """The user's models that the last build made tables or views of. Raises WarehouseError."""
    if connection.row("select to_regclass('bronze.own_models') is null") == (True,):
        return []
    return [model for model in build_record.own_models(connection) if model.relation]


def own_tables(
    environment: Environment, models: list[build_record.OwnModel], *, query_seconds: int = QUERY_SECONDS
) -> tuple[OwnTable, ...]:
    """The first rows of each model. What cannot be read has a `problem` instead. Raises nothing.

    Each table is read in a transaction of its own: the query of a view may fail, or take longer than query_seconds.
    """
    return tuple(_own_table(environment, model, query_seconds) for model in models[:TABLES_SHOWN])


def _own_table(environment: Environment, model: build_record.OwnModel, query_seconds: int) -> OwnTable:
    table = OwnTable(model.name, f"{model.schema}.{model.relation}")
    try:
        with environment.warehouse.connect(read_only=True) as connection:
            _begin(connection, query_seconds)
            name = f"{quoted(model.schema)}.{quoted(model.relation)}"
            found = _relation(connection, name)
            if not found:
                return replace(table, problem=f"{table.relation} does not exist. Build it again.")
            is_view, description = found
            table = replace(table, description=description, columns=_columns(connection, name))
            rows, total = _first_rows(connection, name, table.columns[:COLUMNS_SHOWN], is_view)
            table = replace(table, rows=rows, total=total)
            return _with_series(connection, name, table, model.chart)
    except RetailpipeError as error:
        return replace(table, problem=f"The table cannot be read: {error}.")


def _begin(connection: Connection, query_seconds: int) -> None:
    """Limit the time of each query of this transaction. Dates become text as ISO 8601 has it, times in UTC."""
    settings = {"statement_timeout": f"{query_seconds}s", "datestyle": "ISO", "timezone": "UTC"}
    calls = [f"set_config('{key}', '{value}', true)" for key, value in settings.items()]
    connection.execute(f"select {', '.join(calls)}")


def _relation(connection: Connection, name: str) -> tuple[bool, str] | None:
    """Whether a table or view is a view, and its description. None if it does not exist."""
    row = connection.row(
        f"""
        select relkind = 'v', {beginning("coalesce(obj_description(oid, 'pg_class'), '')", _LONGEST_DESCRIPTION)}
        from pg_class where oid = to_regclass($1)
        """,
        name,
    )
    return (row[0], cut(row[1], _LONGEST_DESCRIPTION)) if row else None


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


def _first_rows(
    connection: Connection, name: str, columns: tuple[OwnColumn, ...], is_view: bool
) -> tuple[tuple[tuple[str | None, ...], ...], int]:
    """Some rows, each value as text, and how many there are. The query of a view runs once."""
    texts = [f"{quoted(column.name)}::text" for column in columns]
    selected = [
        text if column.kind == "number" else beginning(text) for column, text in zip(columns, texts, strict=True)
    ]
    # Of a table, the window would copy all rows.
    count = "count(*) over ()" if is_view else f"(select count(*) from {name})"
    found = connection.rows(f"select {', '.join([*selected, count])} from {name} limit {ROWS_SHOWN}")
    rows = tuple(
        tuple(
            value if value is None or column.kind == "number" else cut(value)
            for column, value in zip(columns, row, strict=False)
        )
        for row in found
    )
    return rows, found[0][-1] if found else 0


def _with_series(connection: Connection, name: str, table: OwnTable, chart: Any) -> OwnTable:
    """The table with the points of its chart, or with the problem that the chart is not drawn."""
    if chart is None:
        return table
    found = series(connection, name, table, chart)
    if isinstance(found, str):
        return replace(table, problem=f"The chart of {table.name} is not drawn: {found}.")
    return replace(table, series=found)
