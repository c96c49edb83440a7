"""Contracts: the columns, types and rules that a workbook must follow, read from a TOML file.

docs/contract.md describes the file. No column names are written in the reader and the loader: they take everything
about a workbook from its contract.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from retailpipe.errors import ContractError

if TYPE_CHECKING:
    import pyarrow as pa

Bound = Decimal | datetime

EXCEL_FIRST_DATE = datetime(1900, 3, 1)
"""Excel counts 29 February 1900, which did not exist: its earlier dates differ from other programs' by one day."""
EXCEL_LAST_DATE = datetime(9999, 12, 31, 23, 59, 59, 999999)

MINIMUM_REJECTS_ALLOWED = 10
"""If `max_rejects` is a share of the rows, at least this many rejects are allowed, even in a small workbook."""

_POSTGRESQL_TYPES = {
    "string": "text",
    "int32": "integer",
    "int64": "bigint",
    "timestamp[us]": "timestamp",
    "date32": "date",
}
_DECIMAL = re.compile(r"decimal128\((\d+), ?(\d+)\)")
_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_OWN_TABLES = {"builds", "etags", "loads", "migrations", "own_models", "rejected_rows"}
_OWN_COLUMNS = {"load_id", "source_row", "cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"}
_COLUMN_SECTION = re.compile(r"\s*\[\[\s*[\"']?columns[\"']?\s*\]\]")
_CORRECT = "Correct this line of the contract."


@dataclass(frozen=True)
class Column:
    """One column of the workbook and the rules for its cells.

    header: the column's header in the workbook; case and surrounding blanks are ignored.
    name: the column's name in the bronze table.
    type: string, int32, int64, decimal128(precision, scale), timestamp[us] or date32.
    required: whether a blank cell breaks the contract.
    minimum, maximum: inclusive bounds of a number or a date; None for no bound.
    max_length: the maximum number of characters of a text; None for no limit.
    formats: the strptime formats that are accepted for a date written as text.
    """

    header: str
    name: str
    type: str
    required: bool = False
    minimum: Bound | None = None
    maximum: Bound | None = None
    max_length: int | None = None
    formats: tuple[str, ...] = ()

    @property
    def is_date(self) -> bool:
        return self.type in ("timestamp[us]", "date32")

    @property
    def postgresql_type(self) -> str:
        return _POSTGRESQL_TYPES.get(self.type, "numeric")

    @cached_property
    def arrow_type(self) -> pa.DataType:
        import pyarrow as pa

        if decimal := _DECIMAL.fullmatch(self.type):
            return pa.decimal128(int(decimal[1]), int(decimal[2]))
        return {
            "string": pa.string(),
            "int32": pa.int32(),
            "int64": pa.int64(),
            "timestamp[us]": pa.timestamp("us"),
            "date32": pa.date32(),
        }[self.type]


@dataclass(frozen=True)
class Contract:
    """The contract of one kind of workbook.

    table: the table in schema bronze that the rows are loaded into.
    max_rejects: the number of rows that may break the contract; with more, nothing is loaded. An int is a number of
        rows, a Decimal is a share of the rows read (Decimal("0.01") is one percent).
    max_overlap: the share of a workbook's rows that other workbooks may hold too; with more, nothing is loaded.
    fingerprint: a hash of the contract's content without comments; when it changes, workbooks are loaded again.
    """

    name: str
    table: str
    columns: tuple[Column, ...]
    max_rejects: int | Decimal
    fingerprint: str
    max_overlap: Decimal = Decimal("0.5")

    @classmethod
    def default(cls) -> Contract:
        """The contract of the "Online Retail" workbook."""
        return _default()

    @classmethod
    def from_file(cls, path: str | Path) -> Contract:
        """Read a contract from a TOML file. Raises ContractError, which names the file and the line of the mistake."""
        path = Path(path)
        try:
            content = path.read_bytes()
            # Some Windows editors write a byte order mark at the start of the file.
            text = content.decode("utf-8-sig")
        except OSError as error:
            raise ContractError(
                f"cannot read the contract {path}: {error.strerror}", hint="Pass a TOML file."
            ) from error
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise ContractError(f"{path}, line {line} is not UTF-8: {error.reason}", hint=_CORRECT) from error
        return _Reader(str(path), text).contract()

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema([pa.field(c.name, c.arrow_type, nullable=not c.required) for c in self.columns])

    @property
    def date_column(self) -> str | None:
        """The first date column, or None; the ledger records its first and last value."""
        return next((column.name for column in self.columns if column.is_date), None)

    def rejects_allowed(self, rows_read: int) -> int:
        """How many of `rows_read` rows may break the contract."""
        if isinstance(self.max_rejects, int):
            return self.max_rejects
        return max(MINIMUM_REJECTS_ALLOWED, int(rows_read * self.max_rejects))


