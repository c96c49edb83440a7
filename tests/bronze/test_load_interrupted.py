"""A load that is cut off anywhere: bronze holds the old content or the new one, and a second load mends it."""

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
from retailpipe.bronze.ledger import lock_for_build
from retailpipe.errors import RetailpipeError, WarehouseError
from retailpipe.local.server import EmbeddedServer
from retailpipe.progress import NoProgress
from retailpipe.reports import SomeNotLoaded
from retailpipe.sample import write_sample
from tests.support.servers import as_superuser, ask

KEY = "input/book.xlsx"
ROWS = 30_000
KILLS = 20

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
    """Two contents of one workbook."""
    folder = tmp_path_factory.mktemp("books")
    paths = folder / "one" / "book.xlsx", folder / "two" / "book.xlsx"
    for seed, path in enumerate(paths, start=1):
        path.parent.mkdir()
        write_sample(path, rows=ROWS, seed=seed)
    return paths


def rows(environment: Environment, sql: str) -> list[dict[str, Any]]:
    return retailpipe.query(environment, sql).to_pylist()


def content(environment: Environment) -> dict[str, Any]:
    """What bronze holds: how many rows, of how many loads, and a figure that tells one content from another."""
    (found,) = rows(environment, SHAPE)
    return found


def copies(environment: Environment) -> list[str]:
    """What lies in the store's folder for temporary files."""
    return [file.name for file in (environment.folder / "tmp").glob("*")]


class Retailpipe:
    """A command in a process, and a process group, of its own."""

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
        self.said = ""

    def wait_until_it_says(self, words: str) -> None:
        assert self.process.stderr is not None
        for told in self.process.stderr:
            self.said += told
            if words in told:
                return
        raise AssertionError(f"it ended without {words!r}: {self.said}")

    def interrupt(self) -> None:
        """Ctrl-C, which a terminal sends to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> int:
        """Waits for its end; gives the exit code as a shell does.

        An interrupt in the midst of some imports makes Python end by the signal itself, which a shell calls 130 too.
        """
        self.said += self.process.communicate(timeout=120)[1]
        return 130 if self.process.returncode == -signal.SIGINT else self.process.returncode


class Paused(NoProgress):
    """Calls a function once, when the first rows have gone to the database."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._called = False
        self.advanced = 0

    def advance(self, amount: int = 1) -> None:
        self.advanced += amount
        if not self._called:
            self._called = True
            self._function()


def test_a_killed_load_leaves_the_old_content_or_the_new_one(
    environment: Environment, books: tuple[Path, Path]
) -> None:
    contents = []
    for book in books:
        retailpipe.ingest(environment, book)
        contents.append(content(environment))
    environment.store.upload(books[0])
    measured = Retailpipe(environment, "ingest", KEY)
    measured.wait_until_it_says("reading the workbook")
    began = time.monotonic()
    assert measured.end() == 0
    duration = time.monotonic() - began
    chance = random.Random(20)
    held, done = 0, 0

    for kill in range(KILLS):
        wanted = 1 - held
        environment.store.upload(books[wanted])
        load = Retailpipe(environment, "ingest", KEY)
        load.wait_until_it_says("reading the workbook")
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

    assert done < KILLS, "no kill came in time"


def wait_until(environment: Environment, sql: str, wanted: int) -> None:
    """Until a count in the database is what is wanted."""
    deadline = time.monotonic() + 60
    # The superuser alone sees what the connections of all roles wait for.
    while ask(as_superuser(environment.warehouse.uri), sql) != wanted:
        assert time.monotonic() < deadline, sql
        time.sleep(0.02)


def test_a_connection_that_is_cut_leaves_the_old_content(
    environment: Environment, books: tuple[Path, Path], server: EmbeddedServer
) -> None:
    retailpipe.ingest(environment, books[0])
    before = content(environment)
    environment.store.upload(books[1])

    with pytest.raises(WarehouseError, match="connection to the database was lost") as caught:
        retailpipe.ingest(environment, KEY, progress=Paused(lambda: cut_all_others(environment)))

    assert caught.value.hint
    assert content(environment) == before
    assert copies(environment) == []
    (report,) = retailpipe.ingest(environment, KEY)
    assert report.status == "replaced"


def test_a_run_that_breaks_off_counts_those_that_it_did_not_try(
    environment: Environment, books: tuple[Path, Path]
) -> None:
    for name in ("a.xlsx", "b.xlsx", "c.xlsx"):
        environment.store.upload(books[0])
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


