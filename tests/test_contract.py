"""The contract file: what is allowed in it, and the line that an error names."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retailpipe.contract import Contract
from retailpipe.contract_columns import EXCEL_FIRST_DATE, EXCEL_LAST_DATE
from retailpipe.errors import ContractError

SHOP = """\
# Sales of one shop
name = "shop"
table = "shop_rows"
max_rejects = "2%"

[[columns]]
header = "Code"
name = "code"
type = "string"
max_length = 20

[[columns]]
header = "Pieces"
name = "pieces"
type = "int32"
required = true
minimum = 0

[[columns]]
header = "Price"
name = "price"
type = "decimal128(38, 18)"
maximum = 10000

[[columns]]
header = "Sold"
name = "sold"
type = "timestamp[us]"
formats = ["%Y-%m-%d"]
"""


def with_line(number: int, line: str) -> str:
    lines = SHOP.splitlines()
    lines[number - 1] = line
    return "\n".join(lines)


def contract(folder: Path, text: str) -> Contract:
    path = folder / "shop.toml"
    path.write_text(text, encoding="utf-8", newline="")
    return Contract.from_file(path)


def refusal(folder: Path, text: str) -> ContractError:
    """The error that a contract with this text raises."""
    with pytest.raises(ContractError) as caught:
        contract(folder, text)
    assert str(folder / "shop.toml") in str(caught.value)
    assert caught.value.hint
    return caught.value


def named_line(error: ContractError) -> int | None:
    found = re.search(r"\bline (\d+)", str(error))
    return int(found[1]) if found else None


def test_the_default_contract_is_that_of_online_retail() -> None:
    default = Contract.default()

    assert default.table == "raw_transactions"
    names = "invoice_no stock_code description quantity invoice_date unit_price customer_id country"
    assert default.arrow_schema.names == names.split()
    assert default.arrow_schema.field("quantity").type == pa.int32()
    assert pa.types.is_decimal128(default.arrow_schema.field("unit_price").type)
    assert (default.columns[5].minimum, default.columns[5].maximum) == (Decimal(0), Decimal(10_000))


@pytest.mark.parametrize(("rows", "allowed"), [(0, 10), (50, 10), (1_000, 10), (541_909, 5_419)])
def test_one_percent_of_the_rows_but_at_least_ten_may_be_rejected(rows: int, allowed: int) -> None:
    assert Contract.default().rejects_allowed(rows) == allowed


@pytest.mark.parametrize("share", [11, 29, 50, 57, 58, 99, 100])
def test_a_share_of_a_hundred_rows_is_that_many_rows(tmp_path: Path, share: int) -> None:
    assert contract(tmp_path, with_line(4, f'max_rejects = "{share}%"')).rejects_allowed(100) == share


@pytest.mark.parametrize(("given", "allowed"), [("0", 0), ("3", 3), ('"0.5 %"', 50), ('"100%"', 10_000)])
def test_max_rejects_is_a_number_of_rows_or_a_share(tmp_path: Path, given: str, allowed: int) -> None:
    assert contract(tmp_path, with_line(4, f"max_rejects = {given}")).rejects_allowed(10_000) == allowed


def test_max_rejects_is_one_percent_by_default(tmp_path: Path) -> None:
    assert contract(tmp_path, with_line(4, "")).rejects_allowed(100_000) == 1_000


def test_a_column_has_the_values_of_its_section(tmp_path: Path) -> None:
    code, pieces, price, sold = contract(tmp_path, SHOP).columns

    assert (code.header, code.name, code.type, code.max_length) == ("Code", "code", "string", 20)
    assert (code.required, pieces.required) == (False, True)
    assert (pieces.minimum, pieces.maximum) == (Decimal(0), None)
    assert price.arrow_type == pa.decimal128(38, 18)
    assert sold.formats == ("%Y-%m-%d",)


def test_a_date_is_by_default_limited_to_dates_that_excel_and_postgresql_share(tmp_path: Path) -> None:
    sold = contract(tmp_path, SHOP).columns[3]

    assert (sold.minimum, sold.maximum) == (EXCEL_FIRST_DATE, EXCEL_LAST_DATE)


def test_a_date_as_the_maximum_of_a_timestamp_includes_its_whole_day(tmp_path: Path) -> None:
    sold = contract(tmp_path, with_line(29, "maximum = 2011-12-09")).columns[3]

    assert sold.maximum == datetime(2011, 12, 9, 23, 59, 59, 999999)


@pytest.mark.parametrize("maximum", ["99999", "10_000_000_000", "99_999_999_999_999_999_999", "0.1", "1e15"])
def test_a_decimal_may_have_any_bound_that_its_type_can_store(tmp_path: Path, maximum: str) -> None:
    price = contract(tmp_path, with_line(23, f"maximum = {maximum}")).columns[2]

    assert price.maximum == Decimal(maximum)


@pytest.mark.parametrize("bound", [-(2**31), 2**31 - 1])
def test_an_integer_may_have_any_bound_that_its_type_can_store(tmp_path: Path, bound: int) -> None:
    assert contract(tmp_path, with_line(17, f"minimum = {bound}")).columns[1].minimum == bound


@pytest.mark.parametrize(
    ("line", "wrong", "expected"),
    [
        (3, 'table "shop_rows"', "not valid TOML"),
        (29, 'formats = ["%Y-%m-%d"', "not valid TOML"),
        (9, 'type = "string', "not valid TOML"),
        (8, 'header = "Again"', "not valid TOML"),
        (2, 'nam = "shop"', "'nam'"),
        (5, "strict = true", "'strict'"),
        (16, "requierd = true", "'requierd'"),
        (16, '"required " = true', "'required '"),
        (2, "name = 7", "name"),
        (2, 'name = ""', "name"),
        (3, 'table = "Shop Rows"', "'Shop Rows'"),
        (3, 'table = "rows; drop table loads"', "drop"),
        (3, 'table = "loads"', "'loads'"),
        (3, 'table = "builds"', "'builds'"),
        (3, 'table = "etags"', "'etags'"),
        (3, f'table = "{"x" * 64}"', "63"),
        (7, 'header = "  "', "header"),
        (7, "header = 1", "header"),
        (8, 'name = "Code"', "'Code'"),
        (8, 'name = "load_id"', "'load_id'"),
        (8, 'name = "source_row"', "'source_row'"),
        (8, 'name = "ctid"', "'ctid'"),
        (8, 'name = "xmin"', "'xmin'"),
        (9, 'type = "text"', "'text'"),
        (9, "type = 5", "type"),
        (22, 'type = "decimal128(39, 2)"', "decimal128(39, 2)"),
        (22, 'type = "decimal128(5, 6)"', "decimal128(5, 6)"),
        (22, 'type = "decimal128(0, 0)"', "decimal128(0, 0)"),
        (16, 'required = "yes"', "true or false"),
        (13, 'header = "code "', "used twice"),
        (14, 'name = "code"', "used twice"),
        (17, 'minimum = "0"', "number"),
        (17, "minimum = true", "number"),
        (17, "minimum = 0.5", "0.5"),
        (17, "minimum = 2147483648", "2147483648"),
        (17, "minimum = inf", "inf"),
        (17, "minimum = nan", "nan"),
        (17, "minimum = 2010-12-01", "number"),
        (17, "max_length = 5", "max_length"),
        (17, 'formats = ["%Y"]', "formats"),
        (23, "maximum = 1e300", "1e+300"),
        (23, "maximum = 0.0000000000000000001", "1e-19"),
        (10, "minimum = 1", "max_length"),
        (10, "max_length = 0", "at least 1"),
        (10, "max_length = 2.5", "whole number"),
        (10, "max_length = true", "whole number"),
        (29, 'minimum = "2010-12-01"', "2010-12-01"),
        (29, "minimum = 2010-12-01T00:00:00Z", "time zone"),
        (29, "minimum = 08:26:00", "date"),
        (29, 'formats = "%Y-%m-%d"', "list"),
        (29, "formats = [1]", "list"),
        (29, 'formats = ["%Y-%m"]', "month and day"),
        (29, 'formats = ["%Y-%m-%d%z"]', "%z"),
        (29, 'formats = ["%Y-%m-%d %Q"]', "%Q"),
        (29, 'formats = ["%"]', "%"),
        (29, 'formats = ["%d/%m/%Y %I:%M"]', "%I"),
        (4, 'max_rejects = "many"', "max_rejects"),
        (4, 'max_rejects = "101%"', "max_rejects"),
        (4, 'max_rejects = "-1%"', "max_rejects"),
        (4, "max_rejects = -1", "max_rejects"),
        (4, "max_rejects = 0.01", "max_rejects"),
        (4, "max_rejects = true", "max_rejects"),
        (5, "sheet = 1", "sheet"),
        (5, 'sheet = " "', "sheet"),
        (5, "header_row = 0", "header_row"),
        (5, 'header_row = "4"', "header_row"),
        (5, "header_row = 1048577", "1,048,576"),
        (5, "skip_footer = -1", "skip_footer"),
        (5, "skip_footer = 1001", "1,000"),
        (5, "skip_footer = true", "skip_footer"),
        (5, 'skip_rows = "Total*"', "skip_rows"),
        (5, 'skip_rows = ["Total*"]', "each rule"),
        (5, 'skip_rows = [{ column = "Code" }]', "each rule"),
        (5, 'skip_rows = [{ column = "Code", matches = "x", also = 1 }]', "each rule"),
        (5, 'skip_rows = [{ column = " ", matches = "x" }]', "column"),
        (5, "skip_rows = [{ column = 1, matches = 2 }]", "each rule"),
        (5, 'decimal = ";"', "decimal"),
        (5, "decimal = 1", "decimal"),
        (5, 'thousands = "_"', "thousands"),
        (5, 'thousands = "."', "both '.'"),
        (5, 'delimiter = "a"', "delimiter"),
        (5, 'delimiter = ""', "delimiter"),
        (5, 'encoding = "latin-99"', "latin-99"),
        (5, 'encoding = "hex"', "hex"),
        (5, 'encoding = "a\\u0000"', "encoding"),
        (5, "files = 1", "files"),
        (5, "files = []\nfils = 1", "fils"),
        (5, 'files = ["a", ""]', "files"),
        (16, "optional = 1", "true or false"),
        (16, 'aliases = "Stück"', "list"),
        (16, 'aliases = [""]', "aliases"),
        (16, 'aliases = ["pieces "]', "used twice"),
        (16, 'aliases = ["Code"]', "used twice"),
        (23, 'decimal = "x"', "decimal"),
        (23, 'thousands = "."', "both '.'"),
        (10, 'decimal = ","', "only for numbers"),
        (29, 'thousands = " "', "only for numbers"),
    ],
)
def test_an_error_names_the_line_that_is_wrong(tmp_path: Path, line: int, wrong: str, expected: str) -> None:
    error = refusal(tmp_path, with_line(line, wrong))

    assert expected in str(error)
    assert named_line(error) == line + wrong.count("\n")


@pytest.mark.parametrize(
    ("line", "wrong"),
    [(6, "[[column]]"), (18, "[[colums]]"), (24, "[loader]")],
    ids=["all columns", "one column", "a table of another program"],
)
def test_an_error_names_the_line_of_an_unknown_section(tmp_path: Path, line: int, wrong: str) -> None:
    lines = SHOP.splitlines()
    lines[line - 1] = wrong
    text = "\n".join(lines if line != 6 else lines[:10])

    error = refusal(tmp_path, text)

    assert wrong.strip("[]") in str(error)
    assert named_line(error) == line


def test_an_error_names_the_line_of_an_unknown_section_within_a_column(tmp_path: Path) -> None:
    error = refusal(tmp_path, SHOP + "[columns.rules]\nminimum = 1\n")

    assert named_line(error) == 30


def test_inline_columns_are_refused(tmp_path: Path) -> None:
    text = """\
