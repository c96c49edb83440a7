"""The embedded PostgreSQL after violence: killed servers, killed starters, stale pid files, many starters at once."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from retailpipe import Environment
from retailpipe.local.server import EmbeddedServer
from tests.support.servers import START, ask, ended, launch, outcome, postmaster


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of an environment, nothing in it yet; what is made of it goes after the test."""
    folder = tmp_path / "environment"
    yield folder
    wait_for(lambda: not programs_in(folder, ("initdb", "pg_ctl")))
    EmbeddedServer(folder).destroy()


def data(folder: Path) -> Path:
    return (folder / "postgres").resolve() / "data"


def wait_for(condition: Callable[[], object], *, patience: float = 60, pause: float = 0.05) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(pause)


def programs_in(folder: Path, names: tuple[str, ...]) -> list[psutil.Process]:
    home = str((folder / "postgres").resolve())
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] in names and home in " ".join(process.info["cmdline"] or ())
    ]


def kill(process: psutil.Process) -> None:
    process.kill()
    wait_for(lambda: ended(process))


def test_a_killed_server_is_recovered_with_its_data_at_the_next_start(folder: Path) -> None:
    server = EmbeddedServer(folder)
    url = server.start()
    # Whoever does not ask for it, as here, may lose what was committed within the last second.
    ask(url, "set synchronous_commit = on; create table kept as select 42 as n")
    connection = psycopg2.connect(url)
    connection.cursor().execute("create table never_committed (n int)")

    kill(postmaster(url))

    assert (server.is_running, server.url()) == (False, None)
    assert ask(server.start(), "select n from kept") == 42
    assert ask(server.url(), "select to_regclass('never_committed')") is None
    connection.close()


def test_a_killed_server_is_recovered_by_the_next_query(folder: Path) -> None:
    environment = Environment.local(folder)
    assert environment.warehouse.query("select 1 as n").to_pylist() == [{"n": 1}]

    assert environment.server is not None
    kill(postmaster(environment.server.start()))

    assert environment.warehouse.query("select 2 as n").to_pylist() == [{"n": 2}]


def test_a_killed_server_can_be_destroyed(folder: Path) -> None:
    server = EmbeddedServer(folder)
    kill(postmaster(server.start()))
    home = (folder / "postgres").resolve()

    server.destroy()

    assert not home.exists()
    assert not (folder / "pgpass").exists()


@pytest.mark.parametrize("runs", [True, False])
def test_a_passfile_that_is_gone_is_made_anew_and_the_data_stay(folder: Path, runs: bool) -> None:
    server = EmbeddedServer(folder)
    before = (server.start(), (folder / "pgpass").read_text())
    ask(before[0], "create table kept as select 1 as n")
    if not runs:
        server.stop()
    (folder / "pgpass").unlink()

    environment = Environment.local(folder)

    assert environment.warehouse.query("select n from kept").to_pylist() == [{"n": 1}]
    assert stat.S_IMODE((folder / "pgpass").stat().st_mode) == 0o600
    assert (folder / "pgpass").read_text() != before[1]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an environment whose server has run; the tests that take it put a pid file into it."""
    folder = tmp_path_factory.mktemp("used")
    EmbeddedServer(folder).start()
    yield folder
    EmbeddedServer(folder).destroy()


@pytest.fixture
def stopped(used: Path) -> Iterator[Path]:
    """The same folder, its server stopped."""
    EmbeddedServer(used).stop()
    yield used
    if (data(used) / "postmaster.pid").exists() and "3735928" in (data(used) / "postmaster.pid").read_text():
        (data(used) / "postmaster.pid").unlink()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A program that has nothing to do with PostgreSQL."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def pid_file(folder: Path, *, pid: int, started: float) -> str:
    """A pid file as a server that was ready leaves it when the machine stops; its port is nobody's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    return f"{pid}\n{data(folder)}\n{int(started)}\n{free}\n\n127.0.0.1\n  3735928  4\nready   \n"


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\xff\xfe no pid file \0", b"one\ntwo\nthree\n", b"-1\n", b"99999999999999999999\n/x\n1\n1\n"],
    ids=["empty", "binary", "words", "negative", "beyond every pid"],
)
def test_a_damaged_pid_file_does_not_stop_a_start(stopped: Path, content: bytes) -> None:
    (data(stopped) / "postmaster.pid").write_bytes(content)

    assert ask(EmbeddedServer(stopped).start(), "select 1") == 1


