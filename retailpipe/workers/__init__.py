"""Loads many workbooks at once, in other processes of this machine or on a Dask cluster.

`pipeline` makes a task for each workbook (`tasks`), asks the database how many loads it takes (`bounds`), and sends the
tasks to an executor in batches (`window`). `processes` and `dask` are executors. A worker opens the environment by
itself (`places`), compares its versions (`programs`), and repeats what failed for a passing reason (`retries`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

DASK_SETTINGS: Final = Path(__file__).with_name("dask.yaml")
"""Settings of Dask for workers that only load workbooks. Dask takes them if DASK_CONFIG is this path when it starts."""
