"""Read the points of the charts that the yml of the user's models asks for.

A model declares a chart in its yml, under `config: {meta: ...}`:

    chart: {kind: bar, x: branch, y: revenue}

kind is bar or line; x is the column of the categories, dates or numbers; y is a column of numbers.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from retailpipe.errors import RetailpipeError
from retailpipe.html_report.facts import OwnTable, Series
from retailpipe.html_report.records import beginning, cut

if TYPE_CHECKING:
    from retailpipe.connection import Connection

POINTS_SHOWN = {"bar": 20, "line": 400}
FORM = "chart: {kind: bar or line, x: COLUMN, y: COLUMN of numbers}"
# What a chart can place. No comparison holds for NaN, and dates may be infinite or before the year 1.
_DRAWABLE = {
    "number": "{} between -1e300 and 1e300",
    "date": "extract(year from {}) between 1 and 9999",
    "text": "{} is not null",
}


def series(connection: Connection, name: str, table: OwnTable, chart: Any) -> Series | str:
    """The points of a chart, or why there are none.

    name: the quoted name of the table. chart: what the yml declares, not checked yet.
    A query that fails ends the transaction.
    """
    kinds = {column.name: column.kind for column in table.columns}
    wanted = cast("dict[str, Any]", chart) if isinstance(chart, dict) else {}
    kind, x, y = (str(wanted.get(key, "")) for key in ("kind", "x", "y"))
    if set(wanted) != {"kind", "x", "y"} or kind not in POINTS_SHOWN:
        return f"write it as {FORM}"
    if missing := [column for column in (x, y) if column not in kinds]:
        return f"it has no column {missing[0]}"
    if kinds[y] != "number":
        return f"column {y} does not hold numbers"
    try:
        points, total = _points(connection, name, kind, (x, kinds[x]), y)
    except RetailpipeError as error:
        return str(error)
    return Series(kind, x, y, kinds[x], points, total) if points else "there are no values"


def _points(
    connection: Connection, name: str, kind: str, x: tuple[str, str], y: str
) -> tuple[tuple[tuple[str, Decimal], ...], int]:
    """The first points that can be drawn, and how many there are. x: the column and its kind."""
    column, x_kind = x
    # Categories have no order of their own: the largest come first.
    order = "y desc, x" if x_kind == "text" and kind == "bar" else "x"
    text = beginning("x::text") if x_kind == "text" else "x::text"
    rows = connection.rows(
        f"""
        with drawable as materialized (
            select {quoted(column)} as x, {quoted(y)} as y from {name}
            where {_DRAWABLE[x_kind].format(quoted(column))} and {_DRAWABLE["number"].format(quoted(y))}
        )
        select {text} as label, y::text as value, (select count(*) from drawable) from drawable
        order by {order} limit {POINTS_SHOWN[kind]}
        """
    )
    points = tuple((cut(label) if x_kind == "text" else label, Decimal(number)) for label, number, _ in rows)
    return points, rows[0][-1] if rows else 0


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
