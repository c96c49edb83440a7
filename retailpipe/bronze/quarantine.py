"""The quarantine, table bronze.rejected_rows: the rejected rows of a load, with the cells that corrections replace.

Corrections are kept in table bronze.corrected_cells for a content of a source, not for a load. So a content that is
loaded again, by `restore` or under another contract, is corrected again.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from retailpipe.bronze.documents import json_arrays
from retailpipe.bronze.kept_cells import cells_of, kept_changes
from retailpipe.errors import LoadError
from retailpipe.workbook.cells import Cell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from retailpipe.bronze.ledger import Entry
    from retailpipe.connection import Connection

OWN_HEADER = "[retailpipe]"
"""How the headers begin that `rejects --write` adds to the columns of the contract."""

RowKey = tuple[str, int]
"""The sheet and the number of a row."""


@dataclass(frozen=True)
class QuarantinedRow:
    """A rejected row as it stands.

    cells: its cells by the index of their column, with those that corrections replaced; blank cells may be missing.
    changes: the cells that corrections replaced; blank ones are empty texts.
    file_hash: SHA-256 of the workbook with the last correction; empty if there is none.
    corrected_by: the load that loaded the row with its corrections; None while it is rejected.
    reason: why it is rejected: cell, column_name, raw_value, code, message, hint.
    """

    sheet: str
    source_row: int
    cells: dict[int, Cell]
    changes: dict[int, Cell] = field(default_factory=dict[int, Cell])
    file_hash: str = ""
    corrected_by: int | None = None
    reason: tuple[str, ...] = ()

    @property
    def key(self) -> RowKey:
        return self.sheet, self.source_row


def quarantined(connection: Connection, entry: Entry) -> list[QuarantinedRow]:
    """The rejected rows of a current load, ordered by sheet and row.

    Raises LoadError if an earlier version of retailpipe, which did not keep their cells, loaded them.
    """
    found = connection.rows(
        """
        select
            rejected.sheet, rejected.source_row, rejected.cells::text, corrected.cells::text, file_hash, corrected_by,
            cell, column_name, raw_value, code, message, hint
        from bronze.rejected_rows as rejected
        left join bronze.corrected_cells as corrected
            on source = $1 and content_hash = $2
            and corrected.sheet = rejected.sheet and corrected.source_row = rejected.source_row
        where load_id = $3
        order by rejected.sheet collate "C", rejected.source_row
        """,
        entry.source,
        entry.content_hash,
        entry.load_id,
    )
    rows: list[QuarantinedRow] = []
    for sheet, number, cells, changes, file_hash, corrected_by, *reason in found:
        if cells is None:
            raise made_earlier(entry)
        original, changed = cells_of(json.loads(cells)), cells_of(json.loads(changes or "{}"))
        rows.append(
            QuarantinedRow(sheet, number, original | changed, changed, file_hash or "", corrected_by, tuple(reason))
        )
    return rows


def made_earlier(entry: Entry) -> LoadError:
    """The error for a load whose rejected rows lack their cells."""
    name = shlex.quote(entry.source)
    return LoadError(
        f"load {entry.load_id} of {entry.source} was made by an earlier version of retailpipe, which did not keep the "
        "cells of rejected rows with their types",
        hint=f"Load it again: `retailpipe forget {name} --keep-workbook`, then `retailpipe ingest {name}`.",
    )


def has_corrections(connection: Connection, source: str, content_hash: str) -> bool:
    """Whether rows of this content of a source were ever corrected."""
    return connection.row(
        "select exists (select from bronze.corrected_cells where source = $1 and content_hash = $2)",
        source,
        content_hash,
    ) == (True,)


def keep_corrections(connection: Connection, entry: Entry, rows: Iterable[QuarantinedRow]) -> None:
    """Record the changes of rows, in place of earlier changes of the same rows."""
    changed = (
        {
            "sheet": row.sheet,
            "source_row": row.source_row,
            "cells": kept_changes(row.changes),
            "file_hash": row.file_hash,
        }
        for row in rows
        if row.changes
    )
    for document in json_arrays(changed):
        connection.execute(
            """
            insert into bronze.corrected_cells (source, content_hash, sheet, source_row, cells, file_hash)
            select $1, $2, sheet, source_row, cells, file_hash
            from jsonb_to_recordset($3::jsonb) as row (sheet text, source_row integer, cells jsonb, file_hash text)
            on conflict (source, content_hash, sheet, source_row) do update
            set cells = excluded.cells, file_hash = excluded.file_hash
            """,
            entry.source,
            entry.content_hash,
            document,
        )
