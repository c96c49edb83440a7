"""Read a contract from a YAML file in ODCS, version 3, and name what contracts have no key for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from retailpipe.contract import OWN_TABLES, Contract
from retailpipe.contract_columns import OWN_COLUMNS
from retailpipe.drafting.naming import one_line, unique_name
from retailpipe.errors import ContractError, UsageError
from retailpipe.odcs.types import PREFIX, contract_type
from retailpipe.reports import Report
from retailpipe.toml_file import toml_value

_LARGEST = 10_000_000
_DOCUMENT = {"apiVersion", "kind", "id", "name", "version", "status", "schema", "description"}
_TABLE = {"id", "name", "physicalName", "logicalType", "physicalType", "description", "properties", "customProperties"}
_PROPERTY = {
    *("id", "name", "businessName", "physicalName", "logicalType", "physicalType", "required", "description"),
    *("logicalTypeOptions", "customProperties"),
}
_OPTIONS = {"maxLength": "max_length", "minimum": "minimum", "maximum": "maximum"}
_RULES = (
    *("max_rejects", "max_overlap", "files", "sheet", "header_row", "skip_rows", "skip_footer"),
    *("delimiter", "encoding"),
)
_COLUMN_RULES = ("formats", "aliases", "optional", "decimal", "thousands")


@dataclass(frozen=True)
class ImportedContract(Report):
    """A contract that was read from a file in ODCS.

    name: the contract's name. table: that of the file from which it was read.
    file: the name of the file.
    left_out: what contracts have no key for, each with its place in the file.
    text: the contract, as the text of a TOML file.
    """

    name: str
    table: str
    file: str
    left_out: tuple[str, ...]
    text: str


def import_odcs(path: str | Path, *, table: str | None = None) -> ImportedContract:
    """Read a contract from a YAML or JSON file in ODCS, version 3.

    table: the name of the table in `schema`; default: the only one, or the only one that `export_odcs` wrote for
        workbooks.
    Raises ContractError if the file is not in ODCS 3 or the contract is not valid, UsageError if the table must be
    named.
    """
    path = Path(path)
    return _Import(path, table).result()


class _Import:
    def __init__(self, path: Path, table: str | None) -> None:
        self._path = path
        self._left_out: list[str] = []
        self._document = _read(path)
        self._place, self._table = self._chosen(table)

    def result(self) -> ImportedContract:
        table = self._table
        self._note_unknown(self._document, _DOCUMENT, "")
        self._note_unknown(table, _TABLE, self._place)
        shown = _text(table.get("name"))
        name = unique_name(_text(self._document.get("name")) or shown, set(), "rows")
        lines = [
            f"# Read from {one_line(self._path.name)}. Check every type and rule; docs/contract.md describes the keys.",
            "",
            f"name = {toml_value(name)}",
            f"table = {toml_value(unique_name(shown, OWN_TABLES, 'rows'))}",
        ]
        lines += self._custom(table, _RULES, self._place)
        taken: set[str] = set()
        properties = table.get("properties")
        for number, each in enumerate(cast("list[object]", properties) if isinstance(properties, list) else []):
            lines += self._column(each, f"{self._place}.properties[{number}]", taken)
        text = "\n".join(lines) + "\n"
        try:
            Contract.from_text(text, "the contract")
        except ContractError as error:
            raise ContractError(
                f"{self._path}: table {shown!r} does not give a valid contract: {error}",
                hint="Correct the file, or draft a contract from a workbook: `retailpipe contract init WORKBOOK`.",
            ) from error
        return ImportedContract(name, shown, self._path.name, tuple(self._left_out), text)

    def _chosen(self, name: str | None) -> tuple[str, dict[str, Any]]:
        """The place and the content of the table to read."""
        raw = self._document.get("schema")
        tables = [
            (f"schema[{number}]", cast("dict[str, Any]", each))
            for number, each in enumerate(cast("list[object]", raw) if isinstance(raw, list) else [])
            if isinstance(each, dict)
        ]
        found = tables
        if name is not None:
            found = [each for each in tables if _text(each[1].get("name")) == name]
        elif len(tables) > 1:
            found = [each for each in tables if _customs(each[1])]
        if len(found) == 1:
            self._left_out += [
                f"{place}: table {_text(each.get('name'))}" for place, each in tables if place != found[0][0]
            ]
            return found[0]
        if not tables:
            raise ContractError(f"{self._path} has no tables in `schema`", hint="Pass a contract with a table.")
        names = ", ".join(_text(each.get("name")) for _, each in tables[:20])
        problem = f"has no table {name!r}" if name is not None else f"has {len(tables)} tables"
        raise UsageError(f"{self._path} {problem}", hint=f"Pass one of these with --table: {names}.")

    def _column(self, raw: object, place: str, taken: set[str]) -> list[str]:
        """The section of a column; no lines if there is none."""
        each = cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}
        shown = _text(each.get("name"))
        if not shown:
            self._left_out.append(f"{place}: it has no name")
            return []
        if shown in OWN_COLUMNS:
            return []  # every table has it
        self._note_unknown(each, _PROPERTY, place)
        custom = _customs(each)
        type_name, length = contract_type(each.get("logicalType"), each.get("physicalType"))
        if isinstance(custom.get("type"), str):
            type_name = str(custom["type"])
        if type_name is None:
            kind = _text(each.get("physicalType")) or _text(each.get("logicalType")) or "no type"
            self._left_out.append(f"{place}: {kind}; {shown} is read as text")
            type_name = "string"
        name = unique_name(shown, taken, "column")
        taken.add(name)
        description = _text(each.get("description"))
        return [
            "",
            "[[columns]]",
            *([f"# {one_line(description)}"] if description else []),
            f"header = {toml_value(_text(each.get('businessName')) or shown)}",
            f"name = {toml_value(name)}",
            f"type = {toml_value(type_name)}",
            *(["required = true"] if each.get("required") is True and custom.get("optional") is not True else []),
            *self._options(each, place, type_name, length),
            *self._custom(each, _COLUMN_RULES, place),
        ]

    def _options(self, each: dict[str, Any], place: str, type_name: str, length: int | None) -> list[str]:
        """The lines of `logicalTypeOptions`."""
        raw = each.get("logicalTypeOptions")
        options = cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}
        if length is not None and "maxLength" not in options:
            options = {**options, "maxLength": length}
        lines: list[str] = []
        for key, value in options.items():
            fits = (key == "maxLength") == (type_name == "string")
            written = _bound(value, type_name) if key in _OPTIONS and fits else None
            if written is None:
                self._left_out.append(f"{place}.logicalTypeOptions.{key}")
            else:
                lines.append(f"{_OPTIONS[key]} = {written}")
        return lines

    def _custom(self, element: dict[str, Any], known: tuple[str, ...], place: str) -> list[str]:
        """The lines of our own keys in `customProperties`."""
        lines: list[str] = []
        for key, value in _customs(element).items():
            if key not in known:
                if key != "type":
                    self._left_out.append(f"{place}.customProperties: {PREFIX}{key}")
                continue
            try:
                lines.append(f"{key} = {toml_value(value)}")
            except (ValueError, RecursionError):
                self._left_out.append(f"{place}.customProperties: {PREFIX}{key}")
        return lines

    def _note_unknown(self, element: dict[str, Any], known: set[str], place: str) -> None:
        self._left_out += [".".join(filter(None, (place, str(key)))) for key in element if key not in known]


def _read(path: Path) -> dict[str, Any]:
    import yaml

    hint = "Pass a YAML or JSON file in the Open Data Contract Standard, version 3."
    try:
        if path.stat().st_size > _LARGEST:
            raise ContractError(f"{path} is larger than {_LARGEST:,} bytes", hint=hint)
        parsed: object = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ContractError(f"cannot read {path}: {error.strerror}", hint=hint) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ContractError(f"{path} is not valid YAML: {' '.join(str(error).split())}", hint=hint) from error
    document = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
    version = document.get("apiVersion")
    if document.get("kind") != "DataContract" or not str(version).startswith("v3."):
        found = f"kind {document.get('kind')!r}, apiVersion {version!r}"
        raise ContractError(f"{path} is not a data contract of ODCS 3: it has {one_line(found)[:200]}", hint=hint)
    return document


def _customs(element: Mapping[str, Any]) -> dict[str, Any]:
    """Our own values in `customProperties`, by their names without the prefix."""
    raw = element.get("customProperties")
    found: dict[str, Any] = {}
    for each in cast("list[object]", raw) if isinstance(raw, list) else []:
        if isinstance(each, dict):
            pair = cast("dict[str, Any]", each)
            name = pair.get("property")
            if isinstance(name, str) and name.startswith(PREFIX):
                found[name.removeprefix(PREFIX)] = pair.get("value")
    return found


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _bound(value: object, type_name: str) -> str | None:
    """A bound or a length as TOML; None if it is not one of the type."""
    if isinstance(value, bool):
        return None
    if type_name in ("timestamp[us]", "date32"):
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            return None
        return None if moment.tzinfo else toml_value(moment)
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return toml_value(value) if is_number else None
