"""The grains of the tables of silver and gold and of the user's models.

Ours are read from the yml files of the dbt project, the user's from the record of the last build.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retailpipe.bronze import build_record
from retailpipe.errors import TransformError, UsageError, WarehouseError
from retailpipe.grain import OUR_ROWS, Grain, grain_of, quoted, words
from retailpipe.models import project_folder, relations

if TYPE_CHECKING:
    from retailpipe.connection import Connection

OUR_PROJECT = "dbt_project"
"""How the files of our models begin in messages."""
_BRONZE = "bronze"
_EXAMPLE = """\
    config:
      meta:
        trace:
          rows: {rows}
          grain: {{COLUMN: COLUMN}}
          columns:
            COLUMN: {{sum: COLUMN}}"""


@dataclass(frozen=True)
class Rows:
    """The rows that are traced, as they are declared.

    table: quoted for SQL.
    bronze: the name of the table of bronze that they come from.
    origins: for each column, the columns of bronze that it comes from; a missing one comes from that of its name.
    groups: by what they can be grouped, as SQL on one of them.
    """

    table: str
    bronze: str
    origins: dict[str, list[str]]
    groups: dict[str, str]

    def cells(self, columns: list[str]) -> list[str]:
        """The columns of bronze that columns of these rows come from."""
        return list(dict.fromkeys(cell for column in columns for cell in self.origins.get(column, [column])))


class Declarations:
    """How every table is traced, as far as it is declared.

    connection: in a read-only transaction. Raises what the methods raise.
    """

    def __init__(self, connection: Connection) -> None:
        own = build_record.own_models(connection) if _has_own_models(connection) else []
        self._own = {model.name: model for model in own if model.relation}
        self._ours = {name.partition(".")[2]: name for name in relations()}

    def names(self) -> list[str]:
        """The models, ours first."""
        return [*self._ours, *self._own]

    def grain(self, table: str) -> Grain:
        """The grain of a table, given as NAME or SCHEMA.NAME.

        Raises UsageError if there is no such table, TransformError if its yml does not declare its grain, or wrongly.
        """
        schema, _, name = table.rpartition(".")
        if name in self._ours and schema in ("", self._ours[name].partition(".")[0]):
            return _our_grain(name)
        if name in self._own and schema in ("", self._own[name].schema):
            return _own_grain(self._own[name])
        near = difflib.get_close_matches(name, self.names(), n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(
            f"no model builds a table {table}{meant}",
            hint=f"The tables are {', '.join(self.names())}. A new model of yours is known after `retailpipe run`.",
        )

    def declared(self) -> list[Grain]:
        """The grains of all tables that are traced, without those of the user's models that declare none."""
        names = [*self._ours, *(name for name, model in self._own.items() if model.trace is not None)]
        return [grain for grain in map(self.grain, names) if not grain.written_in]

    def rows(self, grain: Grain) -> Rows:
        """The rows that a grain traces. Raises TransformError if its yml names rows that are not known."""
        seen = [grain.model]
        name = grain.rows
        path: list[Grain] = []
        while not name.startswith(f"{_BRONZE}."):
            if name in seen or name not in self.names():
                reason = "is a model that follows from itself" if name in seen else "is not bronze.TABLE or a model"
                raise TransformError(
                    f"{grain.file}: model {grain.model}: rows of trace is {name!r}, which {reason}",
                    hint="docs/trace.md describes the keys of trace.",
                )
            path.append(self.grain(name))
            seen.append(name)
            name = path[-1].rows
        table = f"{_BRONZE}.{quoted(name.partition('.')[2])}"
        found = Rows(table, name.partition(".")[2], {}, {})
        for each in reversed(path):
            expressions = {column: measure.expression for column, measure in each.measures.items()} | each.keys
            origins = {column: found.cells(words(expression)) for column, expression in expressions.items()}
            found = Rows(each.table, found.bronze, origins, each.groups)
        return Rows(found.table, found.bronze, found.origins, found.groups | grain.groups)


def _has_own_models(connection: Connection) -> bool:
    found = connection.row("select to_regclass('bronze.own_models') is not null, to_regclass('bronze.loads') is null")
    if not found or found[1]:
        raise WarehouseError("no workbook is loaded yet", hint="Load a workbook with `retailpipe run FILE`.")
    return bool(found[0])


def _own_grain(model: build_record.OwnModel) -> Grain:
    file = model.file or f"models/{model.name}.yml"
    if model.trace is None:
        rows = f"{_BRONZE}.{model.reads[0]}" if model.reads else OUR_ROWS
        raise TransformError(
            f"{file} does not say how {model.name} is traced to bronze",
            hint=f"Add these lines below `- name: {model.name}`, with names of columns, and run `retailpipe run`; "
            f"docs/trace.md describes them:\n{_EXAMPLE.format(rows=rows)}",
        )
    rows = f"{_BRONZE}.{model.reads[0]}" if len(model.reads) == 1 else OUR_ROWS
    return grain_of(model.trace, model.name, model.schema, model.relation, file, rows)


@cache
def _our_grain(name: str) -> Grain:
    (file,) = (project_folder() / "models").rglob(f"{name}.yml")
    shown = f"{OUR_PROJECT}/models/{file.parent.name}/{file.name}"
    (model,) = (each for each in _parsed(file)["models"] if each["name"] == name)
    declared = model["config"]["meta"]["trace"]
    return grain_of(declared, name, f"public_{file.parent.name}", name, shown, OUR_ROWS)


def _parsed(file: Path) -> Any:
    import yaml

    # libyaml reads our files ten times as fast as Python does.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(file.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - both are safe loaders: they create no objects
