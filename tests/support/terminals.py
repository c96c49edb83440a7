"""Runs the command line on a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

from tests.support.forked import command


def on_a_terminal(
    arguments: Sequence[str | Path], folder: Path, columns: int = 80, answer: str = ""
) -> tuple[str, int]:
    """Run `retailpipe` in a folder on a terminal with this many columns; return what it printed and its exit code.

    answer: what a person types, before the program asks.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    # pytest-xdist sets COLUMNS, which programs prefer to the size of their terminal.
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [*command(), *map(str, arguments)], cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, answer.encode())
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
