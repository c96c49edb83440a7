"""Contracts in the Open Data Contract Standard: written, linted by another tool, and read back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from retailpipe import Contract, ContractError, Environment, UsageError, export_odcs, import_odcs
from retailpipe.contract_columns import Separators
from tests.support.forked import command
from tests.support.lacking import skip

EVERYTHING = r"""
name = "branches"
table = "branch_sales"
files = ["branch*.xlsx", "shops/*.csv"]
max_rejects = 0
max_overlap = "12.5%"
sheet = ["2024*", "2025"]
header_row = 3
skip_rows = [{ column = "Ref \"no\"", matches = "Total*" }]
skip_footer = 2
delimiter = ";"
encoding = "cp1252"
decimal = ","
thousands = "."

[[columns]]
header = "Ref \"no\""
name = "ref"
type = "string"
required = true
max_length = 9
aliases = ["Référence", "No. \\ 1"]

[[columns]]
header = "Amount"
name = "amount"
type = "decimal128(20, 4)"
minimum = -0.5
maximum = 99999999999

[[columns]]
header = "Count"
name = "count"
type = "int64"
minimum = 0
thousands = ""

[[columns]]
header = "Sold"
name = "sold"
type = "timestamp[us]"
minimum = 2020-01-01
maximum = 2029-12-31
formats = ["%d.%m.%Y %H:%M"]

[[columns]]
header = "Due"
name = "due"
type = "date32"
minimum = 2021-02-03
optional = true
"""
OF_ANOTHER_TOOL = """
apiVersion: v3.0.2
kind: DataContract
id: 53581432-6c55-4ba2-a65f-72344a91553a
name: Seller Payments!
version: 1.1.0
status: active
servers:
  - {server: prod, type: postgres, host: db.example.com, port: 5432, database: shop, schema: public}
slaProperties: [{property: latency, value: 4}]
schema:
  - name: Payments
    physicalType: table
    description: "One row\\nper payment"
    quality: [{type: text, description: never empty}]
    properties:
      - name: Transaction Ref
        description: "Number\\nof the payment"
        logicalType: string
        physicalType: VARCHAR(18)
        required: true
        unique: true
        logicalTypeOptions: {minLength: 3, pattern: "^P"}
      - {name: amount, physicalType: "DECIMAL(10,2)", logicalTypeOptions: {minimum: 0.01, exclusiveMaximum: 100}}
      - {name: pieces, logicalType: integer, logicalTypeOptions: {maximum: 12, maxLength: 3}}
      - {name: weight, logicalType: number, logicalTypeOptions: {minimum: .nan}}
      - {name: paid_on, logicalType: date, logicalTypeOptions: {minimum: "2024-01-01", format: yyyy-MM-dd}}
      - {name: paid at, physicalType: timestamp without time zone}
      - {name: is_refund, logicalType: boolean, physicalType: boolean}
      - {name: select, logicalType: string}
      - {name: load_id, physicalType: bigint}
      - {logicalType: string}
