"""Contracts: the columns, types and rules that a workbook must follow, read from a TOML file.

docs/contract.md describes the file. The reader and the loader contain no column names: all they use about a workbook is
in its contract.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from retailpipe.errors import ContractError
from retailpipe.keys import INPUT
from retailpipe.toml_file import TomlFile

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
OWN_TABLES = {"builds", "etags", "loads", "migrations", "own_models", "refusals", "rejected_rows", "sheet_layouts"}
"""Names that a contract's table may not have: tables of retailpipe in schema bronze."""
OWN_COLUMNS = {"load_id", "source_row", "source_sheet", "cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"}
"""Names that a column may not have: columns that retailpipe or PostgreSQL adds to every table."""
ALL_SHEETS = "all"
_CORRECT = "Correct this line of the contract."
_KEYS = {
    *("name", "table", "max_rejects", "max_overlap", "columns", "files"),
    *("sheet", "header_row", "skip_rows", "skip_footer", "decimal", "thousands", "delimiter", "encoding"),
}
_COLUMN_KEYS = {
    *("header", "name", "type", "required", "minimum", "maximum", "max_length", "formats"),
    *("aliases", "optional", "decimal", "thousands"),
}
_MAX_ROWS = 1_048_576
_MAX_FOOTER = 1_000
_DECIMALS = {".": '"."', ",": '","'}
_THOUSANDS = {"": '""', ".": '"."', ",": '","', " ": '" "', "'": '"\'"'}
_DELIMITERS = {",": '","', ";": '";"', "\t": r'"\t"', "|": '"|"'}
_SKIP_RULE = '{ column = "InvoiceNo", matches = "Total*" }'


