"""Read the rubric: what a student gets points for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

from retailpipe.classroom.grading.digests import BRONZE, GRADED, REJECTED
from retailpipe.errors import ClassError
from retailpipe.toml_file import TomlFile

FILE = "rubric.toml"
VERSION = 1
TABLE, TESTS, OWN_MODELS = "table", "tests", "own_models"

_KEYS = {"name", "kind", "table", "score", "least"}
_KINDS = {kind: kind for kind in (TABLE, TESTS, OWN_MODELS)}
_MAX_SCORE = 1_000
_CORRECT = "Correct the rubric: `retailpipe class grade --print-rubric` prints one that is right."


@dataclass(frozen=True)
class Point:
    """What a student gets points for, all or nothing.

    kind: table, tests or own_models. table: the table, if the kind is table.
    score: how many points it gives. least: how many models of their own a student needs, if the kind is own_models.
    """

    name: str
    kind: str
    table: str
    score: int
    least: int

    @property
    def needs_bronze(self) -> bool:
        """Whether it counts only if bronze holds the student's workbook.

        A student can write into any table, so a right table of silver or gold proves nothing alone.
        """
        return self.kind == TESTS or (self.kind == TABLE and self.table not in (BRONZE, REJECTED))


@dataclass(frozen=True)
class Rubric:
    """All points of a rubric, in the order of its file."""

    points: Sequence[Point]

    @property
    def out_of(self) -> int:
        """The score of a student who has done everything right."""
        return sum(point.score for point in self.points)

    @classmethod
    def read(cls, file: Path | None = None) -> Rubric:
        """Read a rubric; None reads the default one. Raises ClassError, which lists all mistakes with their lines."""
        if file is None:
            return _parsed(FILE, default_text())
        try:
            return _parsed(str(file), file.read_bytes().decode("utf-8-sig"))
        except OSError as error:
            raise ClassError(f"cannot read the rubric {file}: {error.strerror}", hint=_CORRECT) from error
        except UnicodeDecodeError as error:
            raise ClassError(f"{file} is not UTF-8: {error.reason}", hint=_CORRECT) from error


def default_text() -> str:
    """The text of the default rubric."""
    return (resources.files("retailpipe.classroom.grading") / FILE).read_text(encoding="utf-8")


def _parsed(name: str, text: str) -> Rubric:
    toml = TomlFile(name, text, "points", ClassError, _CORRECT)
    toml.only_keys(toml.data, {"version", "points"})
    if toml.data.get("version") != VERSION:
        raise toml.error("version", None, f"version must be {VERSION}: another version of retailpipe wrote this file")
    found = toml.data.get("points")
    items = cast("list[object]", found) if isinstance(found, list) else []
    if not items or not all(isinstance(item, dict) for item in items) or len(items) != toml.sections:
        raise toml.error("points", None, "write each point under a heading [[points]]")
    points: list[Point] = []
    mistakes: list[str] = []
    for number, item in enumerate(items):
        try:
            point = _point(toml, cast("dict[str, Any]", item), number)
            if point.name in (each.name for each in points):
                raise toml.error("name", number, f"there is another point named {point.name!r}")
            points.append(point)
        except ClassError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ClassError("\n".join(mistakes), hint=_CORRECT)
    return Rubric(points)


def _point(toml: TomlFile, table: dict[str, Any], number: int) -> Point:
    toml.only_keys(table, _KEYS, number)
    kind = toml.choice(table, "kind", number, _KINDS)
    if kind is None:
        raise toml.error("kind", number, f"kind is missing; it is one of {', '.join(_KINDS)}")
    score = toml.whole(table, "score", number, _MAX_SCORE)
    if score is None:
        raise toml.error("score", number, "score is missing")
    for key, owner in (("table", TABLE), ("least", OWN_MODELS)):
        if key in table and kind != owner:
            raise toml.error(key, number, f"{key} is only for points of kind {owner}")
    graded = ""
    if kind == TABLE:
        graded = toml.text(table, "table", number)
        if graded not in GRADED:
            raise toml.error("table", number, f"{graded!r} is not graded; the tables are {', '.join(GRADED)}")
    least = toml.whole(table, "least", number) or 1
    return Point(toml.text(table, "name", number).strip(), kind, graded, score, least)
