"""Find the row of a table whose figures are traced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from retailpipe.builds import why_outdated
from retailpipe.counts import counted
from retailpipe.errors import TraceError, UsageError, WarehouseError
from retailpipe.grain import Grain, quoted

if TYPE_CHECKING:
    from retailpipe.connection import Connection

KeyValue = str | int | float | Decimal | date | None
"""A value of a column that names a row: a text as PostgreSQL writes it, or the value as a query returns it."""


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    types: the type of each column of the table, as PostgreSQL writes it.
    values: its columns as text.
    condition, parameters: select it in a statement.
    """

    types: dict[str, str]
    values: dict[str, str | None]
    condition: str
    parameters: tuple[str, ...]


def column_types(connection: Connection, table: str) -> dict[str, str]:
    """The columns of a table, with their types. Raises WarehouseError if the table does not exist.

    table: quoted for SQL. The types have no lengths, because a cast to varchar(2) would cut a text.
    """
    rows = connection.rows(
        "select attname::text, format_type(atttypid, -1) from pg_attribute "
        "where attrelid = to_regclass($1) and attnum > 0 and not attisdropped order by attnum",
        table,
    )
    if not rows:
        name = table.replace('"', "")
        raise WarehouseError(f"{name} is not built", hint="Build it with `retailpipe transform`.")
    return dict(rows)


def find_row(connection: Connection, grain: Grain, key: Mapping[str, KeyValue]) -> TableRow:
    """The only row of a table with the given values of columns; an empty value stands for null too.

    Raises UsageError if a column does not exist, a value is not of its type, or there are several such rows;
    TraceError if there is no such row.
    """
    given = {name: "" if value is None else str(value) for name, value in key.items()}
    types = column_types(connection, grain.table)
    shown_keys = " ".join(f"{name}=..." for name in grain.keys)
    if not given:
        raise UsageError(f"which row of {grain.name}?", hint=f"Name it: {shown_keys}.")
    if unknown := next((name for name in given if name not in types), None):
        raise UsageError(f"{grain.name} has no column {unknown}", hint=f"Its columns are {', '.join(types)}.")
    conditions: list[str] = []
    for number, (name, value) in enumerate(given.items(), 1):
        column = f"{quoted(grain.relation)}.{quoted(name)}"
        if value == "":
            conditions.append(f"coalesce({column}::text, '') = ${number}::text")
        else:
            conditions.append(f"{column} = ${number}::text::{types[name]}")
            _check_value(connection, grain, name, value, types[name])
    condition, parameters = " and ".join(conditions), tuple(given.values())
    columns = ", ".join(f"{quoted(name)}::text" for name in types)
    found = connection.rows(
        f"select count(*) over (), {columns} from {grain.table} as {quoted(grain.relation)} where {condition} limit 1",
        *parameters,
    )
    named = " ".join(f"{name}={value}" for name, value in given.items())
    if not found:
        outdated = why_outdated(connection)
        raise TraceError(
            f"{grain.name} has no row with {named}",
            hint=f"{outdated} Build it with `retailpipe transform`."
            if outdated
            else f'List its rows with `retailpipe query "select * from {grain.name}"`.',
        )
    [(count, *texts)] = found
    if count > 1:
        missing = [name for name in grain.keys if name not in given] or [*grain.keys]
        raise UsageError(
            f"{counted(count, 'row')} of {grain.name} have {named}",
            hint=f"Add {' '.join(f'{n}=...' for n in missing)}.",
        )
    return TableRow(types, dict(zip(types, texts, strict=True)), condition, parameters)


def _check_value(connection: Connection, grain: Grain, name: str, value: str, kind: str) -> None:
    if "\0" in value:
        raise UsageError(
            f"the value of {name} contains a NUL character", hint="PostgreSQL cannot store it: leave it out."
        )
    try:
        connection.row(f"select ($1::text::{kind})::text", value)
    except WarehouseError as error:
        if error.transient:
            raise
        raise UsageError(
            f"{name} of {grain.name} is of type {kind}: {error}",
            hint=f"Give a value such as `{name}=` has in the table.",
        ) from error
