"""Send tasks to an executor, a window at a time, and collect the outcomes as they come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass, field

from retailpipe.counts import counted, noun
from retailpipe.durations import rounded
from retailpipe.errors import LoadError, RetailpipeError, WarehouseError, WorkersError
from retailpipe.lineage.emitter import Emit
from retailpipe.progress import Progress
from retailpipe.reports import LoadReport
from retailpipe.workers.tasks import Outcome, Task, perform_together

_LOOK_SECONDS = 5.0
"""How often the window is asked for if no task ends."""
_TOGETHER = 16
"""The most tasks of a batch. A message to a Dask worker and its answer cost 11 ms of CPU, a third of a small load."""
_DEATHS_ALLOWED = 4
_DEATHS_TOGETHER = 2
"""A task whose workers died this often is loaded alone, so that another task is not suspected with it."""
_KILLED = "KilledWorker"
"""Dask's error of a task whose workers died. It is known by its name, because Dask need not be installed."""


@dataclass
class _Attempt:
    """A task and its place among all tasks.

    suspect: a worker died while it had the task, perhaps because of another task of the same batch.
    deaths: how often a worker died while it had this task and no other one in the same batch.
    """

    index: int
    task: Task
    suspect: bool = False
    deaths: int = 0


@dataclass
class Results:
    """Reports and errors by the index of their tasks. lost: why the workers take no more tasks."""

    reports: dict[int, LoadReport] = field(default_factory=dict[int, LoadReport])
    failures: dict[int, RetailpipeError] = field(default_factory=dict[int, RetailpipeError])
    lost: WorkersError | None = None

    @property
    def stopped(self) -> bool:
        """Whether no more tasks are to be sent."""
        outage = WarehouseError | WorkersError
        return self.lost is not None or any(isinstance(error, outage) for error in self.failures.values())


def load_all(
    executor: Executor, tasks: Sequence[Task], window: Callable[[], int], progress: Progress, emit: Emit
) -> Results:
    """Load the workbooks of tasks.

    window: how many batches may be under way at present; it is called again and again.
    emit: takes the events of the loads that have ended.

    A worker performs the tasks of a batch one after the other. A window keeps the results few, and the tasks that are
    suspect because a worker died. After an error of the database or of the workers no more tasks are sent; those under
    way are finished. KeyboardInterrupt says how many are loaded.
    """
    waiting = deque(_Attempt(index, task) for index, task in enumerate(tasks))
    running: dict[Future[list[Outcome]], list[_Attempt]] = {}
    results = Results()
    try:
        tally = _Tally(len(tasks), progress)
        while running or (waiting and not results.stopped):
            room = window()
            while waiting and not results.stopped and _may_start(waiting[0], running.values(), room):
                batch = _next_batch(waiting, room)
                try:
                    running[executor.submit(perform_together, [each.task for each in batch])] = batch
                except (BrokenExecutor, RuntimeError) as error:
                    waiting.extendleft(reversed(batch))
                    results.lost = _lost(error)
            for future in wait(running, _LOOK_SECONDS, FIRST_COMPLETED).done:
                batch = running.pop(future)
                outcomes = _outcomes(future, batch, results)
                for attempt, outcome in zip(batch, outcomes, strict=False):
                    for event in outcome.events:
                        emit(event)
                    _settle(results, attempt.index, outcome)
                    tally.add(outcome.report)
                if outcomes:
                    waiting.extendleft(reversed(batch[len(outcomes) :]))
                elif results.lost is None:
                    waiting.extend(batch)  # at the end: by then, what killed the worker may be over
    except WorkersError as error:  # no worker is left: what is under way will not end
        _cancel(running)
        results.lost = error
    except KeyboardInterrupt as error:
        _cancel(running)
        loaded = len(results.reports)
        text = f"{loaded:,} of {counted(len(tasks), 'workbook')} {noun(loaded, 'was', 'were')} loaded"
        raise KeyboardInterrupt(text) from error
    except BaseException:
        _cancel(running)
        raise
    return results


def _next_batch(waiting: deque[_Attempt], room: int) -> list[_Attempt]:
    """Remove the attempts of the next batch from those that wait.

    The batches become smaller, so that all workers end together. A suspect is alone in its batch.
    """
    batch = [waiting.popleft()]
    size = min(_TOGETHER, len(waiting) // room)
    while len(batch) < size and not batch[0].suspect and not waiting[0].suspect:
        batch.append(waiting.popleft())
    return batch


def _outcomes(future: Future[list[Outcome]], batch: Sequence[_Attempt], results: Results) -> list[Outcome]:
    """The outcomes of the first attempts of a batch; the others are to be sent again.

    There is none if the worker died, or was lost: then `results` says so.
    """
    try:
        return future.result()
    except CancelledError as error:
        results.lost = _lost(error)
        return []
    except Exception as error:  # Dask's error of a killed worker can only be known by its name; others are raised again
        if not isinstance(error, BrokenExecutor) and type(error).__name__ != _KILLED:
            raise
        for attempt in batch:
            attempt.suspect = True
        if len(batch) > 1:
            return []
        [attempt] = batch
        attempt.deaths += 1 + getattr(error, "allowed_failures", 0)  # of Dask: it has tried other workers already
        return [Outcome(error=_killing(attempt))] if attempt.deaths > _DEATHS_ALLOWED else []


def _cancel(running: Iterable[Future[list[Outcome]]]) -> None:
    for future in running:
        future.cancel()


def _may_start(attempt: _Attempt, running: Collection[Sequence[_Attempt]], window: int) -> bool:
    alone = any(each.deaths >= _DEATHS_TOGETHER for batch in ([attempt], *running) for each in batch)
    return len(running) < (1 if alone else window)


def _settle(results: Results, index: int, outcome: Outcome) -> None:
    if outcome.report:
        results.reports[index] = outcome.report
    elif outcome.error:
        results.failures[index] = outcome.error


def _lost(error: BaseException) -> WorkersError:
    lost = WorkersError(
        f"the workers were lost: {str(error) or type(error).__name__}",
        hint="Start them again, then run the same command: it loads what is not loaded yet.",
    )
    lost.__cause__ = error
    return lost


def _killing(attempt: _Attempt) -> LoadError:
    return LoadError(
        f"{attempt.task.key}: {attempt.deaths} workers died while they loaded it",
        hint="Check that the workers have enough memory: a smaller `--jobs` or `--at-once` leaves more for each.",
    )


class _Tally:
    """Counts workbooks and rows, and shows the rate and the time left."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._progress = progress
        self._total, self._done, self._rows = total, 0, 0
        self._started = time.monotonic()
        progress.step(f"loading {counted(total, 'workbook')}", unit=noun(total, "workbook", "workbooks"), total=total)

    def add(self, report: LoadReport | None) -> None:
        self._done += 1
        self._rows += report.rows_read if report else 0
        elapsed = max(time.monotonic() - self._started, 0.001)
        left = elapsed / self._done * (self._total - self._done)
        self._progress.note(f"{self._rows:,} rows, {self._rows / elapsed:,.0f} rows/s, {rounded(left)} left")
        self._progress.advance()
