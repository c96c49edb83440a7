"""Connections to the warehouse: every URL that libpq accepts, and errors with hints that show no secret."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from retailpipe.errors import UsageError, WarehouseError
from retailpipe.warehouse import Warehouse
from tests.support.servers import as_superuser, run_sql

SECRET = "hunter2secret"


@pytest.fixture
def warehouse(database_url: str) -> Warehouse:
    return Warehouse.at(database_url)


@pytest.fixture
def role(database_url: str) -> Iterator[str]:
    """A role for this test only, without a password."""
    name = "role_of_" + urlsplit(database_url).path.strip("/")
    run_sql(as_superuser(database_url), f"create role {name} login")
    yield name
    run_sql(as_superuser(database_url), f"drop role {name}")


def replaced(database_url: str, **parts: Any) -> str:
    """The URL with another user, password, host, port or database."""
    old = urlsplit(database_url)
    user = parts.get("user", old.username) + (f":{parts['password']}" if "password" in parts else "")
    place = f"{parts.get('host', old.hostname)}:{parts.get('port', old.port)}"
    return f"postgresql://{user}@{place}/{parts.get('database', old.path.strip('/'))}?{old.query}"


def one(warehouse: Warehouse, sql: str) -> Any:
    (row,) = warehouse.query(sql).to_pylist()
    (value,) = row.values()
    return value


def test_what_is_not_committed_is_rolled_back(warehouse: Warehouse, database_url: str) -> None:
    with warehouse.connect() as connection:
        connection.execute("create table gone (n int)")
    with warehouse.connect() as connection:
        connection.execute("create table kept (n int)")
        connection.commit()

    assert run_sql(database_url, "select to_regclass('gone')") is None
    assert run_sql(database_url, "select to_regclass('kept')::text") == "kept"


def test_an_exception_of_the_caller_rolls_back_and_is_raised_unchanged(warehouse: Warehouse, database_url: str) -> None:
    def fail() -> None:
        with warehouse.connect() as connection:
            connection.execute("create table gone (n int)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert run_sql(database_url, "select to_regclass('gone')") is None


def test_no_connection_stays_open(warehouse: Warehouse, database_url: str) -> None:
    warehouse.query("select 1")
    with pytest.raises(WarehouseError):
        warehouse.query("select * from no_such_table")
    with pytest.raises(ZeroDivisionError), warehouse.connect():
        raise ZeroDivisionError

    others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    deadline = time.monotonic() + 10
    while (left := run_sql(database_url, others)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == 0


def test_the_application_name_is_retailpipe_unless_the_url_sets_another(
    warehouse: Warehouse, database_url: str
) -> None:
    assert one(warehouse, "select current_setting('application_name')") == "retailpipe"
    named = Warehouse.at(f"{database_url}&application_name=my%20report")
    assert one(named, "select current_setting('application_name')") == "my report"


def test_options_of_the_url_are_kept(database_url: str) -> None:
    tuned = Warehouse.at(f"{database_url}&options=-c%20work_mem%3D7MB%20-c%20search_path%3Dshop")

    assert one(tuned, "select current_setting('work_mem') || current_setting('search_path')") == "7MBshop"
    with pytest.raises(WarehouseError, match="read-only"):
        tuned.query("select lo_create(0)")


def test_options_of_the_url_cannot_make_a_query_write(database_url: str) -> None:
    writable = Warehouse.at(f"{database_url}&options=-c%20default_transaction_read_only%3Doff")

    with pytest.raises(WarehouseError, match="read-only"):
        writable.query("select lo_create(0)")


def test_a_plus_in_the_url_stays_a_plus_as_in_libpq(database_url: str) -> None:
    named = f"{database_url}&application_name=a+b"

    assert run_sql(named, "select current_setting('application_name')") == "a+b"
    assert one(Warehouse.at(named), "select current_setting('application_name')") == "a+b"


def test_a_url_with_the_host_in_its_parameters_works_as_in_libpq(database_url: str) -> None:
    parts = urlsplit(database_url)
    short = f"postgresql://{parts.path}?host=127.0.0.1&port={parts.port}&user={parts.username}&{parts.query}"

    assert run_sql(short, "select 1") == 1
    assert one(Warehouse.at(short), "select 1 as n") == 1


def test_a_url_with_several_hosts_works_as_in_libpq(database_url: str) -> None:
    parts = urlsplit(database_url)
    several = f"postgresql://{parts.username}@127.0.0.1:1,127.0.0.1:{parts.port}{parts.path}?{parts.query}"

    assert run_sql(several, "select 1") == 1
    assert one(Warehouse.at(several), "select 1 as n") == 1


@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("password", ["plain", "a#b", "a?b", "a[b]", "a+b&c=d", "a~!*(),;"])
def test_a_password_in_the_url_works_as_in_libpq(database_url: str, role: str, password: str, quoted: bool) -> None:
    run_sql(as_superuser(database_url), f"alter role {role} password '{password}'")
    url = replaced(database_url, user=role, password=quote(password, safe="") if quoted else password)

    assert run_sql(url, "select current_user") == role
    assert one(Warehouse.at(url), "select current_user::text as u") == role


def test_a_percent_encoded_password_may_have_any_character(database_url: str, role: str) -> None:
    run_sql(as_superuser(database_url), f"alter role {role} password 'p@ss/w:o#r%d? [é]'")
    url = replaced(database_url, user=role, password=quote("p@ss/w:o#r%d? [é]", safe=""))

    assert one(Warehouse.at(url), "select current_user::text as u") == role


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"password": SECRET}, "password authentication failed"),
        ({"password": SECRET, "user": "nobody_known"}, "password authentication failed"),
        ({"database": "no_such_database"}, "no_such_database"),
        ({"host": "db.example.invalid", "password": SECRET}, "db.example.invalid"),
    ],
    ids=["password", "user", "database", "host"],
)
def test_an_error_names_the_database_that_cannot_be_reached_but_not_its_password(
    database_url: str, wrong: dict[str, str], expected: str
) -> None:
    with pytest.raises(WarehouseError) as caught:
        Warehouse.at(replaced(database_url, **wrong)).query("select 1")

    assert expected in str(caught.value)
    assert SECRET not in str(caught.value) + caught.value.hint
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_an_error_names_the_port_if_the_server_is_not_running(database_url: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        with pytest.raises(WarehouseError, match=str(port)) as caught:
            Warehouse.at(replaced(database_url, port=port)).query("select 1")

    assert "refused" in str(caught.value)
    assert "server is running" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:100%{SECRET}@127.0.0.1:1/db",
        f"postgresql://u:{SECRET} x@127.0.0.1:1/db",
        f"postgresql://u:{SECRET}/x@127.0.0.1:1/db",
        f"postgresql://u:{SECRET}?x@127.0.0.1:1/db",
        f"postgresql://u:{SECRET}#x@127.0.0.1:1/db",
        f"postgresql://u:{SECRET}[x@127.0.0.1:1/db",
        f"postgresql://u:x@{SECRET}@127.0.0.1:1/db",
        f"postgresql://u@127.0.0.1:1/db?password=100%{SECRET}",
        f"postgresql://u@127.0.0.1:1/db?password={SECRET}",
        f"mysql://u:{SECRET}@127.0.0.1:1/db",
    ],
)
def test_a_wrong_url_raises_a_retailpipe_error_that_does_not_show_the_password(url: str) -> None:
    with pytest.raises((UsageError, WarehouseError)) as caught:
        Warehouse.at(url).query("select 1")

    assert SECRET not in str(caught.value) + caught.value.hint
    assert caught.value.hint


@pytest.mark.parametrize(
    "url", ["postgresql://u@[::1/db", "postgresql://u@h:99999999/db", "postgresql://u@h:no_port/db", "postgresql://"]
)
def test_a_malformed_url_raises_a_retailpipe_error(url: str) -> None:
    with pytest.raises((UsageError, WarehouseError)):
        Warehouse.at(url).query("select no_such_column")


def test_a_lost_connection_is_an_error_and_the_next_connection_works(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="connection to the database was lost") as caught:
        warehouse.query("select pg_terminate_backend(pg_backend_pid())")

    assert caught.value.hint
    assert one(warehouse, "select 1 as n") == 1


def test_a_connection_that_is_lost_while_rows_arrive_is_an_error(warehouse: Warehouse, database_url: str) -> None:
    def terminate() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if run_sql(
                database_url,
                "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid() and query like '%slowly%'",
            ):
                return

    terminating = threading.Thread(target=terminate)
    terminating.start()
    with pytest.raises(WarehouseError, match="connection to the database was lost"):
        warehouse.query("select g as slowly, pg_sleep(0.001)::text from generate_series(1, 20000) as g")
    terminating.join()


def test_the_hint_of_an_unreachable_server_is_the_remedy_of_its_warehouse() -> None:
    unreachable = Warehouse(lambda: "postgresql://u@127.0.0.1:1/db", remedy="Start the server.")

    with pytest.raises(WarehouseError) as caught:
        unreachable.query("select 1")

    assert caught.value.hint == "Start the server."


def test_a_connection_that_is_never_used_leaves_no_thread(warehouse: Warehouse) -> None:
    with warehouse.connecting():
        pass

    deadline = time.monotonic() + 30
    while {"connecting", "postgresql"} & {thread.name for thread in threading.enumerate()}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
