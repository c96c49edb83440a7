"""The embedded server, the environment and the store for an ordinary user: permissions and folders of other users.

If root runs these tests, the code runs as the user `nobody`, because permissions do not apply to root.
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
    print("no error")
except RetailpipeError as error:
    print(f"{type(error).__name__}: {error} | {error.hint}")
"""
"""Prints the RetailpipeError that `act` raises. Any other error ends the process with a traceback."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in which every user can create files and folders."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place = Path(name)
        place.chmod(0o777)
        yield place


@pytest.fixture
def read_only(place: Path) -> Iterator[Path]:
    """A folder that an ordinary user can read but not write."""
    read_only = place / "read_only"
    read_only.mkdir()
    read_only.chmod(0o555)
    yield read_only
    read_only.chmod(0o755)


def test_the_server_belongs_to_the_user_and_is_in_the_folder(place: Path) -> None:
    printed = as_ordinary_user(
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
print(sorted(path.name for path in folder.iterdir()))
""",
        place,
    )

    assert printed == f"{{'e': 'é'}} True True {oct(stat.S_IFREG | 0o600)} True\n['.gitignore', '.postgres.lock']"


def test_the_error_names_a_folder_that_cannot_be_written(read_only: Path) -> None:
    printed = as_ordinary_user(
        """
from pathlib import Path
from retailpipe.local.server import EmbeddedServer
act = EmbeddedServer(Path(sys.argv[1])).start
"""
        + REPORT,
        read_only,
    )

    assert printed.startswith("ServerError: ")
    assert str(read_only) in printed
    assert "--local" in printed


@pytest.mark.parametrize("method", ["start", "stop", "destroy"])
def test_the_error_names_a_folder_that_cannot_be_read(place: Path, method: str) -> None:
    (place / "unreadable").mkdir(mode=0o700)
    (place / "unreadable").chmod(0)

    printed = as_ordinary_user(
        f"""
from pathlib import Path
from retailpipe.local.server import EmbeddedServer
act = EmbeddedServer(Path(sys.argv[1])).{method}
"""
        + REPORT,
        place / "unreadable",
    )

    assert printed.startswith("ServerError: cannot access the database in ")
    assert "--local" in printed


@pytest.mark.parametrize("method", ["stop", "destroy"])
def test_a_server_in_the_folder_of_another_user_cannot_be_stopped_or_destroyed(read_only: Path, method: str) -> None:
    printed = as_ordinary_user(
        f"""
from pathlib import Path
from retailpipe.local.server import EmbeddedServer
act = EmbeddedServer(Path(sys.argv[1])).{method}
"""
        + REPORT,
        read_only,
    )

    assert printed == "no error" or (printed.startswith("ServerError: ") and str(read_only) in printed)


def test_the_error_names_a_folder_that_cannot_be_entered(place: Path) -> None:
    barred = place / "barred"
    barred.mkdir()
    barred.chmod(0)

    printed = as_ordinary_user(
        """
from retailpipe import Environment
act = lambda: Environment.local(sys.argv[1]).warehouse.query("select 1")
"""
        + REPORT,
        barred / "environment",
    )
    barred.chmod(0o755)

    assert "Error: " in printed
    assert str(barred) in printed


def test_a_file_that_cannot_be_read_is_not_uploaded(place: Path) -> None:
    book = place / "book.xlsx"
    book.write_bytes(b"secret")
    book.chmod(0)

    printed = as_ordinary_user(
        """
from pathlib import Path
from retailpipe.store import FolderStore
act = lambda: FolderStore(Path(sys.argv[2])).upload(Path(sys.argv[1]))
"""
        + REPORT,
        book,
        place / "store",
    )

    assert printed.startswith("StoreError: ")
    assert str(book) in printed
    assert [path.name for path in (place / "store").rglob("*") if path.is_file()] == [".gitignore"]


def test_the_error_names_a_store_that_cannot_be_written(place: Path, read_only: Path) -> None:
    (place / "book.xlsx").write_bytes(b"content")
    (place / "book.xlsx").chmod(0o644)

    printed = as_ordinary_user(
        """
from pathlib import Path
from retailpipe.store import FolderStore
act = lambda: FolderStore(Path(sys.argv[2])).upload(Path(sys.argv[1]))
"""
        + REPORT,
        place / "book.xlsx",
        read_only,
    )

    assert printed.startswith("StoreError: ")
    assert str(read_only) in printed


@pytest.mark.parametrize("call", ["workbooks()", "snapshot('input/book.xlsx').__enter__()"])
def test_a_store_that_cannot_be_read_is_an_error_and_not_an_empty_store(place: Path, call: str) -> None:
    store = place / "store"
    (store / "input").mkdir(parents=True)
    (store / "input" / "book.xlsx").write_bytes(b"content")
    (store / "input").chmod(0)

    printed = as_ordinary_user(
        f"""
from pathlib import Path
from retailpipe.store import FolderStore
act = lambda: FolderStore(Path(sys.argv[1])).{call}
"""
        + REPORT,
        store,
    )
    (store / "input").chmod(0o755)

    assert printed.startswith("StoreError: ")
    assert str(store) in printed


def test_the_code_of_these_tests_runs_as_an_ordinary_user(place: Path) -> None:
    printed = as_ordinary_user("print(os.geteuid())")

    assert int(printed) != 0
    assert os.geteuid() in (0, int(printed))
