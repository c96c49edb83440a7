"""What is graded: the figures and digests of a student's warehouse, read from it or from a submission.

A submission is a JSON file that a student can edit. Reading one checks the type of every value, and never fails with
anything but ClassError.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from retailpipe.classroom.grading.digests import Day, self_digest
from retailpipe.errors import ClassError
from retailpipe.reports import Report

FORMAT, VERSION = "retailpipe-submission", 1
MAX_BYTES = 20_000_000

_MAX_ITEMS = 100_000
_MAX_TEXT = 1_000_000
_MAX_DIGITS = 18
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{0,300}")
_AGAIN = "Ask the student to run `retailpipe submit` again, and not to change the file."
_T = TypeVar("_T")


@dataclass(frozen=True)
class LoadEvidence(Report):
    """A current load: the workbook's name in the store, the SHA-256 of its content, and its counts."""

    source: str
    content_hash: str
    table: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int


@dataclass(frozen=True)
class RejectEvidence(Report):
    """How many rows break the same rule in the same column."""

    column: str
    code: str
    rows: int


@dataclass(frozen=True)
class TableEvidence(Report):
    """A graded table.

    digest, columns: as `classroom/grading/digests.py` computes them, over the graded columns that the table has.
    sums: of the columns that are numbers, as exact decimal text.
    problem: why it could not be read; empty if it could.
    """

    rows: int
    digest: str
    columns: Mapping[str, str]
    sums: Mapping[str, str]
    problem: str


@dataclass(frozen=True)
class ModelEvidence(Report):
    """A model of the student's own. sql: empty if it is not on the machine that wrote the submission."""

    name: str
    relation: str
    reads: Sequence[str]
    rows: int
    sql: str
    problem: str


