"""Schema bronze: made once, adopted where it is empty, refused where somebody else or a newer version made it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

import retailpipe
from retailpipe import Contract, Environment
from retailpipe.backlog import waiting
from retailpipe.bronze.schema import MIGRATIONS
from retailpipe.errors import SchemaError, WarehouseError
from retailpipe.pipeline import init
from retailpipe.queries import rejects, status
from tests.conftest import Workbook


def execute(environment: Environment, *statements: str) -> None:
    """What somebody with psql might do to the warehouse."""
    with environment.warehouse.connect() as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def rows(environment: Environment, sql: str) -> list[dict[str, Any]]:
    return retailpipe.query(environment, sql).to_pylist()


def bronze_objects(environment: Environment) -> list[dict[str, Any]]:
    """All there is in schema bronze, each with its identity."""
    return rows(
        environment,
        "select oid::bigint, relname::text as name from pg_class "
        "where relnamespace = to_regnamespace('bronze') order by 1",
    )


def test_init_makes_the_ledger_the_quarantine_and_the_table_of_rows(environment: Environment) -> None:
    number = init(environment)

    tables = rows(environment, "select tablename::text as name from pg_tables where schemaname = 'bronze' order by 1")
    assert [table["name"] for table in tables] == [
        "builds", "etags", "loads", "migrations", "raw_transactions", "rejected_rows",
    ]  # fmt: skip
    assert rows(environment, "select version from bronze.migrations order by 1") == [
        {"version": version} for version in range(1, number + 1)
    ]


def test_the_table_of_rows_has_the_types_of_the_design(environment: Environment) -> None:
    init(environment)

    columns = rows(
        environment,
        """
        select column_name::text as name, data_type::text as kind from information_schema.columns
        where table_schema = 'bronze' and table_name = 'raw_transactions' order by ordinal_position
        """,
    )

    assert {column["name"]: column["kind"] for column in columns} == {
        "invoice_no": "text",
        "stock_code": "text",
        "description": "text",
        "quantity": "integer",
        "invoice_date": "timestamp without time zone",
        "unit_price": "numeric",
        "customer_id": "text",
        "country": "text",
        "load_id": "bigint",
        "source_row": "integer",
    }


def test_init_twice_changes_nothing(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())
    before = bronze_objects(environment)

    number = init(environment)

    assert number == len(MIGRATIONS)
    assert bronze_objects(environment) == before
    assert rows(environment, "select count(*) as n from bronze.raw_transactions") == [{"n": 1}]


def test_processes_that_init_at_once_make_one_schema(environment: Environment) -> None:
    command = [sys.executable, "-m", "retailpipe", "init", "--local", str(environment.folder)]
    command += ["--database-url", environment.warehouse.uri]

    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ)) for _ in range(4)]
    for process in processes:
        process.communicate(timeout=120)

    assert [process.returncode for process in processes] == [0] * 4
    assert rows(environment, "select count(*) as n from bronze.migrations") == [{"n": len(MIGRATIONS)}]


def test_an_empty_schema_bronze_is_adopted(environment: Environment, make_workbook: Workbook) -> None:
    execute(environment, "create schema bronze")

    (report,) = retailpipe.ingest(environment, make_workbook())

    assert report.status == "loaded"


def test_a_schema_of_a_newer_version_is_refused(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())
    newer = len(MIGRATIONS) + 1
    execute(environment, f"insert into bronze.migrations (version) values ({newer})")

    with pytest.raises(SchemaError, match=rf"number {newer}.* up to {len(MIGRATIONS)}") as caught:
        retailpipe.ingest(environment, make_workbook(name="other.xlsx"))

    assert "newer retailpipe" in caught.value.hint
    assert rows(environment, "select count(*) as n from bronze.raw_transactions") == [{"n": 1}]


def test_a_schema_of_a_newer_version_is_refused_by_whatever_reads_it(
    environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(environment, make_workbook())
    execute(environment, f"insert into bronze.migrations (version) values ({len(MIGRATIONS) + 1})")

    for command in (init, status, waiting, rejects, retailpipe.transform):
        with pytest.raises(SchemaError):
            command(environment)


@pytest.mark.parametrize(
    "statement",
    [
        "create table bronze.sales (id integer)",
        "create view bronze.sales as select 1 as id",
        "create table bronze.sales (id integer) partition by range (id)",
        # Names that other tools give to tables of their own.
        "create table bronze.migrations (id integer, migration text, batch integer)",
        "create table bronze.migrations (version text)",
        "create table bronze.loads (id integer)",
    ],
)
def test_a_schema_of_somebody_else_is_refused_and_left_alone(
    environment: Environment, make_workbook: Workbook, statement: str
) -> None:
    execute(environment, "create schema bronze", statement)
    if "version text" in statement:
        execute(environment, "insert into bronze.migrations values ('20240101_first')")
    before = bronze_objects(environment)

    with pytest.raises(SchemaError, match="did not make") as caught:
        retailpipe.ingest(environment, make_workbook())

    assert caught.value.hint
    assert bronze_objects(environment) == before


def test_an_old_schema_without_the_contracts_table_gets_it(environment: Environment, make_workbook: Workbook) -> None:
    init(environment, contract=Contract.default())
    execute(environment, "drop table bronze.raw_transactions")

    (report,) = retailpipe.ingest(environment, make_workbook())

    assert report.rows_loaded == 1


def test_the_ledger_takes_no_row_that_does_not_account_for_all_that_was_read(
    environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(environment, make_workbook())

    with pytest.raises(WarehouseError, match="every_row_accounted_for"):
        execute(environment, "update bronze.loads set rows_read = rows_read + 1")


def test_a_question_cannot_write(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())

    with pytest.raises(WarehouseError, match="data-modifying"):
        retailpipe.query(
            environment, "with gone as (delete from bronze.raw_transactions returning 1) select * from gone"
        )
    with pytest.raises(WarehouseError, match="read-only"):
        retailpipe.query(environment, "select lo_create(0)")

    assert rows(environment, "select count(*) as n from bronze.raw_transactions") == [{"n": 1}]
