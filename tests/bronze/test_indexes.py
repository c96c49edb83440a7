"""The index on load_id: what finds the rows of a load in a large table, and the migration of older tables."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import psycopg2

import retailpipe
from retailpipe import Contract, Environment, pipeline
from retailpipe.bronze import indexes, ledger
from retailpipe.bronze.schema import MIGRATIONS, ensure_schema
from tests.conftest import Workbook
from tests.support.schemas import WITHOUT_CORRECTIONS
from tests.support.servers import run_sql
from tests.support.waiting import wait_for

LOADS, ROWS_PER_LOAD = 60, 3_000
A_LOAD = """
with load as (
    insert into bronze.loads (
        source, content_hash, contract, contract_hash, table_name, sheet,
        rows_read, rows_loaded, rows_rejected, started_at, finished_at, status
    )
    values ('input/{name}.xlsx', '{name}', '', '', 'raw_transactions', '', {rows}, {rows}, 0, now(), now(), 'loaded')
    returning load_id
)
insert into bronze.raw_transactions (
    invoice_no, stock_code, description, quantity, invoice_date, unit_price, country, load_id, source_row
)
select '536365', '85123A', 'WHITE HANGING HEART', 6, '2010-12-01', 2.55, 'United Kingdom', load_id, n
from load cross join generate_series(1, {rows}) as n
"""
PLAN = (
    "explain (analyze, costs off, timing off, summary off) delete from bronze.raw_transactions where load_id = {load}"
)
INDEXES = """
select indexdef from pg_indexes where schemaname = 'bronze' and tablename = 'raw_transactions'
"""
OLD = (
    "drop index bronze.raw_transactions_load_id_idx",
    "create index on bronze.raw_transactions using brin (load_id)",
    *WITHOUT_CORRECTIONS,
    "delete from bronze.migrations where version > 11",
)
"""Statements that make the schema one of the version before the present index."""


def execute(url: str, *statements: str) -> None:
    """Execute statements outside of a transaction, as VACUUM needs it."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def fill(environment: Environment, *names: str) -> None:
    execute(environment.warehouse.uri, *(A_LOAD.format(name=name, rows=ROWS_PER_LOAD) for name in names))


def plan(environment: Environment, load: int) -> str:
    """How PostgreSQL deletes a load; it is not deleted."""
    with environment.warehouse.connect() as connection:
        indexes.prefer_indexes(connection)
        return "\n".join(line for (line,) in connection.rows(PLAN.format(load=load)))


def share_read(environment: Environment, load: int) -> float:
    """The share of the table that the delete of a load reads."""
    shown = plan(environment, load)
    assert "Bitmap Index Scan on raw_transactions_load_id_idx" in shown
    pages = run_sql(environment.warehouse.uri, "select pg_relation_size('bronze.raw_transactions') / 8192")
    return int(shown.partition("lossy=")[2].split()[0]) / pages


def test_a_delete_of_a_load_reads_little_of_a_table_without_statistics(environment: Environment) -> None:
    pipeline.init(environment)
    fill(environment, *map(str, range(LOADS)))
    with environment.warehouse.connect() as connection:
        indexes.summarize(connection)
        connection.commit()

    assert share_read(environment, LOADS // 2) < 0.15


def test_a_delete_of_a_load_reads_little_after_loads_were_replaced(environment: Environment) -> None:
    """Rows of new loads fill the pages that VACUUM freed, beside rows of old loads."""
    pipeline.init(environment)
    execute(environment.warehouse.uri, "alter table bronze.raw_transactions set (autovacuum_enabled = off)")
    fill(environment, *map(str, range(LOADS)))
    for old in range(1, LOADS, 4):
        execute(
            environment.warehouse.uri,
            f"delete from bronze.raw_transactions where load_id = {old}",
            "vacuum bronze.raw_transactions",
        )
        fill(environment, f"new {old}")
    execute(environment.warehouse.uri, "analyze bronze.raw_transactions")

    assert share_read(environment, LOADS // 2) < 0.15


def test_replacing_and_forgetting_a_workbook_do_not_scan_the_table(
    environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(environment, make_workbook())
    fill(environment, *map(str, range(LOADS)))
    [book] = retailpipe.ingest(environment, make_workbook(sheet="other"), replace=True)
    assert book.status == "replaced"
    with environment.warehouse.connect() as connection:
        load = ledger.current_loads(connection)["input/book.xlsx"]
        before = _scans(environment)
        ledger.forget_load(connection, load, keep=False)
        connection.commit()

    # PostgreSQL counts the scans of a connection after it is closed.
    wait_for(lambda: _scans(environment)["idx_scan"] > before["idx_scan"])
    assert _scans(environment)["seq_scan"] == before["seq_scan"]


def _scans(environment: Environment) -> dict[str, Any]:
    [found] = retailpipe.query(
        environment, "select seq_scan, idx_scan from pg_stat_user_tables where relname = 'raw_transactions'"
    ).to_pylist()
    return found


def test_a_build_adds_new_loads_to_the_index(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())
    fill(environment, *map(str, range(10)))

    retailpipe.transform(environment)

    left = "select brin_summarize_new_values('bronze.raw_transactions_load_id_idx')"
    assert run_sql(environment.warehouse.uri, left) == 0


def test_the_index_of_an_older_version_is_replaced(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())
    execute(environment.warehouse.uri, *OLD)

    pipeline.init(environment)
    pipeline.init(environment)

    assert _definitions(environment) == ["using brin (load_id int8_minmax_multi_ops)"]


def test_an_index_of_the_user_stays(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())
    execute(environment.warehouse.uri, *OLD, "create index own on bronze.raw_transactions (load_id)")

    pipeline.init(environment)

    assert _definitions(environment) == [
        "using brin (load_id int8_minmax_multi_ops)",
        "using btree (load_id)",
    ]


class _Steps:
    """Progress that records the names of the steps."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
        self.names.append(name)

    def advance(self, amount: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def end(self) -> None:
        pass


def test_a_migration_is_announced_and_a_second_run_has_none(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())
    execute(environment.warehouse.uri, *OLD)
    steps = _Steps()

    for _ in range(2):
        with environment.warehouse.connect() as connection:
            ensure_schema(connection, Contract.default(), steps)
            connection.commit()

    assert steps.names == [f"updating schema bronze to version {len(MIGRATIONS)}"]


def test_a_killed_migration_changes_nothing_and_the_next_one_succeeds(
    environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(environment, make_workbook())
    execute(environment.warehouse.uri, *OLD)
    blocking = psycopg2.connect(environment.warehouse.uri)
    blocking.cursor().execute("lock table bronze.raw_transactions in row exclusive mode")  # as an older load has it
    command = [sys.executable, "-m", "retailpipe", "init", "--local", str(environment.folder)]
    command += ["--database-url", environment.warehouse.uri]
    migrating = subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.DEVNULL)
    waits = "select count(*) from pg_locks where relation = 'bronze.raw_transactions'::regclass and not granted"
    while not run_sql(environment.warehouse.uri, waits):
        assert migrating.poll() is None
        time.sleep(0.05)

    migrating.send_signal(signal.SIGKILL)
    migrating.wait()
    blocking.rollback()
    blocking.close()

    pipeline.init(environment)
    assert _definitions(environment) == ["using brin (load_id int8_minmax_multi_ops)"]


def _definitions(environment: Environment) -> list[str]:
    found = retailpipe.query(environment, INDEXES).to_pylist()
    return sorted("using " + index["indexdef"].partition(" USING ")[2] for index in found)
