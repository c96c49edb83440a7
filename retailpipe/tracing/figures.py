"""Trace the figures of one row of a table to the rows of bronze that made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from retailpipe.environment import Environment
from retailpipe.errors import TransformError, UsageError, WarehouseError
from retailpipe.grain import Grain, quoted
from retailpipe.tracing import statements
from retailpipe.tracing.declarations import Declarations
from retailpipe.tracing.disagreement import disagreement
from retailpipe.tracing.findings import Figure, Trace
from retailpipe.tracing.listing import Listing, bronze_columns
from retailpipe.tracing.table_row import KeyValue, TableRow, find_row
from retailpipe.tracing.workbooks import workbooks

if TYPE_CHECKING:
    import pyarrow as pa

    from retailpipe.connection import Connection


def trace(
    environment: Environment,
    table: str,
    key: Mapping[str, KeyValue],
    *,
    column: str | None = None,
    by: str | None = None,
    limit: int | None = None,
) -> Trace:
    """Trace a row of a table of silver or gold, or of a model of the user, to the rows of bronze that made it.

    table: NAME or SCHEMA.NAME.
    key: values of columns that only this row has, such as {"year": 2011, "month": 11}; an empty text is null too.
    column: trace only this figure; default: check all, and list the rows of the first.
    by: group the rows by `workbook`, or by a group that the yml of the model declares, such as `day`.
    limit: list at most this many rows or groups, the biggest first.

    Raises UsageError if the table, a column or a value is wrong; TraceError if there is no such row, or if the rows of
    bronze do not give its figures; TransformError if the yml of a model does not declare its grain, or wrongly;
    WarehouseError, AwsError.
    """
    with environment.warehouse.connect(read_only=True, as_reader=True) as connection:
        declarations = Declarations(connection)
        notes: list[str] = []
        grain, row = _row(connection, declarations, table, key, column)
        followed = {grain.model}
        while column in grain.looked_up:
            source = grain.looked_up[column]
            notes.append(f"{grain.name} takes {column} from {source.table}, by {source.by}.")
            by_value = {source.by: row.values[source.by] or ""}
            other, found = _row(connection, declarations, source.table, by_value, column)
            if found.values[column] != row.values[column]:
                how = f"from {other.name}, by {source.by}"
                wrong = Figure(column, row.values[column], found.values[column], how)
                raise disagreement(connection, grain, row, [wrong])
            if other.model in followed:
                raise TransformError(
                    f"{other.file}: model {other.model} takes {column} from itself",
                    hint="Correct `from` in this file; docs/trace.md describes the keys of trace.",
                )
            followed.add(other.model)
            grain, row = other, found
        tracing = _Tracing(environment, connection, declarations, grain, row)
        return tracing.result(column, by, limit, notes)


def _row(
    connection: Connection, declarations: Declarations, table: str, key: Mapping[str, KeyValue], column: str | None
) -> tuple[Grain, TableRow]:
    """The grain of a table, and its row with this key. Raises what `trace` raises."""
    grain = declarations.grain(table)
    if grain.written_in:
        reason = f"{grain.name} has no figures of bronze: its rows are written in {grain.written_in}"
        raise UsageError(reason, hint="Trace another table.")
    row = find_row(connection, grain, key)
    _check_column(grain, row, column)
    return grain, row


def _check_column(grain: Grain, row: TableRow, column: str | None) -> None:
    traced = [*grain.measures, *grain.computed, *grain.looked_up]
    if column is None or column in traced:
        return
    is_key = column in grain.keys
    why = "tells the row apart" if is_key else "is not traced" if column in row.types else "does not exist"
    raise UsageError(f"column {column} of {grain.name} {why}", hint=f"These columns are traced: {', '.join(traced)}.")


class _Tracing:
    def __init__(
        self,
        environment: Environment,
        connection: Connection,
        declarations: Declarations,
        grain: Grain,
        row: TableRow,
    ) -> None:
        self._environment = environment
        self._connection = connection
        self._declarations = declarations
        self._rows = declarations.rows(grain)
        self._grain = grain
        self._row = row
        self._condition, parameters = statements.equals(grain.keys, row.values, row.types)
        self._parameters = tuple(parameters)
        self._wrong: list[Figure] = []

    def result(self, column: str | None, by: str | None, limit: int | None, notes: list[str]) -> Trace:
        grain = self._grain
        measures = grain.parts(column) if column else [*grain.measures]
        computed = [column] if column in grain.computed else [] if column else [*grain.computed]
        try:
            listed = measures if column else measures[:1]
            listing = Listing(grain, self._rows, listed, bronze_columns(self._connection, grain, self._rows))
            table, summary, total = self._traced(measures, listing.sql(by, limit))
            figures = self._measured(measures, summary[1:])
            figures += self._computed(computed)
            figures += [] if column else self._looked_up()
            if self._wrong:
                raise disagreement(self._connection, grain, self._row, self._wrong)
            loads = {int(load): int(count) for load, count in json.loads(summary[0] or "{}").items()}
            found = workbooks(self._environment, self._connection, loads)
            table = listing.finished(self._environment, self._connection, table, found)
        except WarehouseError as error:
            if error.transient:
                raise
            raise TransformError(
                f"{grain.file}: the rows of {grain.model} cannot be traced as its yml declares it: {error}",
                hint="Correct `trace` in this file; docs/trace.md describes its keys. Then run `retailpipe transform`.",
            ) from error
        order = {name: place for place, name in enumerate(self._row.types)}
        figures.sort(key=lambda figure: order.get(figure.column, 0))
        keys = {name: self._row.values[name] for name in grain.keys}
        if column in grain.computed:
            parts = f" from {' and '.join(measures)}" if measures else ""
            notes.append(f"{column} is computed{parts}: {grain.computed[column]}.")
        once = [name for name in listed if grain.measures[name].kind == "count_distinct"]
        notes += [f"A value of {name} counts in the first row that has it." for name in once]
        notes += [
            f"The sheets of {name} are not known any more, so its cells are not named." for name in listing.unknown
        ]
        notes += [
            f"Load {each.load_id} corrected rows of {each.source}: the workbook holds other values in some of their "
            "cells."
            for each in found
            if each.corrects
        ]
        return Trace(grain.name, keys, column, tuple(figures), tuple(listed), table, total, by, found, tuple(notes))

    def _traced(self, names: list[str], listed: str) -> tuple[pa.Table, list[str | None], int]:
        """Search the rows once: the list of them; as texts, the number of rows by load and then three values for each
        measure; and how many rows or groups there are."""
        found = self._connection.table(
            f"""
            with line as materialized ({statements.traced(self._grain, self._rows, self._condition)}),
            summary as ({self._summary(names)}),
            listed as ({listed})
            select listed.*, case when coalesce(place, 1) = 1 then summary end as summary
            from summary left join listed on true order by place
            """,
            *self._parameters,
        )
        (total, place, summary) = (
            found.column(name).slice(0, 1).to_pylist()[0] for name in ("total", "place", "summary")
        )
        table = found.drop_columns(["total", "place", "summary"])
        return table if place else table.slice(0, 0), json.loads(summary), total or 0

    def _summary(self, names: list[str]) -> str:
        """A query of one text from `line`: what the traced rows give for each measure, how many count, and whether the
        figure is the same."""
        grain = self._grain
        texts: list[str] = []
        for name in names:
            measure, kind = grain.measures[name], self._row.types.get(name)
            if kind is None:
                raise TransformError(
                    f"{grain.file}: trace of {grain.model} names column {name}, which its table does not have",
                    hint="Correct the name, or delete the line.",
                )
            value = self._row.values[name]
            figure = "null" if value is None else statements.literal(value, kind)
            texts += [
                statements.as_text(measure, measure.sql),
                f"(count(*) filter (where {measure.counts}))::text",
                f"({statements.same(measure, figure, measure.sql)})::text",
            ]
        counted = statements.any_of(grain.measures[name] for name in names)
        loads = f"""
            (
                select json_object_agg(load_id, rows)::text
                from (select load_id, count(*) as rows from line where {counted} group by load_id) as counted
            )
        """
        return f"select to_json(array[{', '.join([loads, *texts])}])::text as summary from line"

    def _measured(self, names: list[str], texts: list[str | None]) -> list[Figure]:
        figures: list[Figure] = []
        for place, name in enumerate(names):
            measure = self._grain.measures[name]
            traced, rows, is_same = texts[3 * place : 3 * place + 3]
            how = f"{measure.kind}: {measure.expression}" + (f" where {measure.where}" if measure.where else "")
            figures.append(self._figure(name, traced, is_same == "true", how, int(rows or 0)))
        return figures

    def _computed(self, names: list[str]) -> list[Figure]:
        grain, alias = self._grain, quoted(self._grain.relation)
        if not names:
            return []
        added = ", ".join(f"({grain.computed[name]}) as {quoted(f'computed {name}')}" for name in names)
        columns = ", ".join(
            f"{quoted(f'computed {name}')}::text, {quoted(name)} is not distinct from {quoted(f'computed {name}')}"
            for name in names
        )
        found: tuple[Any, ...] = (
            self._connection.row(
                f"select {columns} from (select {alias}.*, {added} from {grain.table} as {alias}) as {alias} "
                f"where {self._row.condition}",
                *self._row.parameters,
            )
            or ()
        )
        figures: list[Figure] = []
        for place, name in enumerate(names):
            traced, is_same = found[2 * place : 2 * place + 2]
            how, parts = f"computed: {grain.computed[name]}", tuple(grain.parts(name))
            figures.append(self._figure(name, traced, is_same, how, parts=parts))
        return figures

    def _looked_up(self) -> list[Figure]:
        figures: list[Figure] = []
        for name, source in self._grain.looked_up.items():
            other = self._declarations.grain(source.table)
            condition, parameters = statements.equals({source.by: quoted(source.by)}, self._row.values, self._row.types)
            statement = f"select {quoted(name)}::text from {other.table} where {condition}"
            (traced,) = self._connection.row(statement, *parameters) or (None,)
            is_same = traced == self._row.values[name]
            figures.append(self._figure(name, traced, is_same, f"from {other.name}, by {source.by}"))
        return figures

    def _figure(
        self,
        name: str,
        traced: str | None,
        is_same: bool,
        how: str,
        rows: int | None = None,
        parts: tuple[str, ...] = (),
    ) -> Figure:
        value = self._row.values[name]
        figure = Figure(name, value, value if is_same else traced, how, rows, parts)
        if not is_same:
            self._wrong.append(figure)
        return figure
