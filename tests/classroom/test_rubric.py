"""The rubric: the default one, and the mistakes of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from retailpipe.classroom.grading.digests import GRADED
from retailpipe.classroom.grading.rubric import Rubric, default_text
from retailpipe.errors import ClassError

POINT = '[[points]]\nname = "a"\nkind = "tests"\nscore = 1\n'


def test_the_default_rubric_gives_a_hundred_points_and_grades_every_table() -> None:
    rubric = Rubric.read()

    assert rubric.out_of == 100
    assert {point.table for point in rubric.points if point.table} == set(GRADED)
    assert {point.kind for point in rubric.points} == {"table", "tests", "own_models"}


def test_the_printed_rubric_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "rubric.toml").write_text(default_text())

    assert Rubric.read(tmp_path / "rubric.toml") == Rubric.read()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = 1", r"line 1: write each point under a heading \[\[points\]\]"),
        ("version = 1\npoints = 3", r"\[\[points\]\]"),
        ("version = 2\n" + POINT, "line 1: version must be 1"),
        (POINT, "version must be 1"),
        ("version = 1\n" + POINT + POINT, "line 7: there is another point named 'a'"),
        ("version = 1\n" + POINT.replace("tests", "test"), "line 4: kind must be one of table, tests, own_models"),
        ("version = 1\n" + POINT.replace("score = 1", "score = 0"), "line 5: score must be a whole number"),
        ("version = 1\n" + POINT.replace("score = 1", "score = 1e3"), "score must be a whole number"),
        ("version = 1\n" + POINT.replace("score = 1", "x = 1"), "line 5: unknown key 'x'"),
        ("version = 1\n" + POINT + "least = 2\n", "line 6: least is only for points of kind own_models"),
        ("version = 1\n" + POINT + 'table = "x"\n', "line 6: table is only for points of kind table"),
        ("version = 1\n" + POINT.replace("tests", "table"), "table is missing"),
        ("version = 1\n" + POINT.replace("tests", "table") + 'table = "gold.x"\n', "line 6: 'gold.x' is not graded"),
        ("version = ", "is not valid TOML"),
        ("version = 1\n" + POINT.replace('name = "a"\n', ""), "name is missing"),
        ("version = 1\n[points]\nname = 1", r"\[\[points\]\]"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rubric.toml").write_text(text)

    with pytest.raises(ClassError, match=message) as caught:
        Rubric.read(tmp_path / "rubric.toml")

    assert "--print-rubric" in caught.value.hint


def test_all_mistakes_are_told_at_once_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "rubric.toml").write_text("version = 1\n" + POINT.replace("1", "0") + POINT.replace("tests", "x"))

    with pytest.raises(ClassError) as caught:
        Rubric.read(tmp_path / "rubric.toml")

    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(ClassError, match=r"cannot read the rubric .*none\.toml"):
        Rubric.read(tmp_path / "none.toml")
