"""Loads into bronze: what is loaded, replaced, unchanged or refused, with the resulting ledger and rejected rows."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import retailpipe
from retailpipe import Contract, Environment, LoadReport
from retailpipe.backlog import waiting
from retailpipe.bronze.locks import lock, lock_for_build
from retailpipe.errors import (
    ContractError,
    DuplicateContent,
    RetailpipeError,
    SheetError,
    SourceNotFound,
    TooManyRejects,
    WorkbookError,
)
from retailpipe.progress import NoProgress
from retailpipe.queries import rejects, status
from retailpipe.reports import SomeNotLoaded
from retailpipe.sample import write_sample
from tests.conftest import HEADERS, Workbook
from tests.support.workbooks import default_contract, line

LEDGER = "select load_id, source, status, replaced_by, rows_loaded, rows_rejected from bronze.loads order by 1"
ORDERS = """
name = "orders"
table = "order"

[[columns]]
header = "Order"
name = "order"
type = "int64"
required = true

[[columns]]
header = "Select"
name = "select"
type = "date32"

[[columns]]
header = "Amount"
name = "user"
type = "decimal128(10, 2)"
"""


def rows(environment: Environment, sql: str) -> list[dict[str, Any]]:
    return retailpipe.query(environment, sql).to_pylist()


def quantities(environment: Environment) -> list[int]:
    """The quantity of each row in bronze, sorted: the tests use it to identify rows."""
    return [row["quantity"] for row in rows(environment, "select quantity from bronze.raw_transactions order by 1")]


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


class Paused(NoProgress):
    """Pauses a load after its first rows, until `go_on` is set."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def advance(self, amount: int = 1) -> None:
        del amount
        self.reached.set()
        assert self.go_on.wait(60)


class StepBegun(NoProgress):
    """Sets `begun` when a certain step begins."""

    def __init__(self, step: str) -> None:
        self._step = step
        self.begun = threading.Event()

    def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
        del unit, total
        if name == self._step:
            self.begun.set()


class Loading(threading.Thread):
    """A load in a thread of its own."""

    def __init__(self, environment: Environment, source: str | Path, progress: NoProgress) -> None:
        super().__init__()
        self._environment, self._source, self._progress = environment, source, progress
        self.reports: list[LoadReport] = []
        self.error: RetailpipeError | None = None
        self.start()

    def run(self) -> None:
        try:
            self.reports = retailpipe.ingest(self._environment, self._source, progress=self._progress)
        except RetailpipeError as error:
            self.error = error


def test_a_first_load_fills_bronze_and_the_ledger(environment: Environment, make_workbook: Workbook) -> None:
    book = make_workbook([line(quantity=6), line(quantity=-2, invoice="C536379", price=0.001)])

    (report,) = retailpipe.ingest(environment, book)

    assert (report.status, report.source, report.load_id) == ("loaded", "input/book.xlsx", 1)
    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (2, 2, 0)
    assert rows(environment, "select * from bronze.raw_transactions where quantity < 0") == [
        {
            "invoice_no": "C536379",
            "stock_code": "85123A",
            "description": "WHITE HANGING HEART",
            "quantity": -2,
            "invoice_date": datetime(2010, 12, 1, 8, 26),
            "unit_price": Decimal("0.001"),
            "customer_id": "17850",
            "country": "United Kingdom",
            "load_id": 1,
            "source_row": 3,
        }
    ]
    (entry,) = rows(environment, "select * from bronze.loads")
    assert entry["content_hash"] == report.content_hash
    assert (entry["contract"], entry["table_name"], entry["sheet"]) == (
        "online_retail",
        "raw_transactions",
        "Online Retail",
    )
    assert entry["started_at"] <= entry["finished_at"]