@dataclass(frozen=True)
class Evidence:
    """The figures and digests of a warehouse.

    student: the name of the student, as the submission says; not trusted.
    versions: of retailpipe, Python, dbt and PostgreSQL.
    days: the rows of bronze by day.
    is_built: whether the last complete build used exactly the loads that are current.
    broken: the invariants of `retailpipe verify` that do not hold. unverified: why it could not run, or empty.
    """

    student: str
    created_at: str
    versions: Mapping[str, str]
    loads: Sequence[LoadEvidence]
    rejects: Sequence[RejectEvidence]
    tables: Mapping[str, TableEvidence]
    days: Mapping[str, Day]
    models: Sequence[ModelEvidence]
    is_built: bool
    broken: Sequence[str]
    unverified: str

    def document(self) -> dict[str, Any]:
        """The submission, as values that JSON can hold, with the digest of the rest."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "student": self.student,
            "created_at": self.created_at,
            "versions": dict(self.versions),
            "loads": [load.as_dict() for load in self.loads],
            "rejects": [reject.as_dict() for reject in self.rejects],
            "tables": {name: table.as_dict() for name, table in self.tables.items()},
            "days": {day: {"rows": each.rows, "columns": dict(each.columns)} for day, each in self.days.items()},
            "models": [model.as_dict() for model in self.models],
            "is_built": self.is_built,
            "broken": list(self.broken),
            "unverified": self.unverified,
        }
        return {**document, "digest": self_digest(document)}

    @classmethod
    def read(cls, file: Path) -> Evidence:
        """Read a submission. Raises ClassError if it is not one, is of another version, or was edited."""
        document = _parsed(file)
        if not isinstance(document, dict) or cast("dict[str, Any]", document).get("format") != FORMAT:
            raise ClassError(f"{file} is not a submission", hint="Ask the student for the file of `retailpipe submit`.")
        content = cast("dict[str, Any]", document)
        if content.get("version") != VERSION or isinstance(content.get("version"), bool):
            shown = str(content.get("version"))[:20]
            raise ClassError(
                f"{file} has format version {shown!r}; this retailpipe reads version {VERSION}",
                hint="Ask the student to install your version of retailpipe and to run `retailpipe submit` again.",
            )
        try:
            is_original = content.get("digest") == self_digest(content)
        except (RecursionError, ValueError, TypeError):
            is_original = False
        if not is_original:
            raise ClassError(f"{file} was edited: its content does not have its digest", hint=_AGAIN)
        return _Reader(file).evidence(content)


def _parsed(file: Path) -> object:
    """The JSON document in a file. Raises ClassError."""
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ClassError(f"{file} is not a file", hint=_AGAIN)
            if status.st_size > MAX_BYTES:
                raise ClassError(
                    f"{file} has {status.st_size:,} bytes; a submission has at most {MAX_BYTES:,}", hint=_AGAIN
                )
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ClassError(f"cannot read {file}: {error.strerror}", hint="Check the file and its permissions.") from error
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ClassError(f"{file} is not valid JSON: {reason[:200]}", hint=_AGAIN) from error


class _Reader:
    """Checks the types of a submission's values."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def evidence(self, content: dict[str, Any]) -> Evidence:
        """The content of a submission whose digest is right."""
        return Evidence(
            student=self._name(content, "student"),
            created_at=self._name(content, "created_at"),
            versions=self._names(content, "versions"),
            loads=self._list(content, "loads", self._load),
            rejects=self._list(content, "rejects", self._reject),
            tables=self._table_of(content, "tables", self._table),
            days=self._table_of(content, "days", self._day),
            models=self._list(content, "models", self._model),
            is_built=self._flag(content, "is_built"),
            broken=self._list(content, "broken", self._text_of_list),
            unverified=self._name(content, "unverified"),
        )

    def _load(self, item: object) -> LoadEvidence:
        table = self._dict(item, "loads")
        return LoadEvidence(
            self._name(table, "source"),
            self._name(table, "content_hash"),
            self._name(table, "table"),
            self._count(table, "rows_read"),
            self._count(table, "rows_loaded"),
            self._count(table, "rows_rejected"),
        )

    def _reject(self, item: object) -> RejectEvidence:
        table = self._dict(item, "rejects")
        return RejectEvidence(self._name(table, "column"), self._name(table, "code"), self._count(table, "rows"))

    def _table(self, item: object) -> TableEvidence:
        table = self._dict(item, "tables")
        return TableEvidence(
            self._count(table, "rows"),
            self._name(table, "digest"),
            self._names(table, "columns"),
            self._names(table, "sums"),
            self._name(table, "problem"),
        )

    def _day(self, item: object) -> Day:
        table = self._dict(item, "days")
        return Day(self._count(table, "rows"), self._names(table, "columns"))

    def _model(self, item: object) -> ModelEvidence:
        table = self._dict(item, "models")
        return ModelEvidence(
            self._name(table, "name"),
            self._name(table, "relation"),
            self._list(table, "reads", self._text_of_list),
            self._count(table, "rows"),
            self._text(table, "sql"),
            self._name(table, "problem"),
        )

    def _text_of_list(self, item: object) -> str:
        return self._name({"item": item}, "item")

    def _list(self, table: Mapping[str, Any], key: str, read: Callable[[object], _T]) -> Sequence[_T]:
        value = table.get(key)
        if not isinstance(value, list) or len(cast("list[object]", value)) > _MAX_ITEMS:
            raise self._error(key, "a list")
        return [read(item) for item in cast("list[object]", value)]

    def _table_of(self, table: Mapping[str, Any], key: str, read: Callable[[object], _T]) -> Mapping[str, _T]:
        items = self._dict(table.get(key), key)
        return {self._name({"name": name}, "name"): read(item) for name, item in items.items()}

    def _names(self, table: Mapping[str, Any], key: str) -> Mapping[str, str]:
        return self._table_of(table, key, self._text_of_list)

    def _dict(self, value: object, key: str) -> dict[str, Any]:
        if not isinstance(value, dict) or len(cast("dict[str, Any]", value)) > _MAX_ITEMS:
            raise self._error(key, "an object")
        return cast("dict[str, Any]", value)

    def _name(self, table: Mapping[str, Any], key: str) -> str:
        value = table.get(key)
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise self._error(key, "a short text without control characters")
        return value

    def _text(self, table: Mapping[str, Any], key: str) -> str:
        value = table.get(key)
        if not isinstance(value, str) or len(value) > _MAX_TEXT:
            raise self._error(key, "a text")
        return value

    def _count(self, table: Mapping[str, Any], key: str) -> int:
        value = table.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**_MAX_DIGITS:
            raise self._error(key, "a number of rows")
        return value

    def _flag(self, table: Mapping[str, Any], key: str) -> bool:
        value = table.get(key)
        if not isinstance(value, bool):
            raise self._error(key, "true or false")
        return value

    def _error(self, key: str, what: str) -> ClassError:
        return ClassError(f"{self._file}: {key} is not {what}", hint=_AGAIN)
