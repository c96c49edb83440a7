"""Read the rows of one load from bronze and from the quarantine, in the order of the workbook and in bounded memory.

Each column gets a digest on the way: the SHA-256 of the JSON array of its values, each a string or null, written
without blanks and in ASCII. The digest of the table is that of the names and digests of its columns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from retailpipe.certifying.cells import Cell, index_of, kept_cell
from retailpipe.contract_columns import Column

if TYPE_CHECKING:
    from retailpipe.bronze.ledger import Entry
    from retailpipe.connection import Connection

_ROWS_AT_ONCE = 10_000
SHEET, ROW = "source_sheet", "source_row"


class StoredRow(NamedTuple):
    """A row of bronze: its sheet and row in the workbook, and its values as texts, in the order of the columns."""

    sheet: str
    row: int
    values: tuple[str | None, ...]


class RejectedRow(NamedTuple):
    """A row of the quarantine.

    texts: its cells by header.
    corrected_by: the load that loaded it with corrections; None while it is rejected.
    corrections: the cells that replace those of the workbook, by the index of their column; None for a blank cell.
    """

    sheet: str
    row: int
    cell: str
    column: str
    raw_value: str
    texts: dict[str, str]
    corrected_by: int | None
    corrections: dict[int, Cell | None]


@dataclass(frozen=True)
class CorrectionLoad:
    """A load that corrects rows of another one.

    content_hash: SHA-256 of the file with the corrections, or of the workbook if its rows were judged again.
    """

    load_id: int
    content_hash: str
    contract_hash: str
    rows: int


@dataclass(frozen=True)
class ColumnDigest:
    """The SHA-256 of the values of a column of bronze, and how many of them are not null."""

    name: str
    type: str
    filled: int
    sha256: str


class StoredRows:
    """An iterator over the rows of a load in bronze, ordered by sheet and row.

    columns: the names and types of the columns of the contract that the load has.
    several_sheets: whether the table names the sheet of each row; otherwise `sheet` is the sheet of all rows.
    """

    def __init__(
        self,
        connection: Connection,
        table: str,
        load_id: int,
        columns: Sequence[tuple[str, str]],
        *,
        several_sheets: bool,
        sheet: str = "",
    ) -> None:
        self.rows = 0
        self._sheet = sheet
        own = [(ROW, "int32"), *([(SHEET, "string")] if several_sheets else [])]
        self._several = several_sheets
        self._digests = [_Digest(name, kind) for name, kind in (*own, *columns)]
        expressions = ", ".join(_as_text(name, kind) for name, kind in (*own, *columns))
        # With its table's name, a column in `order by` is the one of the table, not its text in the result.
        order = ", ".join([*([f'loaded."{SHEET}" collate "C"'] if several_sheets else []), f'loaded."{ROW}"'])
        rows = f'bronze."{table}" as loaded where load_id = {load_id}'
        self._query = f"select {expressions} from {rows} order by {order}"
        self._cursor = f"rows_of_{load_id}"
        self._connection = connection

    def __iter__(self) -> Iterator[StoredRow]:
        first = 2 if self._several else 1
        for batch in _batches(self._connection, self._cursor, self._query):
            self.rows += len(batch)
            for digest, values in zip(self._digests, zip(*batch, strict=True), strict=True):
                digest.add(values)
            for row in batch:
                yield StoredRow(row[1] if self._several else self._sheet, int(row[0]), row[first:])

    def digest(self) -> str:
        """The digest of all columns. The rows must have been read."""
        return table_digest(self.rows, [(each.name, each.sha256) for each in self.digests()])

    def digests(self) -> tuple[ColumnDigest, ...]:
        """The digests of all columns. The rows must have been read."""
        return tuple(digest.done() for digest in self._digests)


def correction_loads(connection: Connection, load_id: int) -> list[CorrectionLoad]:
    """The loads that correct rows of a current load, in their order."""
    # A schema of an earlier version has no corrections, and not all of these columns.
    rows = connection.rows(
        "select load_id, content_hash, contract_hash, rows_loaded from bronze.loads "
        "where status = 'correction' and (to_jsonb(loads) ->> 'corrects')::bigint = $1 order by load_id",
        load_id,
    )
    return [CorrectionLoad(*row) for row in rows]


def rejected_rows(connection: Connection, entry: Entry) -> Iterator[RejectedRow]:
    """Yield the rows of a load in the quarantine, ordered by sheet and row."""
    corrected = f"""
        left join bronze.corrected_cells as corrected
            on source = {_literal(entry.source)} and content_hash = {_literal(entry.content_hash)}
            and corrected.sheet = rejected.sheet and corrected.source_row = rejected.source_row
    """
    columns = "corrected_by, corrected.cells::text"
    if connection.row("select to_regclass('bronze.corrected_cells') is null") == (True,):
        corrected, columns = "", "null::bigint, null::text"
    statement = f"""
        select rejected.sheet, rejected.source_row, cell, column_name, raw_value, raw_row::text, {columns}
        from bronze.rejected_rows as rejected {corrected}
        where load_id = {entry.load_id} order by rejected.sheet collate "C", rejected.source_row
    """
    for batch in _batches(connection, f"rejects_of_{entry.load_id}", statement):
        for sheet, row, cell, column, raw_value, texts, corrected_by, cells in batch:
            kept: dict[str, list[str]] = json.loads(cells or "{}")
            changes = {index_of(letters): kept_cell(*pair) for letters, pair in kept.items()}
            yield RejectedRow(sheet, row, cell, column, raw_value, json.loads(texts), corrected_by, changes)


def _literal(text: str) -> str:
    """A text as a constant of SQL: a cursor takes no parameters."""
    return f"convert_from(decode('{text.encode().hex()}', 'hex'), 'UTF8')"


def stored_columns(columns: Sequence[Column]) -> list[tuple[str, str]]:
    """The names and types of a contract's columns."""
    return [(column.name, column.type) for column in columns]


