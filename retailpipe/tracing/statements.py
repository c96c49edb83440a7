"""The statements that trace a table. The same statement traces one row of it, or all of its rows at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from retailpipe.grain import Grain, Measure, quoted
from retailpipe.tracing.declarations import Rows

ORDER = "load_id, source_row"


def traced(grain: Grain, rows: Rows, condition: str = "true") -> str:
    """A query of the rows that a table was made from, with the row columns of its grain."""
    where = f"({grain.where}) and {condition}" if grain.where else condition
    lines = f"select * from {rows.table} as line where {where}"
    if not grain.row_columns:
        return lines
    added = ", ".join(f"({sql}) as {quoted(name)}" for name, sql in grain.row_columns.items())
    return f"select *, {added} from ({lines}) as line"


def by_key(grain: Grain, rows: Rows, columns: Iterable[str]) -> str:
    """A query of all rows of a table as the rows of bronze give them: its keys, and some of its measures."""
    keys = ", ".join(f"({sql}) as {quoted(name)}" for name, sql in grain.keys.items())
    measures = "".join(f", {grain.measures[name].sql} as {quoted(name)}" for name in columns)
    numbers = ", ".join(map(str, range(1, len(grain.keys) + 1)))
    return f"select {keys}{measures} from ({traced(grain, rows)}) as line group by {numbers}"


def same(measure: Measure | None, figure: str, found: str) -> str:
    """The condition that a figure is what the rows give. Sums are compared as exact numbers; no rows give 0."""
    if measure and measure.kind == "sum":
        return f"coalesce({figure}::numeric, 0) = coalesce({found}, 0)"
    return f"({figure}) is not distinct from ({found})"


def as_text(measure: Measure, value: str) -> str:
    """The text of what rows give; a sum without zeros at its end, and 0 if there are no rows."""
    return f"trim_scale(coalesce({value}, 0))::text" if measure.kind == "sum" else f"({value})::text"


def adds(measure: Measure) -> str:
    """What one row adds to a figure; null if it does not count. Of equal values that are counted once, the first row
    adds 1 and the others 0."""
    value = f"({measure.expression})"
    match measure.kind:
        case "sum":
            value = f"{value}::numeric"
        case "count":
            value = "1"
        case "count_distinct":
            first = f"row_number() over (partition by {measure.counts}, {value} order by {ORDER}) = 1"
            value = f"case when {first} then 1 else 0 end"
        case _:
            pass
    return f"case when {measure.counts} then {value} end"


def biggest_first(measure: Measure, value: str) -> str:
    """The order of rows by what they add: the biggest first, and for `min`, `max` and `pick` the value that counts."""
    match measure.kind:
        case "sum":
            first = f"abs({value}) desc nulls last"
        case "min":
            first = f"{value} nulls last"
        case "pick":
            first = measure.order or ORDER
        case "digest":
            first = f"{value} nulls last"
        case _:
            first = f"{value} desc nulls last"
    return f"{first}, {ORDER}"


def any_of(measures: Iterable[Measure]) -> str:
    """The condition of the rows that count for one of several measures."""
    return " or ".join(f"({measure.counts})" for measure in measures) or "true"


def equals(
    columns: Mapping[str, str], values: Mapping[str, str | None], types: Mapping[str, str]
) -> tuple[str, list[str]]:
    """The condition that expressions have the values of columns, and its parameters from $1 on.

    columns: SQL by the name of the column. types: the types of these columns.
    """
    conditions: list[str] = []
    parameters: list[str] = []
    for name, sql in columns.items():
        value = values[name]
        if value is None:
            conditions.append(f"({sql}) is null")
        else:
            parameters.append(value)
            conditions.append(f"({sql}) = ${len(parameters)}::text::{types[name]}")
    return " and ".join(conditions) or "true", parameters


def literal(value: str, kind: str) -> str:
    """A value of a type as a constant of SQL. In hexadecimal digits, no setting can make its content SQL."""
    return f"convert_from(decode('{value.encode().hex()}', 'hex'), 'UTF8')::{kind}"