def test_the_ledger_keeps_first_and_last_date_of_the_rows_loaded(
    environment: Environment, make_workbook: Workbook
) -> None:
    first, last = datetime(2010, 12, 1, 8, 26), datetime(2011, 12, 9, 12, 50)
    book = make_workbook(
        [
            line(at=last),
            line(at=first),
            line(at=datetime(2009, 1, 1), price=-1),
            line(at=datetime(2020, 1, 1), price=-1),
        ]
    )

    (report,) = retailpipe.ingest(environment, book)

    assert (report.first_date, report.last_date) == (first, last)
    assert rows(environment, "select first_date, last_date from bronze.loads") == [
        {"first_date": first, "last_date": last}
    ]


def test_the_same_workbook_again_changes_nothing(environment: Environment, make_workbook: Workbook) -> None:
    book = make_workbook([line(), line(price=-1)])
    (first,) = retailpipe.ingest(environment, book)
    before = rows(environment, LEDGER)

    (second,) = retailpipe.ingest(environment, book)

    assert second.status == "unchanged"
    assert (second.load_id, second.rows_read, second.rows_loaded, second.rows_rejected) == (
        first.load_id,
        2,
        1,
        1,
    )
    assert rows(environment, LEDGER) == before
    assert quantities(environment) == [6]


