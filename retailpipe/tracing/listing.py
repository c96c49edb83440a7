"""List the traced rows with their cells and what each adds to the figures, or their groups."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from retailpipe.environment import Environment
from retailpipe.errors import TransformError, UsageError
from retailpipe.grain import Grain, quoted
from retailpipe.tracing import statements
from retailpipe.tracing.declarations import Rows
from retailpipe.tracing.findings import Workbook
from retailpipe.tracing.table_row import column_types
from retailpipe.tracing.workbooks import layouts

if TYPE_CHECKING:
    import pyarrow as pa

    from retailpipe.bronze.layouts import SheetLayout
    from retailpipe.connection import Connection

WORKBOOK = "workbook"
SHEET = "source_sheet"
_EVERY = 2**31 - 1


def bronze_columns(connection: Connection, grain: Grain, rows: Rows) -> Collection[str]:
    """The columns of the table of bronze that rows come from.

    Raises TransformError if the traced rows lack a column with which they are found in their workbook.
    """
    bronze = column_types(connection, f"bronze.{quoted(rows.bronze)}")
    columns = column_types(connection, rows.table)
    for needed in ("load_id", "source_row", *([SHEET] if SHEET in bronze else [])):
        if needed not in columns:
            table = rows.table.replace('"', "")
            raise TransformError(
                f"{grain.file}: the rows of {grain.model} come from {table}, which has no column {needed}",
                hint=f"Add {needed} to that model, or trace rows of bronze.{rows.bronze}: set `rows` in the file.",
            )
    return bronze


class Listing:
    """The list of the rows that make some measures of one row of a table, or of their groups.

    bronze: the names of the columns of the table of bronze.
    unknown: after `finished`, the workbooks whose columns are not known any more.
    """

    def __init__(self, grain: Grain, rows: Rows, measures: Sequence[str], bronze: Collection[str]) -> None:
        self._grain = grain
        self._rows = rows
        self._measures = {name: grain.measures[name] for name in measures}
        self._has_sheets = SHEET in bronze
        used = [column for measure in self._measures.values() for column in grain.of(measure.expression)]
        self._cells = [name for name in rows.cells(used) if name in bronze and name not in ("load_id", "source_row")]
        self.unknown: list[str] = []

    def sql(self, by: str | None, limit: int | None) -> str:
        """A query of the list from `line`, the traced rows, with their order, `place`, and their number, `total`.

        Raises UsageError if the rows cannot be grouped by this.
        """
        return self._grouped(by, limit or _EVERY) if by else self._listed(limit or _EVERY)

    def finished(
        self, environment: Environment, connection: Connection, table: pa.Table, workbooks: Sequence[Workbook]
    ) -> pa.Table:
        """The list with the addresses of the cells in place of the load; groups have no cells."""
        if "load_id" not in table.column_names:
            return table
        listed = set(table.column("load_id").to_pylist())
        workbooks = [workbook for workbook in workbooks if workbook.load_id in listed]
        known = layouts(environment, connection, workbooks)
        self.unknown = [workbook.source for workbook in workbooks if workbook.load_id not in known]
        return _with_addresses(table, self._cells, known)

    def _counted(self) -> str:
        values = "".join(
            f", ({statements.adds(measure)}) as {quoted(f'adds {name}')}" for name, measure in self._measures.items()
        )
        return f"select line.*{values} from line where {statements.any_of(self._measures.values())}"

    def _order(self) -> str:
        """The order of the rows: by what they add to the first measure."""
        for name, measure in self._measures.items():
            return statements.biggest_first(measure, quoted(f"adds {name}"))
        return statements.ORDER

    def _order_of_groups(self) -> str:
        for name, measure in self._measures.items():
            match measure.kind:
                case "sum":
                    return f"abs({quoted(name)}) desc"
                case "min" | "digest":
                    return quoted(name)
                case "pick":
                    return "rows desc"
                case _:
                    return f"{quoted(name)} desc"
        return "rows desc"

    def _listed(self, limit: int) -> str:
        sheet = "chosen.source_sheet" if self._has_sheets else "loads.sheet"
        same_sheet = " and bronze.source_sheet = chosen.source_sheet" if self._has_sheets else ""
        taken = {*self._measures, "load_id", "workbook", "sheet", "row", "cells", "total"}
        raw = [f"bronze.{quoted(name)} as {quoted(_free(name, taken))}" for name in self._cells]
        taken |= set(self._cells)
        by = {quoted(_free(name, taken)): sql for name, sql in self._rows.groups.items() if sql not in self._cells}
        groups = [f"({sql}) as {name}" for name, sql in by.items()]
        values = [f"{_trimmed(m.kind, quoted(f'adds {n}'))} as {quoted(n)}" for n, m in self._measures.items()]
        columns = ["chosen.load_id", "source as workbook", f"{sheet} as sheet", "chosen.source_row as row"]
        columns += [*raw, *(f"chosen.{name}" for name in by), *values, "total", "place"]
        chosen = ", ".join(
            ["*", "count(*) over () as total", f"row_number() over (order by {self._order()}) as place", *groups]
        )
        return f"""
            select {", ".join(columns)}
            from (
                select {chosen} from ({self._counted()}) as line
                order by place limit {limit}
            ) as chosen
            inner join bronze.loads on loads.load_id = chosen.load_id
            inner join bronze.{quoted(self._rows.bronze)} as bronze
                on bronze.load_id = chosen.load_id and bronze.source_row = chosen.source_row{same_sheet}
        """

    def _grouped(self, by: str, limit: int) -> str:
        groups = self._rows.groups | {WORKBOOK: "(select source from bronze.loads where load_id = line.load_id)"}
        if by not in groups:
            raise UsageError(
                f"the rows of {self._grain.name} cannot be grouped by {by}",
                hint=f"Group them by {' or '.join(groups)}.",
            )
        values = "".join(
            f", {_in_group(measure.kind, measure.sql, quoted(f'adds {name}'))} as {quoted(name)}"
            for name, measure in self._measures.items()
        )
        return f"""
            select grouped.*, count(*) over () as total,
                row_number() over (order by {self._order_of_groups()} nulls last, {quoted(by)}) as place
            from (
                select ({groups[by]}) as {quoted(by)}, count(*) as rows{values}
                from ({self._counted()}) as line group by 1
            ) as grouped
            order by place limit {limit}
        """


def _trimmed(kind: str, column: str) -> str:
    return f"trim_scale({column})" if kind == "sum" else column


def _in_group(kind: str, aggregate: str, added: str) -> str:
    """What a group adds. The sum over the groups is the figure, also for values that are counted once."""
    if kind == "sum":
        return f"trim_scale(sum({added}))"
    return f"sum({added})::bigint" if kind in ("count", "count_distinct") else aggregate


def _free(name: str, taken: set[str]) -> str:
    """A name for a column of bronze or a group that no other column of the list has."""
    return f"{name} of the row" if name in taken else name


def _with_addresses(table: pa.Table, cells: Sequence[str], known: dict[int, list[SheetLayout]]) -> pa.Table:
    """The table with the addresses of the cells of each row in place of its load."""
    import pyarrow as pa

    from retailpipe.workbook.cells import cell_address

    columns: dict[tuple[int, str], list[int]] = {}
    for load_id, sheets in known.items():
        for sheet in sheets:
            found = [sheet.columns[name] for name in cells if name in sheet.columns]
            columns[load_id, sheet.sheet] = found
            if len(sheets) == 1:
                columns[load_id, ""] = found
    texts: list[str] = []
    keys: zip[tuple[Any, ...]] = zip(*(table.column(n).to_pylist() for n in ("load_id", "sheet", "row")), strict=True)
    for load_id, sheet, row in keys:
        found = columns.get((load_id, sheet)) or columns.get((load_id, "")) or []
        texts.append(", ".join(cell_address(row, index) for index in found))
    place = table.column_names.index("row") + 1
    return table.add_column(place, "cells", pa.array(texts, pa.string())).drop_columns("load_id")
