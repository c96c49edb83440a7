"""How long a run on workers takes, and what it costs, before it starts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from retailpipe.counts import counted
from retailpipe.durations import rounded
from retailpipe.keys import is_csv_name
from retailpipe.prices import Prices
from retailpipe.reports import Report
from retailpipe.store import Stored

_BYTES_PER_ROW = {"xlsx": 44, "csv": 84}
"""Of the real workbook of Online Retail: 541,909 rows."""
_SECONDS_PER_ROW = 13e-6
"""CPU time of a worker: twice what docs/scale.md measures, because a vCPU of Fargate is about half as fast."""
_SECONDS_PER_WORKBOOK = 0.15
"""The round trips of a load, and its requests to the bucket and to Dask."""
_START_SECONDS = 120
"""Until the first load begins: Fargate starts the tasks, they fetch the image and install the packages."""


@dataclass(frozen=True)
class Forecast(Report):
    """What a run takes. rows: estimated from the sizes of the workbooks.

    task_hours: of all its tasks together. usd: at the price on demand; Spot costs about 70 % less.
    """

    workbooks: int
    rows: int
    workers: int
    seconds: float
    task_hours: float
    usd: float

    def __str__(self) -> str:
        return (
            f"{counted(self.workbooks, 'workbook')}, about {self.rows:,} rows, on {counted(self.workers, 'worker')}: "
            f"about {rounded(self.seconds)} and at most {math.ceil(self.usd * 100) / 100:.2f} USD"
        )


def forecast(workbooks: Iterable[Stored], workers: int, prices: Prices | None = None) -> Forecast:
    """Estimate a run that loads workbooks. The database may make it slower: docs/scale.md says how far it goes."""
    found = [*workbooks]
    sizes = [(each.size, "csv" if is_csv_name(each.key) else "xlsx") for each in found]
    rows = sum(round(size / _BYTES_PER_ROW[kind]) for size, kind in sizes)
    longest = max((size / _BYTES_PER_ROW[kind] for size, kind in sizes), default=0) * _SECONDS_PER_ROW
    work = rows * _SECONDS_PER_ROW + len(found) * _SECONDS_PER_WORKBOOK
    seconds = _START_SECONDS + max(work / workers, longest)
    task_hours = (workers + 2) * seconds / 3600
    usd = task_hours * (prices or Prices.known()).worker_hour
    return Forecast(len(found), rows, workers, round(seconds, 1), round(task_hours, 3), round(usd, 4))
