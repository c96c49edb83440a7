"""Show the stacks that `class up` and `class down` work on: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from retailpipe.cli.terminal import escaped, say

if TYPE_CHECKING:
    from rich.table import Table

    from retailpipe.classroom.engine.deployment import Deployment, StackResult
    from retailpipe.classroom.engine.together import Show

_STEP_WIDTH = 30


@contextmanager
def stacks_shown(*, quiet: bool = False, total: int | None = None) -> Generator[Show]:
    """Show the stacks that are being worked on inside the `with` block, on standard error, unless `quiet`.

    total: how many stacks there are, so that those that wait can be counted.
    """
    if quiet:
        yield lambda running, results: None
    elif not sys.stderr.isatty():
        yield _Lines()
    else:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
            yield lambda running, results: live.update(_table(running, results, total))


class _Lines:
    """Prints a line when work on a stack starts, and when it ends."""

    def __init__(self) -> None:
        self._started: set[str] = set()
        self._ended: set[str] = set()

    def __call__(self, running: Sequence[Deployment], results: Mapping[str, StackResult]) -> None:
        for name in [each.name for each in running] + list(results):
            if name not in self._started:
                self._started.add(name)
                say(f"{name}: started", err=True)
        for name, result in results.items():
            if name not in self._ended:
                self._ended.add(name)
                problem = f": {result.problem}" if result.problem else ""
                say(f"{name}: {result.outcome} after {result.seconds:.0f} s{problem}", err=True)


def _table(running: Sequence[Deployment], results: Mapping[str, StackResult], total: int | None) -> Table:
    from rich.table import Table

    from retailpipe.classroom.engine.together import elapsed

    table = Table(box=None, pad_edge=False, caption_justify="left")
    for column in ("stack", "step", "resources", "time"):
        table.add_column(column, no_wrap=True, justify="right" if column in ("resources", "time") else "left")
    for each in running:
        step = escaped(each.activity.step)[:_STEP_WIDTH]
        table.add_row(each.name, step, str(each.activity.done), f"{elapsed(each):.0f} s")
    done = sum(result.ok for result in results.values())
    failed = len(results) - done
    waiting = (total or 0) - len(results) - len(running)
    counts = ((done, "done"), (failed, "failed"), (waiting, "waiting"))
    table.caption = ", ".join(f"{count} {word}" for count, word in counts if count > 0)
    return table
