"""The whole workbook is written with its rejected cells marked."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest
from openpyxl.comments import Comment

import retailpipe
from retailpipe import Environment, StoreError, UsageError
from tests.certifying.conftest import HEADERS, ROWS
from tests.support.workbooks import book_of


def test_rejected_cells_of_the_whole_workbook_are_marked(shop: Environment, tmp_path: Path) -> None:
    report = retailpipe.annotate_rejects(shop, tmp_path / "annotated.xlsx")

    (page,) = openpyxl.load_workbook(tmp_path / "annotated.xlsx").worksheets
    (before,) = openpyxl.load_workbook(tmp_path / "shop.xlsx").worksheets
    assert [*page.values] == [*before.values]
    marked = {cell.coordinate: cell.comment.text for row in page for cell in row if cell.comment}
    assert [*marked] == ["B6", "C7"]
    assert marked["C7"].startswith("1000.01 is above 1000. ")
    assert [page[cell].fill.fgColor.rgb for cell in ("B6", "C7", "A7")] == ["FFFFC7CE", "FFFFC7CE", "00000000"]
    assert (report.rows, report.cells) == (2, 2)


def test_comments_of_the_author_are_kept(shop: Environment, tmp_path: Path) -> None:
    book = openpyxl.load_workbook(book_of(tmp_path / "shop2.xlsx", {"Sales": [HEADERS, *ROWS[:1], ROWS[4]]}))
    (page,) = book.worksheets
    page["B3"].comment = Comment("half a piece", "author")
    page["H9"] = "=SUM(B2:B3)"
    book.save(tmp_path / "shop2.xlsx")
    retailpipe.ingest(shop, tmp_path / "shop2.xlsx", allow_duplicate=True)

    retailpipe.annotate_rejects(shop, tmp_path / "annotated.xlsx", source="shop2.xlsx")

    (page,) = openpyxl.load_workbook(tmp_path / "annotated.xlsx").worksheets
    assert page["B3"].comment.text.startswith("half a piece\n\n2.5 is not ")
    assert page["H9"].value == "=SUM(B2:B3)"


def test_only_the_loaded_workbook_is_annotated(shop: Environment, tmp_path: Path) -> None:
    csv = tmp_path / "shop_till.csv"
    csv.write_text("Receipt;Pieces;Price;Sold at\nR8;x;1.5;02.01.2024 10:15\n")
    retailpipe.ingest(shop, csv)

    with pytest.raises(UsageError, match=r"shop_till\.csv is not an \.xlsx file") as refused:
        retailpipe.annotate_rejects(shop, tmp_path / "annotated.xlsx", source="shop_till.csv")
    retailpipe.upload(shop, book_of(tmp_path / "shop.xlsx", {"Sales": [HEADERS, ROWS[0]]}), replace=True)
    with pytest.raises(StoreError, match="is not the workbook that load 1 loaded") as changed:
        retailpipe.annotate_rejects(shop, tmp_path / "annotated.xlsx", source="shop.xlsx")

    assert "--write" in refused.value.hint
    assert "retailpipe ingest input/shop.xlsx" in changed.value.hint
    assert not (tmp_path / "annotated.xlsx").exists()
