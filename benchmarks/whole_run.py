"""Measure `retailpipe run`, dbt included: on an empty warehouse, again with no new rows, and with one more month.

`make bench-run` runs it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from datetime import datetime
from pathlib import Path

from measure import PROGRAM, Figures, circumstances, execute, sample, spread, table, write_section

from retailpipe.environment import Environment
from retailpipe.sample import write_sample

MONTH_ROWS = 40_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workbook", type=Path, help="the workbook to load; default: a synthetic one of 541,909 rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/work"))
    parser.add_argument("--results", type=Path, help="a file to write the results to, such as benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    workbook = arguments.workbook or sample(arguments.folder, 541_909)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    month = arguments.folder / f"month_{MONTH_ROWS}.xlsx"
    write_sample(month, rows=MONTH_ROWS, seed=2, first_day=datetime(2012, 1, 2), days=28)
    home = arguments.folder / "whole_run"
    environment = Environment.embedded(home.absolute())
    url = environment.warehouse.uri
    steps = {
        f"{workbook.name} on an empty warehouse": [str(workbook)],
        "again, with no new rows": [str(workbook)],
        f"one more month, of {MONTH_ROWS:,} rows": [str(month)],
    }
    measured = {name: Figures() for name in steps}
    for round_ in range(arguments.rounds):
        shutil.rmtree(home / "dbt", ignore_errors=True)
        execute(url, "drop schema if exists bronze, public_silver, public_gold cascade")
        for name, sources in steps.items():
            if failure := measured[name].run([PROGRAM, "run", *sources, "--local", str(home)]):
                sys.exit(f"{name}: {failure}")
        print(f"round {round_}", file=sys.stderr)
    lines = [["run", "wall s: median (min to max)", "CPU s", "peak MB"]]
    lines += [[name, spread(f.walls), f"{f.cpu:.2f}", f"{f.peak:.0f}"] for name, f in measured.items()]
    about = f"{arguments.rounds} rounds, whole processes, dbt's tests and `verify` included"
    write_section("The whole pipeline", f"{circumstances(url)}. {about}.\n\n{table(*lines)}", arguments.results)
    if environment.server:
        environment.server.destroy()


if __name__ == "__main__":
    main()
