"""`query`: a statement that only reads returns its rows, and every other statement is refused."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.errors import UsageError, WarehouseError
from retailpipe.sample import write_sample
from retailpipe.warehouse import Warehouse
from tests.conftest import Program, Workbook
from tests.support.servers import as_superuser, launch, run_sql
from tests.support.waiting import wait_for
from tests.support.workbooks import contract_of

# Statements that try to do more than read. PROOF is replaced by the path of a file, which must not exist afterwards.
ATTACKS = [
    "copy (select 1) to program 'touch PROOF'",
    "copy (select 1) to 'PROOF'",
    "copy bronze.loads from program 'touch PROOF'",
    "commit",
    "rollback",
    "begin",
    "commit; drop table bronze.loads",
    "select 1; drop table bronze.loads",
    "select 1) as answer; drop table bronze.loads; --",
    "select 1) as answer; commit; drop table bronze.loads; select * from (select 1",
    "checkpoint",
    "vacuum",
    "listen anything",
    "lock table bronze.loads",
    "do $$ begin perform pg_reload_conf(); end $$",
    "prepare p as delete from bronze.loads",
    "set role retailpipe",
    "set session characteristics as transaction read write",
    "alter system set work_mem = '1GB'",
    "insert into bronze.loads default values",
    "with gone as (delete from bronze.loads returning *) select * from gone",
    "select nextval('bronze.loads_load_id_seq')",
    "select * into stolen from bronze.loads",
    "create temporary table t as select 1",
    "select pg_reload_conf()",
    "select pg_rotate_logfile()",
    "select pg_read_file('/etc/passwd')",
    "select pg_read_binary_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select lo_import('/etc/passwd')",
    "select lo_export(1, 'PROOF')",
    "select pg_switch_wal()",
    "select query_to_xml('drop table bronze.loads', true, true, '')",
    "select set_config('role', 'retailpipe', true)",
    "select set_config('transaction_read_only', 'off', true)",
    "select rolpassword from pg_authid",
    "select pg_logical_emit_message(false, 'x', repeat('x', 1000000))",
    "select pg_notify('channel', 'text')",
    "select pg_advisory_lock(1)",
    "select pg_advisory_xact_lock(1, 1)",
    "select pg_try_advisory_lock_shared(1)",
    "",
    "--",
    "explain analyze delete from bronze.loads",
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """An environment with its own embedded server, and one workbook loaded."""
    folder = tmp_path_factory.mktemp("query")
    environment = Environment.local(folder / "home")
    write_sample(folder / "book.xlsx", rows=50)
    retailpipe.ingest(environment, folder / "book.xlsx")
    yield environment
    assert environment.server
    environment.server.destroy()


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_statement_that_does_more_than_read_is_refused(loaded: Environment, tmp_path: Path, attack: str) -> None:
    proof = tmp_path / "proof"
    tmp_path.chmod(0o777)

    with pytest.raises(WarehouseError):
        loaded.warehouse.query(attack.replace("PROOF", str(proof)))

    assert not proof.exists()
    [left] = loaded.warehouse.query("select count(*) as n from bronze.loads").to_pylist()
    assert left == {"n": 1}


def test_a_query_cannot_switch_to_another_role(loaded: Environment) -> None:
    """The statement calls set_config, as a function could, but the session's user lacks the privilege."""
    hidden = "select set_config('role', 'retailpipe', true), query_to_xml('select pg_ls_dir(''/'')', true, true, '')"

    with pytest.raises(WarehouseError, match="permission denied"):
        loaded.warehouse.query(hidden)


@pytest.mark.nightly
def test_the_query_of_a_killed_program_ends(loaded: Environment) -> None:
    """A client that was killed does not cancel its statement: the server must notice that it is gone."""
    slow = "select count(pg_sleep(600))"
    running = f"select count(*) from pg_stat_activity where query like '%{slow}%' and pid <> pg_backend_pid()"
    code = "import sys; from retailpipe import Environment; Environment.local(sys.argv[1]).warehouse.query(sys.argv[2])"
    url = as_superuser(loaded.warehouse.uri)
    process = launch(code, loaded.folder, slow)
    wait_for(lambda: run_sql(url, running) == 1)

    process.kill()
    process.communicate()

    wait_for(lambda: run_sql(url, running) == 0)


