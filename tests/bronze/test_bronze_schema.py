"""Schema bronze: created once, adopted if empty, refused if another program or a newer version created it."""

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
from tests.support.schemas import WITHOUT_CORRECTIONS


def execute(environment: Environment, *statements: str) -> None:
    """Run statements in the warehouse, as a user could with psql."""
    with environment.warehouse.connect() as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def rows(environment: Environment, sql: str) -> list[dict[str, Any]]:
    return retailpipe.query(environment, sql).to_pylist()


def bronze_objects(environment: Environment) -> list[dict[str, Any]]:
    """The tables, indexes and so on in schema bronze, each with its oid."""
    return rows(
        environment,
        "select oid::bigint, relname::text as name from pg_class "
        "where relnamespace = to_regnamespace('bronze') order by 1",
    )


def test_init_creates_all_tables_and_records_each_migration(environment: Environment) -> None:
    version = init(environment)

    tables = rows(environment, "select tablename::text as name from pg_tables where schemaname = 'bronze' order by 1")
    assert [table["name"] for table in tables] == [
        "builds", "corrected_cells", "etags", "loads", "migrations", "own_models", "raw_transactions", "refusals",
        "rejected_rows", "sheet_layouts",
    ]  # fmt: skip
    assert rows(environment, "select version from bronze.migrations order by 1") == [
        {"version": applied} for applied in range(1, version + 1)
    ]


def test_the_contracts_table_has_the_columns_and_types_of_the_contract(environment: Environment) -> None:
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

    version = init(environment)

    assert version == len(MIGRATIONS)
    assert bronze_objects(environment) == before
    assert rows(environment, "select count(*) as n from bronze.raw_transactions") == [{"n": 1}]


def test_processes_that_run_init_at_the_same_time_create_one_schema(environment: Environment) -> None:
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

    with pytest.raises(SchemaError, match=rf"version {newer};.* up to {len(MIGRATIONS)}") as caught:
        retailpipe.ingest(environment, make_workbook(name="other.xlsx"))

    assert "newer retailpipe" in caught.value.hint
    assert rows(environment, "select count(*) as n from bronze.raw_transactions") == [{"n": 1}]


def test_every_command_refuses_a_schema_of_a_newer_version(environment: Environment, make_workbook: Workbook) -> None:
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
        # Other tools use these names for their own tables.
        "create table bronze.migrations (id integer, migration text, batch integer)",
        "create table bronze.migrations (version text)",
        "create table bronze.loads (id integer)",
    ],
)
def test_a_schema_of_another_program_is_refused_and_not_changed(
    environment: Environment, make_workbook: Workbook, statement: str
) -> None:
    execute(environment, "create schema bronze", statement)
    if "version text" in statement:
        execute(environment, "insert into bronze.migrations values ('20240101_first')")
    before = bronze_objects(environment)

    with pytest.raises(SchemaError, match="did not create") as caught:
        retailpipe.ingest(environment, make_workbook())

    assert caught.value.hint
    assert bronze_objects(environment) == before


def test_a_load_creates_the_contracts_table_if_it_is_missing(environment: Environment, make_workbook: Workbook) -> None:
    init(environment, contract=Contract.default())
    execute(environment, "drop table bronze.raw_transactions")

    (report,) = retailpipe.ingest(environment, make_workbook())

    assert report.rows_loaded == 1


def test_the_ledger_refuses_counts_that_do_not_add_up(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())

    with pytest.raises(WarehouseError, match="every_row_accounted_for"):
        execute(environment, "update bronze.loads set rows_read = rows_read + 1")


def test_a_query_cannot_write(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())

    with pytest.raises(WarehouseError, match="data-modifying"):
        retailpipe.query(
            environment, "with gone as (delete from bronze.raw_transactions returning 1) select * from gone"
        )
    with pytest.raises(WarehouseError, match="read-only"):
        retailpipe.query(environment, "select lo_create(0)")

    assert rows(environment, "select count(*) as n from bronze.raw_transactions") == [{"n": 1}]


INDEXES = """
select indexdef from pg_indexes
where schemaname = 'bronze' and tablename = 'raw_transactions'
"""


def test_a_replacement_finds_its_rows_by_an_index(environment: Environment) -> None:
    init(environment)

    (index,) = rows(environment, INDEXES)

    assert "USING brin (load_id int8_minmax_multi_ops)" in index["indexdef"]


def test_tables_of_an_older_version_get_the_index(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())
    execute(environment, "drop index bronze.raw_transactions_load_id_idx")
    execute(environment, "alter table bronze.loads drop column forgotten_at")
    execute(environment, *WITHOUT_CORRECTIONS)
    execute(environment, "alter table bronze.builds drop column number")
    execute(environment, "drop table bronze.own_models, bronze.refusals, bronze.sheet_layouts")
    execute(environment, "delete from bronze.migrations where version > 3")
    execute(environment, "create table bronze.notes as select sheet, source_row from bronze.rejected_rows")

    init(environment)

    assert len(rows(environment, INDEXES)) == 1
