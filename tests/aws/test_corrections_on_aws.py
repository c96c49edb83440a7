"""On a stack, corrected rows are counted in the receipt of their workbook."""

from __future__ import annotations

import json
from pathlib import Path

import openpyxl

import retailpipe
from retailpipe import Environment
from retailpipe.keys import receipt_key
from tests.conftest import ROW, Workbook
from tests.support.stacks import HandMade


def test_a_correction_writes_the_receipt_again(
    on_aws: Environment, made: HandMade, make_workbook: Workbook, tmp_path: Path
) -> None:
    retailpipe.ingest(on_aws, make_workbook([ROW, (*ROW[:5], -1.0, *ROW[6:])]))
    retailpipe.write_rejects(on_aws, tmp_path / "rejects.xlsx")
    book = openpyxl.load_workbook(tmp_path / "rejects.xlsx")
    (page,) = book.worksheets
    (price,) = [cell.column for cell in page[1] if cell.value == "UnitPrice"]
    page.cell(2, price, 1.5)
    book.save(tmp_path / "rejects.xlsx")

    report = retailpipe.correct(on_aws, tmp_path / "rejects.xlsx", "book.xlsx")
    marked = retailpipe.annotate_rejects(on_aws, tmp_path / "annotated.xlsx", source="book.xlsx")

    s3, bucket = made.client("s3"), made.outputs["bucket"]
    (stored,) = on_aws.store.workbooks()
    receipt = json.loads(s3.get_object(Bucket=bucket, Key=receipt_key(stored.key, stored.etag))["Body"].read())
    assert (receipt["rows_loaded"], receipt["rows_rejected"], receipt["rows_corrected"]) == (1, 0, 1)
    assert (report.rows_corrected, marked.rows) == (1, 0)