def test_no_role_that_this_library_uses_is_a_superuser(loaded: Environment) -> None:
    privileged = (
        "select rolsuper or rolcreaterole or rolcreatedb or rolbypassrls from pg_roles where rolname = current_user"
    )
    with loaded.warehouse.connect() as owner, loaded.warehouse.connect(as_reader=True) as reader:
        assert owner.row(privileged) == (False,)
        assert reader.row(privileged) == (False,)
        with pytest.raises(WarehouseError, match="permission denied"):
            owner.row("select pg_read_file('/etc/passwd')")


READING = [
    ("select 1 as n", [{"n": 1}]),
    ("select 1 as n;", [{"n": 1}]),
    ("select 1 as n -- a comment", [{"n": 1}]),
    ("/* first */ select 1 as n /* last */;  \n", [{"n": 1}]),
    ("(select 1 as n)", [{"n": 1}]),
    ("-- a comment\nselect 1 as n", [{"n": 1}]),
    ("values (1), (2)", [{"column1": 1}, {"column1": 2}]),
    ("with one as (select 1 as n) select n from one", [{"n": 1}]),
    ("select n from generate_series(3, 1, -1) as n order by n desc limit 2", [{"n": 3}, {"n": 2}]),
    ("select ';' as sign", [{"sign": ";"}]),
    ("select current_user::text as who", [{"who": "retailpipe_reader"}]),
    ("select count(*) > 0 as some from bronze.raw_transactions", [{"some": True}]),
    ("select count(*) as n from bronze.rejected_rows where code = 'none such'", [{"n": 0}]),
]


@pytest.mark.parametrize(("sql", "expected"), READING)
def test_a_statement_that_only_reads_returns_its_rows(
    loaded: Environment, sql: str, expected: list[dict[str, object]]
) -> None:
    assert loaded.warehouse.query(sql).to_pylist() == expected


