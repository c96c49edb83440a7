"""The types of columns in ODCS, and in contracts."""

from __future__ import annotations

import re

PREFIX = "retailpipe."
"""How the names of our `customProperties` begin."""

_LOGICAL = {
    "string": "string",
    "int32": "integer",
    "int64": "integer",
    "timestamp[us]": "timestamp",
    "date32": "date",
}
_LOGICAL_OF_POSTGRESQL = {
    "text": "string",
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "numeric": "number",
    "real": "number",
    "double precision": "number",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}
# The names of types in PostgreSQL and in other databases, without their arguments.
_TYPE_OF_PHYSICAL = {
    **dict.fromkeys(("text", "varchar", "character varying", "char", "character", "string"), "string"),
    **dict.fromkeys(("smallint", "tinyint", "int", "integer", "int2", "int4"), "int32"),
    **dict.fromkeys(("bigint", "int8", "long"), "int64"),
    **dict.fromkeys(("timestamp", "timestamp without time zone", "datetime", "timestamp_ntz"), "timestamp[us]"),
    "date": "date32",
}
_TYPE_OF_LOGICAL = {
    "string": "string",
    "integer": "int64",
    "number": "decimal128(38, 18)",
    "timestamp": "timestamp[us]",
    "date": "date32",
}
_PHYSICAL = re.compile(r"\s*([a-z_][a-z0-9_ ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*", re.IGNORECASE)


def logical_type(type_name: str) -> str:
    """The logical type of a contract's type."""
    return _LOGICAL.get(type_name, "number")


def logical_of_postgresql(type_name: str) -> str | None:
    """The logical type of a type of PostgreSQL; None if ODCS has none that is alike."""
    return _LOGICAL_OF_POSTGRESQL.get(type_name)


def contract_type(logical: object, physical: object) -> tuple[str | None, int | None]:
    """A contract's type for a property of ODCS, and the maximum length that its physical type gives.

    The physical type is more exact, so it is asked first. The type is None if contracts have none that is alike.
    """
    found = _PHYSICAL.fullmatch(physical) if isinstance(physical, str) else None
    if found:
        name = found[1].lower()
        first, second = (int(each) if each else None for each in (found[2], found[3]))
        if name in ("numeric", "decimal", "number") and first is not None and first <= 38 and (second or 0) <= first:
            return f"decimal128({first}, {second or 0})", None
        if name in _TYPE_OF_PHYSICAL:
            type_name = _TYPE_OF_PHYSICAL[name]
            return type_name, first if type_name == "string" else None
    return _TYPE_OF_LOGICAL.get(logical) if isinstance(logical, str) else None, None