def table_digest(rows: int, columns: Sequence[tuple[str, str]]) -> str:
    """The digest of a table from its number of rows, and the names and digests of its columns."""
    document = json.dumps({"rows": rows, "columns": [list(each) for each in columns]}, separators=(",", ":"))
    return hashlib.sha256(document.encode()).hexdigest()


class _Digest:
    def __init__(self, name: str, kind: str) -> None:
        self._name = name
        self._kind = kind
        self._filled = 0
        self._hash = hashlib.sha256(b"[")
        self._is_first = True

    def add(self, values: Sequence[str | None]) -> None:
        text = json.dumps(values, separators=(",", ":"))[1:-1]
        self._hash.update(f"{'' if self._is_first else ','}{text}".encode())
        self._is_first = False
        self._filled += len(values) - values.count(None)

    def done(self) -> ColumnDigest:
        final = self._hash.copy()
        final.update(b"]")
        return ColumnDigest(self._name, self._kind, self._filled, final.hexdigest())


def _as_text(name: str, kind: str) -> str:
    """The SQL expression of a column's values as text, as `values` describes it."""
    if kind.startswith("decimal"):
        return f'trim_scale("{name}")::text'
    if kind == "timestamp[us]":
        return f"""to_char("{name}", 'YYYY-MM-DD"T"HH24:MI:SS.US')"""
    if kind == "date32":
        return f"""to_char("{name}", 'YYYY-MM-DD')"""
    return f'"{name}"::text'


def _batches(connection: Connection, name: str, query: str) -> Iterator[list[tuple[Any, ...]]]:
    """Run a query with a cursor of the transaction, and yield its rows in batches.

    After an error, the end of the transaction closes the cursor: a statement would fail, and hide the error.
    """
    connection.execute(f"declare {name} no scroll cursor for {query}")
    while batch := connection.rows(f"fetch forward {_ROWS_AT_ONCE} from {name}"):
        yield batch
    connection.execute(f"close {name}")
