"""Interrupted loads: bronze has either the old or the new content, and a second load succeeds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from adbc_driver_postgresql import dbapi

import retailpipe
from retailpipe import Environment
from retailpipe.bronze.locks import lock_for_build
from retailpipe.errors import RetailpipeError, WarehouseError
from retailpipe.local.server import EmbeddedServer
from retailpipe.progress import NoProgress
from retailpipe.reports import SomeNotLoaded
from retailpipe.sample import write_sample
from tests.support.servers import as_superuser, run_sql
from tests.support.waiting import wait_for

KEY = "input/book.xlsx"
ROWS = 30_000
KILLS = 4

SHAPE = """
select count(*) as rows, coalesce(sum(quantity * source_row), 0)::text as fingerprint, count(distinct load_id) as loads
from bronze.raw_transactions
"""
DISAGREEMENTS = """
select count(*) as n from bronze.loads where
    rows_loaded <> (select count(*) from bronze.raw_transactions as t where t.load_id = loads.load_id)
        * (status = 'loaded')::integer + rows_loaded * (status = 'replaced')::integer
    or (status = 'replaced') = exists (select from bronze.raw_transactions as t where t.load_id = loads.load_id)
    or (status = 'replaced') <> (replaced_by is not null)
    or rows_rejected <> 5
"""
OTHERS = """
select count(*) as n from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""
WAITING = "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock'"


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two versions of one workbook."""
    folder = tmp_path_factory.mktemp("books")
    paths = folder / "one" / "book.xlsx", folder / "two" / "book.xlsx"
    for seed, path in enumerate(paths, start=1):
        path.parent.mkdir()
        write_sample(path, rows=ROWS, seed=seed)
    return paths


def rows(environment: Environment, sql: str) -> list[dict[str, Any]]:
    return retailpipe.query(environment, sql).to_pylist()


def content(environment: Environment) -> dict[str, Any]:
    """The content of bronze: its numbers of rows and loads, and a checksum that differs between contents."""
    (found,) = rows(environment, SHAPE)
    return found


def copies(environment: Environment) -> list[str]:
    """The files in the store's temporary folder."""
    return [file.name for file in (environment.folder / "tmp").glob("*")]


class Retailpipe:
    """A command in its own process and process group."""

    def __init__(self, environment: Environment, *arguments: str) -> None:
        command = [sys.executable, "-m", "retailpipe", *arguments, "--local", str(environment.folder)]
        if environment.server is None:
            command += ["--database-url", environment.warehouse.uri]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.stderr = ""

    def wait_for_stderr(self, words: str) -> None:
        """Wait until the command has printed a line with these words to stderr."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr += line
            if words in line:
                return
        raise AssertionError(f"it ended without {words!r}: {self.stderr}")

    def interrupt(self) -> None:
        """Send SIGINT to the process group, as a terminal does on Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> int:
        """Wait for the process to end, and return its exit code as a shell would.

        If Ctrl-C interrupts certain imports, the signal itself ends Python; a shell reports that as 130, too.
        """
        self.stderr += self.process.communicate(timeout=120)[1]
        return 130 if self.process.returncode == -signal.SIGINT else self.process.returncode


