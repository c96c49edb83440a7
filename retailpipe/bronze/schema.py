"""Create and migrate schema bronze: the ledger, the rejected rows, and one table of rows for each contract.

Table bronze.migrations holds the schema's version: the number of the last migration. A schema with a higher version
was created by a newer retailpipe; a schema that has tables but not this one was created by another program. Both raise
SchemaError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retailpipe.bronze.correction_tables import CORRECTIONS
from retailpipe.bronze.indexes import REPLACE_INDEXES, bytes_to_index, create_index
from retailpipe.contract import Contract
from retailpipe.errors import ContractError, SchemaError
from retailpipe.progress import NoProgress, Progress
from retailpipe.warehouse import Warehouse

if TYPE_CHECKING:
    from retailpipe.connection import Connection

LOCK_CLASS_SCHEMA = 0x7265_0001
"""First key of PostgreSQL's two-key advisory locks. Each purpose has its own; locks.py defines the lock order."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        create table bronze.loads (
            load_id bigint generated always as identity primary key,
            source text not null,
            content_hash text not null,
            contract text not null,
            contract_hash text not null,
            table_name text not null,
            sheet text not null,
            rows_read integer not null,
            rows_loaded integer not null,
            rows_rejected integer not null,
            first_date timestamp,
            last_date timestamp,
            started_at timestamptz not null,
            finished_at timestamptz not null,
            status text not null,
            replaced_by bigint references bronze.loads,
            constraint known_status check (status in ('loaded', 'replaced')),
            constraint every_row_accounted_for check (rows_read = rows_loaded + rows_rejected)
        )
        """,
        "create unique index one_current_load_per_source on bronze.loads (source) where status = 'loaded'",
        "comment on table bronze.loads is 'The ledger: every load that was ever committed'",
        """
        create table bronze.rejected_rows (
            load_id bigint not null references bronze.loads,
            sheet text not null,
            source_row integer not null,
            cell text not null,
            column_name text not null,
            raw_value text not null,
            code text not null,
            message text not null,
            hint text not null,
            raw_row jsonb not null,
            primary key (load_id, source_row)
        )
        """,
        "comment on table bronze.rejected_rows is 'The quarantine: rows of current loads that break the contract'",
    ),
    (
        """
        create table bronze.builds (
            project text not null,
            load_ids bigint[] not null,
            finished_at timestamptz not null default clock_timestamp()
        )
        """,
        "comment on table bronze.builds is 'The dbt project and the loads that silver and gold were last built from'",
    ),
    (
        "create table bronze.etags (source text primary key, etag text not null, content_hash text not null)",
        "comment on table bronze.etags is 'The ETag under which the store holds the content that is loaded'",
    ),
    (
        """
        do $$
        declare name text;
        begin
            for name in
                select distinct table_name from bronze.loads inner join pg_class on relname = table_name
                where relnamespace = 'bronze'::regnamespace and relkind = 'r'
                    and pg_has_role(relowner, 'usage')
            loop
                execute format('create index on bronze.%I using brin (load_id)', name);
            end loop;
        end $$
        """,
    ),
    (
        "alter table bronze.loads drop constraint known_status, add column forgotten_at timestamptz",
        "alter table bronze.loads add constraint known_status check (status in ('loaded', 'replaced', 'forgotten'))",
    ),
    (
        """
        create table bronze.own_models (
            name text primary key,
            schema_name text not null,
            relation_name text not null,
            reads text[] not null,
            invariants jsonb not null
        )
        """,
        "comment on table bronze.own_models is 'The users'' own models in the last build'",
    ),
    (
        # Rows of several sheets of a workbook have the same row numbers.
        "alter table bronze.rejected_rows drop constraint rejected_rows_pkey",
        "alter table bronze.rejected_rows add primary key (load_id, sheet, source_row)",
    ),
    (
        """
        create table bronze.refusals (
            source text primary key,
            etag text not null,
            reason text not null,
            refused_at timestamptz not null
        )
        """,
        "comment on table bronze.refusals is 'Why a workbook was not loaded, the last time that this was tried'",
    ),
    ("alter table bronze.own_models add column chart jsonb",),
    ("alter table bronze.builds add column number bigint not null generated by default as identity",),
    (
        """
        create table bronze.sheet_layouts (
            load_id bigint not null references bronze.loads,
            sheet text not null,
            header_row integer not null,
            columns jsonb not null,
            headers jsonb not null,
            primary key (load_id, sheet)
        )
        """,
        "comment on table bronze.sheet_layouts is 'Which column of a sheet each column of a load came from'",
        # json, not jsonb, keeps the order of the columns as the yml has it.
        "alter table bronze.own_models add column file text not null default '', add column trace json",
    ),
    (REPLACE_INDEXES,),
    CORRECTIONS,
)


def init(warehouse: Warehouse, contract: Contract, progress: Progress | None = None) -> int:
    """Create or migrate schema bronze and the contract's table, and return the schema's version. Safe to repeat.

    Raises SchemaError if the schema is newer than this library, or if another program created it; ContractError if the
    columns of the contract's table differ from the contract.
    """
    with warehouse.connect() as connection:
        ensure_schema(connection, contract, progress)
        connection.commit()
    return len(MIGRATIONS)


def ensure_schema(connection: Connection, contract: Contract, progress: Progress | None = None) -> bool:
    """Do the work of `init` in the connection's transaction, and return whether anything was changed.

    If nothing has to change, it costs two queries. Raises what `init` raises.
    """
    state = _state(connection, contract)
    if state.version == len(MIGRATIONS) and state.has_table and not state.new_columns:
        return False
    # Another process may migrate at the same time: take the lock, then look again.
    connection.execute(f"select pg_advisory_xact_lock({LOCK_CLASS_SCHEMA}, 0)")
    state = _state(connection, contract)
    _migrate(connection, state.version, progress or NoProgress())
    if not state.has_table:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in _table_columns(contract).items())
        connection.execute(f'create table bronze."{contract.table}" ({columns})')
        create_index(connection, contract.table)
    elif state.new_columns:
        kinds = _table_columns(contract)
        added = ", ".join(f'add column "{name}" {kinds[name]}' for name in state.new_columns)
        connection.execute(f'alter table bronze."{contract.table}" {added}')
    return True


def has_schema(connection: Connection) -> bool:
    """Whether schema bronze exists. Raises SchemaError if it is newer or was created by another program."""
    return bool(_state(connection).version)


def is_migrated(connection: Connection) -> bool:
    """Whether schema bronze exists at the version of this library. Raises SchemaError, as `has_schema` does."""
    return _state(connection).version == len(MIGRATIONS)


@dataclass(frozen=True)
class _State:
    """What exists of schema bronze.

    version: the schema's version; 0 for an empty schema, None if there is no schema.
    has_table: whether the contract's table exists.
    new_columns: the contract's columns that its table does not have yet.
    """

    version: int | None
    has_table: bool
    new_columns: tuple[str, ...] = ()


def _state(connection: Connection, contract: Contract | None = None) -> _State:
    """Return what exists of schema bronze and of the contract's table. Raises what `init` raises."""
    row = connection.row(
        """
        select
            to_regnamespace('bronze') is not null,
            (
                select count(*) from pg_attribute
                where
                    (attrelid = to_regclass('bronze.migrations') and attname in ('version', 'applied_at'))
                    or (attrelid = to_regclass('bronze.loads') and attname in ('load_id', 'content_hash'))
            ) = 4,
            exists (
                select from pg_class
                where relnamespace = to_regnamespace('bronze') and relkind in ('r', 'p', 'v', 'm', 'f')
            ),
            (
                select array_agg(attname || ' ' || format_type(atttypid, atttypmod)) from pg_attribute
                where attrelid = to_regclass(nullif($1, '')) and attnum > 0 and not attisdropped
            )
        """,
        f'bronze."{contract.table}"' if contract else "",
    )
    exists, ours, in_use, columns = row or (False, False, False, None)
    if exists and not ours and in_use:
        raise SchemaError(
            "schema bronze contains tables that retailpipe did not create",
            hint="Use another database, or rename that schema: alter schema bronze rename to ...",
        )
    if not ours:
        return _State(0 if exists else None, has_table=False)
    [(version,)] = connection.rows("select coalesce(max(version), 0) from bronze.migrations")
    if version > len(MIGRATIONS):
        raise SchemaError(
            f"schema bronze is at version {version}; this retailpipe supports versions up to {len(MIGRATIONS)}",
            hint="A newer retailpipe created the schema. Install that version, or use another database.",
        )
    new_columns: tuple[str, ...] = ()
    if contract and columns:
        new_columns = _new_columns(contract, dict(column.split(" ", 1) for column in columns))
    return _State(int(version), bool(columns), new_columns)


