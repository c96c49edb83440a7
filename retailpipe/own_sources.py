"""The source `bronze` of the user's models: the tables of all contracts, with what their columns mean."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from retailpipe.bindings import Bindings
from retailpipe.contract import Contract
from retailpipe.errors import ContractError

_OF_EVERY_TABLE = {
    "load_id": "The load that contains the row; see bronze.loads.",
    "source_row": "Number of the row in the sheet, as Excel shows it.",
}
_SHEET = {"source_sheet": "Name of the sheet that contains the row."}
_REJECTED_ROWS = {
    "load_id": "The load that rejected the row; see bronze.loads.",
    "sheet": "Name of the sheet that contains the row.",
    "source_row": "Number of the row in the sheet, as Excel shows it.",
    "cell": "The first cell that breaks the contract, such as D12.",
    "column_name": "The column of that cell, as the contract names it.",
    "raw_value": "The value of that cell, as text.",
    "code": "The rule that the cell breaks.",
    "message": "What is wrong, as a sentence.",
    "hint": "How to correct it.",
    "raw_row": "All cells of the row as text, by column.",
    "cells": "All cells of the row with their types, by the letters of their columns.",
    "corrected_by": "The load that loaded the row with corrected cells; null while it is rejected.",
}


def sources(folder: Path, tables: Iterable[str]) -> str:
    """The yml file of the source `bronze`.

    folder: of the environment. The columns of a table are described if a contract in its `contracts/` is for it.
    tables: the names of the tables, without schema.
    """
    contracts = _contracts(folder)
    described = [_table(name, contracts.get(name)) for name in sorted({*tables} - {"rejected_rows"})]
    rejected = _described(
        "rejected_rows", "The quarantine: the rows of current loads that break their contract.", _REJECTED_ROWS
    )
    source = {
        "name": "bronze",
        "description": "The rows of the workbooks, unchanged. Written by `retailpipe ingest`; dbt only reads it.",
        "schema": "bronze",
        "tables": [*described, rejected],
    }
    # JSON is also YAML, and quotes every name.
    return json.dumps({"sources": [source]}, indent=2)


def _contracts(folder: Path) -> dict[str, Contract]:
    """The contracts that are known, by table. Loads report a contract that cannot be read, so here it is left out."""
    default = Contract.default()
    try:
        own = [contract for _, contract in Bindings.of(folder).contracts]
    except ContractError:
        own = []
    return {default.table: default} | {contract.table: contract for contract in own}


def _table(name: str, contract: Contract | None) -> dict[str, object]:
    columns = {
        column.name: f"Column {column.header!r} of the workbook, of type {column.type}."
        for column in (contract.columns if contract else ())
    }
    sheet = _SHEET if contract and contract.several_sheets else {}
    rows = f" under contract {contract.name!r}" if contract else ""
    return _described(
        name, f"One row per row of a workbook that was accepted{rows}.", columns | _OF_EVERY_TABLE | sheet
    )


def _described(name: str, description: str, columns: Mapping[str, str]) -> dict[str, object]:
    return {
        "name": name,
        "description": _literal(description),
        "columns": [{"name": column, "description": _literal(text)} for column, text in columns.items()],
    }


def _literal(text: str) -> str:
    """A template of dbt that renders to this text: a header of a workbook may contain braces."""
    return text.replace("{", "{{ '{' }}")