def test_changed_content_replaces_the_old_rows_and_the_old_rejected_rows(
    environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(environment, make_workbook([line(quantity=1), line(quantity=2), line(price=-1)]))

    (report,) = retailpipe.ingest(environment, make_workbook([line(quantity=3), line(country=None)]), replace=True)

    assert report.status == "replaced"
    assert quantities(environment) == [3]
    assert rows(environment, "select load_id, code from bronze.rejected_rows") == [{"load_id": 2, "code": "missing"}]
    assert [
        (load["load_id"], load["status"], load["replaced_by"], load["rows_loaded"], load["rows_rejected"])
        for load in rows(environment, LEDGER)
    ] == [(1, "replaced", 2, 2, 1), (2, "loaded", None, 1, 1)]


def test_content_that_was_replaced_can_be_loaded_again(environment: Environment, make_workbook: Workbook) -> None:
    old = [line(quantity=1)]
    retailpipe.ingest(environment, make_workbook(old))
    book = environment.store.workbooks()[0]
    content = (environment.folder / book.key).read_bytes()
    retailpipe.ingest(environment, make_workbook([line(quantity=2)]), replace=True)
    (environment.folder / book.key).write_bytes(content)

    (report,) = retailpipe.ingest(environment, book.key)

    assert (report.status, report.load_id) == ("replaced", 3)
    assert quantities(environment) == [1]


def test_the_same_content_under_another_name_is_refused(environment: Environment, make_workbook: Workbook) -> None:
    book = make_workbook()
    retailpipe.ingest(environment, book)
    twin = book.rename(book.with_name("twin.xlsx"))

    with pytest.raises(DuplicateContent, match=r"input/twin\.xlsx.*input/book\.xlsx") as caught:
        retailpipe.ingest(environment, twin)

    assert "`retailpipe ingest input/twin.xlsx --allow-duplicate`" in caught.value.hint
    assert quantities(environment) == [6]
    assert len(rows(environment, LEDGER)) == 1


def test_the_same_content_under_another_name_is_loaded_with_allow_duplicate(
    environment: Environment, make_workbook: Workbook
) -> None:
    book = make_workbook()
    retailpipe.ingest(environment, book)
    twin = book.rename(book.with_name("twin.xlsx"))

    (report,) = retailpipe.ingest(environment, twin, allow_duplicate=True)

    assert report.status == "loaded"
    assert quantities(environment) == [6, 6]


def test_content_that_was_replaced_can_be_loaded_under_another_name(
    environment: Environment, make_workbook: Workbook
) -> None:
    book = make_workbook()
    retailpipe.ingest(environment, book)
    moved = book.rename(book.with_name("moved.xlsx"))
    retailpipe.ingest(environment, make_workbook([line(quantity=9)]), replace=True)

    (report,) = retailpipe.ingest(environment, moved)

    assert report.status == "loaded"
    assert quantities(environment) == [6, 9]


# Other contracts than the default


def test_a_changed_contract_loads_the_same_content_again(
    environment: Environment, make_workbook: Workbook, tmp_path: Path
) -> None:
    book = make_workbook([line(quantity=1), line(quantity=2, price=20_000)])
    retailpipe.ingest(environment, book)
    generous = default_contract(tmp_path / "own.toml", ("maximum = 10000", "maximum = 20000"))

    (report,) = retailpipe.ingest(environment, book, contract=generous)

    assert (report.status, report.rows_loaded, report.rows_rejected) == ("replaced", 2, 0)
    assert quantities(environment) == [1, 2]
    assert rows(environment, "select count(*) as n from bronze.rejected_rows") == [{"n": 0}]
    assert waiting(environment, contract=generous) == []


def test_a_contract_with_other_columns_has_its_own_table(
    environment: Environment, make_workbook: Workbook, tmp_path: Path
) -> None:
    (tmp_path / "orders.toml").write_text(ORDERS.replace('"order"\n\n', '"orders"\n\n'))
    contract = Contract.from_file(tmp_path / "orders.toml")
    book = make_workbook([(1, datetime(2024, 2, 29), 9.99)], headers=("Order", "Select", "Amount"))

    (report,) = retailpipe.ingest(environment, book, contract=contract)

    assert report.rows_loaded == 1
    assert report.first_date == datetime(2024, 2, 29)
    (found,) = rows(environment, 'select "order", "select", "user", load_id, source_row from bronze.orders')
    assert (found["order"], str(found["select"]), found["user"]) == (1, "2024-02-29", Decimal("9.99"))


def test_tables_and_columns_may_have_names_that_sql_reserves(
    environment: Environment, make_workbook: Workbook, tmp_path: Path
) -> None:
    (tmp_path / "orders.toml").write_text(ORDERS)
    contract = Contract.from_file(tmp_path / "orders.toml")
    headers = ("Order", "Select", "Amount")
    retailpipe.ingest(environment, make_workbook([(1, None, 1)], headers=headers), contract=contract)

    (report,) = retailpipe.ingest(
        environment, make_workbook([(2, None, 2)], headers=headers), contract=contract, replace=True
    )

    assert report.status == "replaced"
    assert rows(environment, 'select "order" as id from bronze."order"') == [{"id": 2}]


def test_a_source_that_moves_to_another_table_leaves_no_rows_in_the_old_one(
    environment: Environment, make_workbook: Workbook, tmp_path: Path
) -> None:
    book = make_workbook()
    retailpipe.ingest(environment, book)
    moved = default_contract(tmp_path / "own.toml", ('table = "raw_transactions"', 'table = "other"'))

    retailpipe.ingest(environment, book, contract=moved)

    assert quantities(environment) == []
    assert rows(environment, "select count(*) as n from bronze.other") == [{"n": 1}]


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ('type = "int32"', 'type = "int64"', "quantity is integer, not bigint$"),
        ('name = "country"', 'name = "land"', "land is missing; country is not in the contract"),
    ],
)
def test_a_contract_that_does_not_fit_the_table_is_refused(
    environment: Environment, make_workbook: Workbook, tmp_path: Path, old: str, new: str, difference: str
) -> None:
    book = make_workbook()
    retailpipe.ingest(environment, book)

    with pytest.raises(ContractError, match=rf"raw_transactions .* {difference}") as caught:
        retailpipe.ingest(environment, book, contract=default_contract(tmp_path / "own.toml", (old, new)))

    assert "another `table`" in caught.value.hint
    assert quantities(environment) == [6]