def _migrate(connection: Connection, version: int | None, progress: Progress) -> None:
    if version is None:
        connection.execute("create schema bronze")
    if not version:
        connection.execute(
            "create table bronze.migrations "
            "(version integer primary key, applied_at timestamptz not null default now())"
        )
    if version and version < len(MIGRATIONS):
        size = bytes_to_index(connection)
        reads = f"; it reads {size / 1e9:,.1f} GB once, and can be stopped and started again" if size > 1e9 else ""
        progress.step(f"updating schema bronze to version {len(MIGRATIONS)}{reads}")
    for number, statements in enumerate(MIGRATIONS[version or 0 :], start=(version or 0) + 1):
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"insert into bronze.migrations (version) values ({number})")


def _new_columns(contract: Contract, columns: dict[str, str]) -> tuple[str, ...]:
    """Return the contract's columns that the table does not have.

    The table may have columns of other contracts, which stay null. Raises ContractError if a column has another type,
    or if the table has other columns and also lacks some: a renamed column would be two columns.
    """
    found = {name: kind.removesuffix(" without time zone") for name, kind in columns.items()}
    wanted = {name: kind.removesuffix(" not null") for name, kind in _table_columns(contract).items()}
    missing = wanted.keys() - found.keys()
    others = found.keys() - wanted.keys()
    different = sorted(name for name, kind in found.items() if wanted.get(name, kind) != kind)
    if different or (missing and others) or missing & {"load_id", "source_row", "source_sheet"}:
        differences = [f"{name} is {found[name]}, not {wanted[name]}" for name in different]
        differences += [f"{name} is missing" for name in sorted(missing)]
        # Other columns alone are no fault: they may belong to another contract.
        differences += [f"{name} is not in the contract" for name in sorted(others) if missing]
        raise ContractError(
            f"table bronze.{contract.table} does not fit contract {contract.name!r}: {'; '.join(differences)}",
            hint="Set another `table` in the contract: its workbooks are then loaded into that table.",
        )
    return tuple(name for name in wanted if name not in found)


def _table_columns(contract: Contract) -> dict[str, str]:
    """Return the columns of a contract's table, with their PostgreSQL types.

    Required columns are not declared `not null`, because a new version of the contract may no longer require them. The
    loader rejects rows in which they are blank.
    """
    columns = {column.name: column.postgresql_type for column in contract.columns}
    own = {"load_id": "bigint not null", "source_row": "integer not null"}
    return columns | own | ({"source_sheet": "text not null"} if contract.several_sheets else {})