def test_an_error_of_the_callers_progress_comes_out_as_it_is(
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
    """An environment with a server of its own, which tests may kill; it holds the first content."""
    environment = Environment.local(tmp_path_factory.mktemp("own") / "a folder")
    retailpipe.ingest(environment, books[0])
    yield environment
    assert environment.server is not None
    environment.server.destroy()


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third content, which takes long enough to load that it can be interrupted."""
    book = tmp_path_factory.mktemp("big") / "book.xlsx"
    write_sample(book, rows=2 * ROWS, seed=3)
    return book


@pytest.mark.parametrize(
    ("words", "delay"),
    [
        ("reading the workbook", 0),
        ("reading the workbook", 0.1),
        ("loading rows", 0),
        ("loading rows", 0.05),
        ("loading rows", 0.2),
    ],
)
def test_ctrl_c_undoes_a_load_and_leaves_the_server_running(
    own: Environment, books: tuple[Path, Path], big: Path, words: str, delay: float
) -> None:
    retailpipe.ingest(own, books[0])
    before = content(own)
    own.store.upload(big)
    load = Retailpipe(own, "ingest", KEY)
    load.wait_until_it_says(words)
    time.sleep(delay)

    load.interrupt()

    assert (load.end(), "Traceback" in load.said) == (130, False), load.said
    assert "interrupted" in load.said
    assert own.server is not None
    assert own.server.is_running
    assert content(own) == before
    assert copies(own) == []


def test_ctrl_c_ends_a_load_that_waits_for_a_build(own: Environment, books: tuple[Path, Path]) -> None:
    retailpipe.ingest(own, books[0])
    own.store.upload(books[1])

    with own.warehouse.connect() as build:
        lock_for_build(build, NoProgress())
        build.commit()
        load = Retailpipe(own, "ingest", KEY)
        load.wait_until_it_says("waiting for another load or build")
        wait_until(own, WAITING, 1)
        load.interrupt()
        code = load.end()

    assert (code, "interrupted" in load.said) == (130, True), load.said


def test_ctrl_c_ends_a_load_that_waits_for_its_table(own: Environment, books: tuple[Path, Path]) -> None:
    """Somebody's `lock table`, or a long statement that rewrites it."""
    retailpipe.ingest(own, books[0])
    own.store.upload(books[1])

    with own.warehouse.connect() as other:
        other.execute("lock table bronze.raw_transactions")
        load = Retailpipe(own, "ingest", KEY)
        load.wait_until_it_says("loading rows")
        wait_until(own, WAITING, 1)
        load.interrupt()
        code = load.end()

    assert (code, "interrupted" in load.said) == (130, True), load.said


def test_ctrl_c_is_heard_before_the_rest_of_the_workbook_is_read(
    environment: Environment, books: tuple[Path, Path]
) -> None:
    progress = Paused(lambda: os.kill(os.getpid(), signal.SIGINT))

    with pytest.raises(KeyboardInterrupt):
        retailpipe.ingest(environment, books[0], progress=progress)

    assert progress.advanced < ROWS
    assert content(environment)["rows"] == 0
    assert copies(environment) == []


def test_ctrl_c_while_the_server_starts_leaves_it_to_the_next_command(own: Environment) -> None:
    assert own.server is not None
    own.server.stop()
    load = Retailpipe(own, "ingest", KEY)
    time.sleep(0.8)

    load.interrupt()

    assert load.end() in (0, 130), load.said
    assert content(own)["loads"] == 1


def test_a_server_that_is_killed_in_mid_load_recovers_at_the_next_command(
    own: Environment, books: tuple[Path, Path]
) -> None:
    retailpipe.ingest(own, books[0])
    before = content(own)
    own.store.upload(books[1])

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
    """kill -9 of the postmaster and of each server process."""
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


def test_a_server_that_is_stopped_in_mid_load_is_a_clear_error(own: Environment, books: tuple[Path, Path]) -> None:
    retailpipe.ingest(own, books[0])
    before = content(own)
    own.store.upload(books[1])
    assert own.server is not None

    with pytest.raises(WarehouseError, match="lost") as caught:
        retailpipe.ingest(own, KEY, progress=Paused(own.server.stop))

    assert caught.value.hint
    assert content(own) == before


def test_ctrl_c_ends_a_question(own: Environment) -> None:
    question = Retailpipe(own, "query", "select pg_sleep(60)::text")
    sleeping = "select count(*) as n from pg_stat_activity where wait_event = 'PgSleep'"
    wait_until(own, sleeping, 1)

    question.interrupt()

    assert question.end() == 130, question.said
    wait_until(own, sleeping, 0)


def test_ctrl_c_ends_a_build(own: Environment, books: tuple[Path, Path]) -> None:
    retailpipe.ingest(own, books[0])
    build = Retailpipe(own, "transform")
    build.wait_until_it_says("building models")

    build.interrupt()

    assert (build.end(), "Traceback" in build.said) == (130, False), build.said
    wait_until(own, OTHERS, 0)
    assert retailpipe.transform(own, select="built_loads").ok
