"""TOML files that people write: typed access to their keys, errors that name the file and the line, and values."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, cast

from retailpipe.errors import RetailpipeError


class TomlFile:
    """The keys of a TOML file. Raises `error_class` if the text is not TOML; so do the methods if a key is not valid.

    A key is at the top level (number None), or in one of the file's repeated sections, such as [[columns]]: then
    `number` is the index of that section.

    file: the file's name in messages.
    section: the name of the repeated sections; empty if the file has none.
    error_class, hint: the class and the hint of all errors.
    """

    def __init__(self, file: str, text: str, section: str, error_class: type[RetailpipeError], hint: str) -> None:
        self.file = file
        self.lines = text.split("\n")
        self._error_class = error_class
        self._hint = hint
        self._heading = re.compile(rf"""\s*\[\[\s*["']?{section}["']?\s*\]\]""")
        try:
            self.data = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            reason = str(error).replace("end of document", f"line {len(self.lines)}, the end")
            raise error_class(f"{file} is not valid TOML: {reason}", hint=hint) from error

    @property
    def sections(self) -> int:
        """The number of lines that are the heading of a repeated section."""
        return sum(bool(self._heading.match(line)) for line in self.lines)

    def text(self, table: dict[str, Any], key: str, number: int | None) -> str:
        """Return the value of a required key: a string that is not empty."""
        value = table.get(key)
        if value is None:
            raise self.error(key, number, f"{key} is missing")
        if not isinstance(value, str) or not value.strip():
            raise self.error(key, number, f"{key} must be a string that is not empty")
        return value

    def boolean(self, table: dict[str, Any], key: str, number: int | None) -> bool:
        """Return the value of a key: true or false; false if the key is missing."""
        value = table.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, number, f"{key} must be true or false")
        return value

    def whole(self, table: dict[str, Any], key: str, number: int | None, maximum: int | None = None) -> int | None:
        """Return the value of a key: a whole number from 1 to `maximum`; None if missing."""
        value = table.get(key)
        if value is None:
            return None
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or value < 1 or (maximum and value > maximum):
            bounds = f"from 1 to {maximum:,}" if maximum else "at least 1"
            raise self.error(key, number, f"{key} must be a whole number, {bounds}")
        return value

    def texts(self, table: dict[str, Any], key: str, number: int | None) -> tuple[str, ...]:
        """Return the value of a key: a list of strings that are not empty; () if missing."""
        value = table.get(key, [])
        items = cast("list[object]", value)
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in items):
            raise self.error(key, number, f"{key} must be a list of strings that are not empty")
        return tuple(str(item) for item in items)

    def choice(self, table: dict[str, Any], key: str, number: int | None, choices: dict[str, str]) -> str | None:
        """Return the value of a key: one of `choices`; None if it is missing.

        choices: the texts, each with its description for the message.
        """
        value = table.get(key)
        if value is None or (isinstance(value, str) and value in choices):
            return value
        raise self.error(key, number, f"{key} must be one of {', '.join(choices.values())}")

    def only_keys(self, table: dict[str, Any], allowed: set[str], number: int | None = None) -> None:
        """Raise the error if a table has a key that is not in `allowed`."""
        for key in table:
            if key not in allowed:
                known = ", ".join(sorted(allowed))
                raise self.error(key, number, f"unknown key {key!r}; the keys are {known}")

    def error(self, key: str, number: int | None, message: str) -> RetailpipeError:
        """The error for a key, with its line."""
        line = self._line_of(key, number)
        shown = f": {self.lines[line - 1].strip()}" if self.lines else ""
        return self._error_class(f"{self.file}, line {line}: {message}{shown}", hint=self._hint)

    def place(self, table: Sequence[str], key: str) -> str:
        """The file and the line of a key in a table such as [students.anna]; the heading's line if the key is missing.

        table: the names of the heading, such as ("students", "anna").
        """
        name = r"\s*\.\s*".join(rf"""["']?{re.escape(each)}["']?""" for each in table)
        heading, any_heading = re.compile(rf"\s*\[\s*{name}\s*\]"), re.compile(r"\s*\[")
        assignment = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*[=.]""")
        start = next((n for n, line in enumerate(self.lines) if heading.match(line)), None)
        if start is None:  # the table is written as name = {...} or as name.key = ...
            inline = re.compile(rf"\s*{name}\s*[.=]")
            lines = [n for n, line in enumerate(self.lines, start=1) if inline.match(line)]
            of_key = [n for n in lines if re.search(rf"(?<!\w){re.escape(key)}(?!\w)", self.lines[n - 1])]
            return f"{self.file}, line {(of_key or lines or [self._line_of(table[-1], None)])[0]}"
        for n in range(start + 1, len(self.lines)):
            if any_heading.match(self.lines[n]):
                break
            if assignment.match(self.lines[n]):
                return f"{self.file}, line {n + 1}"
        return f"{self.file}, line {start + 1}"

    def _line_of(self, key: str, number: int | None) -> int:
        """Return the line, from 1, of a key: at the top level (number None) or in the section with this number.

        If the key is missing, return the first line of the section, or line 1 for the top level.
        """
        sections = [0, *(n for n, line in enumerate(self.lines) if self._heading.match(line)), len(self.lines)]
        section = 0 if number is None else min(number + 1, len(sections) - 2)
        within = range(sections[section], sections[section + 1])
        name = rf"""["']?{re.escape(key)}["']?"""
        assignment = re.compile(rf"\s*{name}\s*[=.]")
        heading = re.compile(rf"\s*\[\[?\s*(?:[\w.]+\.)?{name}\s*[\].]")
        found = [n for n in within if assignment.match(self.lines[n]) or heading.match(self.lines[n])]
        if number is None:
            found += [n for n, line in enumerate(self.lines) if heading.match(line)]
        return (found[0] if found else within.start) + 1


def toml_value(value: object) -> str:
    """A value as TOML writes it, in one line. Raises ValueError if TOML has no value of its type, such as null."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, cast('list[object]', value)))}]"
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return "{ " + ", ".join(f"{toml_value(str(key))} = {toml_value(each)}" for key, each in items) + " }"
    raise ValueError(f"{value!r} is not a value of TOML")
