"""`class report`: a page for the instructor, from the state of the class and its grades."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from retailpipe import StoreError
from retailpipe.aws.session import Aws
from retailpipe.classroom.grading.grades_file import write_grades
from retailpipe.classroom.report_page import class_report, page
from retailpipe.classroom.status import ClassStatus, StudentStatus
from retailpipe.cli.app import app
from retailpipe.publishing import SAFE_HEAD
from tests.support.classes import deploy, read_class, upload
from tests.support.stacks import HandMade

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(2)>\x07"


@pytest.fixture(scope="module")
def deployed(account: HandMade) -> HandMade:
    """The stacks of a class: anna has loaded a workbook, ben has only a stack, cara has none."""
    anna, _ = deploy(account, "anna"), deploy(account, "ben")
    upload(account, anna["bucket"], "2010.xlsx", rejected=3)
    return account


def grade(student: str, score: int) -> dict[str, Any]:
    point = {"name": "rows loaded", "score": score, "out_of": 10, "explanations": []}
    return {"student": student, "is_graded": True, "score": score, "out_of": 10, "points": [point]}


class Cells(HTMLParser):
    """The texts of the cells of all tables of a page, row by row, with their `data` values."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self._is_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")
            self._is_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._is_cell = self._is_cell and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._is_cell:
            self.rows[-1][-1] += data


def row_of(text: str, name: str) -> list[str]:
    return next(row for row in Cells(text).rows if row[:1] == [name])


def test_each_student_has_a_row(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    classroom = read_class(tmp_path, ["anna", "ben", "cara"])
    write_grades(tmp_path, {"students": [grade("ben", 4), grade("cara", 10)]})

    written = class_report(classroom, aws)

    text = Path(written.path).read_text()
    none = "\N{EN DASH}"
    assert Path(written.path) == tmp_path / "class-report.html"
    assert row_of(text, "anna")[:6] == ["anna", "loaded", "running", "1", "1", "3"]
    assert row_of(text, "ben")[:6] == ["ben", "graded", "running", "0", "0", "0"]
    assert row_of(text, "ben")[7] == "4 of 10"
    assert row_of(text, "cara")[:7] == ["cara", "graded", none, none, none, none, none]
    assert row_of(text, "rows loaded") == ["rows loaded", "10", "2", "50.0%"]
    assert written.verdict == "1 of 3 students has loaded a workbook"
    assert written.ok


def test_only_the_owner_can_read_the_page(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    out.write_text("an old page")
    out.chmod(0o644)

    class_report(read_class(tmp_path, ["anna"]), aws, out)

    assert out.stat().st_mode & 0o777 == 0o600
    assert "anna@example.com" not in out.read_text()
    assert "anna" in out.read_text()


def test_a_folder_that_does_not_exist_is_told(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write") as raised:
        class_report(read_class(tmp_path, ["anna"]), aws, tmp_path / "missing" / "page.html")

    assert "--out" in raised.value.hint


def test_the_command_prints_where_the_page_is(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    read_class(tmp_path, ["anna"])

    done = CliRunner().invoke(app, ["class", "report", "--class", str(tmp_path), "--json"])

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["path"] == str(tmp_path / "class-report.html")


def student(name: str, **values: Any) -> StudentStatus:
    given: dict[str, Any] = {
        "stack": "deployed", "database": "running", "uploads": 1, "loads": 0, "rows_rejected": 0, "last_activity": None,
        "grade": "", "cost": None, "cost_from": None, "expires_on": None,
    }  # fmt: skip
    return StudentStatus(name, **{**given, **values})


def class_of(*rows: StudentStatus, **values: Any) -> ClassStatus:
    at = datetime(2026, 11, 29, 12, tzinfo=UTC)
    given: dict[str, Any] = {
        "course": "Data", "region": "eu-central-1", "at": at, "rows": rows, "cost": 0.0, "cost_about": "",
        "not_in_roster": (),
    }  # fmt: skip
    return ClassStatus(**{**given, **values})


def test_what_needs_attention_comes_first() -> None:
    text = page(
        class_of(
            student("anna", problem="the bucket cannot be listed"),
            student("ben", database="gone"),
            student("cara", expires_on=date(2026, 11, 28)),
            student("dora", expires_on=date(2026, 11, 29)),
            not_in_roster=("zoe",),
        )
    )

    attention = text[: text.index('id="students-title"')]
    for told in ("the bucket cannot be listed", "the stack has no database", "expired on 2026-11-28", "zoe"):
        assert told in attention
    assert "dora" not in attention
    assert row_of(text, "anna")[1] == "uploaded"


def test_hostile_texts_are_shown_and_do_nothing() -> None:
    text = page(class_of(student("anna", problem=HOSTILE, grade=HOSTILE), course=HOSTILE, cost_about=HOSTILE))

    assert text.startswith(SAFE_HEAD)
    assert not {"script", "img"} & Cells(text).tags
    assert text.count("&lt;script&gt;") == 5  # title, heading, problem, grade, costs
    assert "\x07" not in text


def test_a_class_without_stacks_has_a_page() -> None:
    text = page(class_of(student("anna", stack="missing", database="", uploads=None, loads=None, rows_rejected=None)))

    assert row_of(text, "anna")[1] == "not deployed"
    assert "0 of 1 student has loaded a workbook" in text
    assert "points-title" not in text
