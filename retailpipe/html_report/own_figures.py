"""The charts that the yml of the user's models asks for."""

from __future__ import annotations

from retailpipe.counts import counted
from retailpipe.html_report.drawings import Columns, Drawing, Line, Ranking
from retailpipe.html_report.facts import OwnTable, Series
from retailpipe.html_report.wording import money, named, short, whole


def drawing(series: Series) -> Drawing:
    """The drawing of a chart that the yml of a model asks for."""
    names, values = tuple(text for text, _ in series.points), tuple(value for _, value in series.points)
    if series.kind == "line":
        return Line(names, values, series.x_kind)
    if series.x_kind == "text":
        return Ranking(names, values, tuple(whole(value) if value == int(value) else money(value) for value in values))
    return Columns(tuple((name,) for name in names), values, tuple(short(value) for value in values))


def sentence(table: OwnTable, series: Series) -> str:
    """What the chart of a user's model shows."""
    (low, least), (high, most) = (
        min(series.points, key=lambda point: point[1]),
        max(series.points, key=lambda point: point[1]),
    )
    count = len(series.points)
    shown = f"the first {count:,} of {series.total:,} rows" if series.total > count else counted(count, "row")
    return (
        f"{named(series.y)} by {named(series.x)}, {shown} of {named(table.name)}: the highest is {money(most)} "
        f"({named(high)}), the lowest {money(least)} ({named(low)}).{_not_drawn(table.total - series.total)}"
    )


def _not_drawn(rows: int) -> str:
    """How many rows have no place in the chart: a value is null, NaN, infinite, or a date before the year 1."""
    return f" {counted(rows, 'row has', 'rows have')} no value that can be drawn." if rows > 0 else ""
