"""The folder store under concurrent readers and writers, killed uploads and a full disk."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from retailpipe.errors import StoreError
from retailpipe.store import FolderStore
from tests.support.stores import UPLOAD, files
from tests.support.waiting import wait_for

BIG = 64 << 20
"""Bytes of a file that takes a while to copy."""


def test_a_reader_never_sees_an_incomplete_upload(folder: Path, book: Path) -> None:
    contents = {b"a" * BIG, b"b" * (BIG // 2)}
    target = folder / "input" / "book.xlsx"
    seen: set[int] = set()

    for content in sorted(contents):
        book.write_bytes(content)
        with subprocess.Popen([sys.executable, "-c", UPLOAD, folder, book]) as upload:
            while upload.poll() is None:
                if target.exists():
                    seen.add(target.stat().st_size)
        assert upload.returncode == 0
        seen.add(target.stat().st_size)

    assert seen == {len(content) for content in contents}


def test_a_killed_upload_leaves_the_old_content_and_the_next_access_deletes_its_copy(
    store: FolderStore, folder: Path, book: Path
) -> None:
    store.upload(book)
    book.write_bytes(b"x" * (BIG * 2))
    upload = subprocess.Popen([sys.executable, "-c", UPLOAD, folder, book])
    wait_for(lambda: len(files(folder)) > 1)

    upload.send_signal(signal.SIGSTOP)
    upload.kill()
    upload.wait()

    with store.snapshot("input/book.xlsx") as snapshot:
        assert snapshot.path.read_bytes() == b"first content"
    assert files(folder) == ["input/book.xlsx"]


def test_files_of_the_user_in_the_folder_of_copies_are_kept(store: FolderStore, folder: Path, book: Path) -> None:
    (folder / "tmp" / "2024-branches").mkdir(parents=True)
    (folder / "tmp" / "2024-branches" / "north.xlsx").write_text("mine")
    (folder / "tmp" / "99999999-report.xlsx").write_text("mine")

    store.upload(book)

    assert files(folder) == ["input/book.xlsx", "tmp/2024-branches/north.xlsx", "tmp/99999999-report.xlsx"]


def test_copies_of_another_machine_that_shares_the_folder_are_kept(
    store: FolderStore, folder: Path, book: Path
) -> None:
    (folder / "tmp").mkdir(parents=True)
    (folder / "tmp" / "retailpipe-999999999-00000000-abc.xlsx").write_text("being loaded there")

    store.upload(book)

    assert files(folder) == ["input/book.xlsx", "tmp/retailpipe-999999999-00000000-abc.xlsx"]


def test_the_copies_of_another_running_process_are_not_deleted(store: FolderStore, folder: Path, book: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from retailpipe.store import FolderStore\n"
        "with FolderStore(Path(sys.argv[1])).snapshot('input/book.xlsx') as snapshot:\n"
        "    print('ready', flush=True); sys.stdin.readline(); print(snapshot.path.read_text())\n"
    )
    store.upload(book)
    with subprocess.Popen(
        [sys.executable, "-c", code, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"

        store.upload(book)

        assert other.communicate("go on\n")[0] == "first content\n"


def test_a_snapshot_of_a_file_that_is_being_written_never_mixes_two_contents(store: FolderStore, folder: Path) -> None:
    """A thread rewrites the whole file in place, again and again; the file has one content only in the pauses."""
    target = folder / "input" / "book.xlsx"
    target.parent.mkdir(parents=True)
    size = 8 << 20
    target.write_bytes(b"0" * size)
    done = threading.Event()

    def rewrite() -> None:
        with target.open("r+b") as file:
            for digit in b"123456789":
                file.seek(0)
                for _ in range(size >> 16):
                    file.write(bytes([digit]) * (1 << 16))
                    file.flush()
                if done.wait(0.1):
                    return

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(3):
            with suppress(StoreError), store.snapshot("input/book.xlsx") as snapshot:
                assert len(set(snapshot.path.read_bytes())) == 1
    finally:
        done.set()
        writer.join()


def test_a_full_disk_does_not_change_the_store(store: FolderStore, folder: Path, book: Path) -> None:
    store.upload(book)
    book.write_bytes(b"x" * 200_000)
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n{UPLOAD}"

    done = subprocess.run([sys.executable, "-c", code, folder, book], capture_output=True, text=True, check=False)

    assert "retailpipe.errors.StoreError" in done.stderr
    assert str(folder) in done.stderr
    assert files(folder) == ["input/book.xlsx"]
    assert (folder / "input" / "book.xlsx").read_bytes() == b"first content"
