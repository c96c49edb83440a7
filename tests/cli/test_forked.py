"""Commands that tests fork from a process with all imports end and print as commands in a new process do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.forked import command

REAL = [sys.executable, "-m", "retailpipe"]


@pytest.mark.parametrize(
    "arguments", [["query", "select 1 as é", "--json"], ["verify"], ["ingest", "missing.xlsx"], ["no-such-command"]]
)
def test_the_output_and_the_exit_code_are_the_same(tmp_path: Path, database_url: str, arguments: list[str]) -> None:
    env = os.environ | {"RETAILPIPE_DATABASE_URL": database_url}

    forked, real = (
        subprocess.run([*start, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        for start in (command(), REAL)
    )

    assert (forked.returncode, forked.stdout, forked.stderr) == (real.returncode, real.stdout, real.stderr)


def test_ctrl_c_interrupts_the_command(tmp_path: Path) -> None:
    watch = [*command(), "watch", "--local", "home", "--database-url", "postgresql://127.0.0.1:1/none"]
    process = subprocess.Popen(watch, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    process.stderr.readline()

    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)

    assert (process.returncode, shown.endswith("interrupted\n")) == (130, True)
