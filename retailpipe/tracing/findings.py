"""What a trace finds: the figures of a row with the rows of bronze that give them, or where a cell went."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retailpipe.reports import Report, plain

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Figure(Report):
    """A column of a row, and what the traced rows give for it. They are equal; otherwise `trace` raises TraceError.

    figure, traced: as text, exact; None for null.
    how: how it follows: the kind and the expression, as the yml of the model declares them.
    rows: how many traced rows make it; None if it follows from other columns.
    parts: the columns of the same table that it follows from; empty if it follows from rows.
    """

    column: str
    figure: str | None
    traced: str | None
    how: str
    rows: int | None = None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Workbook(Report):
    """A workbook that traced rows came from.

    source: its key in the store.
    content_hash: SHA-256 of the content that was loaded.
    loaded_at: in UTC.
    rows: how many of the traced rows came from it.
    version: the version of the object in the bucket of a stack; empty if it is not known, and in a folder.
    corrects: the load whose rejected rows this load corrected; None for the load of a workbook. Then `content_hash` is
        that of the file with the corrections, or of the workbook if its rejected rows were judged again.
    """

    source: str
    load_id: int
    content_hash: str
    loaded_at: datetime
    rows: int
    version: str = ""
    corrects: int | None = None

    def __str__(self) -> str:
        version = f", version {self.version}" if self.version else ""
        corrections = f"corrections of load {self.corrects}, " if self.corrects else ""
        loaded = f"{corrections}load {self.load_id} of {self.loaded_at:%Y-%m-%d %H:%M} UTC"
        return f"{self.source}: {loaded}, SHA-256 {self.content_hash}{version}"


@dataclass(frozen=True)
class Trace(Report):
    """A row of a table, traced to the rows of bronze that made it.

    table: as schema.name. key: the columns that tell the row apart, as text.
    column: the column that was asked for; None for all.
    figures: the columns that were checked.
    listed: the columns whose parts `rows` lists.
    rows: the rows of bronze with their cells and what each adds, or their groups; the biggest first.
    total: how many rows or groups there are without the limit.
    by: what the rows are grouped by; None if they are not.
    workbooks: the workbooks that the rows came from.
    notes: what a reader should know, as sentences.
    """

    table: str
    key: dict[str, str | None]
    column: str | None
    figures: tuple[Figure, ...]
    listed: tuple[str, ...]
    rows: pa.Table
    total: int
    by: str | None
    workbooks: tuple[Workbook, ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        from retailpipe.spreadsheet import rows_of

        names = self.rows.column_names
        rows = [dict(zip(names, row, strict=True)) for row in rows_of(self.rows)]
        return super().as_dict() | {"rows": plain(rows)}


@dataclass(frozen=True)
class Contribution(Report):
    """A figure that a cell is part of.

    key: of the row of the table. figure: of the column in that row; None for null.
    adds: what the row of the cell adds to the figure; None if it is only one of the values that it is chosen from.
    role: `value` if the cell is in what the row adds, `key` if it decides whether, and where, the row counts.
    """

    table: str
    key: dict[str, str | None]
    column: str
    figure: str | None
    adds: str | None
    role: str


@dataclass(frozen=True)
class CellTrace(Report):
    """Where a cell of a workbook went.

    went: `bronze`, `rejected`, `corrected` (its row was rejected, and is in bronze with corrections), `header`,
        `above the header`, `left out` (a column that the contract leaves out), `skipped` (a row that the contract
        skips), `blank`, or `unknown` if the workbook cannot be read again, or bronze lacks the row.
    explanation: the same as a sentence.
    column: the column of bronze; None if there is none.
    value: the value in bronze or in the quarantine, or what the workbook holds, as text; None if it is blank.
    row: the whole row in bronze or in the quarantine.
    original: what the workbook holds in a row that was corrected, as text; None if it is blank.
    figures: the figures of silver, gold and the user's models that the cell is part of.
    """

    workbook: Workbook
    sheet: str
    cell: str
    went: str
    explanation: str
    table: str | None = None
    column: str | None = None
    value: str | None = None
    row: dict[str, Any] = field(default_factory=dict[str, Any])
    figures: tuple[Contribution, ...] = ()
    original: str | None = None
