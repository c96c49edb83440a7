"""Each cell of a workbook is found where it went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pytest

from retailpipe import Environment, TraceError, UsageError, trace_cell
from retailpipe.tracing.addresses import LoadedSheet, find_cell
from retailpipe.tracing.cells import whereabouts
from tests.silver_and_gold.test_own_models import execute

SHEETS = [
    LoadedSheet(1, "input/2011/sales.xlsx", "Sheet 1"),
    LoadedSheet(1, "input/2011/sales.xlsx", "It's 5!"),
    LoadedSheet(2, "input/till.csv", ""),
    LoadedSheet(3, "input/Other.xlsx", "Sheet 2"),
]


@pytest.mark.parametrize(
    ("address", "load", "sheet", "row", "column"),
    [
        ("till.csv!B5", 2, "", 5, 1),
        ("other.xlsx!AA10", 3, "Sheet 2", 10, 26),
        ("input/Other.xlsx!$A$1", 3, "Sheet 2", 1, 0),
        ("sales.xlsx!Sheet 1!F17", 1, "Sheet 1", 17, 5),
        ("2011/sales.xlsx!'Sheet 1'!f17", 1, "Sheet 1", 17, 5),
        ("Sheet 1!F17", 1, "Sheet 1", 17, 5),
        ("'It''s 5!'!XFD1048576", 1, "It's 5!", 1_048_576, 16_383),
        ("It's 5!!A2", 1, "It's 5!", 2, 0),
        ("'[sales.xlsx]Sheet 1'!F17", 1, "Sheet 1", 17, 5),
        ("sheet 2!A1", 3, "Sheet 2", 1, 0),
    ],
)
def test_an_address_is_read_as_excel_writes_it(address: str, load: int, sheet: str, row: int, column: int) -> None:
    found, found_row, found_column = find_cell(address, SHEETS)

    assert (found.load_id, found.sheet, found_row, found_column) == (load, sheet, row, column)


@pytest.mark.parametrize(
    ("address", "kind", "message"),
    [
        ("F17", UsageError, "'F17' is not the address of a cell"),
        ("sales.xlsx!17", UsageError, "is not the address of a cell"),
        ("sales.xlsx!A0", UsageError, "is not the address of a cell"),
        ("!A1", UsageError, "is not the address of a cell"),
        ("sales.xlsx!F17", UsageError, "is in 2 sheets"),
        ("Sheet 9!F17", TraceError, "no workbook or sheet that is loaded is called Sheet 9"),
    ],
)
def test_a_wrong_address_is_named(address: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        find_cell(address, SHEETS)


def cells_of(file: Path) -> dict[str, Any]:
    """All cells of a workbook by address, blank ones within its bounds included."""
    book = openpyxl.load_workbook(file)
    return {
        f"{file.name}!{page.title}!{cell.coordinate}": cell.value
        for page in book
        for row in page.iter_rows(max_col=page.max_column + 1, max_row=page.max_row + 1)
        for cell in row
    }


@pytest.mark.parametrize("name", ["shuffled.xlsx", "branches.xlsx"])
def test_every_cell_is_found_where_it_went(shop: Environment, name: str) -> None:
    cells = cells_of(shop.folder / "input" / name)
    with shop.warehouse.connect(read_only=True) as connection:
        found = {address: whereabouts(shop, connection, address) for address in cells}

    assert len(cells) > 30
    for address, value in cells.items():
        went = found[address].went
        if went in ("left out", "rejected", "header", "above the header"):
            continue
        assert (went == "blank") == (value is None) or went == "skipped", address
        if went == "bronze" and isinstance(value, str | int):
            assert found[address].value == str(value), address
    assert {each.went for each in found.values()} >= {"bronze", "blank", "header", "left out", "rejected"}


def test_the_places_of_cells_are_told(shop: Environment) -> None:
    assert trace_cell(shop, "shuffled.xlsx!B2").went == "left out"
    assert "column B (Note) is not in the contract" in trace_cell(shop, "shuffled.xlsx!B2").explanation
    rejected = trace_cell(shop, "shuffled.xlsx!A6")
    assert (rejected.went, rejected.value) == ("rejected", "Italy")
    assert "D6 breaks the contract: 'dear' is not a number" in rejected.explanation
    assert trace_cell(shop, "branches.xlsx!North!A1").went == "above the header"
    skipped = trace_cell(shop, "branches.xlsx!North!A8")
    assert (skipped.went, skipped.value) == ("skipped", "10.625")
    assert trace_cell(shop, "South!!A4").value == "South"
    assert trace_cell(shop, "South!!D4").row["clerk"] == "O'Neil"


def test_the_figures_of_a_cell_are_those_that_its_row_adds_to(shop: Environment) -> None:
    price = trace_cell(shop, "shuffled.xlsx!D5")
    customer = trace_cell(shop, "shuffled.xlsx!E2")

    by_column = {(each.table, each.column): each for each in price.figures}
    assert by_column["public_gold.top_products", "revenue"].adds == "3.3"
    assert by_column["public_gold.top_products", "revenue"].figure == "3.31"
    assert by_column["public_gold.top_products", "rank"].role == "value"
    assert ("public_gold.top_products", "quantity") not in by_column
    assert ("public_silver.fact_returns_daily", "revenue") not in by_column
    lifetime = [each for each in customer.figures if each.table == "public_gold.customer_lifetime_value"]
    assert {each.role for each in lifetime} == {"key"}
    assert {each.key["customer_id"] for each in lifetime} == {"7"}


def test_a_cell_of_a_table_of_the_user_is_part_of_the_users_figures(shop: Environment) -> None:
    found = trace_cell(shop, "'North'!A6")

    assert [(each.table, each.column, each.figure, each.adds, each.role) for each in found.figures] == [
        ("public_own.branch_totals", "revenue", "10.625", "0.125", "value"),
    ]


def test_the_cells_of_a_load_without_a_recorded_layout_are_read_again(copy: Environment) -> None:
    execute(copy.warehouse.uri, "delete from bronze.sheet_layouts")

    assert trace_cell(copy, "shuffled.xlsx!D5").column == "unit_price"

    (copy.folder / "input" / "shuffled.xlsx").write_bytes((copy.folder / "input" / "sample.xlsx").read_bytes())
    assert trace_cell(copy, "shuffled.xlsx!D5").went == "unknown"
