"""How this program was called, so that the commands it proposes can be typed as they stand."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

_environment: list[str] = []
_called = sys.argv[0]
_GROUPS = ("local", "db", "schedule")
"""Commands whose next word is a command too: options come after that."""


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
    name, _, rest = arguments.partition(" ")
    if name in _GROUPS:
        second, _, rest = rest.partition(" ")
        name = f"{name} {second}"
    # A hint of a stack names it already.
    place = [] if "--stack" in rest.split() else [*map(shlex.quote, _environment)]
    return " ".join([program(), name, *place, *([rest] if rest else [])])


def as_typed(hint: str) -> str:
    """A hint whose commands between backquotes begin with this program and name this environment."""
    return re.sub(r"`retailpipe ([^`]*)`", lambda found: f"`{command(found[1])}`", hint)
