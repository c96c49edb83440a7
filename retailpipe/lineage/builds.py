"""The events of a build: from the tables of bronze to those of silver, gold and the user's models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from retailpipe.counts import counted, some_of
from retailpipe.errors import RetailpipeError
from retailpipe.grain import OUR_ROWS, Grain, grain_of
from retailpipe.lineage.columns import Columns, Origins
from retailpipe.lineage.datasets import Database, Dataset
from retailpipe.lineage.emitter import guarded
from retailpipe.lineage.facets import Facet, facets, own_version
from retailpipe.lineage.runs import Content, Run

if TYPE_CHECKING:
    from retailpipe.connection import Connection
    from retailpipe.environment import Environment
    from retailpipe.reports import BuildReport


@dataclass(frozen=True)
class BuiltModel:
    """A model that dbt has built.

    relation: its table or view, as SCHEMA.TABLE. reads: the tables of bronze that it reads itself.
    rows: how many rows were written; None if that is not known, as for a view. whole: whether they are all rows of the
        table, and not only those that an incremental model added.
    trace: how its figures are traced to bronze, as its yml declares it, not checked yet; None if it does not.
    """

    name: str
    relation: str
    reads: tuple[str, ...]
    rows: int | None = None
    whole: bool = True
    trace: Any = None

    def grain(self) -> Grain | None:
        """How its rows follow from bronze; None if that is not declared, or wrongly: `trace` says so."""
        schema, _, relation = self.relation.partition(".")
        rows = f"bronze.{self.reads[0]}" if len(self.reads) == 1 else OUR_ROWS
        if self.trace is not None:
            with suppress(RetailpipeError):
                return grain_of(self.trace, self.name, schema, relation, self.name, rows)
        return None


@dataclass(frozen=True)
class _Table:
    """A table in the database. columns: names and types. size: in bytes, 0 for a view."""

    columns: list[tuple[str, str]]
    size: int


class BuildRun(Run):
    """The events of one build."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, "transform", "BUILD")
        self._models: Sequence[BuiltModel] = ()
        self._tables: dict[str, _Table] = {}

    def begin_build(self) -> None:
        """dbt is about to start."""
        self.begin(Content)

    def has_built(self, connection: Connection, models: Callable[[], Sequence[BuiltModel]]) -> None:
        """dbt has ended. models: returns what it has built.

        Reads the columns of the tables: the connection must not be needed afterwards.
        """
        with guarded():
            if not self._disabled:
                self._models = models()
                read = {f"bronze.{table}" for model in self._models for table in model.reads}
                self._tables = _tables(connection, [*read, *(model.relation for model in self._models)])
                self._known = self._content()

    def reported(self, report: BuildReport) -> None:
        """The build is recorded. A build with failures is a run that failed."""
        if report.ok:
            self.end(lambda: self._known)
            return
        names = some_of([failure.name for failure in report.failures])
        failed = f"{counted(len(report.failures), 'model or test', 'models and tests')} failed: {names}"
        self.end(lambda: self._known, "FAIL", failed)

    def _content(self) -> Content:
        database = Database.of(self._environment)
        grains = {model.name: grain for model in self._models if (grain := model.grain())}
        columns = Columns(
            grains, {name: [column for column, _ in table.columns] for name, table in self._tables.items()}
        )
        outputs = [self._output(database, model, columns) for model in self._models if model.relation in self._tables]
        read = sorted({f"bronze.{table}" for model in self._models for table in model.reads} & self._tables.keys())
        inputs = [database.table(name).dataset(schema=_schema(self._tables[name])) for name in read]
        engine = {"name": "dbt", "version": version("dbt-core"), "openlineageAdapterVersion": own_version()}
        return Content(inputs, outputs, facets(processing_engine=engine))

    def _output(self, database: Database, model: BuiltModel, columns: Columns) -> Dataset:
        table = self._tables[model.relation]
        origins = {column: columns.of(model.name, column) for column, _ in table.columns}
        fields = {column: {"inputFields": _fields(database, found)} for column, found in origins.items() if found}
        lineage = {"fields": fields, "dataset": _fields(database, columns.of_rows(model.name))} if fields else None
        written = {"rowCount": model.rows, **({"size": table.size} if model.whole else {})}
        dataset = database.table(model.relation).dataset(schema=_schema(table), columnLineage=lineage)
        return dataset | {"outputFacets": facets(outputStatistics=None if model.rows is None else written)}


def _schema(table: _Table) -> Facet:
    return {"fields": [{"name": name, "type": kind} for name, kind in table.columns]}


def _fields(database: Database, origins: Origins) -> list[Facet]:
    return [
        database.table(table).field(
            column,
            *(
                {"type": each.type, "subtype": each.subtype}
                for each in sorted(found, key=lambda each: (each.type, each.subtype))
            ),
        )
        for (table, column), found in origins.items()
    ]


def _tables(connection: Connection, names: Sequence[str]) -> dict[str, _Table]:
    """The tables and views with these names, each as SCHEMA.TABLE, in one statement."""
    rows = connection.rows(
        """
        select
            nspname || '.' || relname,
            case relkind when 'r' then pg_table_size(pg_class.oid) else 0 end,
            json_agg(json_build_array(attname, format_type(atttypid, atttypmod)) order by attnum)::text
        from pg_class
        inner join pg_namespace on pg_namespace.oid = relnamespace
        inner join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
        where
            relkind in ('r', 'v', 'm')
            and nspname || '.' || relname in (select jsonb_array_elements_text($1::jsonb))
        group by nspname, relname, relkind, pg_class.oid
        """,
        json.dumps([*names]),
    )
    return {
        name: _Table([(column, kind) for column, kind in json.loads(columns)], size) for name, size, columns in rows
    }
