"""Schema bronze: the ledger, the quarantine, and a table of rows for each contract.

The number of the last migration stands in bronze.migrations. A schema with a higher number was made by a newer
retailpipe; one without the table was made by somebody else. Both are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retailpipe.contract import Contract
from retailpipe.errors import SchemaError
from retailpipe.warehouse import Warehouse

if TYPE_CHECKING:
    from retailpipe.connection import Connection

LOCK_CLASS_SCHEMA = 0x7265_0001
"""First key of PostgreSQL's two-key advisory locks; each purpose of ours has its own (see also ledger.py)."""

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
        "comment on table bronze.etags is 'By which mark a store of objects knows the content that is loaded'",
    ),
)


def init(warehouse: Warehouse, contract: Contract) -> int:
    """Makes or migrates schema bronze, and the table of a contract. Gives the schema's number; safe to repeat.

    Raises SchemaError if the schema is newer than this library, not ours, or has another shape for that table.
    """
    with warehouse.connect() as connection:
        ensure_schema(connection, contract)
        connection.commit()
    return len(MIGRATIONS)


def ensure_schema(connection: Connection, contract: Contract) -> bool:
    """The work of `init`, in the transaction of a connection; gives whether there was anything to do.

    Where there was not, it costs two questions.
    """
    state = _state(connection, contract)
    if state.version == len(MIGRATIONS) and state.has_table:
        return False
    connection.execute(f"select pg_advisory_xact_lock({LOCK_CLASS_SCHEMA}, 0)")
    state = _state(connection, contract)
    _migrate(connection, state.version)
    if not state.has_table:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in _table_columns(contract).items())
        connection.execute(f'create table bronze."{contract.table}" ({columns})')
    return True


def has_schema(connection: Connection) -> bool:
    """Whether schema bronze is there. Raises SchemaError if it is newer than this library, or not ours."""
    return bool(_state(connection).version)


def is_migrated(connection: Connection) -> bool:
    """Whether the schema is there, and is the one this library knows. Raises SchemaError as `has_schema`."""
    return _state(connection).version == len(MIGRATIONS)


@dataclass(frozen=True)
class _State:
    """version: the schema's number, 0 for an empty schema, None where there is none."""

    version: int | None
    has_table: bool


def _state(connection: Connection, contract: Contract | None = None) -> _State:
    """What there is of schema bronze, and of a contract's table. Raises SchemaError as `init`."""
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
            "schema bronze holds tables that retailpipe did not make",
            hint="Use another database, or rename that schema: alter schema bronze rename to ...",
        )
    if not ours:
        return _State(0 if exists else None, has_table=False)
    [(version,)] = connection.rows("select coalesce(max(version), 0) from bronze.migrations")
    if version > len(MIGRATIONS):
        raise SchemaError(
            f"schema bronze has number {version}, this retailpipe knows up to {len(MIGRATIONS)}",
            hint="A newer retailpipe made it: install that version, or use another database.",
        )
    if contract and columns:
        _check_table(contract, dict(column.split(" ", 1) for column in columns))
    return _State(int(version), bool(columns))


def _migrate(connection: Connection, version: int | None) -> None:
    if version is None:
        connection.execute("create schema bronze")
    if not version:
        connection.execute(
            "create table bronze.migrations "
            "(version integer primary key, applied_at timestamptz not null default now())"
        )
    for number, statements in enumerate(MIGRATIONS[version or 0 :], start=(version or 0) + 1):
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"insert into bronze.migrations (version) values ({number})")


def _check_table(contract: Contract, columns: dict[str, str]) -> None:
    """Raises SchemaError if the contract's table has other columns, by name and type, than the contract."""
    found = {name: kind.removesuffix(" without time zone") for name, kind in columns.items()}
    wanted = {name: kind.removesuffix(" not null") for name, kind in _table_columns(contract).items()}
    if found != wanted:
        different = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        raise SchemaError(
            f"table bronze.{contract.table} differs from contract {contract.name!r} in {', '.join(different)}",
            hint="Give the contract another table, or drop that one if its rows are not needed.",
        )


def _table_columns(contract: Contract) -> dict[str, str]:
    """The columns of a contract's table. What is required changes with the contract, so the judge sees to it."""
    columns = {column.name: column.postgresql_type for column in contract.columns}
    return columns | {"load_id": "bigint not null", "source_row": "integer not null"}
