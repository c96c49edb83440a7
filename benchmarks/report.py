"""Measure `retailpipe report`: its time beyond the start of the program, its memory, its size and its first paint.

`make bench-report` runs it. Chromium measures the first paint; without Chromium it is left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from measure import PROGRAM, Figures, circumstances, sample, spread, table, write_section
from playwright.sync_api import sync_playwright

from retailpipe.environment import Environment

_FIRST_PAINT = """
new Promise(resolve => new PerformanceObserver(list => {
    const found = list.getEntriesByName("first-contentful-paint")
    if (found.length) resolve(found[0].startTime)
}).observe({type: "paint", buffered: true}))
"""
"""The milliseconds from the start of loading to the first paint with content."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workbook", type=Path, help="the workbook to load; default: a synthetic one of 541,909 rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/work"))
    parser.add_argument("--results", type=Path, help="a file to write the results to, such as benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    workbook = arguments.workbook or sample(arguments.folder, 541_909)
    home = (arguments.folder / "report").absolute()
    environment = Environment.embedded(home)
    url = environment.warehouse.uri
    if failure := Figures().run([PROGRAM, "run", str(workbook), "--local", str(home)]):
        sys.exit(failure)
    commands = {
        "status": ["status"],
        "report": ["report"],
        "report --picture": ["report", "--picture", str(home / "month.png")],
    }
    measured = {name: Figures() for name in commands}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            if failure := measured[name].run([PROGRAM, *command, "--local", str(home)]):
                sys.exit(f"{name}: {failure}")
    lines = [["command", "wall s: median (min to max)", "CPU s", "peak MB"]]
    lines += [[f"`{name}`", spread(f.walls), f"{f.cpu:.2f}", f"{f.peak:.0f}"] for name, f in measured.items()]
    file = home / "report.html"
    paints = first_paints(file, arguments.rounds)
    painted = f" First paint in Chromium: {spread(paints)} s." if paints else ""
    about = f"{workbook.name}, {arguments.rounds} alternating rounds, whole processes, server running"
    text = f"{circumstances(url)}. {about}.\n\n{table(*lines)}\n\nThe page has {file.stat().st_size:,} bytes.{painted}"
    write_section("The HTML report", text, arguments.results)
    if environment.server:
        environment.server.destroy()


def first_paints(file: Path, rounds: int) -> list[float]:
    """The seconds from the start of loading a file to its first paint, in each round; empty without Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return []
    paints: list[float] = []
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        for _ in range(rounds):
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(file.as_uri())
            paints.append(page.evaluate(_FIRST_PAINT) / 1000)
            page.close()
        browser.close()
    return paints


if __name__ == "__main__":
    main()
