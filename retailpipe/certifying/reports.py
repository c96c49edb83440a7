"""The reports of `certify` and of the check of a certificate."""

from __future__ import annotations

from dataclasses import dataclass

from retailpipe.counts import counted
from retailpipe.reports import Report, VerifyReport


@dataclass
class Rows(Report):
    """The rows of a workbook, and where they went.

    in_quarantine: those that are rejected. corrected: those that were, and are in bronze with corrected cells.
    skipped: those that the contract passes over.
    """

    in_workbook: int = 0
    in_bronze: int = 0
    in_quarantine: int = 0
    corrected: int = 0
    skipped: int = 0


@dataclass
class Cells(Report):
    """The cells of a workbook's sheets that are not blank, and where they went.

    left_out: those in columns that the contract does not name. skipped: those in rows that it passes over.
    lost: those that are nowhere; a certificate has none.
    blank: the blank cells of the contract's columns, which are null in bronze.
    in_quarantine: those of rejected rows; the quarantine keeps them also if a row was corrected.
    """

    in_bronze: int = 0
    in_quarantine: int = 0
    left_out: int = 0
    skipped: int = 0
    in_header: int = 0
    above_header: int = 0
    lost: int = 0
    blank: int = 0

    @property
    def filled(self) -> int:
        """All cells that are not blank."""
        return (
            self.in_bronze
            + self.in_quarantine
            + self.left_out
            + self.skipped
            + self.in_header
            + self.above_header
            + self.lost
        )


@dataclass(frozen=True)
class Difference(Report):
    """A cell or a row for which the workbook and the warehouse differ.

    column: the column of the table; `row` for a whole row, `workbook` for a whole workbook.
    sheet: empty for a CSV file. cell: its address, such as F17; empty for a whole workbook.
    workbook, warehouse: the value of each side, as text.
    """

    column: str
    file: str
    sheet: str
    cell: str
    workbook: str
    warehouse: str
    reason: str

    def __str__(self) -> str:
        sheet = f", sheet {self.sheet!r}" if self.sheet else ""
        cell = f", cell {self.cell}" if self.cell else ""
        return f"{self.file}{sheet}{cell}: {self.reason}"


@dataclass(frozen=True)
class Certification(Report):
    """The result of comparing one workbook with the warehouse.

    ok: nothing differs, and every invariant of `verify` holds. Only then is there a certificate.
    certificate: the file with the signed certificate; empty if there is none.
    key: the SHA-256 of the public key that verifies it.
    different: how many differences there are; `differences` has the first of them.
    """

    ok: bool
    source: str
    load_id: int
    content_hash: str
    table: str
    rows: Rows
    cells: Cells
    different: int
    differences: tuple[Difference, ...]
    verification: VerifyReport
    certificate: str
    key: str
    seconds: float

    def __str__(self) -> str:
        if self.ok:
            corrected = f" + {self.rows.corrected:,} corrected" if self.rows.corrected else ""
            return (
                f"{self.source}: certified: {counted(self.rows.in_workbook, 'row')} of the workbook = "
                f"{self.rows.in_bronze:,} in bronze + {self.rows.in_quarantine:,} in the quarantine{corrected}; "
                f"{counted(self.cells.filled, 'cell')}, none is left over ({self.seconds:.1f} s)"
            )
        if self.different:
            return f"{self.source}: NOT certified: {counted(self.different, 'difference')}"
        return f"{self.source}: NOT certified: {len(self.verification.broken)} invariants of `verify` do not hold"


@dataclass(frozen=True)
class CertificateCheck(Report):
    """The result of checking a certificate.

    problems: what is wrong; none if `ok`.
    key: the SHA-256 of the public key that the signature was checked with; empty if there is none.
    source, content_hash, created_at, rows: what the certificate says; empty if its signature is wrong.
    compared: what the certificate was compared with, beside its signature: the workbook, the warehouse.
    """

    ok: bool
    file: str
    problems: tuple[str, ...]
    key: str
    source: str = ""
    content_hash: str = ""
    created_at: str = ""
    rows: int = 0
    compared: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.ok:
            return f"{self.file}: WRONG: " + "; ".join(self.problems)
        also = f"; agrees with {' and '.join(self.compared)}" if self.compared else ""
        return (
            f"{self.file}: ok: {self.source}, {counted(self.rows, 'row')} in bronze, certified {self.created_at}, "
            f"signed with key {self.key}{also}"
        )