def test_a_pid_file_of_a_process_that_is_gone_does_not_stop_a_start(
    stopped: Path, stranger: subprocess.Popen[bytes]
) -> None:
    stranger.kill()
    stranger.wait()
    (data(stopped) / "postmaster.pid").write_text(pid_file(stopped, pid=stranger.pid, started=time.time() - 100))

    assert ask(EmbeddedServer(stopped).start(), "select 1") == 1


@pytest.mark.parametrize("age", [1_000_000, 0], ids=["later", "older"])
def test_a_pid_file_whose_pid_another_program_has_does_not_stop_a_start(
    stopped: Path, stranger: subprocess.Popen[bytes], age: int
) -> None:
    """An older program: the folder comes from another machine, or from a container with pids of its own."""
    (data(stopped) / "postmaster.pid").write_text(pid_file(stopped, pid=stranger.pid, started=time.time() - age))

    assert ask(EmbeddedServer(stopped).start(), "select 1") == 1
    assert stranger.poll() is None


@pytest.mark.parametrize("age", [1_000_000, 0], ids=["later", "older"])
def test_stop_does_not_end_another_program_that_has_the_servers_pid(
    stopped: Path, stranger: subprocess.Popen[bytes], age: int
) -> None:
    (data(stopped) / "postmaster.pid").write_text(pid_file(stopped, pid=stranger.pid, started=time.time() - age))

    assert EmbeddedServer(stopped).stop() is False
    assert stranger.poll() is None


@pytest.mark.parametrize("starters", [2, 4])
def test_programs_that_start_at_once_share_one_server(folder: Path, starters: int) -> None:
    code = START + "from tests.support.servers import postmaster; print(url, postmaster(url).pid)"

    together = [launch(code, folder) for _ in range(starters)]
    answers = [outcome(process) for process in together]

    assert len(set(answers)) == 1


def test_a_server_is_not_given_out_before_its_database_is_there(folder: Path) -> None:
    """A second program finds the server running a moment before the first has made the database in it."""
    starter = launch(START, folder)
    server = EmbeddedServer(folder)
    try:
        wait_for(server.url, pause=0)
        assert ask(server.start(), "select current_database()") == "retailpipe"
    finally:
        outcome(starter)


STAGES: dict[str, Callable[[Path], object]] = {
    "the folder is made": lambda folder: (folder / "postgres").exists(),
    "initdb begins": lambda folder: any((folder / "postgres").resolve().glob("tmp*")),
    "initdb is at work": lambda folder: programs_in(folder, ("initdb",)),
    "the passfile is written": lambda folder: (folder / "pgpass").exists(),
    "the data are in place": lambda folder: data(folder).exists(),
    "the settings are written": lambda folder: (folder / ".postgres.port").exists(),
    "the server begins": lambda folder: (data(folder) / "postmaster.pid").exists(),
    "the server is ready": lambda folder: EmbeddedServer(folder).url(),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_first_start_killed_on_its_way_is_made_good_by_the_next(folder: Path, stage: str) -> None:
    starter = launch(START, folder)
    wait_for(lambda: STAGES[stage](folder), pause=0)

    starter.kill()
    starter.communicate()

    assert ask(EmbeddedServer(folder).start(), "select current_database()") == "retailpipe"


def test_nothing_of_a_first_start_that_was_killed_stays_behind(folder: Path) -> None:
    starter = launch(START, folder)
    wait_for(lambda: STAGES["initdb is at work"](folder), pause=0)
    starter.kill()
    starter.communicate()
    wait_for(lambda: not programs_in(folder, ("initdb",)))

    EmbeddedServer(folder).start()

    assert [path.name for path in data(folder).parent.iterdir() if path.name.startswith("tmp")] == []


@pytest.mark.parametrize("stage", ["initdb is at work", "the server begins"])
def test_ctrl_c_on_the_way_of_a_first_start_is_made_good_by_the_next(folder: Path, stage: str) -> None:
    starter = launch(START, folder)
    wait_for(lambda: STAGES[stage](folder), pause=0)

    os.killpg(starter.pid, signal.SIGINT)
    starter.communicate()

    assert starter.returncode == -signal.SIGINT
    assert ask(EmbeddedServer(folder).start(), "select current_database()") == "retailpipe"
