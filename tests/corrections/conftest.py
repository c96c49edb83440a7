"""An environment with rejected rows, and the author of the data, who corrects them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openpyxl
import pytest

import retailpipe
from retailpipe import Environment
from tests.certifying.conftest import CONTRACT, HEADERS, ROWS
from tests.support.workbooks import book_of

ROW = "[retailpipe] row"


@pytest.fixture
def shop(built_environment: Environment, tmp_path: Path) -> Environment:
    """An environment with shop.xlsx: its rows 6 and 7 are rejected. No model reads its table."""
    (built_environment.folder / "contracts" / "shop.toml").write_text(CONTRACT)
    load(built_environment, tmp_path / "shop.xlsx")
    return built_environment


def load(environment: Environment, path: Path, rows: Any = ROWS, **options: Any) -> None:
    retailpipe.ingest(environment, book_of(path, {"Sales": [HEADERS, *rows]}), **options)


def rejects_file(environment: Environment, path: Path) -> Path:
    """Write the rejected rows to a file."""
    retailpipe.write_rejects(environment, path, force=True)
    return path


def mended(path: Path, changes: Mapping[int, Mapping[str, Any]], *, name: str = "mended.xlsx") -> Path:
    """A copy of a file of rejected rows with other cells, by the number of their row and by header.

    A row whose changes are empty is deleted.
    """
    book = openpyxl.load_workbook(path)
    (page,) = book.worksheets
    columns = {cell.value: cell.column for cell in page[1]}
    for line in range(page.max_row, 1, -1):
        number = page.cell(line, columns[ROW]).value
        if changes.get(number) == {}:
            page.delete_rows(line)
        for header, value in changes.get(number, {}).items():
            page.cell(line, columns[header], value).value = value
    book.save(path.parent / name)
    return path.parent / name


def rows(environment: Environment, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in retailpipe.query(environment, sql).to_pylist()]


LEDGER = "select load_id, status, rows_read, rows_loaded, rows_rejected, rows_corrected, corrects from bronze.loads"
RECEIPTS = "select receipt, source_row, load_id from bronze.shop_rows order by 1"
QUARANTINE = "select source_row, cell, code, corrected_by from bronze.rejected_rows order by 1"
