"""Find out which tables are made from which: workbooks, tables of bronze, our models and the user's."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from retailpipe.bronze.build_record import OwnModel
from retailpipe.environment import Environment
from retailpipe.html_report.facts import LineageNode
from retailpipe.models import project_folder

if TYPE_CHECKING:
    from retailpipe.connection import Connection

_REF = re.compile(r"""\bref\(\s*['"](?:[^'"]*['"]\s*,\s*['"])?(\w+)['"]""")
_SOURCE = re.compile(r"""\bsource\(\s*['"]\w+['"]\s*,\s*['"](\w+)['"]\s*\)""")
_MACRO = re.compile(r"{%-?\s*macro\s+(\w+)\(.*?{%-?\s*endmacro", re.DOTALL)
_WORKBOOKS_NAMED = 3
_LONGEST_TEXT = 200


def lineage(connection: Connection, environment: Environment, own: Collection[OwnModel]) -> tuple[LineageNode, ...]:
    """The nodes, each after its parents' layer: workbooks, bronze, silver, gold, own models.

    The files of the user's models may be on another machine. Then only the tables of bronze that they read are known,
    which the last build recorded. Raises WarehouseError.
    """
    models = _models(environment, own)
    read = {name for model in models for layer, name in model.parents if layer == "bronze"}
    loaded = _workbooks(connection)
    bronze = [
        LineageNode(table, "bronze", tuple(("workbook", name) for name in loaded.get(table, ())))
        for table in sorted({*loaded, *read})
    ]
    workbooks = [LineageNode(name, layer) for layer, name in dict.fromkeys(p for node in bronze for p in node.parents)]
    return (*workbooks, *bronze, *models)


def _workbooks(connection: Connection) -> dict[str, list[str]]:
    """The workbooks of each table of bronze; if there are many, how many."""
    rows = connection.rows(
        f"""
        select table_name, count(*), json_agg(source order by place) filter (where place <= {_WORKBOOKS_NAMED})::text
        from (
            select
                table_name,
                left(source, {_LONGEST_TEXT}) as source,
                row_number() over (partition by table_name order by source collate "C") as place
            from bronze.loads
            where status = 'loaded'
        ) as loads
        group by table_name
        """
    )
    return {
        table: json.loads(names) if count <= _WORKBOOKS_NAMED else [f"{count:,} workbooks of {table}"]
        for table, count, names in rows
    }


def _models(environment: Environment, own: Collection[OwnModel]) -> list[LineageNode]:
    """Our models and the user's. A name in `ref` is a model, and one in `source` is a table of bronze."""
    folder = project_folder()
    macros = _macros(folder / "macros")
    ours = {file.stem: file for file in sorted((folder / "models").rglob("*.sql"))}
    files = {file.stem: file for file in (environment.folder / "models").rglob("*.sql")}
    layers = {name: file.parent.name for name, file in ours.items()}
    own_layers = layers | {model.name: "own" for model in own}
    found = [LineageNode(name, layers[name], _parents(_text(file), macros, layers)) for name, file in ours.items()]
    for model in own:
        parents = tuple(("bronze", table) for table in model.reads)
        if model.name in files:
            parents = _parents(_text(files[model.name]), {}, own_layers)
        found.append(LineageNode(model.name, "own", parents))
    return found


def _parents(text: str, macros: Mapping[str, set[str]], layers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The models and tables that the SQL of a model names, itself or through our macros. layers: of all models."""
    called = {name for macro, names in macros.items() if re.search(rf"\b{macro}\(", text) for name in names}
    models = {(layers[name], name) for name in {*_REF.findall(text), *called} if name in layers}
    return tuple(sorted({*models, *(("bronze", table) for table in _SOURCE.findall(text))}))


def _macros(folder: Path) -> dict[str, set[str]]:
    """The models that each of our macros names."""
    found = [match for file in folder.rglob("*.sql") for match in _MACRO.finditer(_text(file))]
    return {match[1]: {*_REF.findall(match[0])} for match in found}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
