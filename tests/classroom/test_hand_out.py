"""The workbooks and the hand-outs of a class."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.grading.grader import grade
from retailpipe.classroom.hand_out import hand_out
from retailpipe.classroom.workbooks import write_workbooks
from retailpipe.errors import ClassError, StoreError
from tests.classroom.conftest import CLASS_FILE, NAMES, write_class


def test_each_student_gets_a_workbook_and_a_repeat_changes_nothing(classroom: Classroom, tmp_path: Path) -> None:
    first = write_workbooks(classroom, tmp_path / "workbooks")
    contents = {path.name: path.read_bytes() for path in (tmp_path / "workbooks").iterdir()}
    second = write_workbooks(classroom, tmp_path / "workbooks")

    assert [each.status for each in first.workbooks] == ["written"] * 5
    assert [each.status for each in second.workbooks] == ["unchanged"] * 5
    assert sorted(contents) == [f"{name}.xlsx" for name in NAMES]
    assert len(set(contents.values())) == 5
    assert {path.name: path.read_bytes() for path in (tmp_path / "workbooks").iterdir()} == contents


def test_a_change_of_the_roster_changes_no_other_workbook(tmp_path: Path) -> None:
    write_workbooks(write_class(tmp_path / "before"), tmp_path / "one", only=["eve"])
    write_workbooks(write_class(tmp_path / "after", ("zoe", "eve")), tmp_path / "two", only=["eve"])

    assert (tmp_path / "one" / "eve.xlsx").read_bytes() == (tmp_path / "two" / "eve.xlsx").read_bytes()


def test_another_seed_replaces_the_workbooks(classroom: Classroom, tmp_path: Path) -> None:
    write_workbooks(classroom, tmp_path / "workbooks", only=["anna"])
    other = write_class(tmp_path / "other", text=CLASS_FILE.replace("seed = ", "seed = 1"))

    report = write_workbooks(other, tmp_path / "workbooks", only=["anna"])

    assert report.workbooks[0].status == "replaced"


def test_too_few_rows_are_told_with_the_class_file(tmp_path: Path) -> None:
    classroom = write_class(tmp_path / "small", text=CLASS_FILE.replace("rows = 600", "rows = 20"))

    with pytest.raises(ClassError, match=r"class\.toml: rows is 20; a workbook needs at least 300"):
        write_workbooks(classroom, tmp_path / "workbooks")

    assert not (tmp_path / "workbooks").exists()


@pytest.mark.parametrize("step", [write_workbooks, hand_out, lambda room, folder: grade(room, local=folder)])
def test_a_missing_seed_is_told_before_anything_is_done(
    tmp_path: Path, step: Callable[[Classroom, Path], object]
) -> None:
    classroom = write_class(tmp_path / "class", text=re.sub("seed = .*", "", CLASS_FILE))

    with pytest.raises(ClassError, match=r"class\.toml: the class has no seed") as caught:
        step(classroom, tmp_path / "folder")

    assert re.search(r"Write `seed = \d{10,}` under \[workbooks\]", caught.value.hint)
    assert not [*tmp_path.rglob("*.xlsx")]


def test_a_folder_that_cannot_be_written_is_told(classroom: Classroom, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match="file"):
        write_workbooks(classroom, tmp_path / "file")
    with pytest.raises(StoreError, match="file/anna"):
        hand_out(classroom, tmp_path / "file")


def test_a_hand_out_has_what_is_the_students_and_nothing_of_others(classroom: Classroom, tmp_path: Path) -> None:
    hand_out(classroom, tmp_path / "out")

    for name in NAMES:
        folder = tmp_path / "out" / name
        assert sorted(path.name for path in folder.iterdir()) == sorted(["README.md", "settings.env", f"{name}.xlsx"])
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        text = (folder / "README.md").read_text() + (folder / "settings.env").read_text()
        for needed in (
            f"retailpipe/{name}",
            "eu-central-1",
            f"/retailpipe/{name}/outputs",
            "2027-03-31",
            "retailpipe submit",
        ):
            assert needed in text
        assert [other for other in NAMES if other != name and re.search(rf"\b{other}\b", text)] == []
        assert "4711" not in text
        assert "20261" not in text


def test_the_settings_of_a_hand_out_select_the_stack(classroom: Classroom, tmp_path: Path) -> None:
    report = hand_out(classroom, tmp_path / "out", only=["ben"])

    lines = (tmp_path / "out" / "ben" / "settings.env").read_text().splitlines()
    assert lines[1:] == [
        "RETAILPIPE_STACK=retailpipe/ben",
        "AWS_REGION=eu-central-1",
        "RETAILPIPE_OUTPUTS_PARAMETER=/retailpipe/ben/outputs",
    ]
    assert [each.student for each in report.students] == ["ben"]


def test_a_course_of_markup_stays_one_line_of_text(tmp_path: Path) -> None:
    text = CLASS_FILE.replace('"Data engineering"', '"A\\n# <script>`x`"')

    hand_out(write_class(tmp_path / "class", ("anna",), text=text), tmp_path / "out")

    assert (tmp_path / "out" / "anna" / "README.md").read_text().splitlines()[0] == "# A # &lt;script>'x': anna"
