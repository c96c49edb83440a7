"""Run the whole pipeline on a generated sample workbook, in a separate environment."""

from __future__ import annotations

import tempfile
from pathlib import Path

from retailpipe.environment import Environment, default_folder
from retailpipe.pipeline import run
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import RunReport

SAMPLE_NAME = "sample_retail.xlsx"


def demo(
    environment: Environment,
    *,
    rows: int = 25_000,
    workbook: Path | None = None,
    progress: Progress | None = None,
) -> RunReport:
    """Run the whole pipeline on `workbook` or, by default, on a synthetic workbook. Raises what `run` raises.

    rows: the number of rows of the synthetic workbook.
    """
    progress = progress or NoProgress()
    if workbook is not None:
        return run(environment, workbook, replace=True, progress=progress)
    from retailpipe.sample import write_sample

    with tempfile.TemporaryDirectory(prefix="retailpipe-") as folder:
        sample = Path(folder) / SAMPLE_NAME
        progress.step("writing a sample workbook", unit="rows", total=rows)
        write_sample(sample, rows=rows, progress=progress)
        return run(environment, sample, replace=True, progress=progress)


def demo_folder(workbook: Path | None = None) -> Path:
    """The folder of the demo's environment: one for the sample, and one for each name of another workbook."""
    return default_folder() / ("demo" if workbook is None else f"demo-{workbook.stem}")
