"""Queries of the warehouse: they cannot write, and their results are exact."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from retailpipe.errors import WarehouseError
from retailpipe.warehouse import Warehouse
from tests.support.servers import run_sql


@pytest.fixture
def warehouse(database_url: str) -> Warehouse:
    return Warehouse.at(database_url)


def one(warehouse: Warehouse, sql: str) -> Any:
    (row,) = warehouse.query(sql).to_pylist()
    (value,) = row.values()
    return value


@pytest.mark.parametrize(
    "sql",
    [
        "create table t (n int)",
        "create temp sequence s",
        "insert into kept values (2)",
        "update kept set n = 3",
        "delete from kept",
        "truncate kept",
        "drop table kept",
        "with gone as (delete from kept returning n) select * from gone",
        "select nextval('numbers')",
        "select * from kept for update",
        "do $$ begin insert into kept values (2); end $$",
        "do $$ begin set transaction read write; insert into kept values (2); end $$",
        "do $$ begin commit; set transaction read write; insert into kept values (2); end $$",
        "select set_config('transaction_read_only', 'off', false), lo_create(0)",
        "vacuum kept",
    ],
)
def test_a_query_cannot_write(warehouse: Warehouse, database_url: str, sql: str) -> None:
    run_sql(database_url, "create table kept as select 1 as n; create sequence numbers")

    with pytest.raises(WarehouseError) as caught:
        warehouse.query(sql)

    assert "lost" not in str(caught.value)
    assert run_sql(database_url, "select array_agg(n) from kept") == [1]
    assert run_sql(database_url, "select is_called from numbers") is False


@pytest.mark.parametrize(
    "sql",
    [
        "select 1; select 2",
        "commit; drop table kept",
        "select 1; commit; begin read write; insert into kept values (2); commit",
        "set transaction read write; delete from kept",
    ],
)
def test_several_statements_are_refused(warehouse: Warehouse, database_url: str, sql: str) -> None:
    run_sql(database_url, "create table kept as select 1 as n")

    with pytest.raises(WarehouseError, match="syntax error"):
        warehouse.query(sql)

    assert run_sql(database_url, "select n from kept") == 1


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 as n;",
        "  select 1 as n ; ",
        "select 1 as n -- a comment",
        "/* first */ select 1 as n",
        "with a as (select 1 as n) select n from a",
        "values (1)",
        "select\n1\nas\nn",
    ],
)
def test_a_query_may_have_semicolons_comments_and_line_breaks(warehouse: Warehouse, sql: str) -> None:
    assert one(warehouse, sql) == 1


@pytest.mark.parametrize("sql", ["", "  ", ";", "-- nothing", "copy (select 1) to stdout", "show timezone"])
def test_what_is_not_a_select_is_not_reported_as_a_lost_connection(warehouse: Warehouse, sql: str) -> None:
    with pytest.raises(WarehouseError) as caught:
        warehouse.query(sql)

    assert "lost" not in str(caught.value)
    assert str(caught.value).strip()


def test_an_error_in_sql_has_the_message_of_postgresql(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError) as caught:
        warehouse.query("select * from no_such_table")

    assert str(caught.value) == 'relation "no_such_table" does not exist'


def test_an_error_after_some_rows_is_raised(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="division by zero"):
        warehouse.query("select 1 / (90000 - g) from generate_series(1, 100000) as g")


def test_a_statement_timeout_is_not_reported_as_a_lost_connection(database_url: str) -> None:
    warehouse = Warehouse.at(f"{database_url}&options=-c%20statement_timeout%3D50")

    with pytest.raises(WarehouseError, match="statement timeout") as caught:
        warehouse.query("select pg_sleep(20)")

    assert "lost" not in str(caught.value)


def test_an_unsupported_type_is_not_reported_as_a_lost_connection(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError) as caught:
        warehouse.query("select row(1, 2) as r")

    assert "lost" not in str(caught.value)


@pytest.mark.parametrize(
    "number",
    ["2.55", "-0.001", "0", "10642081.154", "1.10", "12345678901234567890123456789.123456789", "1e20", "100.000"],
)
def test_a_number_is_exact(warehouse: Warehouse, number: str) -> None:
    found = one(warehouse, f"select {number}::numeric as n")

    assert isinstance(found, Decimal)
    assert found == Decimal(number)


@pytest.mark.parametrize("number", ["1e-30", "1e-40", "1.5e-60"])
def test_a_tiny_number_keeps_its_digits(warehouse: Warehouse, number: str) -> None:
    assert Decimal(one(warehouse, f"select {number}::numeric as n")) == Decimal(number)


def test_numbers_of_several_scales_share_a_column(warehouse: Warehouse) -> None:
    found = warehouse.query("select unnest(array[1, 2.5, null, -3.125]::numeric[]) as n")

    assert found.column("n").to_pylist() == [Decimal(1), Decimal("2.5"), None, Decimal("-3.125")]


@pytest.mark.parametrize(
    ("number", "shown"), [("NaN", "nan"), ("Infinity", "inf"), ("-Infinity", "-inf"), ("1" * 60, "1" * 60)]
)
def test_a_number_that_decimal128_cannot_store_stays_text(warehouse: Warehouse, number: str, shown: str) -> None:
    assert one(warehouse, f"select '{number}'::numeric as n") == shown


def test_null_is_none(warehouse: Warehouse) -> None:
    assert one(warehouse, "select null::numeric as n") is None
    assert one(warehouse, "select null::text as n") is None


def test_a_result_without_rows_has_its_columns(warehouse: Warehouse) -> None:
    found = warehouse.query("select 1.5 as price, 'a'::text as name, 1 as n where false")

    assert found.num_rows == 0
    assert found.column_names == ["price", "name", "n"]
    assert pa.types.is_decimal(found.schema.field("price").type)


def test_text_and_times_are_not_changed(warehouse: Warehouse) -> None:
    at = datetime(2011, 12, 9, 12, 50)

    assert one(warehouse, "select 'É ☃ 数据 '' \" \\' as t") == "É ☃ 数据 ' \" \\"
    assert one(warehouse, "select timestamp '2011-12-09 12:50' as t") == at
    assert one(warehouse, "select timestamptz '2011-12-09 12:50+00' as t") == at.replace(tzinfo=UTC)


def test_two_columns_may_have_one_name(warehouse: Warehouse) -> None:
    found = warehouse.query("select 1.5 as n, 2.5 as n")

    assert [column.to_pylist() for column in found.columns] == [[Decimal("1.5")], [Decimal("2.5")]]
