"""Keys in a store, and receipts: objects that show a stack's Lambdas which workbooks are loaded.

The Lambdas cannot read the database. So the library writes a small JSON object under `receipts/` after each load. Its
key contains the key and the ETag of the workbook: listing the keys is enough to find workbooks that are not loaded.
This module must import only the standard library, because it is packaged with the Lambdas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from urllib.parse import quote

INPUT = "input/"
RECEIPTS = "receipts/"
REPORTS = "reports/"
WORKERS = "workers/"
"""What the workers of a stack install, and the files of their runs."""
SUFFIX = ".xlsx"
CSV_SUFFIX = ".csv"
SUFFIXES = (SUFFIX, CSV_SUFFIX)
VERSION = 1
_HIDING = re.compile(r"^(?:~\$|\.)+")
"""The beginning of the name of a hidden file, or of Excel's lock file (~$)."""


@dataclass(frozen=True)
class Receipt:
    """The receipt of one load of one content of a workbook.

    key: the workbook's key, such as input/2011.xlsx.
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
    rows_corrected: int = 0

    @property
    def receipt_key(self) -> str:
        return receipt_key(self.key, self.etag)

    def as_json(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, ensure_ascii=False)


def receipt_key(key: str, etag: str) -> str:
    """The key of the receipt for one content of a workbook."""
    return f"{receipts_prefix(key)}{etag.strip(chr(34))}.json"


def receipts_prefix(key: str) -> str:
    """The prefix of all receipts of a workbook, and of the notes about its failures."""
    return f"{RECEIPTS}{quote(key, safe='/')}/"


def is_workbook(key: str) -> bool:
    """Whether this is the key of a workbook to load."""
    return key.startswith(INPUT) and is_workbook_name(key.rpartition("/")[2])


def is_workbook_name(name: str) -> bool:
    """Whether this is the file name of a workbook to load, not of a hidden file or of Excel's lock file (~$)."""
    return name.lower().endswith(SUFFIXES) and not _HIDING.match(name)


def workbook_name(name: str) -> str:
    """Return a name like this one that is the name of a workbook to load: not hidden, and with a suffix.

    A file that is stored under a hidden name would never be loaded, and nothing would report it.
    """
    suffix = next((name[-len(each) :] for each in SUFFIXES if name.lower().endswith(each)), "")
    stem = _HIDING.sub("", name.removesuffix(suffix))
    return (stem or "source") + (suffix or SUFFIX)


def printable(text: str) -> str:
    """Escape the unprintable characters of a text, so that a key with a line break cannot fake a line of a notice."""
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    """Return the escape sequence that Python and bash's $'...' both read as this character."""
    number = ord(character)
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character) or (
        f"\\u{number:04x}" if number < 1 << 16 else f"\\U{number:08x}"
    )


def is_csv_name(name: str) -> bool:
    """Whether a workbook of this name, or with this key, is read as a CSV file."""
    return name.lower().endswith(CSV_SUFFIX)


def waiting(workbooks: Iterable[tuple[str, str]], receipts: Iterable[str]) -> list[str]:
    """Return the keys of the workbooks that have no receipt for their current content.

    workbooks: pairs of key and ETag.
    receipts: the keys of all receipts.
    """
    existing = set(receipts)
    return [key for key, etag in workbooks if is_workbook(key) and receipt_key(key, etag) not in existing]
