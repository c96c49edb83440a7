"""Counts with their nouns in the right form, such as 1 row and 2 rows, and lists that are cut after a few names."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, one: str, many: str = "") -> str:
    """The number with its noun: `1 row`, `1,200 rows`. many: the plural, if it is not the singular and an s.

    A verb may follow the noun: counted(2, "workbook is", "workbooks are").
    """
    return f"{number:,} {noun(number, one, many)}"


def noun(number: float, one: str, many: str = "") -> str:
    """The noun in the form that follows the number: the singular for 1, else the plural. Arguments as in `counted`."""
    return one if number == 1 else many or f"{one}s"


def some_of(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are: `a, b, c and 1,200 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
