"""Read the rows of a query into dataclasses."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from retailpipe.connection import Connection

_T = TypeVar("_T")


def records(connection: Connection, kind: type[_T], rest: str, **expressions: str) -> tuple[_T, ...]:
    """The rows of a SELECT as instances of a dataclass, whose fields are the columns.

    rest: the statement after the columns, from `from`.
    expressions: the SQL of columns that are not simply named like their field.
    Numeric columns arrive as text, so that no digit is lost. Raises WarehouseError.
    """
    names = [each.name for each in fields(kind)]  # pyright: ignore[reportArgumentType]
    decimals = [str(each.type).startswith("Decimal") for each in fields(kind)]  # pyright: ignore[reportArgumentType]
    columns = ", ".join(f"{expressions.get(name, name)} as {name}" for name in names)
    return tuple(
        kind(*(_value(value, exact) for value, exact in zip(row, decimals, strict=True)))
        for row in connection.rows(f"select {columns} {rest}")
    )


def _value(value: Any, exact: bool) -> Any:
    return Decimal(value) if exact and value is not None else value
