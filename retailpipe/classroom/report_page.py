"""`class report`: how far each student is, as one HTML file in the style of the report, without scripts or requests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from retailpipe.aws.session import Aws
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.grading.grades_file import PointScore, read_points
from retailpipe.classroom.grading.submission import write_privately
from retailpipe.classroom.status import ClassStatus, StudentStatus, status
from retailpipe.counts import counted
from retailpipe.environment import expanded
from retailpipe.errors import StoreError
from retailpipe.html_report.page import templates
from retailpipe.html_report.tables import Share, Table
from retailpipe.reports import ReportFile

if TYPE_CHECKING:
    from retailpipe.aws.billing import Billing

FILE = "class-report.html"
_TEMPLATES = Path(__file__).parent / "templates"


def class_report(
    classroom: Classroom,
    aws: Aws,
    out: str | Path | None = None,
    *,
    billing: Billing | None = None,
    now: datetime | None = None,
) -> ReportFile:
    """Write the page of a class to a file that only its owner can read; an existing file is replaced in one step.

    aws, billing, now: as in `status`. out: the file. Default: `class-report.html` in the class folder.

    The report's `ok` is false if a student needs attention. Raises StoreError if the file cannot be written, and what
    `status` raises.
    """
    found = status(classroom, aws, billing=billing, now=now)
    content = page(found, read_points(classroom.folder))
    target = expanded(out) if out else classroom.folder / FILE
    try:
        write_privately(target, content)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror}", hint="Choose another file with --out.") from error
    problems = _problems(found)
    return ReportFile(
        path=str(target.absolute()),
        bytes=len(content.encode()),
        ok=not problems,
        verdict=_verdict(found),
        problems=tuple(f"{what}: {detail}" for what, detail in problems),
    )


def page(found: ClassStatus, points: Sequence[PointScore] = ()) -> str:
    """The HTML of the page. points: the scores of all students in the points of the rubric."""
    return (
        templates(_TEMPLATES)
        .get_template("class.html.j2")
        .render(
            status=found,
            verdict=_verdict(found),
            problems=_problems(found),
            tiles=_tiles(found),
            students=_students(found),
            points=_points(points),
            command=str,
        )
    )


def _progress(row: StudentStatus) -> str:
    """The last step that a student has done."""
    if row.grade:
        return "graded"
    if row.loads:
        return "loaded"
    if row.uploads:
        return "uploaded"
    return "deployed" if row.stack == "deployed" else "not deployed"


def _verdict(found: ClassStatus) -> str:
    loaded = sum(bool(row.loads) for row in found.rows)
    verb = "has" if loaded == 1 or len(found.rows) == 1 else "have"
    return f"{loaded} of {counted(len(found.rows), 'student')} {verb} loaded a workbook"


def _problems(found: ClassStatus) -> list[tuple[str, str]]:
    """Who needs attention, and why."""
    problems: list[tuple[str, str]] = []
    for row in found.rows:
        if row.problem:
            problems.append((row.student, row.problem))
        if row.database == "gone":
            problems.append((row.student, "the stack has no database"))
        if row.expires_on and row.expires_on < found.at.date():
            problems.append((row.student, f"the stack has expired on {row.expires_on.isoformat()}"))
    return problems + [(stack, "no student of the roster has this stack") for stack in found.not_in_roster]


def _tiles(found: ClassStatus) -> list[tuple[str, str]]:
    rows = found.rows
    return [
        ("Students", str(len(rows))),
        ("Stacks deployed", str(sum(row.stack == "deployed" for row in rows))),
        ("Databases running", str(sum(row.database == "running" for row in rows))),
        ("Have loaded", str(sum(bool(row.loads) for row in rows))),
        ("Graded", str(sum(bool(row.grade) for row in rows))),
        ("Cost so far, USD", f"{found.cost:,.2f}"),
    ]


def _students(found: ClassStatus) -> Table:
    rows = tuple(
        (
            row.student,
            _progress(row),
            row.database or None,
            row.uploads,
            row.loads,
            row.rows_rejected,
            row.last_activity,
            row.grade or None,
            None if row.cost is None else Decimal(f"{row.cost:.2f}"),
            row.expires_on,
        )
        for row in found.rows
    )
    columns = (
        *("Student", "Progress", "Database", "Uploads", "Loads", "Rejected rows"),
        *("Last activity (UTC)", "Grade", "USD", "Expires"),
    )
    return Table("A row for each student", columns, rows, len(rows))


def _points(points: Sequence[PointScore]) -> Table:
    """For each point, which share of the students has the full score; the lowest first."""
    scores: dict[tuple[str, int], list[int]] = {}
    for each in points:
        scores.setdefault((each.name, each.out_of), []).append(each.score)
    shares = {point: Decimal(sum(score >= point[1] for score in found)) / len(found) for point, found in scores.items()}
    rows = tuple(
        (name, out_of, len(scores[name, out_of]), Share(share))
        for (name, out_of), share in sorted(shares.items(), key=lambda item: (item[1], item[0]))
    )
    return Table("A row for each point", ("Point", "Out of", "Students graded", "With the full score"), rows, len(rows))
