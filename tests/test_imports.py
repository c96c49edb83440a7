"""Modules import only modules of lower layers. pyproject.toml defines the layers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.declared import TOP


def test_modules_import_only_lower_layers_without_cycles(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--cache-dir", tmp_path]

    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stdout
