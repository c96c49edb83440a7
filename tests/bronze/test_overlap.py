"""Rows that other workbooks hold already: what is refused, what is only reported, and what is compared."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Contract, Environment
from retailpipe.errors import ContractError, DuplicateContent, DuplicateRows, RetailpipeError
from retailpipe.progress import NoProgress
from tests.conftest import Workbook
from tests.support.workbooks import default_contract, line


def days(first: int, last: int, **changes: object) -> list[Sequence[object]]:
    """One row for each day of January 2011 from `first` to `last`."""
    start = datetime(2011, 1, 1, 9, 30)
    return [line(quantity=day, at=start + timedelta(days=day - 1), **changes) for day in range(first, last + 1)]


def count(environment: Environment) -> int:
    (found,) = retailpipe.query(environment, "select count(*) as n from bronze.raw_transactions").to_pylist()
    return found["n"]


def test_the_same_rows_in_another_file_are_refused(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook(days(1, 10), name="january.xlsx"))
    copy = make_workbook(days(1, 10)[::-1], name="january (2).xlsx")

    with pytest.raises(DuplicateRows) as caught:
        retailpipe.ingest(environment, copy)

    assert isinstance(caught.value, DuplicateContent)
    assert "input/january (2).xlsx: 10 of 10 rows are already loaded" in str(caught.value)
    assert "10 in input/january.xlsx (2011-01-01 to 2011-01-10)" in str(caught.value)
    assert "--allow-duplicate" in caught.value.hint
    assert "`retailpipe forget 'input/january (2).xlsx'`" in caught.value.hint
    assert count(environment) == 10
    assert [load["source"] for load in retailpipe.status(environment).loads] == ["input/january.xlsx"]


def test_the_same_rows_can_be_allowed(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook(days(1, 10), name="a.xlsx"))

    (report,) = retailpipe.ingest(environment, make_workbook(days(1, 11), name="b.xlsx"), allow_duplicate=True)

    assert (report.status, report.rows_in_others) == ("loaded", 10)
    assert [(overlap.source, overlap.rows) for overlap in report.overlaps] == [("input/a.xlsx", 10)]
    assert count(environment) == 21


def test_up_to_half_of_the_rows_is_only_reported(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook(days(1, 10), name="a.xlsx"))

    (report,) = retailpipe.ingest(environment, make_workbook(days(6, 15), name="b.xlsx"))

    assert (report.rows_loaded, report.rows_in_others) == (10, 5)
    assert report.as_dict()["overlaps"] == [
        {
            "source": "input/a.xlsx",
            "rows": 5,
            "first_date": "2011-01-01T09:30:00",
            "last_date": "2011-01-10T09:30:00",
        }
    ]
    with pytest.raises(DuplicateRows, match="6 of 10 rows"):
        retailpipe.ingest(
            environment, make_workbook([*days(11, 16)[:5], *days(16, 20)[1:], days(1, 1)[0]], name="c.xlsx")
        )


def test_the_sources_together_count(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook(days(1, 5), name="a.xlsx"))
    retailpipe.ingest(environment, make_workbook(days(6, 9), name="b.xlsx"))

    with pytest.raises(DuplicateRows, match=r"9 of 10 rows.* 5 in input/a\.xlsx .*; 4 in input/b\.xlsx"):
        retailpipe.ingest(environment, make_workbook(days(1, 10), name="year.xlsx"))


def test_a_row_that_repeats_counts_as_often_as_others_hold_it(
    environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(environment, make_workbook(days(1, 1), name="a.xlsx"))

    (report,) = retailpipe.ingest(environment, make_workbook([*days(1, 1) * 3, *days(2, 2)], name="b.xlsx"))

    assert report.rows_in_others == 1


@pytest.mark.parametrize(
    "changes",
    [{"price": 2.56}, {"country": "France"}, {"code": "X"}, {"invoice": 1}],
    ids=lambda changes: str(*changes),
)
def test_rows_that_differ_in_one_column_are_other_rows(
    environment: Environment, make_workbook: Workbook, changes: dict[str, object]
) -> None:
    retailpipe.ingest(environment, make_workbook(days(1, 10), name="a.xlsx"))

    (report,) = retailpipe.ingest(environment, make_workbook(days(1, 10, **changes), name="b.xlsx"))

    assert (report.rows_in_others, report.overlaps) == (0, ())


def test_blank_cells_are_equal(environment: Environment, make_workbook: Workbook) -> None:
    blank = [(536365, "85123A", None, 6, datetime(2011, 1, 1), 2.5, None, "France")]
    retailpipe.ingest(environment, make_workbook(blank, name="a.xlsx"))

    with pytest.raises(DuplicateRows):
        retailpipe.ingest(environment, make_workbook([[*blank[0][:5], "2.50", *blank[0][6:]]], name="b.xlsx"))


def test_a_new_version_of_a_workbook_is_not_compared_with_its_old_one(
    environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(environment, make_workbook(days(1, 10)))

    (report,) = retailpipe.ingest(environment, make_workbook(days(1, 11)), replace=True)

    assert (report.status, report.rows_in_others) == ("replaced", 0)


def test_duplicates_that_were_allowed_stay_when_only_the_contract_changes(
    environment: Environment, make_workbook: Workbook, tmp_path: Path
) -> None:
    retailpipe.ingest(environment, make_workbook(days(1, 10), name="a.xlsx"))
    retailpipe.ingest(environment, make_workbook(days(1, 10), name="b.xlsx"), allow_duplicate=True)
    stricter = default_contract(tmp_path / "own.toml", ("maximum = 10000", "maximum = 9000"))

    reports = retailpipe.ingest(environment, contract=stricter)

    assert [report.status for report in reports] == ["replaced", "replaced"]


def test_the_contract_sets_the_share(environment: Environment, make_workbook: Workbook, tmp_path: Path) -> None:
    strict = default_contract(tmp_path / "strict.toml", ('max_rejects = "1%"', 'max_overlap = "0%"'))
    lenient = default_contract(tmp_path / "lenient.toml", ('max_rejects = "1%"', 'max_overlap = "100%"'))
    retailpipe.ingest(environment, make_workbook(days(1, 10), name="a.xlsx"), contract=strict)

    with pytest.raises(DuplicateRows, match=r"1 of 20 rows is already loaded .* the contract allows 0%"):
        retailpipe.ingest(environment, make_workbook(days(10, 29), name="b.xlsx"), contract=strict)
    (report,) = retailpipe.ingest(environment, make_workbook(days(1, 10)[::-1], name="c.xlsx"), contract=lenient)

    assert report.rows_in_others == 10


@pytest.mark.parametrize("value", ["5", "0.5", '"half"', '"101%"', "true"])
def test_a_share_that_is_not_one_is_an_error_with_its_line(tmp_path: Path, value: str) -> None:
    with pytest.raises(ContractError, match=r"own\.toml, line 6: max_overlap must be a share"):
        default_contract(tmp_path / "own.toml", ('max_rejects = "1%"', f"max_overlap = {value}"))


def test_rows_without_a_date_column_are_compared(
    environment: Environment, make_workbook: Workbook, tmp_path: Path
) -> None:
    (tmp_path / "codes.toml").write_text(
        'name = "codes"\ntable = "codes"\n[[columns]]\nheader = "Code"\nname = "code"\ntype = "string"\n'
    )
    codes = Contract.from_file(tmp_path / "codes.toml")
    retailpipe.ingest(environment, make_workbook([("a",), ("b",)], headers=("Code",), name="a.xlsx"), contract=codes)

    with pytest.raises(DuplicateRows, match=r"2 in input/a\.xlsx;"):
        retailpipe.ingest(
            environment, make_workbook([("b",), ("a",), ("c",)], headers=("Code",), name="b.xlsx"), contract=codes
        )


def test_a_dry_run_refuses_them_too_and_leaves_nothing(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook(days(1, 10), name="a.xlsx"))

    with pytest.raises(DuplicateRows):
        retailpipe.ingest(environment, make_workbook(days(1, 10)[::-1], name="b.xlsx"), dry_run=True)
    (report,) = retailpipe.ingest(environment, make_workbook(days(8, 20), name="c.xlsx"), dry_run=True)

    assert (report.status, report.rows_in_others, report.load_id) == ("would load", 3, None)
    assert count(environment) == 10
    assert [stored.key for stored in environment.store.workbooks()] == ["input/a.xlsx"]


def test_two_loads_at_the_same_time_see_each_other(environment: Environment, make_workbook: Workbook) -> None:
    """Both have copied their rows before one of them commits; still exactly one of them is loaded."""
    together = threading.Barrier(2, timeout=60)

    class Together(NoProgress):
        def __init__(self) -> None:
            self.met = False

        def advance(self, amount: int = 1) -> None:
            if not self.met:
                self.met = True
                together.wait()

    books = make_workbook(days(1, 10), name="a.xlsx"), make_workbook(days(1, 10)[::-1], name="b.xlsx")
    outcomes: list[str] = []

    def load(book: Path) -> None:
        try:
            outcomes.append(retailpipe.ingest(environment, book, progress=Together())[0].status)
        except RetailpipeError as error:
            outcomes.append(type(error).__name__)

    retailpipe.init(environment)
    threads = [threading.Thread(target=load, args=(book,)) for book in books]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    assert sorted(outcomes) == ["DuplicateRows", "loaded"]
    assert count(environment) == 10
