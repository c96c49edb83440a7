"""The folder store: atomic uploads, snapshots of one content, and keys that cannot leave the folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from retailpipe.errors import SourceNotFound, StoreError, UsageError
from retailpipe.store import FolderStore
from tests.support.stores import UPLOAD, files


def test_an_upload_copies_the_file_to_input_under_its_own_name(store: FolderStore, book: Path) -> None:
    stored = store.upload(book)

    assert (stored.key, stored.size) == ("input/book.xlsx", 13)
    assert store.workbooks() == [stored]
    assert book.read_bytes() == b"first content"


def test_an_upload_leaves_no_other_file_behind(folder: Path, store: FolderStore, book: Path) -> None:
    store.upload(book)
    store.upload(book)

    assert files(folder) == ["input/book.xlsx"]


def test_an_upload_replaces_the_content_of_the_same_name(store: FolderStore, book: Path) -> None:
    store.upload(book)
    book.write_bytes(b"second")
    store.upload(book, replace=True)

    with store.snapshot("input/book.xlsx") as snapshot:
        assert snapshot.path.read_bytes() == b"second"
    assert [stored.size for stored in store.workbooks()] == [6]


@pytest.mark.parametrize(
    "name",
    ["two words.xlsx", "LOUD.XLSX", "Mixed.XlSx", "año ☃ 数据.xlsx", "100% & more+#?.xlsx", "it's.xlsx", "-x.xlsx"],
)
def test_a_workbook_may_have_any_name_that_ends_in_xlsx(store: FolderStore, book: Path, name: str) -> None:
    stored = store.upload(book.rename(book.with_name(name)))

    assert stored.key == f"input/{name}"
    assert store.workbooks() == [stored]
    with store.snapshot(stored.key) as snapshot:
        assert snapshot.path.read_bytes() == b"first content"


@pytest.mark.parametrize("name", ["book.xls", "book.csv.gz", "book.xlsx.part", "book", "~$book.xlsx", "xlsx"])
def test_a_file_whose_name_is_not_that_of_a_workbook_is_refused(
    folder: Path, store: FolderStore, book: Path, name: str
) -> None:
    other = book.rename(book.with_name(name))

    with pytest.raises(UsageError, match="xlsx") as caught:
        store.upload(other)

    assert str(other) in str(caught.value)
    assert caught.value.hint
    assert not folder.exists()


def test_a_folder_is_refused(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "folder.xlsx").mkdir()

    with pytest.raises(UsageError, match="is a folder"):
        store.upload(tmp_path / "folder.xlsx")


def test_a_missing_file_is_an_error(store: FolderStore, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"none\.xlsx") as caught:
        store.upload(tmp_path / "none.xlsx")

    assert caught.value.hint


def test_a_named_pipe_is_refused_without_waiting_for_it(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.xlsx")

    done = subprocess.run(
        [sys.executable, "-c", UPLOAD, folder, tmp_path / "pipe.xlsx"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )

    assert "UsageError" in done.stderr


def test_uploading_a_file_of_the_store_changes_nothing(store: FolderStore, book: Path, folder: Path) -> None:
    stored = store.upload(book)

    assert store.upload(folder / "input" / "book.xlsx") == stored
    assert store.upload(folder / "input" / ".." / "input" / "book.xlsx") == stored
    assert files(folder) == ["input/book.xlsx"]


@pytest.mark.parametrize("linked", [True, False])
def test_a_file_in_a_subfolder_of_the_store_keeps_its_key(
    store: FolderStore, folder: Path, book: Path, tmp_path: Path, linked: bool
) -> None:
    if linked:  # for example to another disk
        (tmp_path / "elsewhere").mkdir()
        folder.mkdir(exist_ok=True)
        (folder / "input").symlink_to(tmp_path / "elsewhere")
    inside = folder / "input" / "2010" / "book.xlsx"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(book.read_bytes())

    assert store.key_of(inside) == "input/2010/book.xlsx"
    assert store.upload(inside).key == "input/2010/book.xlsx"
    assert store.key_of(book) == "input/book.xlsx"


def test_only_workbooks_are_listed_sorted_by_key(store: FolderStore, folder: Path) -> None:
    assert store.workbooks() == []
    for name in ("b.xlsx", "a.XLSX", "~$a.xlsx", ".hidden.xlsx", "notes.txt", "2010/c.xlsx", "d.CSV"):
        file = folder / "input" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    (folder / "input" / "folder.xlsx").mkdir()
    (folder / "outside.xlsx").write_bytes(b"x")

    assert [stored.key for stored in store.workbooks()] == [
        *("input/2010/c.xlsx", "input/a.XLSX", "input/b.xlsx", "input/d.CSV")
    ]


def test_a_symlink_to_a_workbook_is_a_workbook_with_the_links_name(
    store: FolderStore, folder: Path, book: Path
) -> None:
    (folder / "input").mkdir(parents=True)
    (folder / "input" / "link.xlsx").symlink_to(book)

    assert [(stored.key, stored.size) for stored in store.workbooks()] == [("input/link.xlsx", 13)]


def test_a_broken_symlink_is_not_listed(store: FolderStore, folder: Path, book: Path) -> None:
    store.upload(book)
    (folder / "input" / "link.xlsx").symlink_to("nowhere.xlsx")
    (folder / "input" / "loop.xlsx").symlink_to("loop.xlsx")

    assert [stored.key for stored in store.workbooks()] == ["input/book.xlsx"]


def test_the_input_folder_may_be_a_symlink(store: FolderStore, folder: Path, book: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.mkdir()
    (folder / "input").symlink_to(tmp_path / "elsewhere")

    assert store.upload(book).key == "input/book.xlsx"
    assert [stored.key for stored in store.workbooks()] == ["input/book.xlsx"]


def test_the_stores_folder_may_be_a_symlink(folder: Path, book: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)

    assert FolderStore(tmp_path / "link").upload(book).key == "input/book.xlsx"
    assert [stored.key for stored in FolderStore(tmp_path / "link").workbooks()] == ["input/book.xlsx"]


def test_a_snapshot_has_the_sha256_of_its_content(store: FolderStore, book: Path) -> None:
    store.upload(book)

    with store.snapshot("input/book.xlsx") as snapshot:
        assert snapshot.content_hash == hashlib.sha256(b"first content").hexdigest()
        assert snapshot.key == "input/book.xlsx"


@pytest.mark.parametrize("replace", ["upload", "write", "delete"])
def test_a_snapshot_does_not_change_when_its_workbook_does(
    store: FolderStore, folder: Path, book: Path, replace: str
) -> None:
    store.upload(book)
    with store.snapshot("input/book.xlsx") as snapshot:
        if replace == "upload":
            book.write_bytes(b"second")
            store.upload(book, replace=True)
        elif replace == "write":
            (folder / "input" / "book.xlsx").write_bytes(b"second")
        else:
            (folder / "input" / "book.xlsx").unlink()

        assert hashlib.sha256(snapshot.path.read_bytes()).hexdigest() == snapshot.content_hash
        assert snapshot.path.read_bytes() == b"first content"


def test_a_snapshot_is_deleted_when_its_context_ends_also_after_an_error(
    store: FolderStore, folder: Path, book: Path
) -> None:
    store.upload(book)

    with pytest.raises(ZeroDivisionError), store.snapshot("input/book.xlsx"):
        raise ZeroDivisionError

    assert files(folder) == ["input/book.xlsx"]


def test_two_snapshots_of_one_workbook_do_not_disturb_each_other(store: FolderStore, book: Path) -> None:
    store.upload(book)

    with store.snapshot("input/book.xlsx") as first:
        with store.snapshot("input/book.xlsx") as second:
            assert first.path != second.path
        assert first.path.read_bytes() == b"first content"


@pytest.mark.parametrize(
    "key",
    [
        "input/../secret.xlsx",
        "input/x/../../secret.xlsx",
        "../secret.xlsx",
        "secret.xlsx",
        "/etc/passwd",
        "input//etc/passwd",
        "input/",
        "input",
        "",
        "input/none.xlsx",
        "input/nul\0.xlsx",
        "input/" + "long" * 200 + ".xlsx",
    ],
)
def test_a_key_that_is_not_a_workbook_in_the_store_is_not_found(
    store: FolderStore, folder: Path, book: Path, key: str
) -> None:
    store.upload(book)
    (folder / "secret.xlsx").write_bytes(b"secret")

    with pytest.raises(SourceNotFound) as caught, store.snapshot(key):
        pass

    assert caught.value.hint


@pytest.mark.parametrize("key", ["input/./book.xlsx", "input//book.xlsx"])
def test_a_workbook_has_one_key(store: FolderStore, book: Path, key: str) -> None:
    """With two keys, its rows would be loaded twice."""
    store.upload(book)

    try:
        with store.snapshot(key) as snapshot:
            assert snapshot.key == "input/book.xlsx"
    except SourceNotFound:
        pass


def test_a_store_whose_folder_is_a_file_is_an_error(tmp_path: Path, book: Path) -> None:
    (tmp_path / "other.xlsx").write_bytes(b"x")

    with pytest.raises(StoreError) as caught:
        FolderStore(book).upload(tmp_path / "other.xlsx")

    assert str(book) in str(caught.value)
    assert caught.value.hint
