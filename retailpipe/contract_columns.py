"""The columns of a contract: their types and rules, and how a [[columns]] section of the TOML file is parsed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from retailpipe.toml_file import TomlFile

if TYPE_CHECKING:
    import pyarrow as pa

Bound = Decimal | datetime

EXCEL_FIRST_DATE = datetime(1900, 3, 1)
"""Excel counts 29 February 1900, which did not exist: its earlier dates differ from other programs' by one day."""
EXCEL_LAST_DATE = datetime(9999, 12, 31, 23, 59, 59, 999999)

_POSTGRESQL_TYPES = {
    "string": "text",
    "int32": "integer",
    "int64": "bigint",
    "timestamp[us]": "timestamp",
    "date32": "date",
}
_DECIMAL = re.compile(r"decimal128\((\d+), ?(\d+)\)")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
OWN_COLUMNS = {"load_id", "source_row", "source_sheet", "cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"}
"""Names that a column may not have: columns that retailpipe or PostgreSQL adds to every table."""
_COLUMN_KEYS = {
    *("header", "name", "type", "required", "minimum", "maximum", "max_length", "formats"),
    *("aliases", "optional", "decimal", "thousands"),
}
_DECIMALS = {".": '"."', ",": '","'}
_THOUSANDS = {"": '""', ".": '"."', ",": '","', " ": '" "', "'": '"\'"'}


@dataclass(frozen=True)
class Separators:
    """The characters of numbers that are kept as text. thousands: "" if digits are not grouped; " " for any blank."""

    decimal: str = "."
    thousands: str = ""


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


def column_of(toml: TomlFile, number: int, raw: object, separators: Separators) -> Column:
    """Parse a [[columns]] section.

    number: its index, from 0. raw: its keys. separators: those of the contract, if the column has none of its own.
    Raises ContractError.
    """
    if not isinstance(raw, dict):
        raise toml.error("columns", None, "columns must be [[columns]] sections")
    table = cast("dict[str, Any]", raw)
    toml.only_keys(table, _COLUMN_KEYS, number)
    type_name = _type(toml, table, number)
    required, optional = (toml.boolean(table, key, number) for key in ("required", "optional"))
    if required and optional:
        reason = "a column that is required cannot be optional: delete `optional` or `required`"
        raise toml.error("optional", number, reason)
    minimum, maximum = (_bound(toml, table, key, number, type_name) for key in ("minimum", "maximum"))
    if type_name in ("timestamp[us]", "date32"):
        minimum, maximum = minimum or EXCEL_FIRST_DATE, maximum or EXCEL_LAST_DATE
    if minimum is not None and maximum is not None and cast("Any", minimum) > maximum:
        key = "minimum" if "minimum" in table else "maximum"
        raise toml.error(key, number, f"minimum {minimum} is above maximum {maximum}")
    return Column(
        header=toml.text(table, "header", number).strip(),
        name=identifier(toml, table, "name", number, OWN_COLUMNS),
        type=type_name,
        required=required,
        minimum=minimum,
        maximum=maximum,
        max_length=_max_length(toml, table, number, type_name),
        formats=_formats(toml, table, number, type_name),
        aliases=tuple(alias.strip() for alias in toml.texts(table, "aliases", number)),
        optional=optional,
        separators=separators_of(toml, table, number, separators, type_name),
    )


def separators_of(
    toml: TomlFile, table: dict[str, Any], number: int | None, default: Separators, type_name: str = ""
) -> Separators:
    """The separators of a column, or of the whole contract (type_name ""). Raises ContractError."""
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


def identifier(toml: TomlFile, table: dict[str, Any], key: str, number: int | None, reserved: set[str]) -> str:
    """The value of a key that is the name of a table or a column. Raises ContractError if it is in `reserved`."""
    value = toml.text(table, key, number)
    if not _NAME.fullmatch(value):
        allowed = "at most 63 lower-case letters, digits and _, and must not begin with a digit"
        raise toml.error(key, number, f"{key} {value!r} must consist of {allowed}")
    if value in reserved:
        raise toml.error(key, number, f"{key} {value!r} is reserved by retailpipe or PostgreSQL")
    return value