def test_a_column_that_is_added_to_a_contract_is_added_to_the_table(
    environment: Environment, make_workbook: Workbook, tmp_path: Path
) -> None:
    first = Contract.from_file(written(tmp_path / "orders.toml", ORDERS))
    retailpipe.ingest(environment, make_workbook([(1, None, 1)], headers=("Order", "Select", "Amount")), contract=first)
    channel = '[[columns]]\nheader = "Channel"\nname = "channel"\ntype = "string"\n'
    second = Contract.from_file(written(tmp_path / "orders.toml", ORDERS + channel))
    newer = make_workbook([("web", 2, None, 2)], headers=("Channel", "Order", "Select", "Amount"), name="february.xlsx")

    (planned,) = retailpipe.ingest(environment, newer, contract=second, dry_run=True)
    (report,) = retailpipe.ingest(environment, newer, contract=second)

    assert (planned.rows_loaded, report.rows_loaded) == (1, 1)
    found = rows(environment, 'select "order" as id, channel from bronze."order" order by 1')
    assert found == [{"id": 1, "channel": None}, {"id": 2, "channel": "web"}]
    # The older contract still loads into the table.
    older = make_workbook([(3, None, 3)], headers=("Order", "Select", "Amount"), name="march.xlsx")
    assert retailpipe.ingest(environment, older, contract=first)[0].status == "loaded"


def test_a_contract_that_no_longer_requires_a_column_loads_rows_without_it(
    environment: Environment, make_workbook: Workbook, tmp_path: Path
) -> None:
    retailpipe.ingest(environment, make_workbook())
    country = 'name = "country"\ntype = "string"\nrequired = '
    relaxed = default_contract(tmp_path / "own.toml", (f"{country}true", f"{country}false"))

    (report,) = retailpipe.ingest(environment, make_workbook([line(country=None)]), contract=relaxed, replace=True)

    assert (report.rows_loaded, report.rows_rejected) == (1, 0)


# Too many rejects


def test_ten_rejects_are_allowed_in_a_small_workbook(environment: Environment, make_workbook: Workbook) -> None:
    (report,) = retailpipe.ingest(environment, make_workbook([line(), *[line(price=-1)] * 10]))

    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (11, 1, 10)


def test_too_many_rejects_are_reported_by_rule_with_the_first_cell_of_each(
    environment: Environment, make_workbook: Workbook
) -> None:
    book = make_workbook([line(), *[line(price=-1)] * 8, *[line(country=None)] * 3])

    with pytest.raises(TooManyRejects) as caught:
        retailpipe.ingest(environment, book)

    lines = str(caught.value).splitlines()
    assert lines[0].startswith(
        "input/book.xlsx, sheet 'Online Retail': 11 of 12 rows break the contract; 10 are allowed"
    )
    assert "8 x below_minimum in unit_price, first in F3: -1 is below 0" in lines[1]
    assert "3 x missing in country, first in H11: Country is blank" in lines[2]
    assert "max_rejects" in caught.value.hint


def test_too_many_rejects_leave_an_empty_warehouse_empty(environment: Environment, make_workbook: Workbook) -> None:
    with pytest.raises(TooManyRejects):
        retailpipe.ingest(environment, make_workbook([line(), *[line(price=-1)] * 11]))

    assert quantities(environment) == []
    assert rows(environment, LEDGER) == []
    assert rows(environment, "select count(*) as n from bronze.rejected_rows") == [{"n": 0}]


def test_too_many_rejects_do_not_change_the_older_load(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook([line(quantity=1), line(price=-1)]))
    before = rows(environment, LEDGER)

    with pytest.raises(TooManyRejects):
        retailpipe.ingest(environment, make_workbook([line(quantity=2), *[line(price=-1)] * 11]), replace=True)

    assert quantities(environment) == [1]
    assert rows(environment, LEDGER) == before
    assert rows(environment, "select load_id from bronze.rejected_rows") == [{"load_id": 1}]


@pytest.mark.parametrize(
    ("max_rejects", "rejected", "loaded"),
    [("0", 0, True), ("0", 1, False), ("3", 3, True), ("3", 4, False), ('"50%"', 12, True), ('"50%"', 13, False)],
)
def test_max_rejects_is_a_number_of_rows_or_a_share_of_them(
    environment: Environment,
    make_workbook: Workbook,
    tmp_path: Path,
    max_rejects: str,
    rejected: int,
    loaded: bool,
) -> None:
    contract = default_contract(tmp_path / "own.toml", ('max_rejects = "1%"', f"max_rejects = {max_rejects}"))
    book = make_workbook([*[line()] * (24 - rejected), *[line(price=-1)] * rejected])

    if loaded:
        (report,) = retailpipe.ingest(environment, book, contract=contract)
        assert report.rows_rejected == rejected
    else:
        with pytest.raises(TooManyRejects):
            retailpipe.ingest(environment, book, contract=contract)


