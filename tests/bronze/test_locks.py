"""A load whose process hangs keeps its locks: what waits for them ends it. A build that is quiet is not ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.bronze import locks
from retailpipe.progress import NoProgress
from retailpipe.sample import write_sample

ROWS = 20_000
STOPS = """
import os, signal, sys
import retailpipe
from retailpipe.progress import NoProgress

class Stops(NoProgress):
    calls = 0
    def advance(self, amount=1):
        self.calls += 1
        if self.calls == {calls}:  # at the second call, the first rows are in the COPY
            print("stopping", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)

environment = retailpipe.Environment.local(sys.argv[1], database_url=sys.argv[2])
retailpipe.ingest(environment, "input/book.xlsx", progress=Stops())
"""
LOADS = "select status, rows_loaded from bronze.loads"
WATCHES = "select query_start::text from pg_stat_activity where wait_event = 'advisory'"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_WATCH_MILLISECONDS", 50)
    monkeypatch.setattr(locks, "_HANGING_SECONDS", 0.2)


@pytest.fixture(params=[1, 2])
def hanging(environment: Environment, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process that hangs while it loads, in a statement or between two."""
    (environment.folder / "input").mkdir(parents=True)
    write_sample(environment.folder / "input" / "book.xlsx", rows=ROWS)
    command = [sys.executable, "-c", STOPS.format(calls=request.param)]
    command += [str(environment.folder), environment.warehouse.uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stopping\n"
        yield process
        process.kill()


@pytest.mark.usefixtures("impatient")
def test_load_that_hangs_is_ended_by_the_next(environment: Environment, hanging: subprocess.Popen[str]) -> None:
    [report] = retailpipe.ingest(environment)

    assert (report.status, report.load_id) == ("loaded", 2)
    hanging.send_signal(signal.SIGCONT)
    assert "connection to the database was lost" in hanging.communicate(timeout=60)[1]
    assert environment.warehouse.query(LOADS).to_pylist() == [{"status": "loaded", "rows_loaded": report.rows_loaded}]


@pytest.mark.usefixtures("impatient")
def test_quiet_build_is_not_ended(environment: Environment, tmp_path: Path) -> None:
    write_sample(tmp_path / "book.xlsx", rows=10)
    retailpipe.init(environment)
    load = threading.Thread(target=retailpipe.ingest, args=(environment, tmp_path / "book.xlsx"))
    with environment.warehouse.connect() as build:
        locks.lock_for_build(build, NoProgress())
        build.commit()
        load.start()
        watches: set[tuple[object, ...]] = set()
        while len(watches) < 12:  # longer than a load may hang
            with environment.warehouse.connect() as other:
                watches.update(other.rows(WATCHES))
        build.commit()
        assert environment.warehouse.query(LOADS).num_rows == 0
    load.join(60)
    assert environment.warehouse.query(LOADS).num_rows == 1
