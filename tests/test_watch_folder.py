"""The watcher of a local folder: it loads what is new or changed, and nothing twice or before it is complete."""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from retailpipe import Environment, ingest, verify
from retailpipe.errors import StoreError, WarehouseError
from retailpipe.progress import NoProgress
from retailpipe.watch import folder as module
from retailpipe.watch import watch, worker
from retailpipe.watch.folder import FolderWatcher
from tests.conftest import Program, Workbook
from tests.support.proxy import proxy
from tests.support.servers import port

IDLE = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(module, "_SETTLED_SECONDS", 0.1)


@pytest.fixture
def environment(built_environment: Environment) -> Environment:
    return built_environment


@pytest.fixture
def inbox(environment: Environment) -> Path:
    """The folder that is watched."""
    inbox = environment.folder / "input"
    inbox.mkdir(parents=True)
    return inbox


def rows(environment: Environment, table: str = "notes") -> int:
    return environment.warehouse.query(f"select count(*) as n from bronze.{table}").to_pylist()[0]["n"]


def loads(environment: Environment) -> int:
    return environment.warehouse.query("select count(*) as n from bronze.loads").to_pylist()[0]["n"]


def wait_for(watcher: FolderWatcher) -> list[str]:
    """Poll the folder until a workbook has settled."""
    deadline = time.monotonic() + 60
    while not (keys := watcher.poll()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return keys


@contextmanager
def at_the_next_warning(action: Callable[[], object]) -> Iterator[list[str]]:
    """Do something when the watcher warns that it cannot reach something; yields the warnings."""
    warnings: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(record.getMessage())
            if len(warnings) == 1:
                action()

    log = logging.getLogger("retailpipe.watch.worker")
    listener = Listener()
    log.addHandler(listener)
    try:
        yield warnings
    finally:
        log.removeHandler(listener)


def test_new_and_changed_workbooks_are_loaded_and_a_bad_one_is_reported_once(
    environment: Environment, inbox: Path, make_workbook: Workbook, notes: Callable[..., Path]
) -> None:
    shutil.copy(notes(1), inbox / "notes before the start.xlsx")
    (inbox / "bad.xlsx").write_text("not a workbook")
    watching = watch(environment, idle_exit=IDLE)

    first = next(watching)
    shutil.copy(notes(2), inbox / "notes before the start.xlsx")
    second = next(watching)
    shutil.copy(make_workbook(), inbox / "bad.xlsx")
    third = next(watching)
    after = list(watching)

    assert first.keys == ("input/bad.xlsx", "input/notes before the start.xlsx")
    assert [failure.split(":")[0] for failure in first.failures] == ["input/bad.xlsx is not an xlsx workbook"]
    assert (first.ok, second.ok, third.ok) == (False, True, True)
    assert second.keys == ("input/notes before the start.xlsx",)
    assert second.run
    assert [load.status for load in second.run.loads] == ["replaced"]
    assert third.keys == ("input/bad.xlsx",)
    assert third.run
    assert not third.run.build.up_to_date
    assert after == []
    assert (rows(environment), rows(environment, "raw_transactions")) == (2, 1)


def test_a_build_that_a_killed_watch_left_is_finished_and_nothing_is_loaded_or_built_again(
    environment: Environment, inbox: Path, make_workbook: Workbook
) -> None:
    shutil.copy(make_workbook(), inbox)
    ingest(environment)

    (handled,) = watch(environment, once=True)

    assert handled.ok
    assert handled.keys == ()
    assert verify(environment).ok
    assert list(watch(environment, once=True)) == []
    (inbox / "book.xlsx").touch()
    assert [handled.run.loads for handled in watch(environment, once=True) if handled.run] == []
    assert loads(environment) == 1


def test_a_file_that_is_being_copied_is_not_loaded(
    environment: Environment, inbox: Path, notes: Callable[..., Path]
) -> None:
    content = notes(50).read_bytes()
    watcher = FolderWatcher(environment)
    list(watcher.catch_up())

    with (inbox / "notes.xlsx").open("wb", buffering=0) as file:
        for start in range(0, len(content), 500):
            file.write(content[start : start + 500])
            assert watcher.poll() == []
            assert watcher.is_changing
        last = time.monotonic()
    keys = wait_for(watcher)

    assert keys == ["input/notes.xlsx"]
    assert time.monotonic() - last >= 0.1
    assert loads_of(watcher, keys) == 50
    assert not watcher.is_changing


def loads_of(watcher: FolderWatcher, keys: list[str]) -> int:
    """Handle the workbooks; return how many rows were loaded."""
    (handled,) = watcher.handle(keys)
    assert handled.ok, handled
    assert handled.run
    return sum(load.rows_loaded for load in handled.run.loads)


def test_a_workbook_that_changes_while_it_is_loaded_is_loaded_again_and_not_reported(
    environment: Environment, inbox: Path, notes: Callable[..., Path]
) -> None:
    (inbox / "notes.xlsx").write_text("half of a workbook")
    complete = notes(2)

    class Replacing(NoProgress):
        def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
            if complete.exists():
                complete.rename(inbox / "notes.xlsx")

    handled = list(watch(environment, once=True, progress=Replacing()))

    assert [each.failures for each in handled] == [()] * len(handled)
    assert rows(environment) == 2


def test_a_deleted_workbook_is_not_reported(environment: Environment, inbox: Path, notes: Callable[..., Path]) -> None:
    shutil.copy(notes(1), inbox / "notes that stay.xlsx")
    shutil.copy(notes(2), inbox / "notes that go.xlsx")
    watcher = FolderWatcher(environment)
    list(watcher.catch_up())
    keys = wait_for(watcher)
    (inbox / "notes that go.xlsx").unlink()

    assert sorted(keys) == ["input/notes that go.xlsx", "input/notes that stay.xlsx"]
    assert loads_of(watcher, keys) == 1
    assert watcher.poll() == []


def test_other_files_are_ignored(environment: Environment, inbox: Path) -> None:
    for name in ("notes.txt", "~$book.xlsx", ".book.xlsx.part"):
        (inbox / name).write_text("")

    assert list(watch(environment, once=True)) == []


@pytest.mark.nightly  # it waits for two pauses of 20 s between retries; test_watch.py has the same test for a stack
def test_a_database_that_is_down_is_retried_until_it_is_up(
    tmp_path: Path, database_url: str, make_workbook: Workbook
) -> None:
    server = port(database_url)
    with proxy(1) as door:  # the server behind it is not set yet
        url = database_url.replace(f":{server}/", f":{door.port}/")
        environment = Environment.local(tmp_path / "home", database_url=url)
        environment.store.upload(make_workbook())
        with at_the_next_warning(lambda: setattr(door, "target", ("127.0.0.1", server))) as warnings:
            (handled,) = watch(environment, idle_exit=timedelta(seconds=30), progress=None)

    assert handled.ok
    assert len(warnings) >= 1


def test_with_once_a_database_that_is_down_is_an_error(tmp_path: Path, make_workbook: Workbook) -> None:
    environment = Environment.local(tmp_path / "home", database_url="postgresql://me@127.0.0.1:1/none")
    environment.store.upload(make_workbook())

    with pytest.raises(WarehouseError):
        list(watch(environment, once=True))


def test_a_folder_that_cannot_be_read_for_a_while_loses_nothing(
    environment: Environment, inbox: Path, notes: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copy(notes(), inbox)
    watcher = FolderWatcher(environment)
    list(watcher.catch_up())
    inbox.rename(tmp_path / "away")
    inbox.write_text("the share is not mounted")

    def mount() -> None:
        inbox.unlink()
        (tmp_path / "away").rename(inbox)

    with at_the_next_warning(mount) as warnings:
        keys = wait_for(watcher)

    assert "cannot read" in warnings[0]
    assert loads_of(watcher, keys) == 1
    (inbox / "notes.xlsx").unlink()
    inbox.rmdir()
    assert watcher.poll() == []
    inbox.write_text("a file")
    with pytest.raises(StoreError, match="cannot read"):
        list(FolderWatcher(environment, once=True).catch_up())


def test_the_command_prints_what_it_did_and_nothing_with_quiet_if_all_is_well(
    program: Program, database_url: str, make_workbook: Workbook, tmp_path: Path
) -> None:
    place = ["--local", tmp_path / "home", "--database-url", database_url]
    inbox = tmp_path / "home" / "input"
    inbox.parent.mkdir()
    created = program("watch", "--once", *place)
    shutil.copy(make_workbook(), inbox)
    (inbox / "bad.xlsx").write_text("not a workbook")

    failed = program("watch", "--once", "--quiet", *place)
    (inbox / "bad.xlsx").unlink()
    quiet = program("watch", "--once", "--quiet", *place)

    assert (created.returncode, created.stdout, created.stderr) == (0, "", f"watching {inbox}\n")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("failed: input/bad.xlsx is not an xlsx workbook")
    assert failed.stderr.count("\n") == 1
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_ctrl_c_ends_the_watch(database_url: str, tmp_path: Path) -> None:
    inbox = tmp_path / "home" / "input"
    inbox.parent.mkdir()
    command = ["watch", "--local", str(tmp_path / "home"), "--database-url", database_url]
    watcher = subprocess.Popen([sys.executable, "-m", "retailpipe", *command], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not inbox.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)

    watcher.send_signal(signal.SIGINT)
    _, shown = watcher.communicate(timeout=60)

    assert watcher.returncode == 130
    assert shown == f"watching {inbox}\ninterrupted\n"
