"""Start commands in milliseconds: each is forked from a server that has already imported what commands import.

What a test starts is a small client with the command's arguments. It passes its variables, folder and standard streams
to the server, forwards signals, and ends as the command ends. A kill ends the client only. Therefore tests of kills, of
the start of a process and of imports do not use it.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


def command() -> list[str]:
    """The words that start `retailpipe`, in place of `python -m retailpipe`."""
    return [sys.executable, "-IS", str(_HERE / "client.py"), str(_server_folder() / "socket")]


def programs() -> Path:
    """A folder with a program `retailpipe`, to be put first on PATH."""
    program = _server_folder() / "programs" / "retailpipe"
    if not program.exists():
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {" ".join(map("{!r}".format, command()))} "$@"\n')
        program.chmod(0o700)
    return program.parent


@cache
def _server_folder() -> Path:
    """Start the server; return the folder of its socket. When its input ends, it ends with all its processes."""
    folder = tempfile.TemporaryDirectory()
    server = subprocess.Popen(
        [sys.executable, _HERE / "server.py", f"{folder.name}/socket"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    )
    assert server.stdin
    assert server.stdout
    assert server.stdout.readline() == b"ready\n"

    def stop() -> None:
        server.communicate()
        folder.cleanup()

    atexit.register(stop)
    return Path(folder.name)