def _type(toml: TomlFile, table: dict[str, Any], number: int) -> str:
    value = toml.text(table, "type", number)
    decimal = _DECIMAL.fullmatch(value)
    if decimal and 1 <= int(decimal[1]) <= 38 and int(decimal[2]) <= int(decimal[1]):
        return value
    if value not in _POSTGRESQL_TYPES:
        known = ", ".join([*_POSTGRESQL_TYPES, "decimal128(38, 18)"])
        raise toml.error("type", number, f"unknown type {value!r}; the types are {known}")
    return value


def _bound(toml: TomlFile, table: dict[str, Any], key: str, number: int, type_name: str) -> Bound | None:
    value = table.get(key)
    if value is None:
        return None
    if type_name in ("timestamp[us]", "date32"):
        if isinstance(value, date) and not isinstance(value, datetime):
            end_of_day = key == "maximum" and type_name == "timestamp[us]"
            value = datetime.combine(value, datetime.max.time() if end_of_day else datetime.min.time())
        if isinstance(value, datetime) and value.tzinfo is None:
            if value < EXCEL_FIRST_DATE:
                raise toml.error(key, number, f"{key} must not be before 1900-03-01, the first date supported")
            return value
        raise toml.error(key, number, f"{key} must be a date such as 2010-12-01, without a time zone")
    if type_name == "string":
        raise toml.error(key, number, f"{key} is only for numbers and dates; for a string, use max_length")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise toml.error(key, number, f"{key} must be a number")
    bound = Decimal(repr(value))
    if not bound.is_finite() or not _fits(bound, type_name):
        raise toml.error(key, number, f"{key} {value} is not a value of type {type_name}")
    return bound


def _fits(bound: Decimal, type_name: str) -> bool:
    """Whether a numeric type can store a bound exactly."""
    if decimal := _DECIMAL.fullmatch(type_name):
        precision, scale = int(decimal[1]), int(decimal[2])
        with localcontext(prec=400):
            unscaled = bound.scaleb(scale)
            return unscaled == unscaled.to_integral_value() and abs(unscaled) < 10**precision
    bits = 31 if type_name == "int32" else 63
    return bound == bound.to_integral_value() and -(2**bits) <= bound < 2**bits


def _max_length(toml: TomlFile, table: dict[str, Any], number: int, type_name: str) -> int | None:
    value = table.get("max_length")
    if value is None:
        return None
    if type_name != "string":
        raise toml.error("max_length", number, f"max_length is only for strings; this column is {type_name}")
    return toml.whole(table, "max_length", number)


def _formats(toml: TomlFile, table: dict[str, Any], number: int, type_name: str) -> tuple[str, ...]:
    value = table.get("formats", [])
    if value and type_name not in ("timestamp[us]", "date32"):
        raise toml.error("formats", number, f"formats is only for dates; this column is {type_name}")
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[object]", value)):
        raise toml.error("formats", number, "formats must be a list of strptime formats")
    formats = tuple(cast("list[str]", value))
    # Write a date in each format and parse it again. A format may omit the minutes, or the time, but nothing else.
    sample = datetime(2011, 12, 9, 22, 50)
    expected = {sample, sample.replace(minute=0), sample.replace(hour=0, minute=0)}
    for item in formats:
        try:
            parsed = datetime.strptime(sample.strftime(item), item)
        except ValueError as error:
            message = f"a date written in format {item!r} cannot be parsed: {error}"
            raise toml.error("formats", number, message) from error
        if parsed not in expected:
            message = f"format {item!r} needs year, month and day; a time must be unambiguous and have no time zone"
            raise toml.error("formats", number, message)
    return formats
