"""Commands in hints, so that they can be typed as they are printed.

A hint names commands between backquotes: `retailpipe status`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_GROUPS = ("local", "db", "schedule")
"""Commands whose next word is a command too: options come after that."""


def complete_commands(hint: str, options: Sequence[str], program: str = "retailpipe") -> str:
    """The hint with commands that begin with `program` and carry the options which choose the environment."""
    return re.sub(r"`retailpipe ([^`]*)`", lambda found: f"`{command(found[1], options, program)}`", hint)


def command(arguments: str, options: Sequence[str], program: str = "retailpipe") -> str:
    """A command of this program. A command that names a stack already keeps it."""
    name, _, rest = arguments.partition(" ")
    if name in _GROUPS:
        second, _, rest = rest.partition(" ")
        name = f"{name} {second}"
    chosen = () if "--stack" in rest.split() else options
    return " ".join([program, name, *chosen, *([rest] if rest else [])])
