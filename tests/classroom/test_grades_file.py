"""grades.json: what later runs keep, and who can read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retailpipe.classroom.grading.grades_file import read_grades, write_grades


def grade(student: str, score: int, *, is_graded: bool = True) -> dict[str, Any]:
    return {"student": student, "is_graded": is_graded, "score": score, "out_of": 15}


def test_later_runs_keep_the_grades_of_others_and_of_those_who_cannot_be_graded(tmp_path: Path) -> None:
    write_grades(tmp_path, {"students": [grade("anna", 15), grade("ben", 12), grade("cleo", 3)]})
    file = write_grades(tmp_path, {"students": [grade("ben", 0, is_graded=False), grade("cleo", 9)]})

    assert read_grades(tmp_path) == {"anna": "15 of 15", "ben": "12 of 15", "cleo": "9 of 15"}
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_has_no_grades(tmp_path: Path) -> None:
    (tmp_path / "grades.json").write_text("[" * 100_000)

    assert read_grades(tmp_path) == {}
