"""Makes docs/cli.md from the program's own help. `make docs` runs it; with --check it only compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from retailpipe.cli.app import app

TARGET = Path(__file__).parent / "cli.md"
START = """\
# The command line

Made from `--help` by `make docs`. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""


def reference() -> str:
    """The help of the program and of every command, as one page."""
    parts = [START]
    for words in ([], *commands()):
        title = " ".join(["retailpipe", *words])
        shown = CliRunner().invoke(app, [*words, "--help"], prog_name="retailpipe", env={"COLUMNS": "100"})
        parts.append(f"## {title}\n\n```\n{shown.output.strip()}\n```\n")
    return "\n".join(parts)


def commands() -> list[list[str]]:
    names: list[list[str]] = []
    program: Any = get_command(app)  # a group, which typer does not say
    for name, command in program.commands.items():
        below = getattr(command, "commands", {})
        names += [[name], *([name, inner] for inner in below)]
    return names


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
