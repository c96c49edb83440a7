"""What somebody who is not root meets: the embedded server, and folders that are somebody else's.

Root runs these as the user nobody, so that permissions count.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import as_ordinary_user

REPORT = """
from retailpipe.errors import RetailpipeError
try:
    act()
    print("nothing was wrong")
except RetailpipeError as error:
    print(f"{type(error).__name__}: {error} | {error.hint}")
"""
"""Prints the error of ours that `act` raises; any other ends the process with a traceback."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in which anybody may make others."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place = Path(name)
        place.chmod(0o777)
        yield place


@pytest.fixture
def locked(place: Path) -> Iterator[Path]:
    """A folder in which an ordinary user can read but not write."""
    locked = place / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    yield locked
    locked.chmod(0o755)


def test_the_server_is_the_users_own_and_lies_in_the_folder(place: Path) -> None:
    told = as_ordinary_user(
        """
from pathlib import Path
from retailpipe import Environment
folder = Path(sys.argv[1]) / "año 1"
environment = Environment.local(folder)
try:
    found = environment.warehouse.query("select lower('É') as e")
    data = (folder / "postgres").resolve() / "data" / "PG_VERSION"
    passfile = (folder / "pgpass").stat()
    log = environment.server.log.stat()
    mine = {passfile.st_uid, log.st_uid, (folder / "postgres").stat().st_uid} == {os.geteuid()}
    print(found.to_pylist()[0], data.is_file(), mine, oct(passfile.st_mode), environment.server.stop())
finally:
    environment.server.destroy()
print([path.name for path in folder.iterdir()])
""",
        place,
    )

    assert told == f"{{'e': 'é'}} True True {oct(stat.S_IFREG | 0o600)} True\n['.postgres.lock']"


def test_a_folder_that_cannot_be_written_is_named(locked: Path) -> None:
    told = as_ordinary_user(
        """
from pathlib import Path
from retailpipe.local.server import EmbeddedServer
act = EmbeddedServer(Path(sys.argv[1])).start
"""
        + REPORT,
        locked,
    )

    assert told.startswith("ServerError: ")
    assert str(locked) in told
    assert "--local" in told


@pytest.mark.parametrize("method", ["stop", "destroy"])
def test_the_folder_of_somebody_else_can_be_neither_stopped_nor_destroyed(locked: Path, method: str) -> None:
    told = as_ordinary_user(
        f"""
from pathlib import Path
from retailpipe.local.server import EmbeddedServer
act = EmbeddedServer(Path(sys.argv[1])).{method}
"""
        + REPORT,
        locked,
    )

    assert told == "nothing was wrong" or (told.startswith("ServerError: ") and str(locked) in told)


def test_an_environment_in_a_folder_that_cannot_be_entered_is_an_error(place: Path) -> None:
    barred = place / "barred"
    barred.mkdir()
    barred.chmod(0)

    told = as_ordinary_user(
        """
from retailpipe import Environment
act = lambda: Environment.local(sys.argv[1]).warehouse.query("select 1")
"""
        + REPORT,
        barred / "environment",
    )
    barred.chmod(0o755)

    assert "Error: " in told
    assert str(barred) in told


def test_a_file_that_cannot_be_read_is_not_uploaded(place: Path) -> None:
    book = place / "book.xlsx"
    book.write_bytes(b"secret")
    book.chmod(0)

    told = as_ordinary_user(
        """
from pathlib import Path
from retailpipe.store import FolderStore
act = lambda: FolderStore(Path(sys.argv[2])).upload(Path(sys.argv[1]))
"""
        + REPORT,
        book,
        place / "store",
    )

    assert told.startswith("StoreError: ")
    assert str(book) in told
    assert [path for path in (place / "store").rglob("*") if path.is_file()] == []


def test_a_store_that_cannot_be_written_is_named(place: Path, locked: Path) -> None:
    (place / "book.xlsx").write_bytes(b"content")
    (place / "book.xlsx").chmod(0o644)

    told = as_ordinary_user(
        """
from pathlib import Path
from retailpipe.store import FolderStore
act = lambda: FolderStore(Path(sys.argv[2])).upload(Path(sys.argv[1]))
"""
        + REPORT,
        place / "book.xlsx",
        locked,
    )

    assert told.startswith("StoreError: ")
    assert str(locked) in told


@pytest.mark.parametrize("call", ["workbooks()", "snapshot('input/book.xlsx').__enter__()"])
def test_a_store_that_cannot_be_read_is_an_error_and_not_an_empty_one(place: Path, call: str) -> None:
    store = place / "store"
    (store / "input").mkdir(parents=True)
    (store / "input" / "book.xlsx").write_bytes(b"content")
    (store / "input").chmod(0)

    told = as_ordinary_user(
        f"""
from pathlib import Path
from retailpipe.store import FolderStore
act = lambda: FolderStore(Path(sys.argv[1])).{call}
"""
        + REPORT,
        store,
    )
    (store / "input").chmod(0o755)

    assert told.startswith("StoreError: ")
    assert str(store) in told


def test_what_an_ordinary_user_meets_is_tried_as_one(place: Path) -> None:
    told = as_ordinary_user("print(os.geteuid())")

    assert int(told) != 0
    assert os.geteuid() in (0, int(told))
