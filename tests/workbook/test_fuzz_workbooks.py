"""Randomly changed workbooks: each is loaded, has rejected rows, or is refused with a hint.

All ways of reading must return the same cells, and the cells that openpyxl reads must agree. No other error may be
raised, and no case may take more than 10 seconds or 300 MB. `python -m tests.support.fuzz SEED COUNT FOLDER` runs other
cases.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest


def fuzz(first: int, count: int, folder: Path) -> None:
    command = [sys.executable, "-m", "tests.support.fuzz", str(first), str(count), str(folder)]
    root = Path(__file__).parents[2]

    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"exit code {done.returncode}, see {folder}\n{done.stderr[-3_000:]}"


def test_some_changed_workbooks_are_read_correctly(tmp_path: Path) -> None:
    fuzz(0, 100, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("worker", range(10))
def test_many_changed_workbooks_are_read_correctly(tmp_path: Path, worker: int) -> None:
    """A thousand workbooks that were never tested before."""
    fuzz(int(time.time()) * 100_000 + worker * 1_000, 1_000, tmp_path)
