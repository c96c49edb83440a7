"""Write the workbook of each student."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from retailpipe.classroom.grading.exercise import exercise_of
from retailpipe.counts import counted
from retailpipe.errors import StoreError
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import Report

if TYPE_CHECKING:
    from retailpipe.classroom.definition import Classroom
    from retailpipe.classroom.roster import Student

Status = Literal["written", "unchanged", "replaced"]


@dataclass(frozen=True)
class WorkbookWritten(Report):
    """The workbook of a student. status: whether the file is new, was the same already, or had other content."""

    student: str
    file: str
    rows: int
    status: Status


@dataclass(frozen=True)
class WorkbooksReport(Report):
    """The workbooks that were written, in the order of the roster."""

    folder: str
    workbooks: Sequence[WorkbookWritten]

    def __str__(self) -> str:
        counts = [
            f"{sum(each.status == status for each in self.workbooks):,} {status}"
            for status in ("written", "replaced", "unchanged")
            if any(each.status == status for each in self.workbooks)
        ]
        return f"{counted(len(self.workbooks), 'workbook')} in {self.folder}: {', '.join(counts)}"


def write_workbooks(
    classroom: Classroom, folder: Path, *, only: Sequence[str] = (), progress: Progress | None = None
) -> WorkbooksReport:
    """Write the workbook of each student into a folder, as STUDENT.xlsx. Safe to repeat: the same seed, the same bytes.

    only: write the workbooks of these students.

    Raises ClassError if a name is not in the roster or the class file wants too few rows, StoreError if a file cannot
    be written.
    """
    progress = progress or NoProgress()
    students = classroom.chosen(only)
    progress.step("writing workbooks", unit="workbooks", total=len(students))
    written: list[WorkbookWritten] = []
    for student in students:
        file = folder / f"{student.name}.xlsx"
        written.append(
            WorkbookWritten(student.name, str(file), classroom.file.rows, write_workbook(classroom, student, file))
        )
        progress.advance(1)
    return WorkbooksReport(str(folder), written)


def write_workbook(classroom: Classroom, student: Student, file: Path) -> Status:
    """Write the workbook of a student to a file, completely or not at all. Raises ClassError, StoreError."""
    exercise = exercise_of(classroom.file, student.name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".") as folder:
            new = Path(folder) / file.name
            exercise.write(new)
            old = file.read_bytes() if file.is_file() else None
            if old == new.read_bytes():
                return "unchanged"
            new.replace(file)
            return "written" if old is None else "replaced"
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror}", hint="Choose another folder.") from error
