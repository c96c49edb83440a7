"""The grades of a class, as text, as JSON and as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retailpipe.classroom.grading.submission import write_privately
from retailpipe.counts import counted
from retailpipe.errors import StoreError
from retailpipe.reports import Report


@dataclass(frozen=True)
class PointGrade(Report):
    """The score of one point of the rubric, and why it is not the full one."""

    name: str
    score: int
    out_of: int
    explanations: Sequence[str]


@dataclass(frozen=True)
class StudentGrade(Report):
    """The grade of a student.

    source: the file, the stack or the folder that was graded; empty if there is none.
    is_graded: false if the warehouse could not be reached, which says nothing about the student's work.
    problem: why nothing counts, or why nothing was graded; else empty.
    """

    student: str
    email: str
    others: Mapping[str, str]
    source: str
    is_graded: bool
    score: int
    out_of: int
    points: Sequence[PointGrade]
    problem: str

    def __str__(self) -> str:
        if not self.is_graded:
            return f"{self.student}: not graded: {self.problem}"
        lines = [f"{self.student}: {self.score} of {self.out_of}{f': {self.problem}' if self.problem else ''}"]
        for point in self.points:
            if point.explanations and not self.problem:
                lines.append(f"  {point.score} of {point.out_of}  {point.name}: {'; '.join(point.explanations)}")
        return "\n".join(lines)


@dataclass(frozen=True)
class GradeReport(Report):
    """The grades of a class. unmatched: files among the submissions that belong to no student, each with the reason."""

    course: str
    out_of: int
    students: Sequence[StudentGrade]
    unmatched: Sequence[str]

    @property
    def ok(self) -> bool:
        """Whether every student was graded."""
        return all(student.is_graded for student in self.students)

    def __str__(self) -> str:
        lines = [str(student) for student in self.students]
        lines += [f"not graded: {reason}" for reason in self.unmatched]
        graded = sum(student.is_graded for student in self.students)
        return "\n".join([*lines, "", f"{graded} of {counted(len(self.students), 'student')} graded"])

    def csv(self) -> str:
        """The grades as a CSV document: a row for each student, with the other columns of the roster."""
        others = list(dict.fromkeys(name for student in self.students for name in student.others))
        points = [point.name for student in self.students[:1] for point in student.points]
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["student", "email", *others, "score", "out_of", *points, "remarks"])
        for each in self.students:
            scores = [point.score for point in each.points] if each.is_graded else [""] * len(points)
            remarks = each.problem or "; ".join(f"{p.name}: {e}" for p in each.points for e in p.explanations)
            texts = [each.student, each.email, *(each.others.get(name, "") for name in others)]
            score = each.score if each.is_graded else ""
            writer.writerow([*map(_safe, texts), score, each.out_of, *scores, _safe(remarks)])
        return stream.getvalue()


def write_csv(report: GradeReport, file: Path) -> None:
    """Write the grades to a CSV file that only its owner can read. Raises StoreError."""
    try:
        write_privately(file, report.csv())
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror}", hint="Choose another file with --csv.") from error


def _safe(text: str) -> str:
    """A text for a cell of a CSV file, which no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
