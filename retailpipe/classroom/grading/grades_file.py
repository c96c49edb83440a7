"""The grades of a class: grades.json in the class folder, which `class grade` writes and `class status` reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

FILE = "grades.json"
_MOST_BYTES = 50_000_000
_Entry = Mapping[str, object]


@dataclass(frozen=True)
class PointScore:
    """The score of a student in one point of the rubric."""

    name: str
    score: int
    out_of: int


def read_grades(folder: Path) -> Mapping[str, str]:
    """The grade of each graded student as text, such as "12 of 15", by the student's name.

    A file that is missing or damaged has no grades: the status of a class must not fail because of it.
    """
    return {
        name: text
        for entry in _entries(folder)
        if isinstance(name := entry.get("student"), str) and (text := _text(entry))
    }


def read_points(folder: Path) -> list[PointScore]:
    """The scores of all graded students in all points of the rubric; none if the file is missing or damaged."""
    found: list[PointScore] = []
    for entry in _entries(folder):
        points = entry.get("points")
        if entry.get("is_graded") is not True or not isinstance(points, list):
            continue
        for point in cast("list[object]", points):
            values: _Entry = cast("_Entry", point) if isinstance(point, dict) else {}
            name, score, out_of = values.get("name"), values.get("score"), values.get("out_of")
            if isinstance(name, str) and isinstance(score, int) and isinstance(out_of, int):
                found.append(PointScore(name, score, out_of))
    return found


def write_grades(folder: Path, document: Mapping[str, object]) -> Path:
    """Write the JSON document of `class grade`, and return the file, which only its owner can read.

    Students whom the document does not contain, or who could not be graded, keep their grades. Raises OSError.
    """
    file = folder / FILE
    old = {entry.get("student"): entry for entry in _entries(folder)}
    now = cast("list[_Entry]", document["students"])
    # Who cannot be graded now, such as at night when the database is stopped, keeps the last grade.
    graded = [entry if entry["is_graded"] else old.get(entry["student"], entry) for entry in now]
    names = {entry["student"] for entry in graded}
    kept = [entry for name, entry in old.items() if name not in names]
    partial = file.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        json.dump({**document, "students": [*kept, *graded]}, stream, ensure_ascii=False, indent=1)
    partial.replace(file)
    return file


def _entries(folder: Path) -> list[_Entry]:
    """The students in the file; none if it is missing or damaged."""
    try:
        with (folder / FILE).open("rb") as file:
            document: object = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return []
    students = cast("_Entry", document).get("students") if isinstance(document, dict) else None
    entries = cast("list[object]", students) if isinstance(students, list) else []
    return [cast("_Entry", entry) for entry in entries if isinstance(entry, dict)]


def _text(entry: _Entry) -> str:
    """The score of a student; empty if the student is not graded."""
    score, out_of = entry.get("score"), entry.get("out_of")
    if entry.get("is_graded") is not True or not isinstance(score, int | float) or not isinstance(out_of, int | float):
        return ""
    return f"{score:g} of {out_of:g}"
