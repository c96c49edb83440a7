"""Imports go one way: the layers stand in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.declared import TOP


def test_no_module_imports_one_above_and_there_are_no_circles(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--cache-dir", tmp_path]

    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stdout
