"""The options of `rejects` and `ingest` for corrections."""

from __future__ import annotations

import json
from pathlib import Path

import openpyxl
import pytest

import retailpipe
from retailpipe import Environment
from tests.certifying.conftest import change
from tests.conftest import ROW, Program, Workbook
from tests.corrections.conftest import mended

BAD_PRICE = (*ROW[:5], -1.0, *ROW[6:])


@pytest.fixture
def loaded(program: Program, make_workbook: Workbook, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAILPIPE_DATABASE_URL", database_url)
    program("ingest", make_workbook([ROW, BAD_PRICE, BAD_PRICE]))


@pytest.mark.usefixtures("loaded")
def test_rejected_rows_go_out_and_come_back(program: Program, tmp_path: Path) -> None:
    written = program("rejects", "--write", "rejects.xlsx")
    again = program("rejects", "book.xlsx", "--write", "rejects.xlsx")
    book = openpyxl.load_workbook(tmp_path / "rejects.xlsx")
    (page,) = book.worksheets
    (price,) = [cell.column for cell in page[1] if cell.value == "UnitPrice"]
    page.cell(2, price, 1.5)
    book.save(tmp_path / "rejects.xlsx")
    corrected = program("ingest", "rejects.xlsx", "--corrects", "book.xlsx")
    status = program("status")
    rejects = program("rejects")
    replayed = program("ingest", "--replay", "book.xlsx", "--json")

    assert written.stdout == "wrote 2 rejected rows of input/book.xlsx with 2 marked cells to rejects.xlsx\n"
    assert again.returncode == 2
    assert again.stderr.splitlines() == [
        "error: rejects.xlsx already exists",
        "hint: Pass --force to overwrite it, or another file.",
    ]
    first, reject, build = corrected.stdout.splitlines()
    assert first.startswith("input/book.xlsx: load 2 corrects load 1 in ")
    assert first.endswith("(1 corrected, 1 still rejected); 1 row of the workbook is rejected now")
    assert reject == "  rejected F4: -1 is below 0"
    assert build.startswith("build silver and gold with `")
    header, _, correction, load, *_ = status.stdout.splitlines()[1:]
    assert "rows_corrected" in header
    assert "correction" in correction
    assert load.split()[:6] == ["1", "loaded", "input/book.xlsx", "1", "1", "1"]
    assert "corrected_by" in rejects.stdout.splitlines()[0]
    document = json.loads(replayed.stdout)
    assert (document["status"], document["rows_read"], document["rows_left"]) == ("unchanged", 1, 1)


@pytest.mark.usefixtures("loaded")
def test_quarantine_that_forgot_a_correction_is_not_verified(
    program: Program, tmp_path: Path, database_url: str
) -> None:
    environment = Environment.local(tmp_path, database_url=database_url)
    program("rejects", "--write", "rejects.xlsx")
    retailpipe.correct(environment, mended(tmp_path / "rejects.xlsx", {3: {"UnitPrice": 1}}), "book.xlsx")
    assert retailpipe.run(environment).ok

    change(environment, "update bronze.rejected_rows set corrected_by = null")

    [broken] = [each for each in retailpipe.verify(environment).invariants if not each.ok]
    assert (broken.name, broken.actual) == ("loads whose rows or rejected rows differ from the ledger", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ingest", "--corrects", "book.xlsx"], "--corrects needs one file"),
        (["ingest", "a.xlsx", "--corrects", "b", "--replay", "b"], "--corrects and --replay do different things"),
        (["ingest", "a.xlsx", "--corrects", "b", "--dry-run"], "--corrects and --dry-run cannot be combined"),
        (["ingest", "a.xlsx", "--corrects", ""], "--corrects needs a workbook"),
        (["ingest", "--replay", ""], "--replay needs a workbook"),
        (["ingest", "a.xlsx", "--corrects", "b", "--skip-failed"], "--corrects and --skip-failed cannot be combined"),
        (["ingest", "a.xlsx", "--replay", "b"], "--replay reads no file"),
        (["rejects", "--write", "a.xlsx", "--limit", "5"], "--limit is for the list"),
        (["rejects", "--force"], "--contract and --force are for --write and --annotate"),
        (["rejects", "--write", "a.xlsx", "--annotate", "b.xlsx"], "--write and --annotate write different workbooks"),
    ],
)
def test_options_that_do_not_fit_are_refused(program: Program, arguments: list[str], message: str) -> None:
    done = program(*arguments)

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
