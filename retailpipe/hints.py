"""Complete the commands in hints, so that users can type them as printed.

A hint contains commands between backquotes, such as `retailpipe status`. Here they get the options that choose the
environment, such as `--stack dev`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_GROUPS = ("local", "db", "schedule")
"""Commands with subcommands: options go after the subcommand."""
_WITHOUT_ENVIRONMENT = ("contract",)
"""Commands that use no environment, so they have none of these options."""
_WHOLE_MACHINE = ("environments", "local list", "local stop --all", "local destroy --remains")
"""Commands that are not for one environment: they have none of its options."""


def complete_commands(hint: str, options: Sequence[str], program: str = "retailpipe") -> str:
    """Return the hint with each command starting with `program` and containing `options`."""
    return re.sub(r"`retailpipe ([^`]*)`", lambda found: f"`{command(found[1], options, program)}`", hint)


def command(arguments: str, options: Sequence[str], program: str = "retailpipe") -> str:
    """The command line for `arguments`.

    `options` are left out if the arguments already contain --stack, and if the command is not for one environment.
    """
    name, _, rest = arguments.partition(" ")
    if name in _GROUPS:
        second, _, rest = rest.partition(" ")
        name = f"{name} {second}"
    is_without = name in _WITHOUT_ENVIRONMENT or arguments.startswith(_WHOLE_MACHINE)
    chosen = () if "--stack" in rest.split() or is_without else options
    return " ".join([program, name, *chosen, *([rest] if rest else [])])
