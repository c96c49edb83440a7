"""Read class.toml: what a class costs at most, when it ends, and which settings its stacks get."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from retailpipe.errors import ClassError
from retailpipe.names import PROJECT
from retailpipe.sample import MAX_ROWS
from retailpipe.toml_file import TomlFile

FILE = "class.toml"
VERSION = 1
"""The version of the format."""
ROSTER = "students.csv"
DEFAULT_STATE = "state"
DEFAULT_ROWS = 5_000
MAX_STACKS_AT_ONCE = 32
_MAX_COST = 1_000_000

_T = TypeVar("_T")

_KEYS = {
    *("version", "course", "project", "region", "account", "roster", "expires_on", "max_monthly_cost"),
    *("stacks_at_once", "state", "settings", "students", "workbooks"),
}
_STATE_KEYS = {"url", "secrets_provider"}
_WORKBOOK_KEYS = {"seed", "rows"}
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_ACCOUNT = re.compile(r"\d{12}")
_CORRECT = "Correct the lines of the class file; docs/class.md explains its keys."


@dataclass(frozen=True, kw_only=True)
class ClassFile:
    """The content of a class file. Paths are absolute.

    account: the AWS account of the class; empty: any. Commands refuse credentials of another account.
    max_monthly_cost: in USD, for the whole class.
    stacks_at_once: how many stacks are deployed in parallel; None: as many as the free memory allows.
    state_url: where Pulumi keeps the state of the stacks: s3://... or file://...
    secrets_provider: what encrypts secrets in the state, such as awskms://...; or "passphrase".
    settings: Pulumi settings of every stack, by their names in the config, as text.
    overrides: Pulumi settings of one student, by the student's name.
    seed: of the students' workbooks; None if the class file has none: only the commands that need it refuse the class.
    rows: of each student's workbook.
    """

    file: Path
    course: str
    project: str
    region: str
    account: str
    roster: Path
    expires_on: date
    max_monthly_cost: float
    stacks_at_once: int | None
    state_url: str
    secrets_provider: str
    settings: Mapping[str, str]
    overrides: Mapping[str, Mapping[str, str]]
    seed: int | None
    rows: int
    _toml: TomlFile

    @property
    def folder(self) -> Path:
        """The class folder, which contains the class file."""
        return self.file.parent

    def place(self, setting: str, student: str | None = None) -> str:
        """The file and the line of a setting, such as "class.toml, line 12".

        student: look in the settings of this student.
        """
        return self._toml.place(("students", student) if student else ("settings",), setting)

    @classmethod
    def read(cls, file: Path) -> ClassFile:
        """Read a class file. Raises ClassError, which lists all mistakes with their lines."""
        found, mistakes = cls.read_with_mistakes(file)
        if mistakes:
            raise ClassError("\n".join(mistakes), hint=_CORRECT)
        return found

    @classmethod
    def read_with_mistakes(cls, file: Path) -> tuple[ClassFile, Sequence[str]]:
        """Read a class file, and its mistakes with their lines; a value that is wrong is replaced by a default.

        Raises ClassError if the file cannot be read, is not TOML, or is of another version.
        """
        file = file.absolute()
        try:
            text = file.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise ClassError(
                f"cannot read the class file {file}: {error.strerror}",
                hint="Name the class folder with --class FOLDER, or create one: `retailpipe class init FOLDER`.",
            ) from error
        except UnicodeDecodeError as error:
            raise ClassError(f"{file} is not UTF-8: {error.reason}", hint=_CORRECT) from error
        reader = _Reader(file, text)
        return reader.class_file(), reader.mistakes


class _Reader:
    """Reads the keys, and collects the mistakes."""

    def __init__(self, file: Path, text: str) -> None:
        self._file = file
        self._toml = TomlFile(str(file), text, "", ClassError, _CORRECT)
        self._data = self._toml.data
        self.mistakes: list[str] = []

    def class_file(self) -> ClassFile:
        toml, data, folder = self._toml, self._data, self._file.parent
        self._value(lambda: toml.only_keys(data, _KEYS), None)
        version: object = data.get("version")
        if version != VERSION or isinstance(version, bool):
            reason = "it is missing" if version is None else "another version of retailpipe wrote this file"
            raise toml.error("version", None, f"version must be {VERSION}: {reason}")
        state, workbooks = self._table("state", _STATE_KEYS), self._table("workbooks", _WORKBOOK_KEYS)
        state_url = self._text(state, "url", default=DEFAULT_STATE)
        if "://" not in state_url:
            state_url = (folder / state_url).as_uri()
        return ClassFile(
            file=self._file,
            course=self._text(data, "course"),
            project=self._text(data, "project", default=PROJECT) or PROJECT,
            region=self._text(data, "region", _REGION, "a region such as eu-central-1"),
            account=self._text(data, "account", _ACCOUNT, "the twelve digits of an AWS account", default=""),
            roster=folder / (self._text(data, "roster", default=ROSTER) or ROSTER),
            expires_on=self._expires_on(),
            max_monthly_cost=self._max_monthly_cost(),
            stacks_at_once=self._value(lambda: toml.whole(data, "stacks_at_once", None, MAX_STACKS_AT_ONCE), None),
            state_url=state_url,
            secrets_provider=self._text(state, "secrets_provider", default="passphrase"),
            settings=self._settings(("settings",), data.get("settings", {})),
            overrides=self._overrides(),
            seed=self._value(lambda: toml.whole(workbooks, "seed", None), None),
            rows=self._value(lambda: toml.whole(workbooks, "rows", None, MAX_ROWS), None) or DEFAULT_ROWS,
            _toml=toml,
        )

    def _value(self, read: Callable[[], _T], default: _T) -> _T:
        """Return what `read` returns; if it raises ClassError, note the mistake and return the default."""
        try:
            return read()
        except ClassError as error:
            self.mistakes.append(str(error))
            return default

    def _error(self, key: str, message: str) -> None:
        self.mistakes.append(str(self._toml.error(key, None, message)))

    def _text(
        self, table: dict[str, Any], key: str, pattern: re.Pattern[str] | None = None, what: str = "",
        default: str | None = None,
    ) -> str:  # fmt: skip
        if default is not None and key not in table:
            return default
        value = self._value(lambda: self._toml.text(table, key, None), "")
        if value and pattern and not pattern.fullmatch(value):
            self._error(key, f"{key} must be {what}")
        return value

    def _table(self, name: str, keys: set[str]) -> dict[str, Any]:
        value = self._data.get(name, {})
        if not isinstance(value, dict):
            self._error(name, f"{name} must be a table: [{name}]")
            return {}
        table = cast("dict[str, Any]", value)
        self._value(lambda: self._toml.only_keys(table, keys), None)
        return table

    def _expires_on(self) -> date:
        value = self._data.get("expires_on")
        if isinstance(value, str):
            try:
                return date.fromisoformat(value)
            except ValueError:
                value = None
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        self._error("expires_on", "expires_on must be a date such as 2027-03-31")
        return date.max

    def _max_monthly_cost(self) -> float:
        value = self._data.get("max_monthly_cost")
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MAX_COST:
            return float(value)
        self._error("max_monthly_cost", "max_monthly_cost must be an amount in USD of at most 1,000,000, such as 300")
        return 0.0

    def _overrides(self) -> Mapping[str, Mapping[str, str]]:
        tables = self._data.get("students", {})
        if not isinstance(tables, dict):
            self._error("students", "students must contain a table for each student, such as [students.anna]")
            return {}
        return {
            name: self._settings(("students", name), table) for name, table in cast("dict[str, Any]", tables).items()
        }

    def _settings(self, names: tuple[str, ...], table: object) -> Mapping[str, str]:
        """Convert the settings of a table to the text that Pulumi's config has."""
        if not isinstance(table, dict):
            self._error(names[0], f"write the settings in a table: [{'.'.join(names)}]")
            return {}
        settings: dict[str, str] = {}
        for name, value in cast("dict[str, Any]", table).items():
            text = _as_text(value)
            if text is None:
                place = self._toml.place(names, name)
                self.mistakes.append(
                    f"{place}: {name} must be a text, a number, true, false, a date, or a list of texts"
                )
            else:
                settings[name] = text
        return settings


def _as_text(value: object) -> str | None:
    """A value as text in Pulumi's config; None if a setting cannot have such a value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        items = cast("list[object]", value)
        if all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
            return ",".join(map(str, items))
    return None
