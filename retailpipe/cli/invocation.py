"""How this program was called, so that the commands it proposes can be typed as they stand."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from retailpipe import hints

_environment: list[str] = []
_called = sys.argv[0]


def remember_environment(arguments: list[str]) -> None:
    """Keeps the options that choose the environment of this call."""
    _environment[:] = arguments


def program() -> str:
    """The program as the caller can type it: by its path where it lies below the folder he is in, else by its name."""
    called = Path(_called)
    if called.name == "__main__.py":
        return "python -m retailpipe"
    try:
        return shlex.quote(str(called.absolute().relative_to(Path.cwd())))
    except ValueError:
        return "retailpipe"


def command(arguments: str) -> str:
    """A command of this program on the environment of this call."""
    return hints.command(arguments, [shlex.quote(word) for word in _environment], program())


def as_typed(hint: str) -> str:
    """A hint whose commands begin with this program and name this environment."""
    return hints.complete_commands(hint, [shlex.quote(word) for word in _environment], program())
