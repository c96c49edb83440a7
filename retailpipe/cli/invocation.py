"""Remember how this program was called, so that users can copy the commands in its hints and run them unchanged."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from retailpipe import hints

_environment: list[str] = []
_called = sys.argv[0]


def remember_environment(arguments: list[str]) -> None:
    """Remember the options that select the environment of this call."""
    _environment[:] = arguments


def program() -> str:
    """Return how to call the program: its relative path if it is below the current folder, else its name."""
    called = Path(_called)
    if called.name == "__main__.py":
        return "python -m retailpipe"
    try:
        return shlex.quote(str(called.absolute().relative_to(Path.cwd())))
    except ValueError:
        return "retailpipe"


def command(arguments: str) -> str:
    """Return a full command line for this program, with the options that select the environment of this call."""
    return hints.command(arguments, [shlex.quote(word) for word in _environment], program())


def as_typed(hint: str) -> str:
    """Return the hint with its commands completed: how to call the program, and the options of this environment."""
    return hints.complete_commands(hint, [shlex.quote(word) for word in _environment], program())
