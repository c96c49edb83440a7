"""A loaded workbook in a folder is not read again unless its etag changed.

The etag of a file consists of its device, inode, size and change time.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

import retailpipe
from retailpipe import Environment, backlog, queries
from tests.conftest import ROW, Workbook


@pytest.fixture
def loaded(environment: Environment, make_workbook: Workbook) -> Path:
    """The file of a loaded workbook in the store; the ledger has its etag."""
    retailpipe.ingest(environment, make_workbook())
    file = environment.folder / "input" / "book.xlsx"
    settle(file)
    assert backlog.waiting(environment) == []
    return file


def settle(file: Path) -> None:
    """Wait until a further change of the file would get another timestamp."""
    while time.time() - file.stat().st_ctime < 2.1:
        time.sleep(0.05)


def record_opens(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list to which every workbook is added that is opened from now on."""
    opened: list[Path] = []
    original = Path.open

    def record(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.suffix == ".xlsx":
            opened.append(self)
        return original(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", record)
    return opened


def test_a_loaded_workbook_is_not_read_again(
    environment: Environment, loaded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = record_opens(monkeypatch)

    assert queries.status(environment).waiting == ()
    retailpipe.check(environment)
    assert retailpipe.ingest(environment) == []
    assert opened == []


def test_another_content_with_the_same_size_and_mtime_is_detected(
    environment: Environment, loaded: Path, make_workbook: Workbook
) -> None:
    before = loaded.stat()
    content = bytearray(loaded.read_bytes())
    content[-1] ^= 1
    loaded.write_bytes(content)
    os.utime(loaded, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert loaded.stat().st_mtime_ns == before.st_mtime_ns
    assert backlog.waiting(environment) == ["input/book.xlsx"]


def test_another_file_in_its_place_is_detected(environment: Environment, loaded: Path, make_workbook: Workbook) -> None:
    make_workbook([(*ROW[:3], 2, *ROW[4:])]).replace(loaded)

    assert backlog.waiting(environment) == ["input/book.xlsx"]


def test_a_touched_file_is_read_once_more(
    environment: Environment, loaded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded.touch()
    settle(loaded)
    opened = record_opens(monkeypatch)

    assert backlog.waiting(environment) == []
    assert opened == [loaded]
    assert backlog.waiting(environment) == []
    assert opened == [loaded]


def test_a_change_right_after_the_copy_is_not_missed(environment: Environment, make_workbook: Workbook) -> None:
    """The next change may get the same timestamp, so the etag of a file that has just changed is not recorded."""
    retailpipe.ingest(environment, make_workbook())

    assert retailpipe.query(environment, "select * from bronze.etags").num_rows == 0


def test_a_dry_run_records_nothing(environment: Environment, loaded: Path) -> None:
    loaded.touch()
    settle(loaded)
    before = retailpipe.query(environment, "select * from bronze.etags").to_pylist()

    assert retailpipe.ingest(environment, dry_run=True) == []

    assert retailpipe.query(environment, "select * from bronze.etags").to_pylist() == before
