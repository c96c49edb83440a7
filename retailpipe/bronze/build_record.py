"""Record what the last successful build was built from.

Table bronze.builds has one row for our models, and one for all models if there are models of the user. A row is missing
if there was no such build, or a later one failed: if only the user's models failed, the row of our models remains, so
the next build need not be a full refresh.

Table bronze.own_models has the user's models as the last build parsed them: which tables of bronze they read, and what
their yml declares. So `verify` and `trace` need not read the models, which may be on another machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retailpipe.connection import Connection

OUR_TABLE = "raw_transactions"
"""The only table of bronze that our models read."""

CURRENT_LOADS = "status in ('loaded', 'correction')"
"""The condition of the loads whose rows are in bronze."""

_READ = f"(select '{OUR_TABLE}' as name union select unnest(reads) from bronze.own_models)"
_OUR_LOAD_IDS = f"""
    select coalesce(array_agg(load_id order by load_id), '{{}}') from bronze.loads
    where {CURRENT_LOADS} and table_name = '{OUR_TABLE}'
"""
_ALL_LOAD_IDS = f"""
    select coalesce(array_agg(load_id order by load_id), '{{}}') from bronze.loads
    where {CURRENT_LOADS} and table_name in {_READ}
"""
_CURRENT = f"((project = $1 and load_ids = ({_OUR_LOAD_IDS})) or (project = $2 and load_ids = ({_ALL_LOAD_IDS})))"


@dataclass(frozen=True)
class OwnModel:
    """A model of the user.

    schema, relation: its table or view; empty if it has none.
    reads: the tables of bronze that it reads, without those that it reads through other models.
    invariants: what its yml declares: `rows_of` is a list of tables, `sum_of` maps each column to a list of columns.
    chart: the chart in the report that its yml declares, not checked yet; None if there is none.
    file: the yml file that describes it, from the folder of the environment; empty if there is none.
    trace: how its figures are traced to bronze, as its yml declares it, not checked yet; None if it does not.
    """

    name: str
    schema: str
    relation: str
    reads: tuple[str, ...]
    invariants: dict[str, Any]
    incremental: bool = False
    chart: Any = None
    file: str = ""
    trace: Any = None


@dataclass(frozen=True)
class Built:
    """What the record says.

    ours: whether the last build used this version of our models and exactly the loads that are current now.
    all: the same for all models; if the user has no models, whether none are recorded.
    """

    ours: bool
    all: bool


@dataclass(frozen=True)
class Tables:
    """The tables that models read and build.

    read: the tables of bronze that models read.
    unread: the tables of bronze with loaded rows that no model reads.
    leftovers: tables and views of silver, gold and public_own that no model builds.
    missing: whether a table or view of a model does not exist.
    """

    read: tuple[str, ...]
    unread: tuple[str, ...]
    leftovers: tuple[str, ...]
    missing: bool


def built(connection: Connection, our_hash: str, all_hash: str | None) -> Built:
    """Compare the record with the hash of our models, and with that of all models if there are models of the user."""
    row = connection.row(
        f"""
        select
            coalesce(bool_or(project = $1 and {_CURRENT}), false),
            coalesce(bool_or(project = $2 and {_CURRENT}), false),
            count(*) filter (where project <> $1) + (select count(*) from bronze.own_models)
        from bronze.builds
        """,
        our_hash,
        all_hash or "",
    )
    ours_current, all_current, own = row or (False, False, 0)
    return Built(ours_current, all_current if all_hash else not own)


def built_by(connection: Connection, project: str) -> bool:
    """Whether the last build used this version of the models."""
    return connection.row("select exists (select from bronze.builds where project = $1)", project) == (True,)


def clear(connection: Connection) -> None:
    """Delete the record before a build: if the build fails, its tables cannot be trusted."""
    connection.execute("delete from bronze.builds")


def clear_outdated(connection: Connection, our_hash: str, all_hash: str | None) -> None:
    """Delete the rows of other versions of the models, and of loads that are not current any more."""
    connection.execute(f"delete from bronze.builds where not {_CURRENT}", our_hash, all_hash or "")


def next_number(connection: Connection) -> int:
    """The number of the build that begins now, whether it succeeds or not; no other build of the database has it."""
    (number,) = connection.row("select nextval(pg_get_serial_sequence('bronze.builds', 'number'))") or (0,)
    return number


def last_number(connection: Connection) -> int:
    """The number of the last build that succeeded; 0 if the last one did not. The schema must be migrated."""
    (number,) = connection.row("select coalesce(max(number), 0) from bronze.builds") or (0,)
    return number


def current_number(connection: Connection) -> int:
    """The number of the last build, if it was made from exactly the loads that are current now; otherwise 0.

    It does not matter with which models: those of this machine may not be those of the build.
    """
    (number,) = connection.row(
        f"select coalesce(max(number), 0) from bronze.builds where load_ids in (({_OUR_LOAD_IDS}), ({_ALL_LOAD_IDS}))"
    ) or (0,)
    return number


def record(connection: Connection, number: int, our_hash: str, all_hash: str | None = None) -> None:
    """Record a complete, successful build of our models, or of all models."""
    project, load_ids = (all_hash, _ALL_LOAD_IDS) if all_hash else (our_hash, _OUR_LOAD_IDS)
    connection.execute(
        f"insert into bronze.builds (project, load_ids, number) values ($1, ({load_ids}), {number})", project
    )


def replace_own_models(connection: Connection, models: Sequence[OwnModel]) -> None:
    """Record the user's models that a build is about to build."""
    connection.execute("delete from bronze.own_models")
    if models:
        connection.execute(
            """
            insert into bronze.own_models (name, schema_name, relation_name, reads, invariants, chart, file, trace)
            select
                name, schema, relation, array(select json_array_elements_text(reads)), invariants, chart, file, trace
            from json_to_recordset($1::json) as model (
                name text, schema text, relation text, reads json, invariants jsonb, chart jsonb, file text, trace json
            )
            """,
            json.dumps(
                [
                    {
                        "name": model.name,
                        "schema": model.schema,
                        "relation": model.relation,
                        "reads": model.reads,
                        "invariants": model.invariants,
                        "chart": model.chart,
                        "file": model.file,
                        "trace": model.trace,
                    }
                    for model in models
                ],
                default=str,  # the yml of a model may contain dates
            ),
        )


