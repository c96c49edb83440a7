"""Runs the command line on a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def on_a_terminal(arguments: Sequence[str | Path], folder: Path) -> tuple[str, int]:
    """Run `retailpipe` in a folder, and return what it printed and its exit code."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "retailpipe", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 1 << 16)
        except OSError:  # on Linux: the program closed its side
            break
        if not block:
            break
        shown += block
    os.close(ours)
    return shown.decode(errors="surrogateescape"), process.wait(timeout=60)
