"""Complete the commands in hints, so that users can type them as printed.

A hint contains commands between backquotes, such as `retailpipe status`. This module adds the options that select the
environment, such as `--stack dev`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

_GROUPS = ("class", "contract", "local", "db", "schedule", "workers")
"""Commands with subcommands: options go after the subcommand."""
_SAVE = "--save"
"""The option of `contract init` that needs an environment: a local one, as these commands have only --local."""
_WHOLE_MACHINE = ("environments", "class init", "local list", "local stop --all", "local destroy --remains")
"""Commands that are not for one environment or one class: they have none of its options."""


def file_argument(path: str | Path) -> str:
    """A file as a word of a command: quoted for the shell, and with ./ before a dash, which would begin an option."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def complete_commands(hint: str, options: Sequence[str], program: str = "retailpipe") -> str:
    """Return the hint in which each command starts with `program` and contains `options`."""
    return re.sub(r"`retailpipe ([^`]*)`", lambda found: f"`{command(found[1], options, program)}`", hint)


def command(arguments: str, options: Sequence[str], program: str = "retailpipe") -> str:
    """The command line for `arguments`.

    `options` are left out if the arguments already contain --stack or --class, and if the command is not for one
    environment.
    """
    name, _, rest = arguments.partition(" ")
    if name in _GROUPS:
        second, _, rest = rest.partition(" ")
        name = f"{name} {second}"
    is_complete = not {"--stack", "--class"}.isdisjoint(rest.split())
    chosen = () if is_complete or arguments.startswith(_WHOLE_MACHINE) else options
    if name.startswith("contract "):
        if "--stack" in chosen or "--outputs" in chosen:
            rest = rest.removesuffix(f" {_SAVE}")
        chosen = chosen[:2] if "--local" in chosen[:1] and rest.endswith(_SAVE) else ()
    return " ".join([program, name, *chosen, *([rest] if rest else [])])
