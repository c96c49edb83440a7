"""Read the roster: a CSV file with one student per line, as spreadsheets export it."""

from __future__ import annotations

import csv
import io
import itertools
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retailpipe.addresses import EMAIL
from retailpipe.errors import ClassError, SettingsError
from retailpipe.names import MAX_LENGTH, Names

CLASSROOM = "classroom"
"""The stack that the class shares: no student may have this name."""

COLUMNS = ("student", "email", "iam_user", "allowed_cidrs")
_REQUIRED = ("student", "email")
_DELIMITERS = ",;\t"
_TRANSLITERATED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "ł": "l", "æ": "ae", "đ": "d"})
_IAM_USER = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_MAX_BYTES = 1_000_000
_MAX_EMAIL = 254
_SHOWN = 60
"""A value is not shown longer than this, in characters."""


@dataclass(frozen=True)
class Student:
    """A student of the roster.

    name: the name of the student's stack.
    iam_user: the IAM user that gets the student's policy; empty if there is none.
    allowed_cidrs: networks that may connect to the student's database; empty: those of the class file.
    line: the student's line in the roster, from 1.
    others: the values of the other columns, by header.
    """

    name: str
    email: str
    iam_user: str
    allowed_cidrs: tuple[str, ...]
    line: int
    others: Mapping[str, str]


def read_roster(path: Path, project: str) -> tuple[Sequence[Student], Sequence[str]]:
    """Read the students of a roster, in its order, and its mistakes, each with its line.

    Raises ClassError if the file cannot be read, or its header has no column for the students' names or emails.

    The file may have a byte order mark, commas, semicolons or tabs between the values, blank lines, and other columns.
    project: the project's name, which is part of each name on AWS.
    """
    rows = _rows(path)
    header_line, header = rows[0] if rows else (1, [])
    names = [name.strip().lower() for name in header]
    if missing := [name for name in _REQUIRED if name not in names]:
        found = ", ".join(filter(None, header)) or "nothing"
        raise ClassError(
            f"{path}, line {header_line}: the header has no column {' and no column '.join(missing)}; it has {found}",
            hint=f"Write the header {','.join(COLUMNS)}: a class folder from `retailpipe class init` has an example.",
        )
    if twice := sorted({name for name in names if name in COLUMNS and names.count(name) > 1}):
        raise ClassError(
            f"{path}, line {header_line}: the header has the column {twice[0]} twice",
            hint="Delete or rename one of the two columns.",
        )
    mistakes: list[str] = []
    students: list[Student] = []
    checks = _Checks(project, {name.strip() for _, values in rows[1:] for name in values[names.index("student") :][:1]})
    for line, values in rows[1:]:
        by_name = {name: value.strip() for name, value in zip(names, values, strict=False)}
        student = Student(
            name=by_name.get("student", ""),
            email=by_name.get("email", ""),
            iam_user=by_name.get("iam_user", ""),
            allowed_cidrs=tuple(filter(None, re.split(r"[\s,;]+", by_name.get("allowed_cidrs", "")))),
            line=line,
            others={
                title.strip(): value.strip()
                for title, value in zip(header, values, strict=False)
                if title.strip() and title.strip().lower() not in COLUMNS
            },
        )
        found = checks.mistakes(student)
        if any(value.strip() for value in values[len(header) :]):
            found.append(
                f"the line has {len(values)} values, but the header has {len(header)} columns; write a value that "
                "contains the separator in quotation marks"
            )
        mistakes += [f"{path}, line {line}: {mistake}" for mistake in found]
        students.append(student)
    if not students:
        mistakes.append(f"{path}: the roster has no student below its header")
    return students, mistakes


def accepted_name(name: str, project: str, taken: Collection[str] = ()) -> str:
    """The name that AWS accepts and that is most similar to a student's name, such as anna-mueller for Anna Müller.

    taken: names that it must not be; it then ends in a number.
    """
    plain = unicodedata.normalize("NFKD", name.lower().translate(_TRANSLITERATED)).encode("ascii", "ignore").decode()
    words = "-".join(re.findall(r"[a-z0-9]+", plain)).lstrip("-0123456789") or "student"
    longest = max(MAX_LENGTH - len(project) - 1, 1)
    for number in itertools.count(1):
        ending = f"-{number}" if number > 1 else ""
        accepted = words[: max(longest - len(ending), 1)].rstrip("-") + ending
        if accepted not in taken and accepted != CLASSROOM:
            return accepted
    raise AssertionError


