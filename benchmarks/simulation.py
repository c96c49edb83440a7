"""Simulate loads of many workbooks on 1 to 64 workers and 1 to 16 cores of the database.

`make simulation` prints the tables of docs/scale.md. Nothing is random: the same costs give the same tables.

The model: a worker loads one workbook after the other. First the scheduler sends the task; it sends one at a time. Then
the worker reads the workbook on a core of its own. Then the database stores the rows, on a core that it gives to one
load at a time. At the end, it compares the rows with those of other workbooks, on such a core too, but one load at a
time, because a lock of the table excludes others. A resource serves in the order in which loads ask for it.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import count

from measure import table

WORKERS = (1, 2, 4, 8, 16, 32, 64)
CORES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Costs:
    """What the load of one workbook costs, in seconds. rows: of a workbook.

    scheduling: of Dask's scheduler and of the client. reading: of the worker. storing, comparing: of the database.
    """

    name: str
    rows: int
    scheduling: float
    reading: float
    storing: float
    comparing: float


# Measured with `make bench-scale`; docs/scale.md says what of it is an assumption.
SMALL = Costs("small", 1_000, scheduling=0.0045, reading=0.050, storing=0.016, comparing=0.009)
LARGE = Costs("large", 150_000, scheduling=0.0045, reading=1.0, storing=0.28, comparing=0.25)


class Resource:
    """Something that serves as many at once as it has places, each until its time is over."""

    def __init__(self, places: int) -> None:
        self._free_at = [0.0] * places

    def serve(self, now: float, seconds: float) -> float:
        """Return when a request of this moment has been served. Requests must come in the order of time."""
        end = max(now, heapq.heappop(self._free_at)) + seconds
        heapq.heappush(self._free_at, end)
        return end


def seconds(costs: Costs, workbooks: int, workers: int, cores: int) -> float:
    """How long all loads take."""
    scheduler, database, lock = Resource(1), Resource(cores), Resource(1)
    left = iter(range(workbooks))

    def worker() -> Generator[float, float]:
        """Yield until when the worker is occupied; it is sent that time when it has come."""
        now = 0.0
        for _ in left:
            now = yield scheduler.serve(now, costs.scheduling)
            now = yield now + costs.reading
            now = yield database.serve(now, costs.storing)
            now = yield lock.serve(now, costs.comparing)
            # The comparison has occupied a core too; the load that follows on that core is later by as much.
            database.serve(now - costs.comparing, costs.comparing)

    order = count()
    events = [(next(each), next(order), each) for each in (worker() for _ in range(workers))]
    heapq.heapify(events)
    now = 0.0
    while events:
        now, _, each = heapq.heappop(events)
        try:
            heapq.heappush(events, (each.send(now), next(order), each))
        except StopIteration:
            continue
    return now


def compared(costs: Costs, workbooks: int) -> str:
    """Workbooks a second: a row for each number of workers, a column for each number of cores."""
    rows: list[Sequence[str]] = [["workers", *(f"{cores} {'core' if cores == 1 else 'cores'}" for cores in CORES)]]
    for workers in WORKERS:
        rates = [workbooks / seconds(costs, workbooks, workers, cores) for cores in CORES]
        rows.append([str(workers), *(f"{rate:.{0 if rate >= 100 else 1}f}" for rate in rates)])
    return table(*rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workbooks", type=int, default=2_000)
    arguments = parser.parse_args()
    for costs in (SMALL, LARGE):
        print(f"\n{costs.name} workbooks ({costs.rows:,} rows) a second, by cores of the database:\n")
        print(compared(costs, arguments.workbooks))


if __name__ == "__main__":
    main()
