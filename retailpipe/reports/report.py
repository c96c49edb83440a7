"""The base class of reports."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast


class Report:
    """The base class of all reports, which are dataclasses."""

    def as_dict(self) -> dict[str, Any]:
        """The report as values that JSON can hold: dates in ISO 8601, exact decimals as strings."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}  # pyright: ignore[reportArgumentType]


def plain(value: Any) -> Any:
    """A value as JSON can hold it, as `Report.as_dict` has it."""
    if isinstance(value, Report):
        return value.as_dict()
    if isinstance(value, tuple | list):
        return [plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return value
