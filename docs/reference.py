"""Generate docs/cli.md from the `--help` texts. `make docs` runs this script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from retailpipe.cli.app import GROUPS, app

TARGET = Path(__file__).parent / "cli.md"
START = """\
# The command line

`make docs` generates this page from `--help`. Exit codes: 0 success, 1 failure, 2 usage error, 130 interrupted.
"""


def reference() -> str:
    """The help of the program and of each command, as one page."""
    parts = [START]
    for words in ([], *commands()):
        title = " ".join(["retailpipe", *words])
        result = CliRunner().invoke(app, [*words, "--help"], prog_name="retailpipe", env={"COLUMNS": "100"})
        parts.append(f"## {title}\n\n```\n{result.output.strip()}\n```\n")
    return "\n".join(parts)


def commands() -> list[list[str]]:
    """The words of each command and subcommand, such as ["db", "stop"], in the order of the help."""
    names: list[list[str]] = []
    program: Any = get_command(app)  # a click Group; typer's annotation is wider
    for name in (name for group in GROUPS.values() for name in group):
        subcommands = getattr(program.commands[name], "commands", {})
        names += [[name], *([name, inner] for inner in subcommands)]
    return names


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
