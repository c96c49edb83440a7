"""Runs the product and its peers in turn, whole processes into one PostgreSQL, and compares times and tables.

`make bench` calls it. Each peer's table is compared with ours cell by cell, so that speed with wrong answers shows.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg2

from retailpipe.environment import Environment
from retailpipe.sample import write_sample

HERE = Path(__file__).parent
PEERS = ("duckdb", "fastexcel", "polars", "dlt", "pandas")
COLUMNS = (
    "invoice_no",
    "stock_code",
    "description",
    "quantity",
    "invoice_date",
    "unit_price",
    "customer_id",
    "country",
)


@dataclass
class Runner:
    """A way to load the workbook: a command, and what to do before each run of it."""

    name: str
    command: list[str]
    table: str
    before: str
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    failure: str = ""

    def forget(self) -> None:
        for figures in (self.walls, self.cpus, self.peaks):
            figures.clear()

    def run(self, url: str) -> None:
        execute(url, self.before)
        started = time.perf_counter()
        process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = process.stderr.read().decode(errors="replace") if process.stderr else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            self.failure = said.strip().splitlines()[-1] if said.strip() else f"exit {process.returncode}"
            return
        self.walls.append(time.perf_counter() - started)
        self.cpus.append(used.ru_utime + used.ru_stime)
        self.peaks.append(used.ru_maxrss / 1024)


def main() -> None:
    arguments = parsed()
    environment = Environment.embedded(arguments.folder.absolute())
    workbook = arguments.workbook or sample(arguments.folder, arguments.rows)
    url = environment.warehouse.uri
    environment.store.upload(workbook)
    runners = [
        product(arguments.folder, workbook),
        *(peer(name, workbook, url, arguments.python) for name in arguments.peers),
    ]
    for round_ in range(arguments.rounds + 1):  # the first warms the caches, and does not count
        for runner in runners:
            if not runner.failure:
                runner.run(url)
                print(f"round {round_}: {runner.name} {runner.failure or f'{runner.walls[-1]:.2f} s'}", file=sys.stderr)
                if round_ == 0 and not runner.failure:
                    runner.forget()
    report = written(runners, workbook, url)
    print(report)
    if arguments.results:
        arguments.results.write_text(report, encoding="utf-8")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workbook", type=Path, help="default: a synthetic one")
    parser.add_argument("--rows", type=int, default=541_909, help="rows of the synthetic workbook")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS[:3]))
    parser.add_argument("--python", default=sys.executable, help="the Python whose environment holds the peers")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/work"))
    parser.add_argument("--results", type=Path, help="the file to write, such as benchmarks/RESULTS.md")
    return parser.parse_args()


def sample(folder: Path, rows: int) -> Path:
    path = folder / f"sample_{rows}.xlsx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_sample(path, rows=rows)
    return path


def product(folder: Path, workbook: Path) -> Runner:
    program = str(Path(sys.executable).parent / "retailpipe")
    command = [program, "ingest", f"input/{workbook.name}", "--local", str(folder)]
    empty = "truncate bronze.raw_transactions, bronze.rejected_rows, bronze.loads"
    before = f"do $$ begin if to_regclass('bronze.loads') is not null then {empty}; end if; end $$"
    return Runner("retailpipe", command, "bronze.raw_transactions", before)


def peer(name: str, workbook: Path, url: str, python: str) -> Runner:
    table = f"peer_{name}"
    command = [python, str(HERE / "peers" / f"load_{name}.py"), str(workbook), url, table]
    return Runner(name, command, f"public.{table}", f"drop table if exists public.{table}")


def execute(url: str, sql: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql)
        rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


def differences(ours: Runner, other: Runner, url: str) -> str:
    """How many of our rows the other table has not, cell by cell, duplicates counted."""
    if other.failure:
        return f"failed: {other.failure}"
    columns = ", ".join(f"{name}::text" for name in COLUMNS if name not in ("invoice_date", "unit_price"))
    columns += ", invoice_date::timestamp(0), round(unit_price::numeric, 6)"
    not_there = f"select {columns} from {ours.table} except all select {columns} from {other.table}"
    [(missing,)] = execute(url, f"select count(*) from ({not_there}) as rows")
    return "the same" if missing == 0 else f"{missing:,} rows differ"


def written(runners: list[Runner], workbook: Path, url: str) -> str:
    ours = runners[0]
    [(rows,)] = execute(url, f"select count(*) from {ours.table}")
    [(server,)] = execute(url, "show server_version")
    lines = [
        "# Results",
        "",
        f"Made by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {workbook.name}, {rows:,} rows loaded; "
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}, "
        f"PostgreSQL {server}; "
        f"{len(ours.walls)} rounds in turn, whole processes.",
        "",
        "| | wall s: median (min to max) | our wall by its: median (min to max) | CPU s | peak MB | rows as ours |",
        "|---|---|---|---|---|---|",
    ]
    for runner in runners:
        cells = ["", "", "", ""]
        if runner.walls:
            ratios = [a / b for a, b in zip(ours.walls, runner.walls, strict=True)]
            cells = [spread(runner.walls), "" if runner is ours else spread(ratios)]
            cells += [f"{statistics.median(runner.cpus):.2f}", f"{statistics.median(runner.peaks):.0f}"]
        told = "" if runner is ours else differences(ours, runner, url)
        lines.append(f"| {runner.name} | {' | '.join(cells)} | {told} |")
    return "\n".join(lines) + "\n"


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
