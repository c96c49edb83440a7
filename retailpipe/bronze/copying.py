"""Stream accepted rows into a table of bronze."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

import pyarrow as pa

from retailpipe.contract import Contract
from retailpipe.errors import LoadError, WarehouseError
from retailpipe.workbook.cells import cell_address
from retailpipe.workbook.sheet import place_of

if TYPE_CHECKING:
    from retailpipe.connection import Connection
    from retailpipe.workbook.sheet import Layout


def copy_rows(
    connection: Connection,
    contract: Contract,
    batches: Iterator[tuple[pa.RecordBatch, Layout]],
    load_id: int,
    source: str,
    target: tuple[str, str] | None = None,
) -> None:
    """Stream the rows, each with its load_id, into the contract's table, or into another table with its columns.

    One COPY loads all batches, unless the type of a decimal column widens: then another COPY starts. If PostgreSQL
    refuses a value, raises LoadError with the cell that holds it.
    """
    number = pa.scalar(load_id, pa.int64())
    field = pa.field("load_id", pa.int64(), nullable=False)
    # The row numbers and the sheet of each batch that was sent, to find the cell of a refused value.
    sent: list[tuple[pa.Array, Layout]] = []
    copied = 0  # rows sent by the COPYs before the current one

    def numbered() -> Iterator[pa.RecordBatch]:
        for batch, layout in batches:
            sent.append((batch.column("source_row"), layout))
            yield batch.append_column(field, pa.repeat(number, batch.num_rows))

    try:
        for schema, same_schema in groupby(numbered(), key=attrgetter("schema")):
            copied = sum(len(numbers) for numbers, _ in sent[:-1])
            connection.ingest(*(target or ("bronze", contract.table)), schema, same_schema)
    except WarehouseError as error:
        if not error.copied:
            raise
        index, column = copied + error.copied[0] - 1, contract.arrow_schema.names.index(error.copied[1])
        for numbers, layout in sent:
            sheet_column = layout.columns[column]
            if index < len(numbers) and sheet_column is not None:
                cell = cell_address(numbers[index].as_py(), sheet_column)
                raise LoadError(f"{place_of(source, layout.sheet)}, cell {cell}: {error}", hint=error.hint) from error
            index -= len(numbers)
        raise
