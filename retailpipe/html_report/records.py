"""Read the rows of a query into dataclasses. Long texts are cut; numbers keep all their digits."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from retailpipe.connection import Connection

_T = TypeVar("_T")
_LONGEST_TEXT = 200


def records(connection: Connection, kind: type[_T], rest: str, **expressions: str) -> tuple[_T, ...]:
    """The rows of a SELECT as instances of a dataclass, whose fields are the columns.

    rest: the statement after the columns, from `from`.
    expressions: the SQL of columns that are not simply named like their field.
    Numeric columns arrive as text, so that no digit is lost. Fields of type str are cut. Raises WarehouseError.
    """
    columns = [
        (each.name, str(each.type), expressions.get(each.name, each.name))
        for each in fields(kind)  # pyright: ignore[reportArgumentType]
    ]
    selected = ", ".join(
        f"{beginning(expression) if type_ == 'str' else expression} as {name}" for name, type_, expression in columns
    )
    return tuple(
        kind(*(_value(value, type_) for value, (_, type_, _) in zip(row, columns, strict=True)))
        for row in connection.rows(f"select {selected} {rest}")
    )


def beginning(expression: str, longest: int = _LONGEST_TEXT) -> str:
    """The SQL for as much of a text as `cut` needs."""
    return f"left({expression}, {longest + 1})"


def cut(text: str, longest: int = _LONGEST_TEXT) -> str:
    """The text, or its beginning and an ellipsis. Never for a number: it would become another number."""
    return text if len(text) <= longest else f"{text[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"


def _value(value: Any, type_: str) -> Any:
    if value is None:
        return None
    if type_.startswith("Decimal"):
        return Decimal(value)
    return cut(value) if type_ == "str" else value
