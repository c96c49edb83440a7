"""The file with the events of an environment: many writers, its size, and everything that may be in its place."""

from __future__ import annotations

import fcntl
import json
import logging
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from retailpipe.lineage import journal
from retailpipe.lineage.journal import Journal, events_in


def lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines()


@pytest.fixture
def file(folder: Path) -> Path:
    return folder / "lineage.jsonl"


def test_only_the_owner_can_read_it(folder: Path, file: Path) -> None:
    Journal(folder).append(b"{}\n")

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert lines(file) == [b"{}"]


def test_full_file_becomes_the_older_one(folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_MAX_BYTES", 10)

    for number in range(5):
        Journal(folder).append(b"event %d\n" % number)

    assert lines(file) == [b"event 4"]
    assert lines(folder / "lineage.jsonl.1") == [b"event 3"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_events_of_both_files_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task on AWS sends them to the machine that started it."""
    monkeypatch.setattr(journal, "_MAX_BYTES", 30)

    for number in range(3):
        Journal(folder).append(b'{"number": %d}\n' % number)

    assert events_in(folder) == [{"number": 0}, {"number": 1}, {"number": 2}]


def test_file_that_a_stopped_process_keeps_locked_is_written(folder: Path, file: Path) -> None:
    Journal(folder).append(b"event 1\n")
    with file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        Journal(folder).append(b"event 2\n")

    assert lines(file) == [b"event 1", b"event 2"]


def append_many(folder: Path, writer: int) -> None:
    journal._MAX_BYTES = 3_500_000
    one = Journal(folder)
    for number in range(50):
        one.append(json.dumps({"writer": writer, "number": number, "more": "x" * 50_000}).encode() + b"\n")


def test_processes_lose_and_mix_nothing(folder: Path, file: Path) -> None:
    """The two of them fill the file more than once, but not twice, so all events must be in the two files.

    The lines are long: half of one is visible to the other process.
    """
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=append_many, args=(folder, writer)) for writer in range(2)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()

    found = [json.loads(line) for each in (folder / "lineage.jsonl.1", file) for line in lines(each)]

    assert sorted((each["writer"], each["number"]) for each in found) == [
        (writer, number) for writer in range(2) for number in range(50)
    ]


def test_line_that_a_full_disk_cut_off_spoils_no_other(folder: Path, file: Path) -> None:
    Journal(folder).append(b'{"first": 1}\n')
    with file.open("ab") as cut:
        cut.write(b'{"second": ')

    Journal(folder).append(b'{"third": 3}\n')

    assert lines(file) == [b'{"first": 1}', b'{"second": ', b'{"third": 3}']


@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "device"])
def test_what_cannot_be_written_is_one_warning(
    folder: Path, file: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    target = folder / "of somebody else"
    match kind:
        case "folder":
            file.mkdir()
        case "link":
            target.write_text("unchanged")
            file.symlink_to(target)
        case "pipe":
            os.mkfifo(file)
        case _:
            file.symlink_to("/dev/full")
    one = Journal(folder)

    with caplog.at_level(logging.WARNING):
        one.append(b"{}\n")
        one.append(b"{}\n")

    [record] = caplog.records
    assert "cannot write the lineage events to" in record.message
    assert not target.exists() or target.read_text() == "unchanged"


def test_full_disk_is_one_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that may not grow stands for a full disk: both make the kernel cut a write."""
    import resource
    import signal

    one = Journal(folder)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with caplog.at_level(logging.WARNING):
            one.append(b"event 1\n")
            one.append(b"event 2\n")
            one.append(b"event 3\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)

    [record] = caplog.records
    assert record.message.endswith("The loads are not affected.")
    one.append(b"event 4\n")
    assert lines(folder / "lineage.jsonl")[0::2] == [b"event 1", b"event 4"]
