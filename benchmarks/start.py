"""Measure the time of commands that do not load or build anything.

`make bench-start` runs it. The local server is already running, and a small workbook is loaded, so the time is that of
Python's start, the imports, and a few queries.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from measure import PROGRAM, Figures, circumstances, sample, spread, table, write_section

from retailpipe.environment import Environment

COMMANDS = [
    ["--version"],
    ["--help"],
    ["ingest", "--help"],
    ["status"],
    ["status", "--json"],
    ["rejects"],
    ["query", "select 1 as one"],
    ["local", "url"],
    ["verify"],
    ["run"],
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=5_000, help="how many rows the loaded workbook has")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/work"))
    parser.add_argument("--results", type=Path, help="a file to write the results to, such as benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    home = arguments.folder / "start"
    environment = Environment.embedded(home.absolute())
    url = environment.warehouse.uri
    if failure := Figures().run([PROGRAM, "run", str(sample(arguments.folder, arguments.rows)), "--local", str(home)]):
        sys.exit(failure)
    lines = [["command", "wall s: median (min to max)", "CPU s", "peak MB"]]
    measured = {" ".join(command): Figures() for command in COMMANDS}
    for _ in range(arguments.rounds):
        for command, figures in zip(COMMANDS, measured.values(), strict=True):
            where = [] if command[0].startswith("-") or "--help" in command else ["--local", str(home)]
            if failure := figures.run([PROGRAM, *command, *where]):
                sys.exit(f"{command}: {failure}")
    lines += [
        [f"`{name}`", spread(figures.walls), f"{figures.cpu:.2f}", f"{figures.peak:.0f}"]
        for name, figures in measured.items()
    ]
    about = f"{arguments.rounds} alternating rounds, whole processes, {arguments.rows:,} rows loaded, server running"
    write_section(
        "Commands that change nothing", f"{circumstances(url)}. {about}.\n\n{table(*lines)}", arguments.results
    )
    if environment.server:
        environment.server.destroy()


if __name__ == "__main__":
    main()
