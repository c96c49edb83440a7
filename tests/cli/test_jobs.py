"""`--jobs` and `--at-once`: several processes load, and a terminal's Ctrl-C ends all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

import retailpipe
from retailpipe import Environment
from tests.conftest import Program
from tests.support.many_workbooks import CONTENT, assert_each_loaded_once, fill, loaded_in_one_process, rows


def where(environment: Environment) -> list[str]:
    return ["--local", str(environment.folder), "--database-url", environment.warehouse.uri]


def test_jobs_load_what_one_process_loads(environment: Environment, samples: Path, program: Program) -> None:
    keys = fill(environment, samples, 6)
    expected = loaded_in_one_process(environment)

    done = program("ingest", "--jobs", "2", "--json", *where(environment))

    assert done.returncode == 0, done.stderr
    assert [load["source"] for load in json.loads(done.stdout)] == keys
    assert "loading 6 workbooks" in done.stderr
    assert rows(environment, CONTENT) == expected
    assert_each_loaded_once(environment, keys)


def test_few_small_workbooks_are_loaded_in_one_process_unless_jobs_are_asked_for(
    environment: Environment, samples: Path, program: Program
) -> None:
    keys = fill(environment, samples, 4)

    done = program("ingest", *where(environment))

    assert done.returncode == 0, done.stderr
    assert "reading the workbook" in done.stderr
    assert "loading 4 workbooks" not in done.stderr
    assert_each_loaded_once(environment, keys)


def test_failure_has_the_same_exit_code(environment: Environment, samples: Path, program: Program) -> None:
    keys = fill(environment, samples, 3)
    (environment.folder / keys[0]).write_bytes(b"no workbook")

    done = program("ingest", "--jobs", "2", *where(environment))
    skipped = program("ingest", "--jobs", "2", "--skip-failed", *where(environment))

    assert (done.returncode, skipped.returncode) == (1, 0)
    assert "1 of 3 workbooks was not loaded" in done.stderr
    assert_each_loaded_once(environment, keys[1:])


def test_only_one_executor_is_selected(environment: Environment, program: Program) -> None:
    done = program("ingest", "--jobs", "2", "--workers", "tcp://127.0.0.1:1", *where(environment))

    assert done.returncode == 2
    assert "Pass only one of these options" in done.stderr


def test_ctrl_c_ends_every_process_and_keeps_what_is_loaded(environment: Environment, samples: Path) -> None:
    keys = fill(environment, samples, 30)
    command = [sys.executable, "-m", "retailpipe", "ingest", "--jobs", "2", *where(environment)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        assert any(line.startswith("loading") for line in process.stderr)

        os.killpg(process.pid, signal.SIGINT)

        errors = process.stderr.read()  # until the last process has closed it
    assert process.returncode == 130, errors
    assert "of 30 workbooks were loaded; no workbook is half loaded" in errors
    assert "Traceback" not in errors
    left = [each for each in psutil.process_iter() if is_in_session(each, process.pid)]
    assert psutil.wait_procs(left, timeout=60)[1] == []
    retailpipe.ingest(environment)
    assert_each_loaded_once(environment, keys)


def is_in_session(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.NoSuchProcess):
        return False
