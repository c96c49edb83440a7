"""Find out which tables are made from which: workbooks, tables of bronze, our models and the user's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from retailpipe.bronze.build_record import OwnModel
from retailpipe.environment import Environment
from retailpipe.html_report.facts import Ledger, LineageNode
from retailpipe.models import project_folder

_REF = re.compile(r"""\bref\(\s*['"](?:[^'"]*['"]\s*,\s*['"])?(\w+)['"]""")
_SOURCE = re.compile(r"""\bsource\(\s*['"]\w+['"]\s*,\s*['"](\w+)['"]\s*\)""")
_MACRO = re.compile(r"{%-?\s*macro\s+(\w+)\(.*?{%-?\s*endmacro", re.DOTALL)
_WORKBOOKS_NAMED = 3


def lineage(environment: Environment, ledger: Ledger, own: Iterable[OwnModel]) -> tuple[LineageNode, ...]:
    """The nodes, each after its parents' layer: workbooks, bronze, silver, gold, own models.

    The files of the user's models may be on another machine. Then only the tables of bronze that they read are known,
    which the last build recorded.
    """
    models = [*_our_models(), *_own_models(environment, own)]
    known = {model.name for model in models}
    read = {parent for model in models for parent in model.parents if parent not in known}
    loaded = sorted({load.table_name for load in ledger.current})
    bronze = [LineageNode(table, "bronze", _workbooks_of(ledger, table)) for table in sorted({*loaded, *read})]
    workbooks = [LineageNode(name, "workbook") for name in dict.fromkeys(p for node in bronze for p in node.parents)]
    return (*workbooks, *bronze, *models)


def _workbooks_of(ledger: Ledger, table: str) -> tuple[str, ...]:
    """The names of the workbooks of a table; if there are many, how many."""
    names = sorted(load.source.rpartition("/")[2] for load in ledger.current if load.table_name == table)
    more = len(names) - _WORKBOOKS_NAMED
    return tuple(names) if more <= 0 else (f"{len(names)} workbooks of {table}",)


def _our_models() -> list[LineageNode]:
    folder = project_folder()
    macros = _macros(folder / "macros")
    files = sorted((folder / "models").rglob("*.sql"))
    return [LineageNode(file.stem, file.parent.name, _parents(_text(file), macros)) for file in files]


def _own_models(environment: Environment, own: Iterable[OwnModel]) -> list[LineageNode]:
    files = {file.stem: file for file in (environment.folder / "models").rglob("*.sql")}
    return [
        LineageNode(model.name, "own", _parents(_text(files[model.name]), {}) if model.name in files else model.reads)
        for model in own
    ]


def _parents(text: str, macros: Mapping[str, set[str]]) -> tuple[str, ...]:
    """The models and tables that the SQL of a model names, itself or through our macros."""
    called = {name for macro, names in macros.items() if re.search(rf"\b{macro}\(", text) for name in names}
    return tuple(sorted({*_REF.findall(text), *_SOURCE.findall(text), *called}))


def _macros(folder: Path) -> dict[str, set[str]]:
    """The models that each of our macros names."""
    found = [match for file in folder.rglob("*.sql") for match in _MACRO.finditer(_text(file))]
    return {match[1]: {*_REF.findall(match[0])} for match in found}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
