"""Data of root's servers whose environment is gone: what is found, what is deleted, and above all what is kept.

Nothing here deletes anything below /var/lib/retailpipe except data of the test itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from retailpipe import register
from retailpipe.local.remains import Remains, delete_remains, find_remains, finish_deletions
from retailpipe.local.server import EmbeddedServer
from tests.support.lacking import skip
from tests.support.servers import run_sql

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers keep data outside their folder")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Stands for /var/lib/retailpipe."""
    home = tmp_path / "home"
    home.mkdir()
    return home


def data_of(home: Path, folder: Path, *, mount: str = "/", name: str = "postgres-a") -> Path:
    """Create data that belong to an environment's folder, and their note."""
    (home / name / "data").mkdir(parents=True)
    (home / name / "data" / "PG_VERSION").write_text("18\n")
    (home / f"{name}.json").write_text(json.dumps({"folder": str(folder), "mount": mount}))
    return home / name


def mount_of(path: Path) -> str:
    return str(next(step for step in (path, *path.parents) if step.is_mount()))


@pytest.fixture
def data(home: Path, tmp_path: Path) -> Path:
    """The data of an environment that was deleted."""
    return data_of(home, tmp_path / "shop", mount=mount_of(tmp_path))


def deleted(found: list[Remains], search: Path) -> list[str]:
    """Delete remains, and return why each was kept; empty for those that were deleted."""
    return [each.kept for each in delete_remains(found, search=str(search))]


def test_data_of_a_deleted_environment_are_found_and_deleted(home: Path, data: Path, tmp_path: Path) -> None:
    [found] = find_remains([], home=home)
    assert (found.data, found.folder, found.kept) == (str(data), str(tmp_path / "shop"), "")
    assert found.size > 0

    assert deleted([found], tmp_path) == [""]

    assert list(home.iterdir()) == []


def test_data_of_an_environment_that_links_to_them_are_not_found(home: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "postgres").symlink_to(data)

    assert find_remains([], home=home) == []


def test_data_of_a_known_environment_are_not_found_although_their_note_is_old(
    home: Path, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "postgres").symlink_to(data)

    assert find_remains([tmp_path / "moved"], home=home) == []


