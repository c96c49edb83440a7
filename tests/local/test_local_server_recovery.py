"""The embedded PostgreSQL after failures: killed servers, killed starts, stale pid files; and concurrent starts."""

from __future__ import annotations

import os
import re
import shutil
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
from retailpipe.errors import ServerError, WarehouseError
from retailpipe.local.server import EmbeddedServer
from tests.support.nightly import most_nightly
from tests.support.servers import START, as_superuser, ended, launch, outcome, postmaster, run_sql
from tests.support.waiting import wait_for


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of a new environment; its server and data are deleted after the test."""
    folder = tmp_path / "environment"
    yield folder
    wait_for(lambda: not programs_in(folder, ("initdb", "pg_ctl")))
    EmbeddedServer(folder).destroy()


def data(folder: Path) -> Path:
    """Return the data folder of PostgreSQL."""
    return (folder / "postgres").resolve() / "data"


def programs_in(folder: Path, names: tuple[str, ...]) -> list[psutil.Process]:
    """Return the running processes of these programs whose command line contains the folder."""
    home = str((folder / "postgres").resolve())
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] in names and home in " ".join(process.info["cmdline"] or ())
    ]


def kill(process: psutil.Process) -> None:
    """Kill a process with SIGKILL and wait for its end."""
    process.kill()
    wait_for(lambda: ended(process))


def test_the_next_start_recovers_a_killed_server_with_its_data(folder: Path) -> None:
    server = EmbeddedServer(folder)
    url = server.start()
    # Without synchronous_commit, a crash may lose commits of the last second.
    run_sql(url, "set synchronous_commit = on; create table kept as select 42 as n")
    connection = psycopg2.connect(url)
    connection.cursor().execute("create table never_committed (n int)")

    kill(postmaster(url))

    assert (server.is_running, server.url()) == (False, None)
    assert run_sql(server.start(), "select n from kept") == 42
    assert run_sql(server.url(), "select to_regclass('never_committed')") is None
    connection.close()


def test_the_next_query_recovers_a_killed_server(folder: Path) -> None:
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


@pytest.mark.parametrize("runs", most_nightly([True, False], {0}))
def test_a_missing_passfile_is_created_again_and_the_data_are_kept(folder: Path, runs: bool) -> None:
    server = EmbeddedServer(folder)
    before = (server.start(), (folder / "pgpass").read_text())
    run_sql(before[0], "create table kept as select 1 as n")
    if not runs:
        server.stop()
    (folder / "pgpass").unlink()

    environment = Environment.local(folder)

    assert environment.warehouse.query("select n from kept").to_pylist() == [{"n": 1}]
    assert stat.S_IMODE((folder / "pgpass").stat().st_mode) == 0o600
    assert (folder / "pgpass").read_text() != before[1]


def replace_by_folder(passfile: Path) -> None:
    passfile.unlink()
    passfile.mkdir()


def delete_line(passfile: Path, role: str) -> None:
    lines = passfile.read_text().splitlines(keepends=True)
    passfile.write_text("".join(line for line in lines if f":{role}:" not in line))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "others can read it": lambda passfile: passfile.chmod(0o644),
    "nobody can read it": lambda passfile: passfile.chmod(0),
    "empty": lambda passfile: passfile.write_bytes(b""),
    "no text": lambda passfile: passfile.write_bytes(b"\0\xff"),
    "a folder": replace_by_folder,
    "without the owner": lambda passfile: delete_line(passfile, "retailpipe"),
    "without the reader": lambda passfile: delete_line(passfile, "retailpipe_reader"),
}


@pytest.mark.parametrize("damage", most_nightly(DAMAGE, {0, 4, 6}))
def test_a_damaged_passfile_is_mended_and_the_data_are_kept(used: Path, damage: str) -> None:
    passfile = used / "pgpass"
    run_sql(EmbeddedServer(used).start(), "create schema if not exists kept; create or replace view kept.n as select 1")
    before = passfile.read_text()

    DAMAGE[damage](passfile)

    who = Environment.local(used).warehouse.query("select current_user::text as who, * from kept.n").to_pylist()
    assert [*who[0].values()] == ["retailpipe_reader", 1]
    assert stat.S_IMODE(passfile.stat().st_mode) == 0o600
    assert (passfile.read_text() == before) == ("can read it" in damage)


def test_the_hint_for_wrong_passwords_heals(used: Path) -> None:
    EmbeddedServer(used).start()
    passfile = used / "pgpass"
    passfile.write_text(re.sub(r":[^:]+$", ":wrong", passfile.read_text(), flags=re.MULTILINE))

    with pytest.raises(WarehouseError, match="password authentication failed") as caught:
        Environment.local(used).warehouse.query("select 1 as n")

    assert caught.value.hint.startswith(f"Delete {passfile}, then run `retailpipe local start`")
    passfile.unlink()
    EmbeddedServer(used).start()
    assert Environment.local(used).warehouse.query("select 1 as n").to_pylist() == [{"n": 1}]


def test_a_folder_with_files_in_place_of_the_passfile_is_kept(folder: Path) -> None:
    EmbeddedServer(folder).start()
    replace_by_folder(folder / "pgpass")
    (folder / "pgpass" / "mine").write_text("mine")

    with pytest.raises(ServerError, match="is a folder with files") as caught:
        EmbeddedServer(folder).start()

    assert caught.value.hint.startswith("Move it away")
    assert EmbeddedServer(folder).destroy()
    assert [path.name for path in (folder / "pgpass").iterdir()] == ["mine"]
    shutil.rmtree(folder / "pgpass")


def test_data_of_an_earlier_version_without_a_reader_get_new_passwords(folder: Path) -> None:
    url = EmbeddedServer(folder).start()
    run_sql(as_superuser(url), "drop owned by retailpipe_reader; drop role retailpipe_reader")
    delete_line(folder / "pgpass", "retailpipe_reader")
    delete_line(folder / "pgpass", "postgres")
    before = (folder / "pgpass").read_text()
    query = "select current_user::text as who"
    assert Environment.local(folder).warehouse.query(query).to_pylist() == [{"who": "retailpipe"}]
    assert (folder / "pgpass").read_text() == before

    (folder / "pgpass").write_text("")

    server = EmbeddedServer(folder)
    assert run_sql(server.start(), "select current_user::text") == "retailpipe"
    assert Environment.local(folder).warehouse.query(query).to_pylist() == [{"who": "retailpipe"}]
    assert not server.has_reader


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an environment whose server has run; its tests write pid files into it."""
    folder = tmp_path_factory.mktemp("used")
    EmbeddedServer(folder).start()
    yield folder
    EmbeddedServer(folder).destroy()


