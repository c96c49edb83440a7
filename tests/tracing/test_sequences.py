"""After any sequence of loads, replacements, corrections and removals, every row and every cell is traced."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import openpyxl
import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.tracing.cells import whereabouts
from tests.support.every_row import wrong_rows
from tests.tracing.conftest import SHUFFLED, book_of
from tests.tracing.test_cells import cells_of

HEADERS = SHUFFLED[0]
CORRECTED = (5, -7)


def random_row(random: Random) -> list[Any]:
    choose = random.choice
    row: dict[str, Any] = {
        "Country": choose(["Spain", "Italy"]),
        "Note": choose([None, "x"]),
        "Quantity": choose([-2, 0, 1, "many"] if random.random() < 0.3 else [-2, 0, 1, 3]),
        "UnitPrice": choose([0, 0.001, 2.55, 10]),
        "CustomerID": choose([None, 7, 8]),
        "InvoiceDate": datetime(2011, choose([1, 2]), choose([1, 2, 3]), 9),
        "StockCode": choose([10, "10 ", "POST", "T'1"]),
        "Description": choose(["LAMP", " CUP", None]),
        "InvoiceNo": choose([1, 2, "C3"]),
    }
    return [row[header] for header in HEADERS]


def random_book(random: Random, path: Path) -> Path:
    """A workbook whose columns are in any order, with blank rows."""
    order = random.sample(range(len(HEADERS)), len(HEADERS))
    rows = [HEADERS, *(random_row(random) if random.random() > 0.1 else [] for _ in range(random.randint(3, 6)))]
    rows.append(random_row(random))
    return book_of(
        path, {random.choice(["Sales", "It's 5!"]): [[row[i] for i in order] if row else [] for row in rows]}
    )


def correct_some(random: Random, environment: Environment, folder: Path) -> int:
    """Correct some rejected rows of some workbook; return how many are corrected now."""
    statement = "select source from bronze.loads where status = 'loaded' and rows_rejected > 0 order by 1"
    sources = [row["source"] for row in retailpipe.query(environment, statement).to_pylist()]
    if not sources:
        return 0
    source = random.choice(sources)
    file = folder / "rejects.xlsx"
    retailpipe.write_rejects(environment, file, source=source, force=True)
    book = openpyxl.load_workbook(file)
    (page,) = book.worksheets
    (quantity,) = [cell.column for cell in page[1] if cell.value == "Quantity"]
    for line in range(page.max_row, 1, -1):
        value = random.choice([*CORRECTED, "few", None])
        if value is None:
            page.delete_rows(line)
        else:
            page.cell(line, quantity, value)
    book.save(file)
    return retailpipe.correct(environment, file, source).rows_corrected


def same(value: Any, text: str | None) -> bool:
    """Whether a value of a workbook is this text in bronze, or in the quarantine."""
    if value is None or text is None:
        return value is text
    if isinstance(value, datetime):
        return value == datetime.fromisoformat(text)
    return Decimal(text) == Decimal(str(value)) if isinstance(value, int | float) else text == value


def check_every_cell(environment: Environment) -> set[str]:
    """Check where each cell of each loaded workbook went; return where they went."""
    went: set[str] = set()
    with environment.warehouse.connect(read_only=True) as connection:
        sources = connection.rows("select source from bronze.loads where status = 'loaded'")
        for (source,) in sources:
            for address, value in cells_of(environment.folder / source).items():
                found = whereabouts(environment, connection, address)
                went.add(found.went)
                if found.went in ("bronze", "blank", "rejected"):
                    assert same(value, found.value) or found.column is None, (address, value, found)
                elif found.went == "corrected":
                    is_mended = found.column == "quantity" and found.value in map(str, CORRECTED)
                    assert same(value, found.original), (address, value, found)
                    assert is_mended or same(value, found.value), (address, value, found)
                else:
                    assert found.went in ("header", "left out"), (address, found)
    return went


def run_sequence(environment: Environment, folder: Path, seed: int, *, builds: int) -> int:
    """Load, replace, forget and correct workbooks at random, and check all after each build; return the corrections."""
    random = Random(seed)
    places: set[str] = set()
    loaded: set[str] = set()
    known: list[tuple[Path, bytes]] = []
    corrected = 0
    for _ in range(builds):
        for _ in range(random.randint(3, 5)):
            if len(loaded) > 1 and random.random() < 0.25:
                forgotten = random.choice(sorted(loaded))
                retailpipe.forget(environment, forgotten)
                loaded.remove(forgotten)
            else:
                book = random_book(random, folder / random.choice(["a.xlsx", "b.xlsx", "c.xlsx"]))
                if known and random.random() < 0.3:  # corrections come back with their content
                    book, content = random.choice(known)
                    book.write_bytes(content)
                retailpipe.ingest(environment, book, replace=True, allow_duplicate=True)
                known.append((book, book.read_bytes()))
                loaded.add(book.name)
            corrected += correct_some(random, environment, folder)
        assert retailpipe.transform(environment).ok
        assert retailpipe.verify(environment).ok
        assert wrong_rows(environment) == {}
        places |= check_every_cell(environment)
    assert {"bronze", "header", "left out", "blank"} <= places
    return corrected


def test_after_a_sequence_of_loads_every_row_and_cell_is_traced(built_environment: Environment, tmp_path: Path) -> None:
    assert run_sequence(built_environment, tmp_path, 20, builds=1)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(8))
def test_after_many_sequences_of_loads_every_row_and_cell_is_traced(
    built_environment: Environment, tmp_path: Path, seed: int
) -> None:
    run_sequence(built_environment, tmp_path, seed, builds=4)
