"""The statement of a certificate (in-toto Statement v1), and its consistency.

docs/certify.md describes every field of the predicate.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

from retailpipe.certifying.stored import ColumnDigest, CorrectionLoad, table_digest

if TYPE_CHECKING:
    from retailpipe.bronze.ledger import Entry
    from retailpipe.certifying.comparison import Comparison
    from retailpipe.certifying.layout import Table
    from retailpipe.contract import Contract
    from retailpipe.reports import VerifyReport
    from retailpipe.snapshots import Snapshot

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:retailpipe:certificate:v1"
_PLACES = ("in_bronze", "in_quarantine", "left_out", "skipped", "in_header", "above_header", "lost")


def statement(
    address: str,
    snapshot: Snapshot,
    entry: Entry,
    contract: Contract,
    tables: Sequence[Table],
    found: Comparison,
    columns: Sequence[ColumnDigest],
    verification: VerifyReport,
) -> dict[str, Any]:
    """The statement that a workbook is in the warehouse. address: of the store."""
    subject: dict[str, Any] = {"name": snapshot.key, "digest": {"sha256": snapshot.content_hash}}
    subject["uri"] = f"{address}/{snapshot.key}" if "://" in address else f"file:{snapshot.key}"
    if snapshot.version:
        subject["annotations"] = {"version": snapshot.version}
    second = "csv" if not tables[0].name else "openpyxl"
    readers = {"python": platform.python_version(), **({"openpyxl": version("openpyxl")} if second != "csv" else {})}
    return {
        "_type": STATEMENT,
        "subject": [subject],
        "predicateType": PREDICATE,
        "predicate": {
            "createdAt": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"retailpipe": version("retailpipe"), **readers},
            "contract": {"name": contract.name, "fingerprint": contract.fingerprint},
            "load": {
                "loadId": entry.load_id,
                "finishedAt": entry.finished_at.isoformat(),
                "table": f"bronze.{entry.table_name}",
            },
            "sheets": [
                {"name": table.name, "headerRow": table.header_row, "columns": _columns(table)} for table in tables
            ],
            "rows": asdict(found.rows),
            "cells": {"filled": found.cells.filled, **asdict(found.cells)},
            "columns": [asdict(each) for each in columns],
            "sha256": table_digest(found.rows.in_bronze, [(each.name, each.sha256) for each in columns]),
            "invariants": [asdict(each) for each in verification.invariants],
            "tables": dict(verification.tables),
        },
    }


def described(corrections: Sequence[CorrectionLoad], digests: Mapping[int, str]) -> list[dict[str, Any]]:
    """The loads of corrections. digests: of their rows in bronze, by load."""
    return [
        {
            "loadId": each.load_id,
            "contentHash": each.content_hash,
            "rows": each.rows,
            "sha256": digests[each.load_id],
        }
        for each in corrections
    ]


def encoded(document: Mapping[str, Any]) -> bytes:
    """A statement as the bytes that are signed."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _columns(table: Table) -> dict[str, str]:
    """The letters of each column of the contract in the sheet."""
    from retailpipe.certifying.cells import letters

    pairs = zip(table.contract.columns, table.columns, strict=True)
    return {column.name: letters(index) for column, index in pairs if index is not None}


class NotACertificate(ValueError):
    """A payload is not the statement of a certificate; the text of the error says why."""


@dataclass(frozen=True)
class Certified:
    """What a certificate says, as far as it can be checked.

    columns: the columns of bronze, with their digests. problems: figures that contradict each other.
    corrections: the digest of each load of corrections, by load.
    """

    source: str
    content_hash: str
    created_at: str
    load_id: int
    table: str
    several_sheets: bool
    rows: int
    columns: tuple[ColumnDigest, ...]
    problems: tuple[str, ...]
    corrections: dict[int, str]


def certified(document: Mapping[str, Any]) -> Certified:
    """Read a statement whose signature is verified. Raises ValueError."""
    if document.get("_type") != STATEMENT:
        raise NotACertificate(f"its statement is not an {STATEMENT}")
    if document.get("predicateType") != PREDICATE:
        raise NotACertificate(f"it is a statement of another kind: its predicateType is not {PREDICATE}")
    try:
        [subject] = cast("list[dict[str, Any]]", document["subject"])
        predicate: dict[str, Any] = document["predicate"]
        rows, cells = predicate["rows"], predicate["cells"]
        columns = tuple(ColumnDigest(**each) for each in predicate["columns"])
        found = Certified(
            source=_text(subject["name"]),
            content_hash=_text(subject["digest"]["sha256"]),
            created_at=_text(predicate["createdAt"]),
            load_id=_whole(predicate["load"]["loadId"]),
            table=_text(predicate["load"]["table"]).removeprefix("bronze."),
            several_sheets=any(each.name == "source_sheet" for each in columns),
            rows=_whole(rows["in_bronze"]),
            columns=columns,
            problems=(),
            corrections={_whole(each["loadId"]): _text(each["sha256"]) for each in predicate.get("corrections", [])},
        )
        problems = _problems(predicate, found, rows, cells)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotACertificate(f"its statement has another form: {error}") from error
    return replace(found, problems=tuple(problems))


def _problems(
    predicate: Mapping[str, Any], found: Certified, rows: Mapping[str, int], cells: Mapping[str, int]
) -> list[str]:
    problems: list[str] = []
    if table_digest(found.rows, [(each.name, each.sha256) for each in found.columns]) != predicate["sha256"]:
        problems.append("the digest of the table is not that of its columns")
    corrected = rows.get("corrected", 0)  # certificates of earlier versions know no corrections
    if rows["in_workbook"] != rows["in_bronze"] + rows["in_quarantine"] + corrected:
        problems.append("its rows in bronze and in the quarantine are not those of the workbook")
    if corrected != sum(_whole(each["rows"]) for each in predicate.get("corrections", [])):
        problems.append("its corrected rows are not those of its corrections")
    if cells["filled"] != sum(cells[place] for place in _PLACES) or cells["lost"]:
        problems.append("its cells do not add up, or some are lost")
    if not all(each["ok"] is True for each in predicate["invariants"]):
        problems.append("it lists an invariant that does not hold")
    return problems


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value