"""


def contract(path: Path, text: str) -> Contract:
    path.write_text(text, encoding="utf-8")
    return Contract.from_file(path)


def meaning(contract: Contract) -> dict[str, Any]:
    """All that a contract says: without its fingerprint, and without separators of columns that are not numbers."""
    columns = [
        replace(each, separators=Separators()) if each.is_date or each.type == "string" else each
        for each in contract.columns
    ]
    values = {each.name: getattr(contract, each.name) for each in fields(contract)}
    return {**values, "columns": columns, "fingerprint": ""}


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command(), *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize("text", ["", EVERYTHING], ids=["built in", "every key"])
def test_what_was_exported_is_imported_unchanged(tmp_path: Path, text: str) -> None:
    original = contract(tmp_path / "original.toml", text) if text else Contract.default()

    imported = import_odcs(written(tmp_path / "a.odcs.yaml", export_odcs(original)))

    again = contract(tmp_path / "imported.toml", imported.text)
    assert meaning(again) == meaning(original)
    assert [each for each in imported.left_out if ": table " not in each] == []


@pytest.mark.parametrize(
    "text", [pytest.param("", id="built in"), pytest.param(EVERYTHING, id="every key", marks=pytest.mark.nightly)]
)
def test_datacontract_cli_accepts_an_export(tmp_path: Path, text: str) -> None:
    """The tool is not a dependency: uv installs it apart."""
    original = contract(tmp_path / "original.toml", text) if text else Contract.default()
    file = written(tmp_path / "a.odcs.yaml", export_odcs(original))
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        skip("uv, which installs datacontract-cli, is not on PATH")
    tool = [uv, "tool", "run", "--from", "datacontract-cli==1.2.8", "datacontract"]
    if subprocess.run([*tool, "--version"], capture_output=True).returncode:
        skip("uv cannot install datacontract-cli")

    linted = subprocess.run([*tool, "lint", str(file)], capture_output=True, text=True)

    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_the_tables_of_silver_and_gold_are_those_of_the_database(built_environment: Environment) -> None:
    columns = built_environment.warehouse.query(
        """
        select table_schema || '.' || table_name as name, column_name, data_type from information_schema.columns
        where table_schema in ('public_silver', 'public_gold')
        """
    ).to_pylist()
    kinds = {(row["name"], row["column_name"]): row["data_type"] for row in columns}

    _, *tables = yaml.safe_load(export_odcs(Contract.default()))["schema"]

    listed = {(table["physicalName"], each["name"]): each for table in tables for each in table["properties"]}
    assert listed.keys() == kinds.keys()
    for place, each in listed.items():
        assert each.get("physicalType", kinds[place]) in (kinds[place], kinds[place].split(" ")[0])


def test_a_contract_whose_table_our_models_do_not_read_is_exported_alone(tmp_path: Path) -> None:
    exported = yaml.safe_load(export_odcs(contract(tmp_path / "a.toml", EVERYTHING)))

    assert [table["name"] for table in exported["schema"]] == ["branch_sales"]
    assert [each["name"] for each in exported["schema"][0]["properties"]][-3:] == [
        "load_id",
        "source_row",
        "source_sheet",
    ]


def test_a_contract_of_another_tool_is_imported_as_far_as_possible(tmp_path: Path) -> None:
    imported = import_odcs(written(tmp_path / "a.yaml", OF_ANOTHER_TOOL))

    columns = {
        column.name: (column.header, column.type, column.required, column.max_length)
        for column in contract(tmp_path / "a.toml", imported.text).columns
    }
    assert (imported.name, imported.table) == ("seller_payments", "Payments")
    assert columns == {
        "transaction_ref": ("Transaction Ref", "string", True, 18),
        "amount": ("amount", "decimal128(10, 2)", False, None),
        "pieces": ("pieces", "int64", False, None),
        "weight": ("weight", "decimal128(38, 18)", False, None),
        "paid_on": ("paid_on", "date32", False, None),
        "paid_at": ("paid at", "timestamp[us]", False, None),
        "is_refund": ("is_refund", "string", False, None),
        "select_": ("select", "string", False, None),
    }
    assert imported.left_out == (
        "servers",
        "slaProperties",
        "schema[0].quality",
        "schema[0].properties[0].unique",
        "schema[0].properties[0].logicalTypeOptions.minLength",
        "schema[0].properties[0].logicalTypeOptions.pattern",
        "schema[0].properties[1].logicalTypeOptions.exclusiveMaximum",
        "schema[0].properties[2].logicalTypeOptions.maxLength",
        "schema[0].properties[3].logicalTypeOptions.minimum",
        "schema[0].properties[4].logicalTypeOptions.format",
        "schema[0].properties[6]: boolean; is_refund is read as text",
        "schema[0].properties[9]: it has no name",
    )
    assert "# Number of the payment\n" in imported.text


HEAD = "apiVersion: v3.0.2\nkind: DataContract\n"
TWO_TABLES = HEAD + "schema: [{name: a, properties: [{name: x, logicalType: string}]}, {name: b}]"
BAD = {
    "no file": (None, ContractError, "cannot read"),
    "empty": ("", ContractError, "not a data contract of ODCS 3"),
    "a list": ("- a", ContractError, "not a data contract of ODCS 3"),
    "another version": ("apiVersion: v2.2.2\nkind: DataContract", ContractError, "apiVersion 'v2.2.2'"),
    "not YAML": ("a: [1", ContractError, "is not valid YAML"),
    "not UTF-8": (b"a: \xff", ContractError, "is not valid YAML"),
    "a Python object": ("a: !!python/object/apply:os.system [id]", ContractError, "is not valid YAML"),
    "too deep": ("[" * 50_000, ContractError, "is not valid YAML"),
    "a control character": ("kind: a\x1b[2J", ContractError, "is not valid YAML"),
    "no tables": (HEAD + "schema: 1", ContractError, "has no tables in `schema`"),
    "no columns": (HEAD + "schema: [{name: a}]", ContractError, "table 'a' does not give a valid contract"),
    "two tables": (TWO_TABLES, UsageError, "has 2 tables"),
    "a wrong length": (
        HEAD + "schema: [{name: a, properties: [{name: x, logicalType: string, logicalTypeOptions: {maxLength: -1}}]}]",
        ContractError,
        "max_length must be a whole number",
    ),
}


@pytest.mark.parametrize(("content", "kind", "said"), BAD.values(), ids=BAD.keys())
def test_a_file_that_is_not_a_contract_is_refused(
    tmp_path: Path, content: str | bytes | None, kind: type[Exception], said: str
) -> None:
    file = tmp_path / "a.yaml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(kind, match=r"a\.yaml") as caught:
        import_odcs(file)

    assert said in str(caught.value)
    assert getattr(caught.value, "hint", "")


def test_one_of_several_tables_is_chosen_by_its_name(tmp_path: Path) -> None:
    file = written(tmp_path / "a.yaml", TWO_TABLES)

    assert import_odcs(file, table="a").left_out == ("schema[1]: table b",)
    with pytest.raises(UsageError, match="has no table 'c'") as caught:
        import_odcs(file, table="c")
    assert caught.value.hint == "Pass one of these with --table: a, b."


def test_the_commands_write_and_save_contracts(tmp_path: Path) -> None:
    file = tmp_path / "a b.odcs.yaml"

    exported = run("contract", "export", "--odcs", "--out", file, cwd=tmp_path)
    again = run("contract", "export", "--out", file, cwd=tmp_path)
    saved = run("contract", "import", file, "--save", "--local", "shop", cwd=tmp_path)
    as_json = run("contract", "import", file, "--json", cwd=tmp_path)

    assert (exported.returncode, exported.stdout) == (0, f"wrote {file}\n")
    assert again.returncode == 2
    assert "already exists" in again.stderr
    contract_file = tmp_path / "shop" / "contracts" / "online_retail.toml"
    assert saved.stdout == f"read contract online_retail from table raw_transactions of {file.name}: {contract_file}\n"
    assert "left out: schema[14]: table top_products\n" in saved.stderr
    assert meaning(Contract.from_file(contract_file)) == meaning(Contract.default())
    assert json.loads(as_json.stdout)["table"] == "raw_transactions"
