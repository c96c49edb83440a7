"""Receipts: what tells a stack's Lambdas that a workbook is loaded, when they cannot see the database.

After a load the library puts a small JSON object under `receipts/`; the key names the workbook and its content, so
that a listing alone says what waits. This module needs the standard library only: it is packed with the Lambdas.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from urllib.parse import quote

INPUT = "input/"
RECEIPTS = "receipts/"
SUFFIX = ".xlsx"
VERSION = 1


@dataclass(frozen=True)
class Receipt:
    """One load of one content of a workbook.

    key: the workbook's, such as input/2011.xlsx.
    etag: the S3 object's ETag, without quotes.
    content_hash: SHA-256 of the bytes, as in the ledger.
    loaded_at: ISO 8601, UTC.
    """

    key: str
    etag: str
    content_hash: str
    load_id: int
    rows_loaded: int
    rows_rejected: int
    loaded_at: str

    @property
    def receipt_key(self) -> str:
        return receipt_key(self.key, self.etag)

    def as_json(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, ensure_ascii=False)


def receipt_key(key: str, etag: str) -> str:
    """Where the receipt for a content of a workbook lies."""
    return f"{RECEIPTS}{quote(key, safe='/')}/{etag.strip(chr(34))}.json"


def is_workbook(key: str) -> bool:
    """Whether a key is that of a workbook to load."""
    return key.startswith(INPUT) and is_workbook_name(key.rpartition("/")[2])


def is_workbook_name(name: str) -> bool:
    """Whether a file of this name is a workbook to load: not one that Excel keeps while it is open, nor hidden."""
    return name.lower().endswith(SUFFIX) and not name.startswith(("~$", "."))


def waiting(workbooks: Iterable[tuple[str, str]], receipts: Iterable[str]) -> list[str]:
    """The keys, of (key, ETag) pairs, for whose content there is no receipt among the keys of receipts."""
    there = set(receipts)
    return [key for key, etag in workbooks if is_workbook(key) and receipt_key(key, etag) not in there]