class Paused(NoProgress):
    """Calls a function once, after the first rows were sent to the database."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._called = False
        self.advanced = 0

    def advance(self, amount: int = 1) -> None:
        self.advanced += amount
        if not self._called:
            self._called = True
            self._function()


@pytest.mark.nightly
def test_a_killed_load_leaves_either_the_old_or_the_new_content(
    environment: Environment, books: tuple[Path, Path]
) -> None:
    contents = []
    for book in books:
        retailpipe.ingest(environment, book, replace=True)
        contents.append(content(environment))
    environment.store.upload(books[0], replace=True)
    measured = Retailpipe(environment, "ingest", KEY)
    measured.wait_for_stderr("reading the workbook")
    began = time.monotonic()
    assert measured.end() == 0
    duration = time.monotonic() - began
    chance = random.Random(20)
    held, done = 0, 0

    for kill in range(KILLS):
        wanted = 1 - held
        environment.store.upload(books[wanted], replace=True)
        load = Retailpipe(environment, "ingest", KEY)
        load.wait_for_stderr("reading the workbook")
        time.sleep(duration * (kill + chance.random()) / KILLS)
        load.process.kill()
        load.end()

        wait_until(environment, OTHERS, 0)
        found = content(environment)
        assert found in contents, f"after {kill} kills"
        done += found == contents[wanted]
        (report,) = retailpipe.ingest(environment, KEY)
        assert report.status == ("unchanged" if found == contents[wanted] else "replaced")
        assert content(environment) == contents[wanted]
        assert rows(environment, DISAGREEMENTS) == [{"n": 0}]
        assert rows(environment, "select count(*) as n from bronze.rejected_rows") == [{"n": 5}]
        assert copies(environment) == []
        held = wanted

    assert done < KILLS, "every kill came after the commit"


def wait_until(environment: Environment, sql: str, wanted: int) -> None:
    """Wait until a count in the database has the wanted value."""
    deadline = time.monotonic() + 60
    # Only the superuser sees what the connections of all roles wait for.
    while run_sql(as_superuser(environment.warehouse.uri), sql) != wanted:
        assert time.monotonic() < deadline, sql
        time.sleep(0.02)


def test_a_lost_connection_leaves_the_old_content(
    environment: Environment, books: tuple[Path, Path], server: EmbeddedServer
) -> None:
    retailpipe.ingest(environment, books[0])
    before = content(environment)
    environment.store.upload(books[1], replace=True)

    with pytest.raises(WarehouseError, match="connection to the database was lost") as caught:
        retailpipe.ingest(environment, KEY, progress=Paused(lambda: cut_all_others(environment)))

    assert caught.value.hint
    assert content(environment) == before
    assert copies(environment) == []
    (report,) = retailpipe.ingest(environment, KEY)
    assert report.status == "replaced"


def test_a_run_that_stops_early_reports_how_many_workbooks_it_did_not_try(
    environment: Environment, books: tuple[Path, Path]
) -> None:
    for name in ("a.xlsx", "b.xlsx", "c.xlsx"):
        environment.store.upload(books[0], replace=True)
        (environment.folder / KEY).rename(environment.folder / "input" / name)

    with pytest.raises(SomeNotLoaded, match=r"^3 of 3 workbooks were not loaded") as caught:
        retailpipe.ingest(environment, progress=Paused(lambda: cut_all_others(environment)))

    assert "2 more were not tried" in str(caught.value)
    assert (len(caught.value.failures), caught.value.untried) == (1, 2)


def cut_all_others(environment: Environment) -> None:
    with dbapi.connect(environment.warehouse.uri) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        assert cursor.fetchall()


def test_an_exception_of_the_callers_progress_is_raised_unchanged(
    environment: Environment, books: tuple[Path, Path]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        retailpipe.ingest(environment, books[0], progress=Paused(fail))

    assert content(environment)["rows"] == 0
    assert copies(environment) == []


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, books: tuple[Path, Path]) -> Iterator[Environment]:
    """An environment with its own server, which tests may kill; the first content is loaded."""
    environment = Environment.local(tmp_path_factory.mktemp("own") / "a folder")
    retailpipe.ingest(environment, books[0])
    yield environment
    assert environment.server is not None
    environment.server.destroy()


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third version, large enough that its load can be interrupted."""
    book = tmp_path_factory.mktemp("big") / "book.xlsx"
    write_sample(book, rows=2 * ROWS, seed=3)
    return book


@pytest.mark.parametrize(
    ("words", "delay"),
    [
        ("reading the workbook", 0),
        pytest.param("reading the workbook", 0.1, marks=pytest.mark.nightly),
        pytest.param("loading rows", 0, marks=pytest.mark.nightly),
        pytest.param("loading rows", 0.05, marks=pytest.mark.nightly),
        ("loading rows", 0.2),
    ],
)
def test_ctrl_c_rolls_back_a_load_and_leaves_the_server_running(
    own: Environment, books: tuple[Path, Path], big: Path, words: str, delay: float
) -> None:
    retailpipe.ingest(own, books[0], replace=True)
    before = content(own)
    own.store.upload(big, replace=True)
    load = Retailpipe(own, "ingest", KEY)
    load.wait_for_stderr(words)
    time.sleep(delay)

    load.interrupt()

    assert (load.end(), "Traceback" in load.stderr) == (130, False), load.stderr
    assert "interrupted" in load.stderr
    assert own.server is not None
    assert own.server.is_running
    assert content(own) == before
    assert copies(own) == []


