"""Show progress on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from retailpipe.cli.terminal import escaped, say
from retailpipe.progress import NoProgress, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_SECONDS_BETWEEN_LINES = 2.0
_WIDE = 90
_NARROW = 75
"""Below these widths of the terminal, rich would cut the counts: the bar is shorter, then the unit is left out."""


@contextmanager
def progress_shown(*, quiet: bool = False) -> Generator[Progress]:
    """Show the progress of the steps that run inside the `with` block, unless `quiet`."""
    progress = NoProgress() if quiet else _Bars() if sys.stderr.isatty() else _Lines()
    try:
        yield progress
    finally:
        progress.end()


class _Lines:
    def __init__(self) -> None:
        self._name = ""
        self._unit = ""
        self._total: int | None = None
        self._done = 0
        self._note = ""
        self._printed_at = 0.0

    def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
        self._name, self._unit, self._total, self._done = name, unit, total, 0
        self._note = ""
        self._print(name)

    def advance(self, amount: int = 1) -> None:
        self._done += amount
        if time.monotonic() - self._printed_at >= _SECONDS_BETWEEN_LINES:
            of_total = f" of {self._total:,}" if self._total else ""
            note = f", {self._note}" if self._note else ""
            self._print(f"{self._name}: {self._done:,}{of_total} {self._unit}{note}")

    def note(self, text: str) -> None:
        self._note = text

    def end(self) -> None:
        pass

    def _print(self, line: str) -> None:
        self._printed_at = time.monotonic()
        say(line, err=True)


class _Bars:
    def __init__(self) -> None:
        self._bars: RichProgress | None = None
        self._task: TaskID | None = None

    def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
        bars = self._bars or self._start()
        self._finish_step()
        self._task = bars.add_task(escaped(name), total=total, unit=unit, note="")

    def advance(self, amount: int = 1) -> None:
        if self._bars and self._task is not None:
            self._bars.advance(self._task, amount)

    def note(self, text: str) -> None:
        if self._bars and self._task is not None:
            self._bars.update(self._task, note=escaped(text))

    def end(self) -> None:
        if self._bars:
            self._finish_step()
            self._bars.stop()
            self._bars = None

    def _finish_step(self) -> None:
        """Remove the bar of a step without a total; keep the full bar of a step with one."""
        if self._bars is None or self._task is None:
            return
        task = next(task for task in self._bars.tasks if task.id == self._task)
        if task.total is None:
            self._bars.remove_task(self._task)
        else:
            self._bars.stop_task(self._task)
        self._task = None

    def _start(self) -> RichProgress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        console = Console(stderr=True)
        self._bars = RichProgress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24 if console.width >= _WIDE else 8),
            MofNCompleteColumn(),
            *([TextColumn("{task.fields[unit]}", markup=False)] if console.width >= _NARROW else []),
            TimeElapsedColumn(),
            *([TextColumn("{task.fields[note]}", markup=False)] if console.width >= _WIDE else []),
            console=console,
        )
        self._bars.start()
        return self._bars
