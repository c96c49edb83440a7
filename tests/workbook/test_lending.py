"""A file that Arrow reads is given back before its reader goes on: Python could end while Arrow's thread needs it."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import pytest

from retailpipe.errors import WorkbookError
from retailpipe.workbook.delimited import CsvSheet
from retailpipe.workbook.lending import Loan

ROW = "a,1\n"
ROWS = ROW * 600_000
"""More than two blocks."""


def test_the_end_of_a_loan_waits_for_the_thread_that_has_the_file() -> None:
    loan = Loan(io.BytesIO(b"abc"))
    held = [loan.file().read(2), loan.file(), loan.handler(print)]
    thread = threading.Thread(target=lambda: (time.sleep(0.2), held.clear()))
    thread.start()

    assert loan.end()
    assert held == []
    thread.join()


def test_an_error_of_the_file_is_kept_and_ends_it() -> None:
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise OSError(size)

    loan = Loan(Broken())

    assert loan.file().read(3) == b""
    assert isinstance(loan.error, OSError)
    assert loan.end()


@pytest.mark.parametrize("chunks", [2, None], ids=["stopped early", "read to the end"])
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (ROW, None),
        (ROWS, None),
        (f"{ROWS}a,1,2\n", "it has 3 fields"),
        (ROWS + "a,1,2\n" * 2_000, "it has 3 fields"),
        (f"{ROWS}a,{'x' * 3_000_000}\n", "a field has more than"),
        (f"{ROWS}Ä,1\n", "is not UTF-8"),
    ],
    ids=["one row", "many rows", "an uneven row", "many uneven rows", "a long row", "another encoding"],
)
def test_a_csv_file_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: str, expected: str | None, chunks: int | None
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"Code,Price\n{rows}", "cp1252")
    ended: list[bool] = []
    end = Loan.end
    monkeypatch.setattr(Loan, "end", lambda loan: ended.append(end(loan)))

    found = CsvSheet(path, "a.csv").rows(None)
    faults: list[str] = []
    try:
        for number, chunk in enumerate(found, 1):
            faults += map(str, chunk.faults.values())
            if number == chunks:
                break
    except WorkbookError as error:
        faults.append(str(error))
    found.close()

    assert ended == [True]
    if chunks is None and expected:
        assert expected in faults[0]