def test_ctrl_c_ends_a_load_that_waits_for_a_build(own: Environment, books: tuple[Path, Path]) -> None:
    retailpipe.ingest(own, books[0], replace=True)
    own.store.upload(books[1], replace=True)

    with own.warehouse.connect() as build:
        lock_for_build(build, NoProgress())
        build.commit()
        load = Retailpipe(own, "ingest", KEY)
        load.wait_for_stderr("waiting for another load or build")
        wait_until(own, WAITING, 1)
        load.interrupt()
        code = load.end()

    assert (code, "interrupted" in load.stderr) == (130, True), load.stderr


def test_ctrl_c_ends_a_load_that_waits_for_its_table(own: Environment, books: tuple[Path, Path]) -> None:
    """For example, another user ran `lock table` or a long statement that rewrites the table."""
    retailpipe.ingest(own, books[0], replace=True)
    own.store.upload(books[1], replace=True)

    with own.warehouse.connect() as other:
        other.execute("lock table bronze.raw_transactions")
        load = Retailpipe(own, "ingest", KEY)
        load.wait_for_stderr("loading rows")
        wait_until(own, WAITING, 1)
        load.interrupt()
        code = load.end()

    assert (code, "interrupted" in load.stderr) == (130, True), load.stderr


def test_ctrl_c_stops_a_load_before_the_rest_of_the_workbook_is_read(
    environment: Environment, books: tuple[Path, Path]
) -> None:
    progress = Paused(lambda: os.kill(os.getpid(), signal.SIGINT))

    with pytest.raises(KeyboardInterrupt):
        retailpipe.ingest(environment, books[0], progress=progress)

    assert progress.advanced < ROWS
    assert content(environment)["rows"] == 0
    assert copies(environment) == []


def test_after_ctrl_c_while_the_server_starts_the_next_command_works(own: Environment) -> None:
    assert own.server is not None
    own.server.stop()
    load = Retailpipe(own, "ingest", KEY)
    wait_for(((own.folder / "postgres").resolve() / "data" / "postmaster.pid").exists)

    load.interrupt()

    assert load.end() in (0, 130), load.stderr
    assert content(own)["loads"] == 1


def test_a_server_that_is_killed_during_a_load_recovers_at_the_next_command(
    own: Environment, books: tuple[Path, Path]
) -> None:
    retailpipe.ingest(own, books[0], replace=True)
    before = content(own)
    own.store.upload(books[1], replace=True)

    with pytest.raises(RetailpipeError) as caught:
        retailpipe.ingest(own, KEY, progress=Paused(lambda: kill_server(own)))

    assert isinstance(caught.value, WarehouseError)
    assert "lost" in str(caught.value)
    assert "`retailpipe local start`" in caught.value.hint
    assert content(own) == before
    (report,) = retailpipe.ingest(own, KEY)
    assert report.status == "replaced"
    assert rows(own, DISAGREEMENTS) == [{"n": 0}]


def kill_server(environment: Environment) -> None:
    """Kill the postmaster and each server process with SIGKILL."""
    data = str((environment.folder / "postgres").resolve())
    postmasters = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(data in argument for argument in process.info["cmdline"] or []) and process.name() == "postgres"
    ]
    assert postmasters
    for postmaster in postmasters:
        for process in [postmaster, *postmaster.children(recursive=True)]:
            process.kill()


def test_a_server_that_is_stopped_during_a_load_is_a_clear_error(own: Environment, books: tuple[Path, Path]) -> None:
    retailpipe.ingest(own, books[0], replace=True)
    before = content(own)
    own.store.upload(books[1], replace=True)
    assert own.server is not None

    with pytest.raises(WarehouseError, match="lost") as caught:
        retailpipe.ingest(own, KEY, progress=Paused(own.server.stop))

    assert caught.value.hint
    assert content(own) == before


def test_ctrl_c_ends_a_query(own: Environment) -> None:
    query = Retailpipe(own, "query", "select pg_sleep(60)::text")
    sleeping = "select count(*) as n from pg_stat_activity where wait_event = 'PgSleep'"
    wait_until(own, sleeping, 1)

    query.interrupt()

    assert query.end() == 130, query.stderr
    wait_until(own, sleeping, 0)


def test_ctrl_c_ends_a_build(own: Environment, books: tuple[Path, Path]) -> None:
    retailpipe.ingest(own, books[0], replace=True)
    build = Retailpipe(own, "transform")
    build.wait_for_stderr("building models")

    build.interrupt()

    assert (build.end(), "Traceback" in build.stderr) == (130, False), build.stderr
    assert "no workbook is half loaded" in build.stderr
    wait_until(own, OTHERS, 0)
    assert retailpipe.transform(own, select="built_loads").ok