def wildcard(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern in which * stands for any characters and ? for one; case is ignored.

    It must match the whole text.
    """
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")), re.IGNORECASE)


@dataclass(frozen=True)
class Separators:
    """The characters of numbers that are kept as text. thousands: "" if digits are not grouped; " " for any blank."""

    decimal: str = "."
    thousands: str = ""


@dataclass(frozen=True)
class SkipRule:
    """A rule for rows to skip: those whose cell in a column matches a pattern; "" matches blank cells.

    column: the header of the column.
    """

    column: str
    matches: str


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
    aliases: other headers that the column may have in a workbook.
    optional: whether a workbook may lack the column; its values are then null.
    separators: how a number written as text is written.
    """

    header: str
    name: str
    type: str
    required: bool = False
    minimum: Bound | None = None
    maximum: Bound | None = None
    max_length: int | None = None
    formats: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    optional: bool = False
    separators: Separators = Separators()

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers that the column may have in a workbook."""
        return (self.header, *self.aliases)

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
    sheets: the names of the sheets to load, or patterns of names, or ALL_SHEETS; empty for the only sheet that fits.
    header_row: the row of the header, as Excel shows it; None for the first row that is not blank.
    skip_rows: the rules for rows to skip.
    skip_footer: how many of the last rows that are not blank are skipped.
    delimiter, encoding: of CSV files; None to detect the delimiter, and for UTF-8.
    files: patterns of the names of the workbooks that this contract is for.
    """

    name: str
    table: str
    columns: tuple[Column, ...]
    max_rejects: int | Decimal
    fingerprint: str
    max_overlap: Decimal = Decimal("0.5")
    sheets: tuple[str, ...] = ()
    header_row: int | None = None
    skip_rows: tuple[SkipRule, ...] = ()
    skip_footer: int = 0
    delimiter: str | None = None
    encoding: str | None = None
    files: tuple[str, ...] = ()

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
    def several_sheets(self) -> bool:
        """Whether several sheets are loaded together; the table then has a column `source_sheet`."""
        is_pattern = any(each.casefold() == ALL_SHEETS or not {"*", "?"}.isdisjoint(each) for each in self.sheets)
        return is_pattern or len(self.sheets) > 1

    def reads_sheet(self, name: str) -> bool:
        """Whether `sheet` allows the sheet of this name. Case is ignored, as in Excel."""
        if not self.sheets:
            return True
        return any(each.casefold() == ALL_SHEETS or wildcard(each).fullmatch(name.strip()) for each in self.sheets)

    def takes(self, key: str) -> bool:
        """Whether one of `files` matches the key of a workbook, such as input/branch-7.xlsx.

        A pattern without a slash is compared with the file's name, another one with the whole key below input/. Case
        is ignored. A contract without `files` matches no workbook.
        """
        path = key.removeprefix(INPUT)
        name = path.rpartition("/")[2]
        return any(wildcard(pattern).fullmatch(path if "/" in pattern else name) for pattern in self.files)

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
        self._toml = TomlFile(file, text, "columns", ContractError, _CORRECT)
        self._data = self._toml.data

    def contract(self) -> Contract:
        toml, data = self._toml, self._data
        toml.only_keys(data, _KEYS)
        raw_columns = data.get("columns")
        if not isinstance(raw_columns, list) or not raw_columns:
            raise toml.error("columns", None, "there are no columns: write each column in a [[columns]] section")
        if toml.sections != len(cast("list[Any]", raw_columns)):
            raise toml.error("columns", None, "write each column in its own [[columns]] section")
        separators = self._separators(data, None, Separators())
        columns = tuple(
            self._column(number, raw, separators) for number, raw in enumerate(cast("list[Any]", raw_columns))
        )
        self._check_columns(columns)
        canonical = json.dumps(data, sort_keys=True, default=str)
        return Contract(
            name=toml.text(data, "name", None),
            table=self._identifier(data, "table", None, OWN_TABLES),
            columns=columns,
            max_rejects=self._max_rejects(),
            max_overlap=self._max_overlap(),
            fingerprint=hashlib.sha256(canonical.encode()).hexdigest(),
            sheets=tuple(each.strip() for each in self._one_or_several("sheet")),
            header_row=toml.whole(data, "header_row", None, _MAX_ROWS),
            skip_rows=self._skip_rules(),
            skip_footer=toml.whole(data, "skip_footer", None, _MAX_FOOTER) or 0,
            delimiter=toml.choice(data, "delimiter", None, _DELIMITERS),
            encoding=self._encoding(),
            files=self._one_or_several("files"),
        )

    def _check_columns(self, columns: Sequence[Column]) -> None:
        """Raise ContractError if a header or a name is used twice, or every column is optional."""
        seen_names: set[str] = set()
        seen_headers: set[str] = set()
        for number, column in enumerate(columns):
            headers = [("header", column.header), *(("aliases", alias) for alias in column.aliases)]
            for key, text, seen in [*((*each, seen_headers) for each in headers), ("name", column.name, seen_names)]:
                if text.casefold() in seen:
                    named = "header" if key == "aliases" else key
                    raise self._toml.error(key, number, f"{named} {text!r} is used twice")
                seen.add(text.casefold())
        if all(column.optional for column in columns):
            raise self._toml.error("optional", 0, "at least one column must not be optional")

    def _column(self, number: int, raw: object, separators: Separators) -> Column:
        toml = self._toml
        if not isinstance(raw, dict):
            raise toml.error("columns", None, "columns must be [[columns]] sections")
        table = cast("dict[str, Any]", raw)
        toml.only_keys(table, _COLUMN_KEYS, number)
        type_name = self._type(table, number)
        required, optional = (toml.boolean(table, key, number) for key in ("required", "optional"))
        if required and optional:
            reason = "a column that is required cannot be optional: delete `optional` or `required`"
            raise toml.error("optional", number, reason)
        minimum, maximum = (self._bound(table, key, number, type_name) for key in ("minimum", "maximum"))
        if type_name in ("timestamp[us]", "date32"):
            minimum, maximum = minimum or EXCEL_FIRST_DATE, maximum or EXCEL_LAST_DATE
        if minimum is not None and maximum is not None and cast("Any", minimum) > maximum:
            key = "minimum" if "minimum" in table else "maximum"
            raise toml.error(key, number, f"minimum {minimum} is above maximum {maximum}")
        return Column(
            header=toml.text(table, "header", number).strip(),
            name=self._identifier(table, "name", number, OWN_COLUMNS),
            type=type_name,
            required=required,
            minimum=minimum,
            maximum=maximum,
            max_length=self._max_length(table, number, type_name),
            formats=self._formats(table, number, type_name),
            aliases=tuple(alias.strip() for alias in toml.texts(table, "aliases", number)),
            optional=optional,
            separators=self._separators(table, number, separators, type_name),
        )

    def _separators(
        self, table: dict[str, Any], number: int | None, default: Separators, type_name: str = ""
    ) -> Separators:
        """The separators of a column, or of the whole contract."""
        toml = self._toml
        given = [key for key in ("decimal", "thousands") if key in table]
        if given and type_name and not (type_name in ("int32", "int64") or _DECIMAL.fullmatch(type_name)):
            raise toml.error(given[0], number, f"{given[0]} is only for numbers; this column is {type_name}")
        decimal = toml.choice(table, "decimal", number, _DECIMALS) or default.decimal
        thousands = toml.choice(table, "thousands", number, _THOUSANDS)
        separators = Separators(decimal, default.thousands if thousands is None else thousands)
        if separators.decimal == separators.thousands:
            key = given[-1] if given else "decimal"
            both = f"decimal and thousands are both {separators.decimal!r}: set them to different characters"
            raise toml.error(key, number, both)
        return separators

    def _skip_rules(self) -> tuple[SkipRule, ...]:
        value = self._data.get("skip_rows", [])
        if not isinstance(value, list):
            raise self._toml.error("skip_rows", None, f"skip_rows must be a list of rules such as {_SKIP_RULE}")
        return tuple(self._skip_rule(rule) for rule in cast("list[object]", value))

    def _skip_rule(self, rule: object) -> SkipRule:
        table = cast("dict[str, Any]", rule) if isinstance(rule, dict) else {}
        column, matches = table.get("column"), table.get("matches")
        if set(table) != {"column", "matches"} or not isinstance(column, str) or not isinstance(matches, str):
            raise self._toml.error("skip_rows", None, f"each rule of skip_rows must be of the form {_SKIP_RULE}")
        if not column.strip():
            raise self._toml.error("skip_rows", None, "column must be the header of a column")
        return SkipRule(column.strip(), matches.strip())

    def _encoding(self) -> str | None:
        if "encoding" not in self._data:
            return None
        value = self._toml.text(self._data, "encoding", None)
        try:
            "".encode(value)
        except (LookupError, ValueError) as error:
            reason = f"unknown encoding {value!r}; use one such as utf-8, cp1252 or iso-8859-1"
            raise self._toml.error("encoding", None, reason) from error
        return value

    def _one_or_several(self, key: str) -> tuple[str, ...]:
        """A key that is a string or a list of strings; () if it is missing."""
        if isinstance(self._data.get(key), str):
            return (self._toml.text(self._data, key, None),)
        return self._toml.texts(self._data, key, None)

    def _identifier(self, table: dict[str, Any], key: str, number: int | None, reserved: set[str]) -> str:
        value = self._toml.text(table, key, number)
        if not _NAME.fullmatch(value):
            allowed = "at most 63 lower-case letters, digits and _, and must not begin with a digit"
            raise self._toml.error(key, number, f"{key} {value!r} must consist of {allowed}")
        if value in reserved:
            raise self._toml.error(key, number, f"{key} {value!r} is reserved by retailpipe or PostgreSQL")
        return value

    def _type(self, table: dict[str, Any], number: int) -> str:
        value = self._toml.text(table, "type", number)
        decimal = _DECIMAL.fullmatch(value)
        if decimal and 1 <= int(decimal[1]) <= 38 and int(decimal[2]) <= int(decimal[1]):
            return value
        if value not in _POSTGRESQL_TYPES:
            known = ", ".join([*_POSTGRESQL_TYPES, "decimal128(38, 18)"])
            raise self._toml.error("type", number, f"unknown type {value!r}; the types are {known}")
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
                    raise self._toml.error(
                        key, number, f"{key} must not be before 1900-03-01, the first date supported"
                    )
                return value
            raise self._toml.error(key, number, f"{key} must be a date such as 2010-12-01, without a time zone")
        if type_name == "string":
            raise self._toml.error(key, number, f"{key} is only for numbers and dates; for a string, use max_length")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._toml.error(key, number, f"{key} must be a number")
        bound = Decimal(repr(value))
        if not bound.is_finite() or not _fits(bound, type_name):
            raise self._toml.error(key, number, f"{key} {value} is not a value of type {type_name}")
        return bound

    def _max_length(self, table: dict[str, Any], number: int, type_name: str) -> int | None:
        value = table.get("max_length")
        if value is None:
            return None
        if type_name != "string":
            raise self._toml.error("max_length", number, f"max_length is only for strings; this column is {type_name}")
        return self._toml.whole(table, "max_length", number)

    def _formats(self, table: dict[str, Any], number: int, type_name: str) -> tuple[str, ...]:
        value = table.get("formats", [])
        if value and type_name not in ("timestamp[us]", "date32"):
            raise self._toml.error("formats", number, f"formats is only for dates; this column is {type_name}")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[object]", value)):
            raise self._toml.error("formats", number, "formats must be a list of strptime formats")
        formats = tuple(cast("list[str]", value))
        # Write a date in each format and parse it again. A format may omit the minutes, or the time, but nothing else.
        sample = datetime(2011, 12, 9, 22, 50)
        expected = {sample, sample.replace(minute=0), sample.replace(hour=0, minute=0)}
        for item in formats:
            try:
                parsed = datetime.strptime(sample.strftime(item), item)
            except ValueError as error:
                message = f"a date written in format {item!r} cannot be parsed: {error}"
                raise self._toml.error("formats", number, message) from error
            if parsed not in expected:
                message = f"format {item!r} needs year, month and day; a time must be unambiguous and have no time zone"
                raise self._toml.error("formats", number, message)
        return formats

    def _max_rejects(self) -> int | Decimal:
        value = self._data.get("max_rejects", "1%")
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        share = _share(value)
        if share is None:
            raise self._toml.error("max_rejects", None, 'max_rejects must be a number of rows, or a share such as "1%"')
        return share

    def _max_overlap(self) -> Decimal:
        share = _share(self._data.get("max_overlap", "50%"))
        if share is None:
            raise self._toml.error("max_overlap", None, 'max_overlap must be a share of the rows, such as "50%"')
        return share