@pytest.fixture
def stopped(used: Path) -> Iterator[Path]:
    """The folder `used`, with its server stopped."""
    EmbeddedServer(used).stop()
    yield used
    if (data(used) / "postmaster.pid").exists() and "3735928" in (data(used) / "postmaster.pid").read_text():
        (data(used) / "postmaster.pid").unlink()


@pytest.fixture
def other_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not PostgreSQL."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def pid_file(folder: Path, *, pid: int, started: float) -> str:
    """Return the pid file that a ready server leaves behind when the machine stops; no program uses its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    return f"{pid}\n{data(folder)}\n{int(started)}\n{free}\n\n127.0.0.1\n  3735928  4\nready   \n"


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\xff\xfe no pid file \0", b"one\ntwo\nthree\n", b"-1\n", b"99999999999999999999\n/x\n1\n1\n"],
    ids=["empty", "binary", "words", "negative", "beyond every pid"],
)
def test_a_damaged_pid_file_does_not_prevent_a_start(stopped: Path, content: bytes) -> None:
    (data(stopped) / "postmaster.pid").write_bytes(content)

    assert run_sql(EmbeddedServer(stopped).start(), "select 1") == 1


def test_a_pid_file_of_an_ended_process_does_not_prevent_a_start(
    stopped: Path, other_process: subprocess.Popen[bytes]
) -> None:
    other_process.kill()
    other_process.wait()
    (data(stopped) / "postmaster.pid").write_text(pid_file(stopped, pid=other_process.pid, started=time.time() - 100))

    assert run_sql(EmbeddedServer(stopped).start(), "select 1") == 1


@pytest.mark.parametrize("age", [1_000_000, 0], ids=["later", "older"])
def test_a_pid_file_with_the_pid_of_another_program_does_not_prevent_a_start(
    stopped: Path, other_process: subprocess.Popen[bytes], age: int
) -> None:
    """The other program may be older than the pid file: the folder was copied from another machine or a container."""
    (data(stopped) / "postmaster.pid").write_text(pid_file(stopped, pid=other_process.pid, started=time.time() - age))

    assert run_sql(EmbeddedServer(stopped).start(), "select 1") == 1
    assert other_process.poll() is None


@pytest.mark.parametrize("age", [1_000_000, 0], ids=["later", "older"])
def test_stop_does_not_end_another_program_with_the_pid_of_the_pid_file(
    stopped: Path, other_process: subprocess.Popen[bytes], age: int
) -> None:
    (data(stopped) / "postmaster.pid").write_text(pid_file(stopped, pid=other_process.pid, started=time.time() - age))

    assert EmbeddedServer(stopped).stop() is False
    assert other_process.poll() is None


@pytest.mark.parametrize("starters", most_nightly([2, 4], {1}))
def test_concurrent_starts_share_one_server(folder: Path, starters: int) -> None:
    code = START + "from tests.support.servers import postmaster; print(url, postmaster(url).pid)"

    processes = [launch(code, folder) for _ in range(starters)]
    servers = [outcome(process) for process in processes]

    assert len(set(servers)) == 1


def test_a_running_server_always_has_its_database(folder: Path) -> None:
    """A second process connects as soon as it sees the server that the first process is starting."""
    starter = launch(START, folder)
    server = EmbeddedServer(folder)
    try:
        wait_for(server.url, pause=0)
        assert run_sql(server.start(), "select current_database()") == "retailpipe"
    finally:
        outcome(starter)


STAGES: dict[str, Callable[[Path], object]] = {
    "the folder exists": lambda folder: (folder / "postgres").exists(),
    "initdb is starting": lambda folder: any((folder / "postgres").resolve().glob("tmp*")),
    "initdb is running": lambda folder: programs_in(folder, ("initdb",)),
    "the passfile is written": lambda folder: (folder / "pgpass").exists(),
    "the data are complete": lambda folder: data(folder).exists(),
    "the settings are written": lambda folder: (folder / ".postgres.port").exists(),
    "the server is starting": lambda folder: (data(folder) / "postmaster.pid").exists(),
    "the server is ready": lambda folder: EmbeddedServer(folder).url(),
}


@pytest.mark.parametrize("stage", most_nightly(STAGES, {2, 6}))
def test_the_next_start_succeeds_after_a_killed_first_start(folder: Path, stage: str) -> None:
    starter = launch(START, folder)
    wait_for(lambda: STAGES[stage](folder), pause=0)

    starter.kill()
    starter.communicate()

    assert run_sql(EmbeddedServer(folder).start(), "select current_database()") == "retailpipe"


@pytest.mark.nightly
def test_temporary_files_of_a_killed_first_start_are_deleted(folder: Path) -> None:
    starter = launch(START, folder)
    wait_for(lambda: STAGES["initdb is running"](folder), pause=0)
    starter.kill()
    starter.communicate()
    wait_for(lambda: not programs_in(folder, ("initdb",)))

    EmbeddedServer(folder).start()

    assert [path.name for path in data(folder).parent.iterdir() if path.name.startswith("tmp")] == []


@pytest.mark.nightly
@pytest.mark.parametrize("stage", ["initdb is running", "the server is starting"])
def test_the_next_start_succeeds_after_ctrl_c_in_a_first_start(folder: Path, stage: str) -> None:
    starter = launch(START, folder)
    wait_for(lambda: STAGES[stage](folder), pause=0)

    os.killpg(starter.pid, signal.SIGINT)
    starter.communicate()

    assert starter.returncode == -signal.SIGINT
    assert run_sql(EmbeddedServer(folder).start(), "select current_database()") == "retailpipe"