def test_a_workbook_without_rows_is_refused_and_does_not_change_the_older_load(
    environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(environment, make_workbook())

    with pytest.raises(RetailpipeError, match=r"input/book\.xlsx.*'Online Retail'"):
        retailpipe.ingest(environment, make_workbook([]), replace=True)

    assert quantities(environment) == [6]


# Rejected rows


def test_a_rejected_row_is_recorded_with_its_reason_and_all_its_cells(
    environment: Environment, make_workbook: Workbook
) -> None:
    book = make_workbook([line(), (*line(quantity=2.5, price=-1), "seen")], headers=(*HEADERS, "Remark"))

    retailpipe.ingest(environment, book)

    (reject,) = rows(environment, "select *, raw_row::text as whole from bronze.rejected_rows")
    assert (reject["load_id"], reject["sheet"], reject["source_row"], reject["cell"]) == (
        1,
        "Online Retail",
        3,
        "D3",
    )
    assert (reject["column_name"], reject["raw_value"]) == ("quantity", "2.5")
    assert reject["code"]
    assert reject["hint"]
    assert "F3: -1 is below 0" in reject["message"]
    assert json.loads(reject["whole"]) == {
        "InvoiceNo": "536365",
        "StockCode": "85123A",
        "Description": "WHITE HANGING HEART",
        "Quantity": "2.5",
        "InvoiceDate": "2010-12-01 08:26:00",
        "UnitPrice": "-1",
        "CustomerID": "17850",
        "Country": "United Kingdom",
        "Remark": "seen",
    }


def test_a_rejected_row_shows_a_nul_character_as_its_symbol(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook([line(), line(code="85_x0000_123A")]))

    (reject,) = rows(environment, "select *, raw_row ->> 'StockCode' as whole from bronze.rejected_rows")

    assert reject["raw_value"] == "85\u2400123A"
    assert reject["whole"] == "85\u2400123A"


def test_a_rejected_row_keeps_both_of_two_unknown_columns_with_the_same_header(
    environment: Environment, make_workbook: Workbook
) -> None:
    book = make_workbook([(*line(price=-1), "left", "right")], headers=(*HEADERS, "Note", "Note"))

    retailpipe.ingest(environment, book)

    (reject,) = rows(environment, "select raw_row::text as whole from bronze.rejected_rows")
    assert {"left", "right"} <= set(json.loads(reject["whole"]).values())


def test_rejects_can_be_limited_to_one_source(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(
        environment,
        make_workbook([line(price=-1)], name="one.xlsx"),
        make_workbook([line(price=-2), line(price=-3)], name="two.xlsx"),
    )

    found = rejects(environment, source="input/two.xlsx", limit=1)

    assert found.column("source").to_pylist() == ["input/two.xlsx"]
    assert found.column("raw_value").to_pylist() == ["-2"]
    assert rejects(environment).num_rows == 3


# A dry run


def test_a_dry_run_on_an_empty_warehouse_creates_nothing(environment: Environment, make_workbook: Workbook) -> None:
    environment.store.upload(make_workbook([line(), line(price=-1)]))

    (report,) = retailpipe.ingest(environment, dry_run=True)

    assert (report.status, report.load_id) == ("would load", None)
    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (2, 1, 1)
    assert rows(environment, "select to_regnamespace('bronze') is null as nothing") == [{"nothing": True}]


def test_a_dry_run_of_a_file_does_not_change_the_store(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook([line(quantity=1)]))
    before = environment.store.workbooks()

    (report,) = retailpipe.ingest(environment, make_workbook([line(quantity=2)] * 9), dry_run=True)

    assert (report.source, report.status, report.rows_read) == ("input/book.xlsx", "would replace", 9)
    assert environment.store.workbooks() == before
    assert waiting(environment) == []


def test_a_dry_run_of_changed_content_reports_would_replace(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook([line(quantity=1)]))
    before = rows(environment, LEDGER)
    environment.store.upload(make_workbook([line(quantity=2)]), replace=True)

    (report,) = retailpipe.ingest(environment, dry_run=True)

    assert (report.status, report.load_id) == ("would replace", None)
    assert quantities(environment) == [1]
    assert rows(environment, LEDGER) == before


def test_a_dry_run_of_loaded_content_reports_unchanged(environment: Environment, make_workbook: Workbook) -> None:
    book = make_workbook()
    retailpipe.ingest(environment, book)

    (report,) = retailpipe.ingest(environment, "input/book.xlsx", dry_run=True)

    assert (report.status, report.load_id) == ("unchanged", 1)


def test_a_dry_run_refuses_the_same_workbooks_as_a_load(
    environment: Environment, make_workbook: Workbook, tmp_path: Path
) -> None:
    book = make_workbook()
    retailpipe.ingest(environment, book)
    environment.store.upload(book.rename(book.with_name("twin.xlsx")))
    environment.store.upload(make_workbook([line(price=-1)] * 11, name="bad.xlsx"))
    misfit = default_contract(tmp_path / "own.toml", ('type = "int32"', 'type = "int64"'))

    with pytest.raises(DuplicateContent):
        retailpipe.ingest(environment, "input/twin.xlsx", dry_run=True)
    with pytest.raises(TooManyRejects):
        retailpipe.ingest(environment, "input/bad.xlsx", dry_run=True)
    with pytest.raises(ContractError):
        retailpipe.ingest(environment, "input/book.xlsx", contract=misfit, dry_run=True)


def test_a_dry_run_refuses_the_second_of_two_workbooks_with_the_same_content(
    environment: Environment, make_workbook: Workbook
) -> None:
    book = make_workbook()
    environment.store.upload(book)
    environment.store.upload(book.rename(book.with_name("twin.xlsx")))

    with pytest.raises(SomeNotLoaded, match=r"input/twin\.xlsx.*input/book\.xlsx") as caught:
        retailpipe.ingest(environment, dry_run=True)

    assert isinstance(caught.value.failures[0], DuplicateContent)


# Several sources


def test_without_a_source_all_new_workbooks_are_loaded(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook([line(quantity=1)], name="loaded.xlsx"))
    environment.store.upload(make_workbook([line(quantity=2)], name="new.xlsx"))
    environment.store.upload(make_workbook([line(quantity=3)], name="newer.xlsx"))

    reports = retailpipe.ingest(environment)

    assert [(report.source, report.status) for report in reports] == [
        ("input/new.xlsx", "loaded"),
        ("input/newer.xlsx", "loaded"),
    ]
    assert quantities(environment) == [1, 2, 3]
    assert retailpipe.ingest(environment) == []


def test_status_lists_new_and_changed_workbooks_as_waiting(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(
        environment,
        make_workbook([line(quantity=1)], name="a.xlsx"),
        make_workbook([line(quantity=2)], name="b.xlsx"),
    )
    environment.store.upload(make_workbook([line(quantity=3)], name="b.xlsx"), replace=True)
    environment.store.upload(make_workbook([line(quantity=4)], name="c.xlsx"))

    report = status(environment)

    assert report.waiting == ("input/b.xlsx", "input/c.xlsx")
    assert [load["source"] for load in report.loads] == ["input/b.xlsx", "input/a.xlsx"]


def test_a_bad_workbook_does_not_stop_the_load_of_others(environment: Environment, make_workbook: Workbook) -> None:
    good, late = make_workbook([line(quantity=1)], name="a.xlsx"), make_workbook([line(quantity=2)], name="z.xlsx")
    bad = make_workbook([line()], name="bad.xlsx", headers=("Something", *HEADERS[1:]))

    with pytest.raises(SomeNotLoaded, match=r"input/bad\.xlsx") as caught:
        retailpipe.ingest(environment, good, bad, late)

    assert isinstance(caught.value.failures[0], SheetError)
    assert [report.source for report in caught.value.reports] == ["input/a.xlsx", "input/z.xlsx"]
    assert quantities(environment) == [1, 2]


def test_every_bad_workbook_is_named(environment: Environment, make_workbook: Workbook) -> None:
    good = make_workbook([line(quantity=1)], name="good.xlsx")
    misfit = make_workbook([line()], name="misfit.xlsx", headers=("Something", *HEADERS[1:]))
    text = good.with_name("text.xlsx")
    text.write_text("not a workbook")

    with pytest.raises(RetailpipeError, match=r"(?s)2 of 3 workbooks.*input/misfit\.xlsx.*input/text\.xlsx") as caught:
        retailpipe.ingest(environment, misfit, text, good)

    assert caught.value.hint
    assert quantities(environment) == [1]


def test_a_missing_file_does_not_stop_the_load_of_others(environment: Environment, make_workbook: Workbook) -> None:
    good = make_workbook([line(quantity=1)], name="good.xlsx")

    with pytest.raises(SomeNotLoaded, match=r"missing\.xlsx") as caught:
        retailpipe.ingest(environment, good, "missing.xlsx")

    assert isinstance(caught.value.failures[0], SourceNotFound)
    assert quantities(environment) == [1]


@pytest.mark.parametrize("name", ["input/book.xlsx", "book.xlsx"])
def test_a_workbook_in_the_store_can_be_named_by_its_key_or_its_file_name(
    environment: Environment,
    make_workbook: Workbook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    environment.store.upload(make_workbook())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    (report,) = retailpipe.ingest(environment, name)

    assert (report.source, report.status) == ("input/book.xlsx", "loaded")


def test_a_path_into_the_store_is_the_workbook_with_its_key(environment: Environment, make_workbook: Workbook) -> None:
    environment.store.upload(make_workbook())

    (report,) = retailpipe.ingest(environment, environment.folder / "input" / "book.xlsx")

    assert report.source == "input/book.xlsx"
    assert [stored.key for stored in environment.store.workbooks()] == ["input/book.xlsx"]


def test_a_source_that_does_not_exist_is_an_error_with_its_name(environment: Environment) -> None:
    with pytest.raises(SourceNotFound, match=r"nowhere\.xlsx") as caught:
        retailpipe.ingest(environment, "nowhere.xlsx")

    assert caught.value.hint


def test_a_workbook_that_cannot_be_read_does_not_change_the_older_load(
    environment: Environment, make_workbook: Workbook
) -> None:
    book = make_workbook()
    retailpipe.ingest(environment, book)
    book.write_bytes(book.read_bytes()[:-200])

    with pytest.raises(WorkbookError, match=r"input/book\.xlsx"):
        retailpipe.ingest(environment, book, replace=True)

    assert quantities(environment) == [6]
    assert list((environment.folder / "tmp").iterdir()) == []


# At the same time


def ingest_in_processes(environment: Environment, sources: Sequence[str]) -> list[tuple[int, Any]]:
    """Ingest each source in its own process, all at the same time; return the exit code and JSON document of each."""
    command = [sys.executable, "-m", "retailpipe", "ingest", "--json", "--local", str(environment.folder)]
    command += ["--database-url", environment.warehouse.uri]
    processes = [
        subprocess.Popen([*command, source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for source in sources
    ]
    documents = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    return [(process.returncode, document) for process, document in zip(processes, documents, strict=True)]


def test_two_processes_that_load_one_source_load_it_once(environment: Environment, tmp_path: Path) -> None:
    write_sample(tmp_path / "book.xlsx", rows=5_000)
    environment.store.upload(tmp_path / "book.xlsx")

    outcomes = ingest_in_processes(environment, ["input/book.xlsx"] * 2)

    assert [code for code, _ in outcomes] == [0, 0]
    assert sorted(document[0]["status"] for _, document in outcomes) == ["loaded", "unchanged"]
    assert rows(environment, "select count(*) as n from bronze.raw_transactions") == [{"n": 4_995}]
    assert len(rows(environment, LEDGER)) == 1


def test_two_processes_that_load_one_content_under_two_names_load_it_once(
    environment: Environment, tmp_path: Path
) -> None:
    write_sample(tmp_path / "book.xlsx", rows=5_000)
    environment.store.upload(tmp_path / "book.xlsx")
    environment.store.upload((tmp_path / "book.xlsx").rename(tmp_path / "twin.xlsx"))

    outcomes = ingest_in_processes(environment, ["input/book.xlsx", "input/twin.xlsx"])

    assert sorted(code for code, _ in outcomes) == [0, 1]
    (refusal,) = [document for code, document in outcomes if code == 1]
    assert refusal["error"]["type"] == "DuplicateContent"
    assert rows(environment, "select count(*) as n from bronze.raw_transactions") == [{"n": 4_995}]


def test_a_load_waits_for_another_of_the_same_source(environment: Environment, make_workbook: Workbook) -> None:
    environment.store.upload(make_workbook())
    paused, waiting_step = Paused(), StepBegun("waiting for another load or build")
    first = Loading(environment, "input/book.xlsx", paused)
    assert paused.reached.wait(60)

    second = Loading(environment, "input/book.xlsx", waiting_step)
    assert waiting_step.begun.wait(60)
    paused.go_on.set()
    first.join(60)
    second.join(60)

    assert [first.reports[0].status, second.reports[0].status] == ["loaded", "unchanged"]


def test_loads_of_different_sources_do_not_wait_for_each_other(
    environment: Environment, make_workbook: Workbook
) -> None:
    environment.store.upload(make_workbook())
    paused = Paused()
    first = Loading(environment, "input/book.xlsx", paused)
    assert paused.reached.wait(60)

    (other,) = retailpipe.ingest(environment, make_workbook([line(quantity=2)], name="other.xlsx"))
    paused.go_on.set()
    first.join(60)

    assert other.status == "loaded"
    assert quantities(environment) == [2, 6]


def test_readers_see_the_old_content_while_a_load_replaces_it(
    environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(environment, make_workbook([line(quantity=1)]))
    environment.store.upload(make_workbook([line(quantity=2)]), replace=True)
    paused = Paused()
    replacing = Loading(environment, "input/book.xlsx", paused)
    assert paused.reached.wait(60)

    seen = quantities(environment)
    paused.go_on.set()
    replacing.join(60)

    assert seen == [1]
    assert quantities(environment) == [2]


def test_a_load_waits_for_a_build(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook([line(quantity=1)]))
    environment.store.upload(make_workbook([line(quantity=2)]), replace=True)
    waiting_step = StepBegun("waiting for another load or build")

    with environment.warehouse.connect() as build:
        lock_for_build(build, NoProgress())
        build.commit()
        load = Loading(environment, "input/book.xlsx", waiting_step)
        assert waiting_step.begun.wait(60)
        seen = quantities(environment)
    load.join(60)

    assert seen == [1]
    assert load.reports[0].status == "replaced"


def test_a_load_that_waits_for_its_source_holds_no_later_lock(environment: Environment) -> None:
    """Otherwise two loads could deadlock, each waiting for the source or the content that the other one holds."""
    waiting_step = StepBegun("waiting for another load or build")

    def load() -> None:
        with environment.warehouse.connect() as connection:
            lock(connection, "input/a.xlsx", "content", waiting_step)

    with environment.warehouse.connect() as first, environment.warehouse.connect() as other:
        lock(first, "input/a.xlsx", "other content", NoProgress())
        thread = threading.Thread(target=load)
        thread.start()
        assert waiting_step.begun.wait(30)

        other.row("select set_config('lock_timeout', '20s', false)")
        lock(other, "input/b.xlsx", "content", NoProgress())  # raises if the waiting load holds the lock of the content
        first.close()
        other.close()
        thread.join(30)

    assert not thread.is_alive()
