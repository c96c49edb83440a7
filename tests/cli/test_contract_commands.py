"""The commands `retailpipe contract init` and `retailpipe contract check`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from retailpipe.hints import complete_commands
from tests.conftest import Program
from tests.support.workbooks import book_of, contract_of, titled_workbook


def test_a_draft_is_printed_or_written_and_never_overwrites_a_file(program: Program, tmp_path: Path) -> None:
    titled_workbook(tmp_path / "coffee shop.xlsx")

    printed = program("contract", "init", "coffee shop.xlsx")
    written = program("contract", "init", "coffee shop.xlsx", "--out", "contracts/coffee.toml")
    refused = program("contract", "init", "coffee shop.xlsx", "--out", "contracts/coffee.toml")
    forced = program("contract", "init", "coffee shop.xlsx", "--out", "contracts/coffee.toml", "--force", "--json")

    assert tomllib.loads(printed.stdout)["table"] == "coffee_shop"
    assert written.returncode == 0, written.stderr
    assert "contract check contracts/coffee.toml 'coffee shop.xlsx'" in written.stdout
    assert (refused.returncode, "--force" in refused.stderr) == (2, True)
    document = json.loads(forced.stdout)
    assert (document["name"], document["out"]) == ("coffee", "contracts/coffee.toml")
    assert (tmp_path / "contracts" / "coffee.toml").read_text() == document["text"]


def test_a_check_prints_what_would_be_refused_and_its_exit_code_says_whether_it_would_load(
    program: Program, tmp_path: Path
) -> None:
    contract_of(
        tmp_path,
        {"header": "Code", "type": "string", "required": True},
        {"header": "Price", "type": "decimal128(38, 18)"},
        {"header": "Note", "type": "string", "optional": True},
        sheet="all",
        max_rejects=1,
    )
    header = ["Code", "Price", "Till"]
    rows = [["a", "dear"], [None, 2], ["b", "cheap"]]
    book_of(tmp_path / "bad.xlsx", {"Jan": [header, ["x", 1]], "Feb": [header, *rows]})
    book_of(tmp_path / "good.xlsx", {"Jan": [header, *rows[:1], ["x", 1]]})

    bad, good = (
        program("contract", "check", "shop.toml", "bad.xlsx"),
        program("contract", "check", "shop.toml", "good.xlsx", "--json"),
    )

    assert (bad.returncode, good.returncode) == (1, 0), bad.stderr + good.stderr
    assert bad.stdout.splitlines() == [
        "bad.xlsx: would not load into bronze.shop_rows under contract 'shop'",
        "  sheet 'Jan': header in row 1, 1 row",
        "  sheet 'Feb': header in row 1, 3 rows",
        "  4 rows read, 1 accepted, 3 rejected (1 allowed)",
        "  ignored columns, not in the contract: Till",
        "  optional columns that are missing: Note",
        "  2 rows with not_a_number in price, in 'Feb' B2, 'Feb' B4",
        "    'dear' is not a number. Enter a plain number, such as 1234.5.",
        "  1 row with missing in code, in 'Feb' A3",
        "    Code is blank. Fill in Code, or delete the row.",
    ]
    report = json.loads(good.stdout)
    assert (report["ok"], report["rows_accepted"], report["faults"][0]["cells"]) == (True, 1, ["'Jan' B2"])


def test_a_workbook_that_does_not_fit_is_refused_with_the_row_of_its_headers(program: Program, tmp_path: Path) -> None:
    titled_workbook(tmp_path / "book.xlsx")
    contract_of(tmp_path, {"header": "Product", "type": "string"})

    done = program("contract", "check", "shop.toml", "book.xlsx")

    assert done.returncode == 1
    assert "the headers are in row 4: set header_row = 4 in the contract" in done.stderr
    assert "choose another contract, or draft one" in done.stderr
    assert "contract init FILE --save" in done.stderr
    assert "--local" not in done.stderr


def test_a_saved_draft_is_found_by_name_and_by_the_names_of_workbooks(program: Program, tmp_path: Path) -> None:
    titled_workbook(tmp_path / "coffee shop.xlsx")
    titled_workbook(tmp_path / "tea.xlsx")

    saved = program("contract", "init", "coffee shop.xlsx", "--save", "--local", "shop")
    again = program("contract", "init", "coffee shop.xlsx", "--save", "--local", "shop")
    both = program("contract", "init", "coffee shop.xlsx", "--save", "--out", "other.toml")
    checked = program("contract", "check", "coffee_shop", "coffee shop.xlsx", "--local", "shop")
    other = program("contract", "check", "coffee_shop", "tea.xlsx", "--local", "shop")
    missing = program("contract", "check", "tea", "tea.xlsx", "--local", "shop")

    assert (tmp_path / "shop" / "contracts" / "coffee_shop.toml").exists(), saved.stderr
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    assert (both.returncode, "--out and --save" in both.stderr) == (2, True)
    assert (checked.returncode, "does not match" in checked.stdout) == (0, False)
    assert (other.returncode, "`files` of the contract does not match this name" in other.stdout) == (0, True)
    assert (missing.returncode, "The contracts there are coffee_shop." in missing.stderr) == (1, True)


def test_a_hint_to_save_a_draft_names_the_environment() -> None:
    hint = "`retailpipe contract init FILE --save`"

    assert complete_commands(hint, ["--local", "shop"]) == "`retailpipe contract init --local shop FILE --save`"
    assert complete_commands(hint, ["--stack", "dev"]) == "`retailpipe contract init FILE`"
    assert (
        complete_commands("`retailpipe contract check A B`", ["--local", "shop"]) == "`retailpipe contract check A B`"
    )
