"""Run the whole pipeline on a generated sample workbook, in a separate environment."""

from __future__ import annotations

import tempfile
from pathlib import Path

from retailpipe.environment import Environment, default_folder
from retailpipe.errors import UsageError
from retailpipe.keys import INPUT
from retailpipe.pipeline import run
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import RunReport

SAMPLE_NAME = "sample_retail.xlsx"


def demo(
    environment: Environment,
    *,
    rows: int = 25_000,
    seed: int = 1,
    workbook: Path | None = None,
    progress: Progress | None = None,
) -> RunReport:
    """Run the whole pipeline on `workbook` or, by default, on a synthetic workbook.

    rows: the number of rows of the synthetic workbook. seed: another seed produces other rows.

    Raises UsageError if the environment contains other workbooks, and what `run` raises.
    """
    progress = progress or NoProgress()
    own = INPUT + (workbook.name if workbook else SAMPLE_NAME)
    if others := [stored.key for stored in environment.store.workbooks() if stored.key != own]:
        raise UsageError(
            f"{environment.folder} contains {others[0]}; the demo would add its rows to it",
            hint="Pass a folder that does not exist with --local, or leave it out.",
        )
    if workbook is not None:
        return run(environment, workbook, replace=True, progress=progress)
    from retailpipe.sample import write_sample

    with tempfile.TemporaryDirectory(prefix="retailpipe-") as folder:
        sample = Path(folder) / SAMPLE_NAME
        progress.step("writing a sample workbook", unit="rows", total=rows)
        write_sample(sample, rows=rows, seed=seed, progress=progress)
        return run(environment, sample, replace=True, progress=progress)


def demo_folder(workbook: Path | None = None) -> Path:
    """The folder of the demo's environment: one for the sample, and one for each name of another workbook."""
    return default_folder() / ("demo" if workbook is None else f"demo-{workbook.stem}")
