"""Measure how the time of a load depends on the number of rows, and on the number of cores.

`make bench-growth` runs it. The workbooks are synthetic, from 68,000 rows to the most that Excel allows.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from measure import PROGRAM, Figures, circumstances, empty_bronze, sample, spread, table, write_section

from retailpipe.environment import Environment
from retailpipe.sample import MAX_ROWS

PUBLISHED_ROWS = 541_909
"""The number of rows in the published workbook."""
SIZES = (PUBLISHED_ROWS // 8, PUBLISHED_ROWS // 4, PUBLISHED_ROWS // 2, PUBLISHED_ROWS, MAX_ROWS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/work"))
    parser.add_argument("--results", type=Path, help="a file to write the results to, such as benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    environment = Environment.embedded(arguments.folder.absolute())
    url = environment.warehouse.uri
    cases = [(rows, os.cpu_count() or 1) for rows in SIZES]
    cases += [(PUBLISHED_ROWS, cores) for cores in (1, 2) if cores < (os.cpu_count() or 1)]
    keys = {rows: environment.store.upload(sample(arguments.folder, rows)).key for rows in SIZES}
    measured = {case: Figures() for case in cases}
    for round_ in range(arguments.rounds + 1):  # round 0 only warms the caches
        for (rows, cores), figures in measured.items():
            empty_bronze(url)
            command = [PROGRAM, "ingest", keys[rows], "--local", str(arguments.folder)]
            if failure := figures.run(command, cores=cores):
                sys.exit(f"{rows} rows: {failure}")
        print(f"round {round_}", file=sys.stderr)
        if round_ == 0:
            for figures in measured.values():
                figures.clear()
    lines = [["rows", "cores", "wall s: median (min to max)", "µs per additional row", "CPU s", "peak MB"]]
    first_rows, first = SIZES[0], measured[cases[0]]
    for (rows, cores), figures in measured.items():
        each = "" if rows == first_rows else f"{(figures.wall - first.wall) / (rows - first_rows) * 1e6:.2f}"
        costs = [f"{figures.cpu:.2f}", f"{figures.peak:.0f}"]
        lines.append([f"{rows:,}", str(cores), spread(figures.walls), each, *costs])
    about = f"Synthetic workbooks; {arguments.rounds} alternating rounds, whole processes"
    meaning = '"µs per additional row": the time beyond that of the smallest workbook, divided by the additional rows'
    text = f"{circumstances(url)}. {about}; {meaning}."
    write_section("Growth", f"{text}\n\n{table(*lines)}", arguments.results)


if __name__ == "__main__":
    main()
