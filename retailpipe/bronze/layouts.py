"""Table bronze.sheet_layouts: which column of its sheet each column of a load came from.

With it, a row of bronze and the name of a column give the address of a cell: the row is `source_row`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retailpipe.bronze.nul import without_nul

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from retailpipe.connection import Connection
    from retailpipe.contract import Contract
    from retailpipe.workbook.sheet import Layout


@dataclass(frozen=True)
class SheetLayout:
    """The layout of one sheet of a load. Columns of the sheet are given by index; 0 is column A.

    sheet: the sheet's name; empty for a CSV file.
    header_row: the row number of the header, as Excel shows it.
    columns: the column of the sheet for each column in bronze, by name; a column that the sheet lacks is left out.
    headers: the header of each column of the sheet that has one.
    """

    sheet: str
    header_row: int
    columns: dict[str, int]
    headers: dict[int, str]

    def name_of(self, index: int) -> str | None:
        """The column in bronze that came from a column of the sheet; None if the contract leaves it out."""
        return next((name for name, column in self.columns.items() if column == index), None)


def sheet_layouts(contract: Contract, layouts: Iterable[Layout]) -> list[SheetLayout]:
    """The layouts of the sheets that were read under a contract."""
    names = [column.name for column in contract.columns]
    return [
        SheetLayout(
            layout.sheet,
            layout.header_row,
            {name: index for name, index in zip(names, layout.columns, strict=True) if index is not None},
            layout.headers,
        )
        for layout in layouts
    ]


def record(connection: Connection, load_id: int, layouts: Sequence[SheetLayout]) -> None:
    """Record the layouts of the sheets of a load, in the transaction of the load."""
    rows = [
        {
            "sheet": without_nul(each.sheet),
            "header_row": each.header_row,
            "columns": each.columns,
            "headers": {str(index): without_nul(text) for index, text in each.headers.items()},
        }
        for each in layouts
    ]
    connection.execute(
        f"""
        insert into bronze.sheet_layouts
        select {load_id}, sheet, header_row, columns, headers
        from jsonb_to_recordset($1::jsonb) as layout (sheet text, header_row integer, columns jsonb, headers jsonb)
        on conflict do nothing
        """,
        json.dumps(rows),
    )


def recorded(connection: Connection, load_ids: Iterable[int]) -> dict[int, list[SheetLayout]]:
    """The recorded layouts by load; a load of a version of retailpipe that did not record them is left out."""
    if connection.row("select to_regclass('bronze.sheet_layouts') is null") == (True,):
        return {}
    rows = connection.rows(
        "select load_id, sheet, header_row, columns::text, headers::text from bronze.sheet_layouts "
        "where load_id in (select jsonb_array_elements($1::jsonb)::bigint) order by load_id, sheet",
        json.dumps([*load_ids]),
    )
    found: dict[int, list[SheetLayout]] = {}
    for load_id, sheet, header_row, columns, headers in rows:
        by_index = {int(index): text for index, text in json.loads(headers).items()}
        found.setdefault(load_id, []).append(SheetLayout(sheet, header_row, json.loads(columns), by_index))
    return found
