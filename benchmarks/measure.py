"""Helpers of the benchmarks: measure whole processes from outside, and write results to a file."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg2

from retailpipe.sample import write_sample

PROGRAM = str(Path(sys.executable).parent / "retailpipe")


@dataclass
class Figures:
    """The measurements of one command, one item for each round: wall and CPU time in s, and peak memory in MB."""

    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)

    def clear(self) -> None:
        for figures in (self.walls, self.cpus, self.peaks):
            figures.clear()

    @property
    def wall(self) -> float:
        return statistics.median(self.walls)

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpus)

    @property
    def peak(self) -> float:
        return statistics.median(self.peaks)

    def run(self, command: Sequence[str], *, cores: int | None = None) -> str:
        """Run a command and record its measurements. Return "", or the last line of its errors if it fails.

        cores: how many cores it may use; None for all.
        """
        # Let Python cache compiled modules, as it does by default, so that starts are as fast as on a user's machine.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            preexec_fn=None if cores is None else lambda: os.sched_setaffinity(0, range(cores)),
        )
        errors = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            return errors.splitlines()[-1] if errors else f"exit code {process.returncode}"
        self.walls.append(time.perf_counter() - started)
        self.cpus.append(used.ru_utime + used.ru_stime)
        self.peaks.append(used.ru_maxrss / 1024)
        return ""


def sample(folder: Path, rows: int) -> Path:
    """Return a synthetic workbook with this number of rows; it is kept for later benchmarks."""
    path = folder / f"sample_{rows}.xlsx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_sample(path, rows=rows)
    return path


def execute(url: str, sql: str) -> list[tuple[object, ...]]:
    """Execute a statement outside a transaction; return its rows, if any."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql)
        rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


def empty_bronze(url: str) -> None:
    """Truncate the tables of schema bronze, if they exist."""
    tables = "bronze.raw_transactions, bronze.rejected_rows, bronze.loads"
    execute(url, f"do $$ begin if to_regclass('bronze.loads') is not null then truncate {tables}; end if; end $$")


def spread(values: Sequence[float]) -> str:
    """Format values as "median (min to max)"."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(*rows: Sequence[str]) -> str:
    """A Markdown table; the first row is its header."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def circumstances(url: str) -> str:
    """The date, the machine and the versions, for the head of a section."""
    [(server,)] = execute(url, "show server_version")
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, {platform.system()}, "
        f"Python {platform.python_version()}, PostgreSQL {server}"
    )


def put(title: str, text: str, results: Path | None) -> None:
    """Print a section. If there is a file of results, write it there too, replacing the section with this title."""
    print(f"\n## {title}\n\n{text}\n")
    if results is None:
        return
    before = results.read_text(encoding="utf-8") if results.exists() else "# Results\n\nMade by `make bench`.\n"
    section = f"\n## {title}\n\n{text.strip()}\n"
    after, found = re.subn(rf"\n## {re.escape(title)}\n.*?(?=\n## |\Z)", lambda _: section, before, flags=re.DOTALL)
    results.write_text(after if found else before + section, encoding="utf-8")