def test_data_of_a_moved_environment_are_kept_and_it_is_known_from_then_on(
    home: Path, data: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "far" / "away"
    moved.mkdir(parents=True)
    (moved / "postgres").symlink_to(data)

    assert deleted(find_remains([], home=home), tmp_path) == [f"the environment {moved} uses them"]

    assert (data / "data" / "PG_VERSION").exists()
    assert find_remains([], home=home) == []
    assert register.folders() == [moved]


def test_a_new_environment_at_the_old_path_does_not_use_the_data(home: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "postgres").symlink_to(data_of(home, tmp_path / "shop", name="postgres-b"))

    [found] = find_remains([], home=home)

    assert found.data == str(data)


def test_data_are_kept_while_the_file_system_of_their_environment_is_not_mounted(home: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    data = data_of(home, disk / "shop", mount=str(disk))

    found = find_remains([], home=home)

    assert deleted(found, tmp_path) == [f"the file system {disk} is not mounted"]
    assert data.is_dir()


@pytest.mark.parametrize("note", ["", "{}", '{"folder": "shop", "mount": "/"}', '{"folder": 1, "mount": 2}', None])
def test_data_without_a_note_are_kept(home: Path, data: Path, tmp_path: Path, note: str | None) -> None:
    data.with_suffix(".json").unlink() if note is None else data.with_suffix(".json").write_text(note)

    [found] = find_remains([], home=home)

    assert found.folder is None
    assert deleted([found], tmp_path) == ["it is not known to which environment they belong"]
    assert data.is_dir()


def test_data_that_a_process_uses_are_kept(home: Path, data: Path, tmp_path: Path) -> None:
    before = find_remains([], home=home)
    with subprocess.Popen(["sleep", "600"], cwd=data / "data") as process:
        try:
            during = find_remains([], home=home)
            results = [*deleted(during, tmp_path), *deleted(before, tmp_path)]
        finally:
            process.kill()

    assert results == [f"process {process.pid} uses them"] * 2
    assert (data / "data" / "PG_VERSION").exists()


def test_a_link_below_the_home_is_never_followed(home: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (home / "postgres-a").symlink_to(precious)
    (home / "postgres-a.json").write_text(json.dumps({"folder": "/none such", "mount": "/"}))
    (home / "deleting-postgres-b").symlink_to(precious)

    finish_deletions(home=home)

    assert find_remains([], home=home) == []
    assert precious.is_dir()


def test_a_link_inside_the_data_is_deleted_and_not_its_target(home: Path, data: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (data / "data" / "pg_tblspc").symlink_to(precious)

    assert deleted(find_remains([], home=home), tmp_path) == [""]

    assert precious.is_dir()


def test_a_killed_deletion_is_finished_by_the_next_one(home: Path, data: Path) -> None:
    data.rename(home / "deleting-postgres-a")

    finish_deletions(home=home)

    assert list(home.iterdir()) == []


def test_data_that_another_process_has_deleted_are_no_error(home: Path, data: Path, tmp_path: Path) -> None:
    found = find_remains([], home=home)
    shutil.rmtree(data)

    assert deleted(found, tmp_path) == [""]


@pytest.fixture
def private_mount() -> list[str]:
    """The words before a command that give it an empty /var/lib/retailpipe of its own."""
    words = ["unshare", "--mount", "sh", "-c"]
    words += ['mkdir -p /var/lib/retailpipe && mount -t tmpfs none /var/lib/retailpipe && exec "$@"', "sh"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode != 0:
        skip("private mounts are not allowed on this machine")
    return words


COMMANDS = """
import json, os, shutil, subprocess, sys
def call(*words):
    command = [sys.executable, "-m", "retailpipe", "local", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.returncode, json.loads(done.stdout)
call("start", "--local", "one")
call("start", "--local", "two")
shutil.rmtree("one")
results = [call("destroy", "--remains", "--yes"), call("stop", "--all"), call("destroy", "--remains")]
results += [call("destroy", "--remains", "--yes"), call("list"), call("destroy", "--yes", "--local", "two")]
print(json.dumps([*results, os.listdir("/var/lib/retailpipe")]))
"""


@pytest.mark.nightly
def test_the_commands_delete_the_data_of_a_deleted_environment_only(
    closed: Path, private_mount: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    done = subprocess.run(
        [*private_mount, sys.executable, "-c", COMMANDS], cwd=closed, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    running, stopped, unconfirmed, destroyed, listed, own, left = json.loads(done.stdout)
    [kept] = running[1]["kept"]
    assert kept["folder"] == str(closed / "one")
    assert kept["kept"] == f"process {kept['pid']} uses them"
    assert sorted(stopped[1]["stopped"]) == sorted([kept["data"], str(closed / "two")])
    assert unconfirmed[0] == 2
    assert destroyed[1] == {"destroyed": [kept["data"]], "kept": []}
    assert [server["folder"] for server in listed[1]["servers"]] == [str(closed / "two")]
    assert listed[1]["remains"] == []
    assert own[0] == 0
    assert [name for name in left if name.startswith("postgres-")] == []


def test_a_start_notes_the_environments_folder_beside_its_data_and_destroy_deletes_the_note(closed: Path) -> None:
    server = EmbeddedServer(closed / "before")
    server.start()
    data = (closed / "before" / "postgres").resolve()
    server.stop()
    (closed / "before").rename(closed / "after")

    moved = EmbeddedServer(closed / "after")
    moved.start()

    note = data.with_name(f"{data.name}.json")
    assert json.loads(note.read_text())["folder"] == str(closed / "after")
    assert note.stat().st_mode & 0o077 == 0
    moved.destroy()
    assert not note.exists()


def test_a_kept_environment_still_works(closed: Path) -> None:
    """With real data: the note names a folder that was moved, so only the search finds the link."""
    server = EmbeddedServer(closed / "before")
    run_sql(server.start(), "create table kept as select 42 as n")
    server.stop()
    data = (closed / "before" / "postgres").resolve()
    (closed / "before").rename(closed / "after")
    [found] = [each for each in find_remains([]) if each.data == str(data)]
    assert found.kept == ""

    [result] = delete_remains([found], search=str(closed))

    assert result.kept == f"the environment {closed / 'after'} uses them"
    assert run_sql(EmbeddedServer(closed / "after").start(), "select n from kept") == 42
