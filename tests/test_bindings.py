"""The contracts of an environment, which are chosen by the names of workbooks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.bindings import named_contract
from retailpipe.contract import Contract
from retailpipe.errors import ContractError, SheetError
from retailpipe.reports import SomeNotLoaded
from tests.conftest import Program, Workbook

BRANCH = """
name = "branch"
table = "branch_sales"
files = "branch-*.xlsx"

[[columns]]
header = "Product"
name = "product"
type = "string"
required = true

[[columns]]
header = "Sold"
name = "sold"
type = "int32"
"""


def keep(environment: Environment, text: str, name: str = "branch.toml") -> Path:
    file = environment.folder / "contracts" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture
def branch(make_workbook: Workbook) -> Path:
    return make_workbook([("tea", 3), ("milk", 4)], headers=("Product", "Sold"), name="branch-7.xlsx")


def test_ingest_chooses_the_contract_by_the_name(
    environment: Environment, make_workbook: Workbook, branch: Path
) -> None:
    keep(environment, BRANCH)
    environment.store.upload(branch)
    environment.store.upload(make_workbook())

    reports = retailpipe.ingest(environment)

    assert [(report.source, report.rows_loaded) for report in reports] == [
        ("input/book.xlsx", 1),
        ("input/branch-7.xlsx", 2),
    ]
    found = retailpipe.query(environment, "select source, table_name from bronze.loads order by 1").to_pylist()
    assert [row["table_name"] for row in found] == ["raw_transactions", "branch_sales"]
    assert retailpipe.ingest(environment) == []


def test_a_contract_that_changes_loads_its_workbooks_again(environment: Environment, branch: Path) -> None:
    keep(environment, BRANCH)
    retailpipe.ingest(environment, branch)
    keep(environment, BRANCH.replace('type = "int32"', 'type = "int32"\nminimum = 4'))

    assert retailpipe.status(environment).waiting == ("input/branch-7.xlsx",)
    (report,) = retailpipe.ingest(environment)

    assert (report.status, report.rows_loaded, report.rows_rejected) == ("replaced", 1, 1)


def test_a_contract_that_is_passed_comes_first(environment: Environment, branch: Path, tmp_path: Path) -> None:
    keep(environment, BRANCH)
    (tmp_path / "other.toml").write_text(BRANCH.replace("branch_sales", "elsewhere"))

    retailpipe.ingest(environment, branch, contract=retailpipe.Contract.from_file(tmp_path / "other.toml"))

    assert retailpipe.query(environment, "select count(*) as n from bronze.elsewhere").to_pylist() == [{"n": 2}]


def test_two_contracts_for_one_workbook_are_an_error(environment: Environment, branch: Path) -> None:
    keep(environment, BRANCH)
    keep(environment, BRANCH.replace("branch-*", "*"), "z.toml")

    with pytest.raises(ContractError, match=r"input/branch-7\.xlsx matches .*branch\.toml and .*z\.toml"):
        retailpipe.ingest(environment, branch)


def test_two_contracts_for_one_workbook_do_not_stop_the_others(
    environment: Environment, make_workbook: Workbook, branch: Path
) -> None:
    file = keep(environment, BRANCH)
    retailpipe.ingest(environment, branch)
    keep(environment, BRANCH, "z.toml")
    environment.store.upload(make_workbook())

    with pytest.raises(SomeNotLoaded, match="several contracts") as caught:
        retailpipe.ingest(environment)
    status = retailpipe.status(environment)
    file.unlink()

    assert [report.source for report in caught.value.reports] == ["input/book.xlsx"]
    assert status.waiting == ("input/branch-7.xlsx",)
    assert "several contracts" in str(status.refusals[0])
    assert retailpipe.status(environment).waiting == ()


def test_a_table_that_does_not_fit_its_contract_does_not_stop_the_others(
    environment: Environment, make_workbook: Workbook, branch: Path
) -> None:
    keep(environment, BRANCH)
    retailpipe.ingest(environment, branch)
    keep(environment, BRANCH.replace('"int32"', '"string"'))
    environment.store.upload(make_workbook(name="z.xlsx"))

    with pytest.raises(SomeNotLoaded, match="sold is integer, not text") as caught:
        retailpipe.ingest(environment)
    keep(environment, BRANCH.replace('"int32"', '"string"').replace("branch_sales", "sales_as_text"))
    (moved,) = retailpipe.ingest(environment)

    assert [report.source for report in caught.value.reports] == ["input/z.xlsx"]
    assert moved.status == "replaced"
    assert retailpipe.query(environment, "select sold from bronze.sales_as_text").to_pylist() == [
        {"sold": "3"},
        {"sold": "4"},
    ]


def test_the_lock_file_of_an_editor_is_no_contract(environment: Environment, branch: Path) -> None:
    file = keep(environment, BRANCH)
    file.with_name(".#branch.toml").symlink_to("pupil@host.1234")

    (report,) = retailpipe.ingest(environment, branch)

    assert report.rows_loaded == 2


def test_a_workbook_without_a_contract_is_told_which_one_was_used(environment: Environment, branch: Path) -> None:
    with pytest.raises(SheetError, match="'InvoiceNo' is missing") as caught:
        retailpipe.ingest(environment, branch)

    assert "so the contract for Online Retail was used" in caught.value.hint


def test_a_mistake_in_a_contract_names_its_file_and_line(environment: Environment, branch: Path) -> None:
    keep(environment, BRANCH.replace('"int32"', '"int33"'))

    with pytest.raises(ContractError, match=r"contracts/branch\.toml, line 15: unknown type"):
        retailpipe.ingest(environment, branch)


@pytest.fixture(params=["folder", "dangling link", "pipe"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What is named as a contract, but is not a regular file."""
    path = tmp_path / "no_file.toml"
    if request.param == "folder":
        path.mkdir()
    elif request.param == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nothing.toml")
    return path


