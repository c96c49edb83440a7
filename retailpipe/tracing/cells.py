"""Find where a cell of a workbook went: bronze, the quarantine, or nowhere; and which figures it is part of."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from retailpipe.bronze.nul import without_nul
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError
from retailpipe.grain import quoted
from retailpipe.tracing.addresses import LoadedSheet, find_cell
from retailpipe.tracing.contributions import contributions
from retailpipe.tracing.declarations import Declarations
from retailpipe.tracing.findings import CellTrace, Workbook
from retailpipe.tracing.table_row import column_types
from retailpipe.tracing.workbooks import contract_of, layouts, workbooks
from retailpipe.workbook.cells import cell_address, column_letters, shown

if TYPE_CHECKING:
    from retailpipe.bronze.layouts import SheetLayout
    from retailpipe.connection import Connection
    from retailpipe.workbook.tables import Rows


def trace_cell(environment: Environment, address: str) -> CellTrace:
    """Find where a cell of a loaded workbook went, and which figures it is part of.

    address: `WORKBOOK!F17`, `WORKBOOK!SHEET!F17` or `SHEET!F17`, with the quotes and brackets of Excel or without.

    Raises UsageError if the address is malformed, or is in several sheets; TraceError if it is in no sheet that is
    loaded; TransformError if the yml of a model of the user declares a wrong grain; WarehouseError, AwsError.
    """
    with environment.warehouse.connect(read_only=True, as_reader=True) as connection:
        declarations = Declarations(connection)
        found = whereabouts(environment, connection, address)
        if not found.row or found.table is None or found.column is None:
            return found
        load_id, row = int(found.row["load_id"]), int(found.row["source_row"])
        sheet = found.row.get("source_sheet")
        figures = contributions(
            connection, declarations, found.table.partition(".")[2], load_id, sheet, row, found.column
        )
        return replace(found, figures=figures)


def whereabouts(environment: Environment, connection: Connection, address: str) -> CellTrace:
    """Find where a cell went, without its figures. Raises what `trace_cell` raises."""
    loads = connection.rows(
        "select load_id, source, sheet, table_name from bronze.loads where status = 'loaded' order by source"
    )
    tables = {load_id: table for load_id, _, _, table in loads}
    recorded = _sheets(connection)
    sheets = [
        LoadedSheet(load_id, source, name)
        for load_id, source, sheet, _ in loads
        for name in recorded.get(load_id, [sheet])
    ]
    sheet, row, column = find_cell(address, sheets)
    (workbook,) = workbooks(environment, connection, {sheet.load_id: 1})
    known = layouts(environment, connection, [workbook]).get(sheet.load_id, [])
    layout = next((each for each in known if each.sheet == sheet.sheet), None)
    place = _Place(environment, connection, workbook, sheet.sheet, layout, tables[sheet.load_id], row, column)
    return place.in_bronze() or place.rejected() or place.elsewhere()


def _sheets(connection: Connection) -> dict[int, list[str]]:
    if connection.row("select to_regclass('bronze.sheet_layouts') is null") == (True,):
        return {}
    found: dict[int, list[str]] = {}
    for load_id, sheet in connection.rows(
        "select load_id, sheet_layouts.sheet from bronze.sheet_layouts inner join bronze.loads using (load_id) "
        "where status = 'loaded' order by load_id, sheet_layouts.sheet"
    ):
        found.setdefault(load_id, []).append(sheet)
    return found


@dataclass(frozen=True)
class _Place:
    """A cell of a loaded sheet. row: as Excel shows it. index: of the column; 0 is column A."""

    environment: Environment
    connection: Connection
    workbook: Workbook
    sheet: str
    layout: SheetLayout | None
    table: str
    row: int
    index: int

    @property
    def cell(self) -> str:
        return cell_address(self.row, self.index)

    @property
    def column(self) -> str | None:
        """The column of bronze; None if the contract leaves it out, or if the layout is not known."""
        return self.layout.name_of(self.index) if self.layout else None

    def in_bronze(self) -> CellTrace | None:
        """What became of the cell if its row is in bronze; None if it is not."""
        values = self._row_in_bronze(self.workbook.load_id)
        if not values:
            return None
        where = f"bronze.{self.table}, load {self.workbook.load_id}, row {self.row}"
        if self.layout is None:
            return self._result("unknown", f"is in {where}; its column is not known any more", row=values)
        if self.column is None:
            return self._result("left out", f"is left out: {self._header}; the other cells of its row are in {where}")
        value = values[self.column]
        what = f"{where}, column {self.column}"
        if value is None:
            return self._result("blank", f"is blank: null in {what}", row=values)
        return self._result("bronze", f"is in {what}: {value}", value=value, row=values)

    def _row_in_bronze(self, load_id: int) -> dict[str, Any]:
        """The row as a load has it in bronze; empty if it has not."""
        table = f"bronze.{quoted(self.table)}"
        condition, parameters = "load_id = $1 and source_row = $2", [load_id, self.row]
        if "source_sheet" in column_types(self.connection, table):
            condition, parameters = f"{condition} and source_sheet = $3", [*parameters, self.sheet]
        return dict(
            self.connection.rows(
                f"select key, value from {table} as line, json_each_text(to_json(line)) where {condition}", *parameters
            )
        )

    def rejected(self) -> CellTrace | None:
        """What became of the cell if its row is in the quarantine; None if it is not."""
        # A schema of an earlier version has no corrections.
        found = self.connection.row(
            "select cell, message, hint, raw_row::text, (to_jsonb(rejected_rows) ->> 'corrected_by')::bigint "
            "from bronze.rejected_rows where load_id = $1 and sheet = $2 and source_row = $3",
            self.workbook.load_id,
            without_nul(self.sheet),
            self.row,
        )
        if not found:
            return None
        cell, message, hint, raw_row, corrected_by = found
        raw: dict[str, str] = json.loads(raw_row)
        headers = self.layout.headers if self.layout else {}
        values = {name: raw.pop(name) for _, name in sorted(headers.items()) if name in raw} | raw
        header = headers.get(self.index)
        letters = column_letters(self.index)
        value = values.get(letters if letters in values else header or letters)
        if corrected_by is not None:
            return self._corrected(corrected_by, f"{cell} broke the contract: {message}", value or None)
        why = f"its row is in the quarantine, since {cell} breaks the contract: {message}. {hint}"
        return self._result("rejected", f"is not in bronze: {why}", value=value or None, row=values)

    def _corrected(self, load_id: int, why: str, original: str | None) -> CellTrace:
        """What became of the cell of a row that was corrected. original: what the workbook holds, as text."""
        values = self._row_in_bronze(load_id)
        where = f"bronze.{self.table}, load {load_id}, row {self.row}"
        if self.column is None:
            reason = f"is left out: {self._header}; the other cells of its row were corrected and are in {where}"
            return self._result("left out", reason)
        if not values:  # somebody deleted the row: `verify` and `certify` find that too
            return self._result("unknown", f"should be in {where}, which has no such row", original=original)
        value = values[self.column]
        now = "blank" if value is None else value
        held = f" (the workbook holds {original or 'nothing'})"
        reason = f"is in a row that was corrected, since {why}; it is in {where}, column {self.column}: {now}{held}"
        return self._result("corrected", reason, value=value, row=values, original=original)

    def elsewhere(self) -> CellTrace:
        """What became of the cell if its row is neither in bronze nor in the quarantine."""
        if self.layout and self.row == self.layout.header_row:
            column = f"of column {self.column}" if self.column else "of a column that the contract leaves out"
            value = self.layout.headers.get(self.index)
            return self._result("header", f"is in the header, {column}: {value or 'blank'}", value=value)
        if self.layout and self.row < self.layout.header_row:
            reason = f"is above the header, which is row {self.layout.header_row}: nothing above it is loaded"
            return self._result("above the header", reason)
        held = self._held_again()
        if held is None:
            reason = "is in no row that was loaded; the workbook cannot be read again to see what the cell holds"
            return self._result("unknown", reason)
        is_row, value = held
        if is_row:
            reason = f"is in a row that the contract skips (skip_rows or skip_footer); it holds {value or 'nothing'}"
            return self._result("skipped", reason, value=value or None)
        return self._result("blank", "is blank, as its whole row")

    def _held_again(self) -> tuple[bool, str] | None:
        """Whether the workbook has the row, and the text of the cell; None if its content is not in the store now."""
        from retailpipe.workbook.tables import open_book

        contract = contract_of(self.environment, self.connection, self.workbook.load_id)
        options = {"delimiter": contract.delimiter, "encoding": contract.encoding} if contract else {}
        try:
            with self.environment.store.snapshot(self.workbook.source) as snapshot:
                if snapshot.content_hash != self.workbook.content_hash:
                    return None
                book = open_book(snapshot.path, snapshot.key, **options)
                try:
                    for table in book.tables:
                        if table.name == self.sheet:
                            return self._held_by(table.rows(contract.header_row if contract else None))
                finally:
                    book.close()
        except RetailpipeError:
            return None
        return None

    def _held_by(self, rows: Rows) -> tuple[bool, str]:
        rows.in_order = False
        try:
            for chunk in rows:
                for place, number in enumerate(chunk.numbers):
                    if number == self.row:
                        return True, shown(chunk.row(place).get(self.index, ""))
        finally:
            rows.close()
        return False, ""

    @property
    def _header(self) -> str:
        header = self.layout.headers.get(self.index) if self.layout else None
        letters = column_letters(self.index)
        return f"column {letters} ({header}) is not in the contract" if header else f"column {letters} has no header"

    def _result(
        self,
        went: str,
        reason: str,
        *,
        value: str | None = None,
        row: dict[str, Any] | None = None,
        original: str | None = None,
    ) -> CellTrace:
        name = LoadedSheet(self.workbook.load_id, self.workbook.source, self.sheet).address
        table = f"bronze.{self.table}" if went in ("bronze", "blank", "corrected") and row else None
        return CellTrace(
            self.workbook,
            self.sheet,
            self.cell,
            went,
            f"{name}!{self.cell} {reason}",
            table,
            self.column,
            value,
            dict(row or {}),
            original=original,
        )