def own_models(connection: Connection) -> list[OwnModel]:
    """The user's models that the last build parsed, sorted by name. The table must exist."""
    # A schema of an older version does not have all columns.
    rows = connection.rows(
        "select name, schema_name, relation_name, array_to_json(reads)::text, invariants::text, "
        "row_to_json(own_models)::text from bronze.own_models order by name"
    )
    models: list[OwnModel] = []
    for name, schema, relation, reads, invariants, whole in rows:
        row = json.loads(whole)
        model = OwnModel(name, schema, relation, tuple(json.loads(reads)), json.loads(invariants))
        models.append(replace(model, chart=row.get("chart"), file=row.get("file") or "", trace=row.get("trace")))
    return models


def own_models_hold_rows(connection: Connection) -> bool:
    """Whether there are models of the user whose last build was not from an empty bronze."""
    row = connection.row(
        "select exists (select from bronze.own_models) "
        "and (select count(*) from bronze.builds where load_ids = '{}') < 2"
    )
    return row == (True,)


def contract_tables(connection: Connection) -> list[str]:
    """The tables of bronze that workbooks were loaded into; none if schema bronze does not exist."""
    if connection.row("select to_regclass('bronze.loads') is null") == (True,):
        return []
    return [name for (name,) in connection.rows("select distinct table_name from bronze.loads")]


def tables(connection: Connection, relations: Sequence[str]) -> Tables:
    """Which tables are read, not read, left over and missing. relations: those of our models, as schema.name."""
    row = connection.row(
        f"""
        select
            (select array_agg(name order by name) from {_READ} as names),
            (
                select array_agg(distinct table_name order by table_name) from bronze.loads
                where {CURRENT_LOADS} and rows_loaded > 0 and table_name not in {_READ}
            ),
            (
                select array_agg(format('%I.%I', nspname, relname) order by nspname, relname)
                from pg_class inner join pg_namespace on pg_namespace.oid = relnamespace
                where
                    relkind in ('r', 'v', 'm')
                    and nspname in ('public_silver', 'public_gold', 'public_own')
                    and nspname || '.' || relname not in (select jsonb_array_elements_text($1::jsonb))
                    and (nspname, relname) not in (select schema_name, relation_name from bronze.own_models)
            ),
            exists (
                select from (
                    select name from jsonb_array_elements_text($1::jsonb) as names (name)
                    union all
                    select format('%I.%I', schema_name, relation_name) from bronze.own_models where relation_name <> ''
                ) as names
                where to_regclass(name) is null
            )
        """,
        json.dumps([*relations]),
    )
    read, unread, leftovers, missing = row or (None, None, None, True)
    return Tables(
        tuple(f"bronze.{name}" for name in read or ()),
        tuple(f"bronze.{name}" for name in unread or ()),
        tuple(leftovers or ()),
        bool(missing),
    )
