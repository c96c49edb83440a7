"""Find the figures that a row of bronze is part of, and what it adds to each."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from retailpipe.errors import TransformError, WarehouseError
from retailpipe.grain import Grain, Measure, quoted, words
from retailpipe.tracing import statements
from retailpipe.tracing.declarations import OUR_PROJECT, Declarations, Rows
from retailpipe.tracing.findings import Contribution
from retailpipe.tracing.table_row import column_types

if TYPE_CHECKING:
    from retailpipe.connection import Connection

VALUE, KEY = "value", "key"


def contributions(
    connection: Connection,
    declarations: Declarations,
    table: str,
    load_id: int,
    sheet: str | None,
    row: int,
    column: str,
) -> tuple[Contribution, ...]:
    """The figures that a cell is part of: those that it is a value of come first.

    table: the table of bronze. sheet: the sheet of the row, if the table has several sheets. column: that of the cell.
    Raises TransformError if the yml of a model of the user declares a wrong grain; WarehouseError.
    """
    parameters: list[str | int] = [load_id, row, *([sheet] if sheet is not None else [])]
    condition = "load_id = $1 and source_row = $2" + (" and source_sheet = $3" if sheet is not None else "")
    found: list[Contribution] = []
    # Our tables that are made from the same rows share a statement, so the rows are searched once. A mistake in a model
    # of the user must be told with its name, so each has a statement of its own.
    groups: dict[str, list[tuple[Grain, Rows]]] = {}
    for grain in declarations.declared():
        rows = declarations.rows(grain)
        if rows.bronze == table and _exist(connection, grain.table, rows.table):
            shared = rows.table if grain.file.startswith(OUR_PROJECT) else grain.name
            groups.setdefault(shared, []).append((grain, rows))
    for group in groups.values():
        try:
            lines = _lines(connection, group, condition, parameters)
            for (grain, rows), line in zip(group, lines, strict=True):
                if line:
                    found += _of_table(connection, grain, rows, line, column)
        except WarehouseError as error:
            if error.transient:
                raise
            grain = group[0][0]
            raise TransformError(
                f"{grain.file}: the rows of {grain.model} cannot be traced as its yml declares it: {error}",
                hint="Correct `trace` in this file; docs/trace.md describes its keys. Then run `retailpipe transform`.",
            ) from error
    return tuple(sorted(found, key=lambda each: each.role != VALUE))


def _exist(connection: Connection, *tables: str) -> bool:
    """Whether tables exist: before the first build, a cell is part of no figure."""
    return all(connection.row("select to_regclass($1) is not null", table) == (True,) for table in tables)


def _lines(
    connection: Connection, group: list[tuple[Grain, Rows]], condition: str, parameters: list[str | int]
) -> list[dict[str, Any] | None]:
    """For each grain, its keys on the row, and for each measure whether the row counts and its value; None if the table
    was made without the row."""
    columns: list[str] = []
    for grain, rows in group:
        keys = ", ".join(f"({sql})::text" for sql in grain.keys.values())
        measures = ", ".join(f"({each.counts})::text, {_value(each)}" for each in grain.measures.values())
        source = "line"
        if _uses_row_columns(grain):
            source = f"(select * from ({statements.traced(grain, rows)}) as line where {condition})"
        where = f" where {grain.where}" if grain.where else ""
        document = f"json_build_object('keys', array[{keys}]::text[], 'measures', array[{measures}]::text[])"
        columns.append(f"(select {document}::text from {source} as line{where} limit 1)")
    line = f"select * from {group[0][1].table} where {condition}"
    found = connection.row(f"with line as materialized ({line}) select {', '.join(columns)}", *parameters)
    return [json.loads(each) if each else None for each in found or [None] * len(group)]


def _uses_row_columns(grain: Grain) -> bool:
    expressions = [*grain.keys.values(), grain.where]
    expressions += [each for measure in grain.measures.values() for each in (measure.expression, measure.where)]
    used = {word for each in expressions for word in words(each)}
    return bool(used & grain.row_columns.keys())


def _value(measure: Measure) -> str:
    if measure.kind in ("count", "count_distinct"):
        return "'1'::text"
    value = f"({measure.expression})"
    return f"trim_scale({value}::numeric)::text" if measure.kind == "sum" else f"{value}::text"


def _of_table(
    connection: Connection, grain: Grain, rows: Rows, line: dict[str, Any], column: str
) -> list[Contribution]:
    types = column_types(connection, grain.table)
    key: dict[str, str | None] = dict(zip(grain.keys, line["keys"], strict=True))
    condition, parameters = statements.equals({name: quoted(name) for name in key}, key, types)
    names = [name for name in (*grain.measures, *grain.computed) if name in types]
    figures = connection.row(
        f"select {', '.join(f'{quoted(name)}::text' for name in names) or 'null'} from {grain.table} where {condition}",
        *parameters,
    )
    if figures is None:  # such as a month that has only returns, or a row that is not built yet
        return []
    figure = dict(zip(names, figures, strict=False))
    decides = column in rows.cells([each for sql in (*grain.keys.values(), grain.where) for each in grain.of(sql)])
    found: dict[str, Contribution] = {}
    for (name, measure), counts, value in zip(
        grain.measures.items(), line["measures"][::2], line["measures"][1::2], strict=True
    ):
        is_value = column in rows.cells(grain.of(measure.expression))
        chooses = decides or column in rows.cells([*grain.of(measure.where), *grain.of(measure.order)])
        if counts == "true" and (is_value or chooses):
            adds = None if measure.kind == "pick" else value
            role = VALUE if is_value else KEY
            found[name] = Contribution(grain.name, key, name, figure.get(name), adds, role)
    for name in grain.computed:
        parts = [found[part] for part in grain.parts(name) if part in found]
        if parts:
            role = VALUE if any(part.role == VALUE for part in parts) else KEY
            found[name] = replace(parts[0], column=name, figure=figure.get(name), adds=None, role=role)
    return list(found.values())
