"""Write a contract, and the tables of silver and gold that are built from its rows, in ODCS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from retailpipe.contract import Contract
from retailpipe.contract_columns import EXCEL_FIRST_DATE, EXCEL_LAST_DATE, Bound, Column, Separators
from retailpipe.models import project_folder
from retailpipe.odcs.types import PREFIX, logical_of_postgresql, logical_type

_VERSION = "v3.1.0"
"""The version of the standard. The first with the logical type timestamp."""
_ADDED = (
    ("load_id", "bigint", "Number of the load that wrote the row."),
    ("source_row", "bigint", "Number of the row in the sheet, as Excel shows it."),
)
_SHEET = ("source_sheet", "text", "Name of the sheet.")
_REFERENCE = re.compile(r"ref\('(\w+)'\)")


def export_odcs(contract: Contract) -> str:
    """Return a contract as the text of a YAML file in ODCS 3.1.

    Its first table is that of the contract in bronze. If our models read that table, those of silver and gold follow.
    The same contract gives the same text. Raises TransformError if the installation lacks the dbt project.
    """
    import yaml

    tables = [_bronze(contract)]
    if contract.table in _tables_read():
        tables += [_model(model, layer) for layer in ("silver", "gold") for model in _models(layer)]
    document = {
        "apiVersion": _VERSION,
        "kind": "DataContract",
        "id": f"retailpipe.{contract.name}",
        "name": contract.name,
        # Contracts have no number: the version changes with their content.
        "version": contract.fingerprint[:12],
        "status": "active",
        "description": {"purpose": f"Rows of workbooks, in the table {contract.table} of schema bronze."},
        "schema": tables,
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _bronze(contract: Contract) -> dict[str, Any]:
    added = (*_ADDED, _SHEET) if contract.several_sheets else _ADDED
    return {
        "name": contract.table,
        "physicalName": f"bronze.{contract.table}",
        "logicalType": "object",
        "physicalType": "table",
        "description": "The rows of the current load of each workbook, as they are in its sheets.",
        "customProperties": _custom(_rules(contract)),
        "properties": [
            *(_column(column) for column in contract.columns),
            *(_property(name, kind, text, required=True) for name, kind, text in added),
        ],
    }


def _rules(contract: Contract) -> dict[str, Any]:
    """The keys of the contract that ODCS has no key for, as the TOML file has them; without those that are defaults."""
    skip_rows = [{"column": rule.column, "matches": rule.matches} for rule in contract.skip_rows]
    rejects = contract.max_rejects
    return {
        "max_rejects": rejects if isinstance(rejects, int) else _share(rejects),
        "max_overlap": _share(contract.max_overlap),
        "sheet": list(contract.sheets),
        "header_row": contract.header_row,
        "skip_rows": skip_rows,
        "skip_footer": contract.skip_footer or None,
        "delimiter": contract.delimiter,
        "encoding": contract.encoding,
        "files": list(contract.files),
    }


def _share(share: Decimal) -> str:
    return f"{(share * 100).normalize():f}%"


def _column(column: Column) -> dict[str, Any]:
    options = {
        "maxLength": column.max_length,
        "minimum": _bound(column.minimum),
        "maximum": _bound(column.maximum),
    }
    written = {
        "type": column.type,
        "formats": list(column.formats),
        "aliases": list(column.aliases),
        "optional": column.optional,
    }
    if column.separators != Separators() and logical_type(column.type) in ("integer", "number"):
        written |= {"decimal": column.separators.decimal, "thousands": column.separators.thousands}
    return {
        "name": column.name,
        "businessName": column.header,
        "physicalName": column.name,
        "logicalType": logical_type(column.type),
        "physicalType": column.postgresql_type,
        **({"required": True} if column.required else {}),
        **({"logicalTypeOptions": given} if (given := _given(options)) else {}),
        "customProperties": _custom(written),
    }


def _bound(bound: Bound | None) -> int | float | str | None:
    if isinstance(bound, Decimal):
        return int(bound) if bound == bound.to_integral_value() else float(bound)
    if bound is None or bound in (EXCEL_FIRST_DATE, EXCEL_LAST_DATE):  # the limits of every date
        return None
    return bound.isoformat()


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None and value is not False and value != []}


def _custom(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"property": PREFIX + key, "value": value} for key, value in _given(values).items()]


def _property(name: str, kind: str, description: str, *, required: bool) -> dict[str, Any]:
    logical = logical_of_postgresql(kind)
    return {
        "name": name,
        **({"logicalType": logical} if logical else {}),
        **({"physicalType": kind} if kind else {}),
        **({"required": True} if required else {}),
        "description": description,
    }


def _tables_read() -> set[str]:
    """The tables of bronze that our models read."""
    sources = _parsed(project_folder() / "models" / "sources.yml")["sources"]
    return {table["name"] for source in sources for table in source["tables"]}


def _models(layer: str) -> Iterator[dict[str, Any]]:
    for file in sorted((project_folder() / "models" / layer).glob("*.yml")):
        yield from _parsed(file)["models"]


def _model(model: dict[str, Any], layer: str) -> dict[str, Any]:
    """A model, as its yml file describes it."""
    tests = cast("list[dict[str, Any]]", model.get("data_tests", []))
    no_keys: dict[str, Any] = {}
    keys: dict[str, Any] = next((test["keys"]["arguments"] for test in tests if "keys" in test), no_keys)
    unique: list[str] = keys.get("unique", [])
    not_null: list[str] = keys.get("not_null", [])
    references: dict[str, str] = keys.get("references", {})
    properties: list[dict[str, Any]] = []
    for column in model["columns"]:
        name = column["name"]
        has_constraint = {"type": "not_null"} in column.get("constraints", [])
        found = _property(
            name, column.get("data_type", ""), column["description"], required=has_constraint or name in not_null
        )
        if name in unique:
            found |= {"primaryKey": True, "primaryKeyPosition": unique.index(name) + 1}
        if name in references and (other := _REFERENCE.search(references[name])):
            found["relationships"] = [{"to": f"{other[1]}.{name}"}]
        properties.append(found)
    return {
        "name": model["name"],
        "physicalName": f"public_{layer}.{model['name']}",
        "logicalType": "object",
        "description": model["description"],
        "properties": properties,
    }


def _parsed(file: Path) -> Any:
    import yaml

    return yaml.safe_load(file.read_text(encoding="utf-8"))