@cache
def _default() -> Contract:
    file = resources.files("retailpipe") / "contracts" / "online_retail.toml"
    return _Reader("online_retail.toml", file.read_text(encoding="utf-8")).contract()


def _fits(bound: Decimal, type_name: str) -> bool:
    """Whether a numeric type can store a bound exactly."""
    if decimal := _DECIMAL.fullmatch(type_name):
        precision, scale = int(decimal[1]), int(decimal[2])
        with localcontext(prec=400):
            unscaled = bound.scaleb(scale)
            return unscaled == unscaled.to_integral_value() and abs(unscaled) < 10**precision
    bits = 31 if type_name == "int32" else 63
    return bound == bound.to_integral_value() and -(2**bits) <= bound < 2**bits


def _share(value: object) -> Decimal | None:
    """A share such as "1%" as a fraction; None if the value is not a share."""
    found = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    return Decimal(found[1]) / 100 if found and Decimal(found[1]) <= 100 else None


class _Reader:
    """Parses the text of a contract; reports each mistake as a ContractError with its line."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.lines = text.split("\n")
        try:
            self.data = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            reason = str(error).replace("end of document", f"line {len(self.lines)}, the end")
            raise ContractError(f"{file} is not valid TOML: {reason}", hint=_CORRECT) from error

    def contract(self) -> Contract:
        self._check_keys(self.data, {"name", "table", "max_rejects", "max_overlap", "columns"})
        raw_columns = self.data.get("columns")
        if not isinstance(raw_columns, list) or not raw_columns:
            raise self._error("columns", None, "there are no columns: write each column in a [[columns]] section")
        if sum(bool(_COLUMN_SECTION.match(line)) for line in self.lines) != len(cast("list[Any]", raw_columns)):
            raise self._error("columns", None, "write each column in its own [[columns]] section")
        columns = tuple(self._column(number, raw) for number, raw in enumerate(cast("list[Any]", raw_columns)))
        for key in ("header", "name"):
            seen: set[str] = set()
            for number, column in enumerate(columns):
                value = str(getattr(column, key)).casefold()
                if value in seen:
                    raise self._error(key, number, f"{key} {getattr(column, key)!r} is used twice")
                seen.add(value)
        canonical = json.dumps(self.data, sort_keys=True, default=str)
        return Contract(
            name=self._text(self.data, "name", None),
            table=self._identifier(self.data, "table", None, _OWN_TABLES),
            columns=columns,
            max_rejects=self._max_rejects(),
            max_overlap=self._max_overlap(),
            fingerprint=hashlib.sha256(canonical.encode()).hexdigest(),
        )

    def _column(self, number: int, raw: object) -> Column:
        if not isinstance(raw, dict):
            raise self._error("columns", None, "columns must be [[columns]] sections")
        table = cast("dict[str, Any]", raw)
        allowed = {"header", "name", "type", "required", "minimum", "maximum", "max_length", "formats"}
        self._check_keys(table, allowed, number)
        type_name = self._type(table, number)
        required = table.get("required", False)
        if not isinstance(required, bool):
            raise self._error("required", number, "required must be true or false")
        minimum, maximum = (self._bound(table, key, number, type_name) for key in ("minimum", "maximum"))
        if type_name in ("timestamp[us]", "date32"):
            minimum, maximum = minimum or EXCEL_FIRST_DATE, maximum or EXCEL_LAST_DATE
        if minimum is not None and maximum is not None and cast("Any", minimum) > maximum:
            key = "minimum" if "minimum" in table else "maximum"
            raise self._error(key, number, f"minimum {minimum} is above maximum {maximum}")
        return Column(
            header=self._text(table, "header", number).strip(),
            name=self._identifier(table, "name", number, _OWN_COLUMNS),
            type=type_name,
            required=required,
            minimum=minimum,
            maximum=maximum,
            max_length=self._max_length(table, number, type_name),
            formats=self._formats(table, number, type_name),
        )

    def _text(self, table: dict[str, Any], key: str, number: int | None) -> str:
        value = table.get(key)
        if value is None:
            raise self._error(key, number, f"{key} is missing")
        if not isinstance(value, str) or not value.strip():
            raise self._error(key, number, f"{key} must be a string that is not empty")
        return value

    def _identifier(self, table: dict[str, Any], key: str, number: int | None, reserved: set[str]) -> str:
        value = self._text(table, key, number)
        if not _NAME.fullmatch(value):
            allowed = "at most 63 lower-case letters, digits and _, and must not begin with a digit"
            raise self._error(key, number, f"{key} {value!r} must consist of {allowed}")
        if value in reserved:
            raise self._error(key, number, f"{key} {value!r} is reserved by retailpipe or PostgreSQL")
        return value

    def _type(self, table: dict[str, Any], number: int) -> str:
        value = self._text(table, "type", number)
        decimal = _DECIMAL.fullmatch(value)
        if decimal and 1 <= int(decimal[1]) <= 38 and int(decimal[2]) <= int(decimal[1]):
            return value
        if value not in _POSTGRESQL_TYPES:
            known = ", ".join([*_POSTGRESQL_TYPES, "decimal128(38, 18)"])
            raise self._error("type", number, f"unknown type {value!r}; the types are {known}")
        return value

    def _bound(self, table: dict[str, Any], key: str, number: int, type_name: str) -> Bound | None:
        value = table.get(key)
        if value is None:
            return None
        if type_name in ("timestamp[us]", "date32"):
            if isinstance(value, date) and not isinstance(value, datetime):
                end_of_day = key == "maximum" and type_name == "timestamp[us]"
                value = datetime.combine(value, datetime.max.time() if end_of_day else datetime.min.time())
            if isinstance(value, datetime) and value.tzinfo is None:
                if value < EXCEL_FIRST_DATE:
                    raise self._error(key, number, f"{key} must not be before 1900-03-01, the first date supported")
                return value
            raise self._error(key, number, f"{key} must be a date such as 2010-12-01, without a time zone")
        if type_name == "string":
            raise self._error(key, number, f"{key} is only for numbers and dates; for a string, use max_length")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(key, number, f"{key} must be a number")
        bound = Decimal(repr(value))
        if not bound.is_finite() or not _fits(bound, type_name):
            raise self._error(key, number, f"{key} {value} is not a value of type {type_name}")
        return bound

    def _max_length(self, table: dict[str, Any], number: int, type_name: str) -> int | None:
        value = table.get("max_length")
        if value is None:
            return None
        if type_name != "string":
            raise self._error("max_length", number, f"max_length is only for strings; this column is {type_name}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._error("max_length", number, "max_length must be a whole number, at least 1")
        return value

    def _formats(self, table: dict[str, Any], number: int, type_name: str) -> tuple[str, ...]:
        value = table.get("formats", [])
        if value and type_name not in ("timestamp[us]", "date32"):
            raise self._error("formats", number, f"formats is only for dates; this column is {type_name}")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[object]", value)):
            raise self._error("formats", number, "formats must be a list of strptime formats")
        formats = tuple(cast("list[str]", value))
        # Write a date in each format and parse it again. A format may omit the minutes, or the time, but nothing else.
        sample = datetime(2011, 12, 9, 22, 50)
        expected = {sample, sample.replace(minute=0), sample.replace(hour=0, minute=0)}
        for item in formats:
            try:
                parsed = datetime.strptime(sample.strftime(item), item)
            except ValueError as error:
                message = f"a date written in format {item!r} cannot be parsed: {error}"
                raise self._error("formats", number, message) from error
            if parsed not in expected:
                message = f"format {item!r} needs year, month and day; a time must be unambiguous and have no time zone"
                raise self._error("formats", number, message)
        return formats

    def _max_rejects(self) -> int | Decimal:
        value = self.data.get("max_rejects", "1%")
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        share = _share(value)
        if share is None:
            raise self._error("max_rejects", None, 'max_rejects must be a number of rows, or a share such as "1%"')
        return share

    def _max_overlap(self) -> Decimal:
        share = _share(self.data.get("max_overlap", "50%"))
        if share is None:
            raise self._error("max_overlap", None, 'max_overlap must be a share of the rows, such as "50%"')
        return share

    def _check_keys(self, table: dict[str, Any], allowed: set[str], number: int | None = None) -> None:
        for key in table:
            if key not in allowed:
                known = ", ".join(sorted(allowed))
                raise self._error(key, number, f"unknown key {key!r}; the keys are {known}")

    def _error(self, key: str, number: int | None, message: str) -> ContractError:
        line = self._line_of(key, number)
        shown = f": {self.lines[line - 1].strip()}" if self.lines else ""
        return ContractError(f"{self.file}, line {line}: {message}{shown}", hint=_CORRECT)

    def _line_of(self, key: str, number: int | None) -> int:
        """Return the line, from 1, of a key: at the top level (number None) or in the column with this number.

        If the key is missing, return the first line of the column's section, or line 1 for the top level.
        """
        sections = [0, *(n for n, line in enumerate(self.lines) if _COLUMN_SECTION.match(line)), len(self.lines)]
        section = 0 if number is None else min(number + 1, len(sections) - 2)
        within = range(sections[section], sections[section + 1])
        name = rf"""["']?{re.escape(key)}["']?"""
        assignment = re.compile(rf"\s*{name}\s*[=.]")
        heading = re.compile(rf"\s*\[\[?\s*(?:[\w.]+\.)?{name}\s*[\].]")
        found = [n for n in within if assignment.match(self.lines[n]) or heading.match(self.lines[n])]
        if number is None:
            found += [n for n, line in enumerate(self.lines) if heading.match(line)]
        return (found[0] if found else within.start) + 1