def _rows(path: Path) -> Sequence[tuple[int, list[str]]]:
    """The rows that have a value, each with its line from 1. Raises ClassError."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ClassError(
            f"cannot read the roster {path}: {reason}",
            hint='Write the roster, or name it in class.toml: `roster = "students.csv"`.',
        ) from error
    if len(raw) > _MAX_BYTES:
        raise ClassError(
            f"{path} has more than {_MAX_BYTES:,} bytes, so it is not a roster", hint="Name the right file."
        )
    text = _decoded(raw)
    if "\0" in text:
        raise ClassError(f"{path} is not a CSV file", hint="Export the roster from your spreadsheet as CSV.")
    offset, delimiter = 0, ""
    if found := re.match(r'"?sep=([,;\t])"?(\r\n|\r|\n)', text):  # Excel's own first line
        delimiter, text, offset = found[1], text[found.end() :], 1
    delimiter = delimiter or _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for values in reader:
            if any(value.strip() for value in values):
                rows.append((start + offset, values))
            start = reader.line_num + 1
    except csv.Error as error:
        raise ClassError(
            f"{path}, line {start + offset}: {error}", hint="Correct the quotation marks of this line."
        ) from error
    return rows


def _delimiter(text: str) -> str:
    """The delimiter by which most columns of the header are known; the most frequent one if none is."""
    header = next((line for line in re.split(r"\r\n|\r|\n", text) if line.strip(_DELIMITERS + " ")), "")

    def known_columns(delimiter: str) -> tuple[int, int]:
        names = [name.strip().strip('"').strip().lower() for name in header.split(delimiter)]
        return len({*names} & {*COLUMNS}), header.count(delimiter)

    return max(_DELIMITERS, key=known_columns)


def _decoded(raw: bytes) -> str:
    """The text of a file that a spreadsheet wrote: UTF-8, UTF-16 with a byte order mark, or Windows-1252."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


class _Checks:
    """Finds the mistakes of one student after the other, and remembers what must not come twice."""

    def __init__(self, project: str, names: Collection[str]) -> None:
        self._project = project
        self._names: dict[str, int] = {}
        self._users: dict[str, int] = {}
        self._taken = {*names, CLASSROOM}

    def mistakes(self, student: Student) -> list[str]:
        found = self._of_name(student.name)
        if first := self._names.get(student.name.lower()):
            found.append(f"line {first} already has a student {student.name!r}")
        if not student.email:
            found.append("the email is missing")
        elif not _is_email(student.email):
            found.append(f"{_shortened(student.email)} is not an email address")
        if student.iam_user and not _IAM_USER.fullmatch(student.iam_user):
            found.append(f"{_shortened(student.iam_user)} is not the name of an IAM user")
        elif first := self._users.get(student.iam_user.lower()):
            found.append(f"line {first} already has the IAM user {student.iam_user!r}")
        if student.name:
            self._names.setdefault(student.name.lower(), student.line)
        if student.iam_user:
            self._users.setdefault(student.iam_user.lower(), student.line)
        return found

    def _of_name(self, name: str) -> list[str]:
        if not name:
            return ["the student's name is missing"]
        if name == CLASSROOM:
            return [f"no student can have the name {CLASSROOM}: it is the name of the stack that the class shares"]
        try:
            Names(self._project, name)
        except SettingsError as error:
            accepted = accepted_name(name, self._project, self._taken)
            self._taken.add(accepted)
            reason = str(error).replace("stack name", "name", 1).replace(repr(name), _shortened(name), 1)
            return [f"{reason}. Write, for example, {accepted}"]
        return []


def _is_email(text: str) -> bool:
    return bool(EMAIL.fullmatch(text)) and text.isprintable() and len(text) <= _MAX_EMAIL


def _shortened(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