def test_an_entry_that_is_not_a_file_stops_loads_but_not_the_status(
    environment: Environment, branch: Path, no_file: Path
) -> None:
    """It may stand for the contract of a workbook, which must not be loaded under another one."""
    keep(environment, BRANCH)
    retailpipe.ingest(environment, branch)
    entry = no_file.rename(environment.folder / "contracts" / no_file.name)
    branch.rename(environment.folder / "input" / "branch-8.xlsx")

    with pytest.raises(ContractError, match=r"contracts/no_file\.toml is neither a regular file") as caught:
        retailpipe.ingest(environment)
    status = retailpipe.status(environment)

    assert caught.value.hint == f"Move it out of {entry.parent}."
    assert [load["source"] for load in status.loads] == ["input/branch-7.xlsx"]
    assert status.contract_error == f"{caught.value}. {caught.value.hint}"
    assert status.waiting == ("input/branch-8.xlsx",)


def test_a_broken_contract_is_a_line_of_the_status(
    program: Program, environment: Environment, database_url: str, branch: Path
) -> None:
    where = ("--local", str(environment.folder), "--database-url", database_url)
    whole = program("status", *where)
    keep(environment, BRANCH.replace('"int32"', '"int33"'))

    broken = program("status", *where)

    assert (whole.returncode, "nothing can be loaded" in whole.stdout) == (0, False)
    assert broken.returncode == 0
    assert "nothing can be loaded: " in broken.stdout
    assert "contracts/branch.toml, line 15: unknown type" in broken.stdout


def test_a_contract_that_is_passed_must_be_a_regular_file(no_file: Path) -> None:
    with pytest.raises(ContractError) as caught:
        Contract.from_file(no_file)

    assert caught.value.hint in ("Pass a regular TOML file.", "Check that it is a TOML file that you can read.")


def test_a_contract_of_the_environment_can_be_named(
    program: Program, environment: Environment, database_url: str, branch: Path
) -> None:
    keep(environment, BRANCH.replace('files = "branch-*.xlsx"\n', ""))
    where = ("--local", str(environment.folder), "--database-url", database_url)

    done = program("ingest", branch, "--contract", "branch", *where)
    missing = program("ingest", branch, "--contract", "absent", *where)

    assert (done.returncode, "2 rows read, 2 loaded" in done.stdout) == (0, True)
    assert (missing.returncode, "absent" in missing.stderr) == (1, True)


def test_the_built_in_contract_has_a_name_unless_the_environment_has_one_of_this_name(tmp_path: Path) -> None:
    built_in = named_contract("online_retail", tmp_path)
    own = tmp_path / "contracts" / "online_retail.toml"
    own.parent.mkdir()
    own.write_text(BRANCH, encoding="utf-8")

    assert built_in == Contract.default()
    assert named_contract("online_retail", tmp_path) == Contract.from_file(own)
