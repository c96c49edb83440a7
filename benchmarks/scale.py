"""Measure loads of many workbooks: in one process, in several processes, and on the workers of a Dask cluster.

`make bench-scale` runs it. Each way first loads a few workbooks, so that starts and imports are not measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from measure import circumstances, execute, table, write_section

import retailpipe
from retailpipe import Environment
from retailpipe.sample import write_sample
from retailpipe.workers import DASK_SETTINGS
from retailpipe.workers.processes import Processes

Way = Callable[[], "Generator[Executor | None]"]


@dataclass
class Figure:
    """One measurement. cpu: seconds of our processes. server_cpu: of PostgreSQL. peak: MB of the largest worker."""

    wall: float
    cpu: float
    server_cpu: float
    peak: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=120, help="number of small workbooks, of 1,000 rows")
    parser.add_argument("--large", type=int, default=3, help="number of large workbooks")
    parser.add_argument("--large-rows", type=int, default=541_909)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/work"))
    parser.add_argument("--results", type=Path, help="a file to write the results to, such as benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    ways: dict[str, Way] = {"one process": here}
    for count in arguments.workers:
        ways[f"--jobs {count}"] = partial(processes, count)
        ways[f"Dask, {count} workers"] = partial(dask_workers, count)
    environment = Environment.embedded((arguments.folder / "scale").absolute())
    text = f"{circumstances(environment.warehouse.uri)}. The best of {arguments.rounds} rounds, starts not included.\n"
    for count, rows in ((arguments.small, 1_000), (arguments.large, arguments.large_rows)):
        if count:
            best = measured(environment, workbooks(arguments.folder, count, rows), ways, arguments.rounds)
            text += f"\n{count} workbooks of {rows:,} rows:\n\n{compared(best, count, rows)}\n"
            print(text, file=sys.stderr)
    write_section("Many workbooks at once", text, arguments.results)
    if environment.server:
        environment.server.destroy()


def measured(environment: Environment, files: list[Path], ways: dict[str, Way], rounds: int) -> dict[str, Figure]:
    """The round with the least CPU of each way; the ways take turns."""
    best: dict[str, Figure] = {}
    for round_ in range(rounds):
        for name, way in ways.items():
            figure = measure(environment, files, way)
            best[name] = min(figure, best.get(name, figure), key=lambda each: each.cpu)
        print(f"round {round_}", file=sys.stderr)
    return best


def measure(environment: Environment, files: list[Path], way: Way) -> Figure:
    with contextmanager(way)() as executor:
        fresh(environment, files[:16] if len(files) > 16 else files)  # the way is warm: imports, connections
        retailpipe.ingest(environment, executor=executor, allow_duplicate=True)
        fresh(environment, files)
        started, cpu, server_cpu = time.perf_counter(), our_cpu(), cpu_of_server(environment)
        reports = retailpipe.ingest(environment, executor=executor, allow_duplicate=True)
        if len(reports) != len(files):
            sys.exit(f"{len(reports)} of {len(files)} workbooks were loaded")
        return Figure(
            time.perf_counter() - started, our_cpu() - cpu, cpu_of_server(environment) - server_cpu, peak_of_workers()
        )


def here() -> Generator[Executor | None]:
    yield None


def processes(count: int) -> Generator[Executor | None]:
    with Processes(count) as executor:
        yield executor


def dask_workers(count: int) -> Generator[Executor | None]:
    """Workers as docs/scale.md advises to start them."""
    os.environ["DASK_CONFIG"] = str(DASK_SETTINGS)  # Dask reads it when it is imported
    from distributed import LocalCluster

    from retailpipe.workers.dask import DaskWorkers

    with (
        LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        DaskWorkers(cluster.scheduler_address) as executor,
    ):
        yield executor


def fresh(environment: Environment, files: list[Path]) -> None:
    """Empty bronze, and put these workbooks into the store."""
    execute(environment.warehouse.uri, "drop schema if exists bronze cascade")
    folder = environment.folder / "input"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder)


def workbooks(folder: Path, count: int, rows: int) -> list[Path]:
    """Synthetic workbooks with other rows each; they are kept for later benchmarks."""
    target = folder / f"many_{rows}"
    target.mkdir(parents=True, exist_ok=True)
    files = [target / f"branch_{number:03}.xlsx" for number in range(count)]
    for number, file in enumerate(files):
        if not file.exists():
            write_sample(file, rows=rows, seed=number)
    return files


def ours() -> dict[psutil.Process, tuple[float, int]]:
    """The CPU seconds and the resident bytes of this process and of its workers, without the server."""
    found: dict[psutil.Process, tuple[float, int]] = {}
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # a process of the server ended
            if process.name() != "postgres":
                found[process] = sum(process.cpu_times()[:2]), process.memory_info().rss
    return found


def our_cpu() -> float:
    return sum(cpu for cpu, _ in ours().values())


def peak_of_workers() -> float:
    """The largest of our other processes, in MB; this process if it is alone."""
    first, *others = (memory for _, memory in ours().values())
    return max(others or [first]) / 1e6


def cpu_of_server(environment: Environment) -> float:
    """CPU seconds of the server and of its processes that have ended."""
    [file] = (environment.folder / "postgres").rglob("postmaster.pid")
    return sum(psutil.Process(int(file.read_text().splitlines()[0])).cpu_times()[:4])


def compared(best: dict[str, Figure], count: int, rows: int) -> str:
    one = best["one process"]
    lines = [
        ["", "s", "times one process", "rows/s", "CPU s", "CPU, %", "ms more a workbook", "server's CPU s", "MB"],
    ]
    for name, figure in best.items():
        more = (figure.cpu - one.cpu) / count * 1000
        lines.append(
            [
                name,
                f"{figure.wall:.2f}",
                f"{one.wall / figure.wall:.2f}",
                f"{count * rows / figure.wall:,.0f}",
                f"{figure.cpu:.2f}",
                f"{figure.cpu / one.cpu * 100:.0f}",
                f"{more:.1f}",
                f"{figure.server_cpu:.2f}",
                f"{figure.peak:.0f}",
            ]
        )
    return table(*lines)


if __name__ == "__main__":
    main()