def test_queries_during_a_build_do_not_disturb_it_and_read_its_tables_afterwards(
    loaded: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dbt's threads read the password file from a variable, which queries at the same time must not change."""
    monkeypatch.setenv("PGPASSWORD", "that of another database")
    results: list[int] = []
    ended = threading.Event()

    def query() -> None:
        while not ended.is_set():
            results.append(loaded.warehouse.query("select 1").num_rows)

    querying = [threading.Thread(target=query) for _ in range(3)]
    for thread in querying:
        thread.start()
    try:
        report = retailpipe.transform(loaded, full_refresh=True)
    finally:
        ended.set()
        for thread in querying:
            thread.join()

    assert (report.ok, report.failures) == (True, ())
    assert len(results) > 10
    [found] = loaded.warehouse.query("select count(*) as n from public_gold.top_products").to_pylist()
    assert found["n"] > 0
    assert os.environ["PGPASSWORD"] == "that of another database"
    assert "PGPASSFILE" not in os.environ


HINTS = [
    ("selec 1", "Write one SELECT statement"),
    ("", "Write one SELECT statement"),
    ("-- only a comment", "Write one SELECT statement"),
    ("update bronze.loads set status = 'x'", "Write one SELECT statement"),
    ("select from where", "Check the syntax"),
    ("select * from nothing", "information_schema.tables"),
    ("select * from nowhere.nothing", "information_schema.tables"),
    ("select nothing from bronze.loads", "shows the columns of a table"),
    ("select load_id from bronze.loads, bronze.rejected_rows", "Prefix the column with the name of its table"),
    ("select nofunc(1)", "Check the name of the function"),
    ("select pg_reload_conf()", "not the files, the passwords and the settings"),
    ("select pg_read_file('/etc/passwd')", "not the files, the passwords and the settings"),
    ("select * from pg_authid", "not the files, the passwords and the settings"),
    ("select * from bronze.loads for update", "A query only reads"),
    ("select lo_create(0)", "A query only reads"),  # an error that comes while rows are read
    ("with gone as (delete from bronze.loads returning *) select * from gone", "A query only reads"),
    ("select * from other.public.loads", "A query reads one database"),
    ("select count(distinct load_id) over () from bronze.loads", ""),
    ("select 1/0", ""),
]


@pytest.mark.parametrize(("sql", "hint"), HINTS)
def test_an_error_has_the_hint_for_its_cause(loaded: Environment, sql: str, hint: str) -> None:
    with pytest.raises(WarehouseError) as caught:
        loaded.warehouse.query(sql)

    assert hint in caught.value.hint
    assert bool(hint) == bool(caught.value.hint)


def test_the_hint_names_the_privilege_that_a_user_needs_to_create_the_schema(
    database_url: str, make_workbook: Workbook, program: Program, loaded: Environment
) -> None:
    owner = Warehouse.at(as_superuser(database_url))
    with owner.connect() as connection:
        connection.execute("drop role if exists guest")
        connection.execute("create role guest login password 'guest'")
        connection.commit()
    url = database_url.replace("//retailpipe@", "//guest@").partition("?")[0]

    done = program("ingest", make_workbook(), "--database-url", url, env={"PGPASSWORD": "guest"})

    with owner.connect() as connection:
        connection.execute("drop role guest")
        connection.commit()
    assert done.returncode == 1
    assert "permission denied for database" in done.stderr
    assert "grant create on database" in done.stderr


def test_a_read_only_database_is_an_error_with_a_hint(
    database_url: str, make_workbook: Workbook, program: Program
) -> None:
    url = f"{database_url}&options=-c%20default_transaction_read_only%3Don"

    done = program("ingest", make_workbook(), "--database-url", url)

    assert done.returncode == 1
    assert "default_transaction_read_only is off" in done.stderr


def test_a_contract_may_name_its_columns_like_columns_of_the_ledger(
    environment: Environment, make_workbook: Workbook, tmp_path: Path
) -> None:
    names = ["status", "source", "rows_loaded", "table_name"]
    contract = contract_of(tmp_path, *({"header": name.title(), "name": name, "type": "string"} for name in names))
    path = make_workbook([["a", "b", "c", "d"]], headers=[name.title() for name in names])

    report = retailpipe.run(environment, path, contract=contract)

    assert report.ok
    assert retailpipe.verify(environment).ok
    check = retailpipe.check(environment)
    assert [point.name for point in check.points if not point.ok] == []


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("postgresql+psycopg2://me@host/db", "Remove the driver"),
        ("postgres+asyncpg://me@host/db", "Remove the driver"),
        ("jdbc:postgresql://host:5432/db", "Remove jdbc:"),
        ("host=localhost dbname=db", "as a URL"),
        ("dbname = db", "as a URL"),
        ("mysql://me@host/db", "must be PostgreSQL"),
        ("jdbc:mysql://host/db", "must be PostgreSQL"),
        ("localhost:5432/db", "Write postgresql:// before it"),
        ("psql postgresql://me@host/db", "Pass only the URL"),
        ("DATABASE_URL=postgresql://me@host/db", "Pass only the URL"),
        ("Server=host;Database=db", "instead of Server=h"),
        ("postgresql://me:100%@host/db", "Set the password in PGPASSWORD"),
    ],
)
def test_a_url_in_another_programs_form_has_a_specific_hint(url: str, hint: str) -> None:
    with pytest.raises(UsageError, match="is not of the form") as caught:
        Warehouse.at(url)

    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        ("postgresql://host/db?schema=public", "does not know: schema$", "Remove it"),
        ("postgresql://host/db?sslmode=require&pool=5", "does not know: pool$", "Remove it"),
        ("postgresql://me:a/b?secret=5@host/db", "is not of the form", "percent-encode"),
        ("postgresql://host:99999/db", "not between 1 and 65535", "postgresql://user@host:5432/name"),
        ("postgresql://me:99999/secret@host/db", "not between 1 and 65535", "In a password, write / as %2F"),
        ("postgresql://host/db?sslmode=bogus", 'invalid sslmode value: "bogus"', "Correct this value"),
    ],
)
def test_a_url_that_libpq_refuses_is_told_what_is_wrong_but_not_that_the_server_may_be_stopped(
    url: str, message: str, hint: str
) -> None:
    with pytest.raises((UsageError, WarehouseError), match=message) as caught:
        Warehouse.at(url).query("select 1")

    assert hint in caught.value.hint
    assert "server" not in caught.value.hint
    assert "secret" not in str(caught.value)


def test_blanks_around_a_url_and_capitals_in_its_scheme_make_no_difference(database_url: str, tmp_path: Path) -> None:
    given = f"  {database_url.replace('postgresql://', 'PostgreSQL://')}\n"

    environment = Environment.local(tmp_path, database_url=given)

    assert environment.warehouse.query("select 1 as one").to_pylist() == [{"one": 1}]
    assert environment.options[-1] == database_url