name = "shop"
table = "shop_rows"
columns = [
  { header = "Code", name = "code", type = "string" },
  { header = "Pieces", name = "Not a name", type = "int32" },
]
"""

    error = refusal(tmp_path, text)

    assert "[[columns]]" in str(error)
    assert named_line(error) == 3


@pytest.mark.parametrize(("line", "key"), [(2, "name"), (3, "table")])
def test_an_error_names_a_missing_key_of_the_top_level(tmp_path: Path, line: int, key: str) -> None:
    assert f"{key} " in str(refusal(tmp_path, with_line(line, "")))


@pytest.mark.parametrize(("line", "key"), [(13, "header"), (14, "name"), (15, "type")])
def test_an_error_names_a_missing_key_and_the_section_where_it_is_missing(tmp_path: Path, line: int, key: str) -> None:
    error = refusal(tmp_path, with_line(line, ""))

    assert f"{key} " in str(error)
    assert named_line(error) == 12


def test_unicode_line_separators_do_not_change_the_line_number(tmp_path: Path) -> None:
    text = with_line(1, '# a next line\x85 and a line separator\u2028 and a form in "quotes"')
    lines = text.split("\n")
    lines[15] = "requierd = true"

    assert named_line(refusal(tmp_path, "\n".join(lines))) == 16


@pytest.mark.parametrize("key", ["minimum", "maximum"])
def test_bounds_that_no_value_can_satisfy_are_refused(tmp_path: Path, key: str) -> None:
    other = {"minimum": "maximum = -1", "maximum": "minimum = 10001"}[key]
    place = {"minimum": 16, "maximum": 22}[key]
    lines = SHOP.splitlines()
    lines.insert(place, other)

    assert "is above" in str(refusal(tmp_path, "\n".join(lines)))


def test_a_maximum_date_before_the_first_supported_date_is_refused(tmp_path: Path) -> None:
    assert named_line(refusal(tmp_path, with_line(29, "maximum = 1899-12-31"))) == 29


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing but a comment\n", "columns = []"])
def test_a_contract_without_columns_is_refused(tmp_path: Path, text: str) -> None:
    assert named_line(refusal(tmp_path, text)) == 1


def test_a_number_too_long_to_read_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path, with_line(17, f"minimum = {'9' * 5_000}"))


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_bytes(with_line(7, 'header = "Größe"').encode("latin-1"))

    with pytest.raises(ContractError, match=r"shop\.toml.*line 7\b") as caught:
        Contract.from_file(tmp_path / "shop.toml")

    assert caught.value.hint


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_contract_that_is_not_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ContractError, match=re.escape(str(tmp_path / name))) as caught:
        Contract.from_file(tmp_path / name)

    assert caught.value.hint


def test_windows_line_ends_are_read_and_counted_alike(tmp_path: Path) -> None:
    assert contract(tmp_path, SHOP.replace("\n", "\r\n")).columns == contract(tmp_path, SHOP).columns
    assert named_line(refusal(tmp_path, with_line(16, "requierd = 1").replace("\n", "\r\n"))) == 16


def test_the_byte_order_mark_of_windows_editors_is_ignored(tmp_path: Path) -> None:
    assert contract(tmp_path, "\ufeff" + SHOP).columns == contract(tmp_path, SHOP).columns


def test_a_comment_does_not_change_the_fingerprint(tmp_path: Path) -> None:
    commented = contract(tmp_path, SHOP.replace("minimum = 0", "minimum = 0  # gifts are free"))

    assert commented.fingerprint == contract(tmp_path, SHOP).fingerprint


@pytest.mark.parametrize(("line", "changed"), [(10, "max_length = 21"), (17, "minimum = 1"), (4, "max_rejects = 5")])
def test_another_rule_changes_the_fingerprint(tmp_path: Path, line: int, changed: str) -> None:
    assert contract(tmp_path, with_line(line, changed)).fingerprint != contract(tmp_path, SHOP).fingerprint


def test_a_required_column_cannot_be_optional(tmp_path: Path) -> None:
    lines = SHOP.splitlines()
    lines.insert(16, "optional = true")

    error = refusal(tmp_path, "\n".join(lines))

    assert "required" in str(error)
    assert named_line(error) == 17


def test_a_contract_of_optional_columns_is_refused(tmp_path: Path) -> None:
    text = 'name = "a"\ntable = "a"\n[[columns]]\nheader = "A"\nname = "a"\ntype = "string"\noptional = true\n'

    assert named_line(refusal(tmp_path, text)) == 7


@pytest.mark.parametrize(
    "line",
    ['sheet = "all"', "header_row = 4", "skip_footer = 1", 'decimal = ","', 'delimiter = ";"', 'files = "shop*"'],
)
def test_a_new_key_changes_the_fingerprint(tmp_path: Path, line: str) -> None:
    assert contract(tmp_path, with_line(5, line)).fingerprint != contract(tmp_path, SHOP).fingerprint


def test_the_fingerprint_of_the_default_contract_stays_the_same() -> None:
    """A change would load every workbook again."""
    assert Contract.default().fingerprint.startswith("90f57e41dd29588529ec")


def test_the_separators_of_a_column_replace_those_of_the_contract(tmp_path: Path) -> None:
    text = with_line(5, 'decimal = ","\nthousands = "."').replace("maximum = 10000", 'thousands = " "')

    _, pieces, price, _ = contract(tmp_path, text).columns

    assert (pieces.separators.decimal, pieces.separators.thousands) == (",", ".")
    assert (price.separators.decimal, price.separators.thousands) == (",", " ")


@pytest.mark.parametrize(
    ("files", "taken", "others"),
    [
        ('"branch-*.xlsx"', ["input/branch-1.xlsx", "input/2024/Branch-7.XLSX"], ["input/branch.xlsx"]),
        ('["a.xlsx", "b?.csv"]', ["input/a.xlsx", "input/b1.csv"], ["input/b.csv", "input/a.xlsx.csv"]),
        ('"2024/*.xlsx"', ["input/2024/a.xlsx"], ["input/2023/a.xlsx", "input/a.xlsx"]),
        ('"a[1].xlsx"', ["input/a[1].xlsx"], ["input/a1.xlsx"]),
    ],
)
def test_files_bind_a_contract_to_workbooks(tmp_path: Path, files: str, taken: list[str], others: list[str]) -> None:
    bound = contract(tmp_path, with_line(5, f"files = {files}"))

    assert [key for key in (*taken, *others) if bound.takes(key)] == taken


def test_a_contract_without_files_takes_no_workbook_by_itself(tmp_path: Path) -> None:
    assert not contract(tmp_path, SHOP).takes("input/shop.xlsx")


@pytest.mark.parametrize(("sheet", "several"), [("Sales 2024", False), ("2024-*", True), ("Q?", True), ("ALL", True)])
def test_a_pattern_loads_several_sheets_together(tmp_path: Path, sheet: str, several: bool) -> None:
    assert contract(tmp_path, with_line(5, f'sheet = "{sheet}"')).several_sheets is several
    assert contract(tmp_path, with_line(5, f'sheet = ["{sheet}"]')).several_sheets is several


def test_a_list_names_the_sheets_that_are_loaded_together(tmp_path: Path) -> None:
    listed = contract(tmp_path, with_line(5, 'sheet = ["North", "South *"]'))

    assert listed.several_sheets
    assert [name for name in ("north", "South 1", "South", "Notes") if listed.reads_sheet(name)] == ["north", "South 1"]


@given(data=st.data())
@settings(max_examples=150)
def test_any_value_in_a_contract_is_accepted_or_refused_with_a_line(data: st.DataObject) -> None:
    line = data.draw(st.integers(1, SHOP.count("\n")))
    key = SHOP.splitlines()[line - 1].partition("=")[0].strip() or "name"
    value = data.draw(
        st.sampled_from(["1", "-1", "1e30", "1.5", "true", '""', '"x"', "[]", '["%d"]', "{}", "2010-12-01", "nan"])
        | st.text(max_size=8)
        | st.integers().map(str)
        | st.floats().map(repr)
    )
    with TemporaryDirectory() as folder:
        try:
            contract(Path(folder), with_line(line, f"{key} = {value}"))
        except ContractError as refused:
            error: ContractError | None = refused
        else:
            error = None

    assert error is None or (named_line(error) and error.hint)
