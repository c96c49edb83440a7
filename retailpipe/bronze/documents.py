"""Rows as JSON for statements, in a form that PostgreSQL can store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from retailpipe.bronze.nul import without_nul

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LONGEST_ARRAY = 1 << 25
"""In characters of JSON, of which each is one byte."""


def json_arrays(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the rows as JSON arrays for statements; no array if there are no rows.

    PostgreSQL takes at most 255 MB in one array, and the rejected rows of a large workbook may have more.
    """
    texts: list[str] = []
    size = 0
    for row in rows:
        texts.append(json.dumps(storable(row)))
        size += len(texts[-1])
        if size > _LONGEST_ARRAY:
            yield f"[{','.join(texts)}]"
            texts, size = [], 0
    if texts:
        yield f"[{','.join(texts)}]"


def storable(value: Any) -> Any:
    """A JSON value as PostgreSQL can store it, with all its texts."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {storable(key): storable(item) for key, item in items}
    return without_nul(value) if isinstance(value, str) else value
