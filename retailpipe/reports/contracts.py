"""What `contract init` and `contract check` return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from retailpipe.contract import Contract
from retailpipe.counts import counted, noun
from retailpipe.reports.report import Report

_SHEETS_SHOWN = 12


@dataclass(frozen=True)
class ContractDraft(Report):
    """A contract that was drafted from a workbook.

    name: the contract's name, which is also its table's.
    file: the name of the workbook.
    sheets: the sheets that it was drafted from; a CSV file has one without a name.
    text: the contract, as the text of a TOML file.
    """

    name: str
    file: str
    sheets: tuple[str, ...]
    text: str

    @property
    def contract(self) -> Contract:
        """The drafted contract, as `check_contract`, `ingest` and `run` take it."""
        return Contract.from_text(self.text, f"{self.name}.toml")


@dataclass(frozen=True)
class SheetRead(Report):
    """A sheet that was read under a contract: its name, the row of its header, and its number of rows."""

    name: str
    header_row: int
    rows_read: int


@dataclass(frozen=True)
class Fault(Report):
    """The rows that break the same rule in the same column.

    rows: how many there are.
    cells: the first cells, with their sheets if several are read together.
    message, hint: of the first cell.
    """

    column_name: str
    code: str
    rows: int
    cells: tuple[str, ...]
    message: str
    hint: str


@dataclass(frozen=True)
class ContractCheck(Report):
    """What a load of a workbook under a contract would refuse.

    ok: whether it would load: no more rows are rejected than the contract allows.
    rows_read: always rows_accepted + rows_rejected.
    rows_skipped: rows that the contract's `skip_rows` and `skip_footer` exclude; not part of rows_read.
    missing_columns: headers of optional columns that a sheet does not have.
    is_bound: whether `files` of the contract matches the name, so that `run` and `ingest` choose the contract; None if
        the contract has no `files`.
    """

    ok: bool
    file: str
    contract: str
    table: str
    sheets: tuple[SheetRead, ...]
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    rejects_allowed: int
    rows_skipped: int
    first_date: datetime | None
    last_date: datetime | None
    faults: tuple[Fault, ...]
    ignored_columns: tuple[str, ...]
    missing_columns: tuple[str, ...]
    is_bound: bool | None = None

    def __str__(self) -> str:
        verdict = "would load" if self.ok else "would not load"
        lines = [f"{self.file}: {verdict} into bronze.{self.table} under contract {self.contract!r}"]
        for sheet in self.sheets[:_SHEETS_SHOWN]:
            name = f"sheet {sheet.name!r}: " if sheet.name else ""
            lines.append(f"  {name}header in row {sheet.header_row:,}, {counted(sheet.rows_read, 'row')}")
        if len(self.sheets) > _SHEETS_SHOWN:
            more = len(self.sheets) - _SHEETS_SHOWN
            lines.append(f"  and {more:,} more {noun(more, 'sheet')}")
        counts = (
            f"  {counted(self.rows_read, 'row')} read, {self.rows_accepted:,} accepted, {self.rows_rejected:,} rejected"
        )
        skipped = f", {self.rows_skipped:,} skipped" if self.rows_skipped else ""
        lines.append(f"{counts} ({self.rejects_allowed:,} allowed){skipped}")
        if self.first_date and self.last_date:
            lines.append(f"  dates from {self.first_date.date()} to {self.last_date.date()}")
        if self.ignored_columns:
            lines.append(f"  ignored columns, not in the contract: {', '.join(self.ignored_columns)}")
        if self.missing_columns:
            lines.append(f"  optional columns that are missing: {', '.join(self.missing_columns)}")
        if self.is_bound is False:
            lines.append(
                "  `files` of the contract does not match this name: correct it, or pass --contract to load it"
            )
        for fault in self.faults:
            lines.append(
                f"  {counted(fault.rows, 'row')} with {fault.code} in {fault.column_name}, in {', '.join(fault.cells)}"
            )
            lines.append(f"    {fault.message}. {fault.hint}")
        return "\n".join(lines)
