"""What a watch does with the workbooks that arrive: it loads them, then builds and verifies once.

While AWS or the database cannot be reached, it waits inside a step.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from retailpipe import pipeline
from retailpipe.builds import is_built
from retailpipe.environment import Environment
from retailpipe.errors import AwsError, NothingLoaded, RetailpipeError, SourceNotFound, WarehouseError
from retailpipe.progress import Progress
from retailpipe.reports import LoadReport, Report, RunReport

RETRY_SECONDS = 20.0
"""Pause between two attempts while AWS, the folder or the database cannot be reached."""
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Handled(Report):
    """The result for one batch of workbooks.

    keys: the workbooks that arrived.
    run: None if nothing had to be built, or the build could not start.
    failures: one text for each workbook that was not loaded, and for a build that could not start.
    """

    keys: tuple[str, ...]
    run: RunReport | None
    failures: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.failures and (self.run is None or self.run.ok)


class Worker:
    """Loads, builds and verifies. A subclass finds the workbooks that arrive, and reports the results in its hooks.

    once, idle_exit: as in `watch`. They limit for how long to retry while something cannot be reached.
    """

    def __init__(
        self,
        environment: Environment,
        progress: Progress | None = None,
        *,
        once: bool = False,
        idle_exit: timedelta | None = None,
    ) -> None:
        self.environment = environment
        self._progress = progress
        self._retry_seconds = 0.0 if once else idle_exit.total_seconds() if idle_exit else None

    def work(self, keys: Sequence[str], known: Mapping[str, LoadReport]) -> tuple[Handled, set[str]]:
        """Load workbooks, then build and verify once. The second value is the keys of the workbooks that are done.

        Those are loaded, or no longer in the store. A failed build is retried by the next call and the next watch.
        known: the loads of the workbooks that are known to be loaded.
        """
        loads: list[LoadReport] = []
        failures: list[str] = []
        done = {key for key in keys if key in known}
        for key in [key for key in keys if key not in known]:
            try:
                loads += self._load(key)
                done.add(key)
            except SourceNotFound as error:
                self.gone(error)
                done.add(key)
            except RetailpipeError as error:
                if self.not_loaded(key, error):
                    failures.append(self.described(error))
        run = None
        if loads or not self.is_built():
            try:
                run = self._build(loads)
            except NothingLoaded:  # every workbook failed, or was deleted: there is nothing to build from
                pass
            except RetailpipeError as error:
                failures.append(self.described(error))
                self.not_built(error)
            if run and not run.build.up_to_date:
                earlier = [known[key] for key in keys if key in known] or [*known.values()]
                self.built(run, loads or earlier)
        return Handled(tuple(keys), run, tuple(failures)), done

    def gone(self, error: SourceNotFound) -> None:
        """Hook: a workbook was deleted before it was loaded."""

    def not_loaded(self, key: str, error: RetailpipeError) -> bool:
        """Hook: a workbook cannot be loaded. Returns whether to report this failure. May raise, to end the watch."""
        del key, error
        return True

    def not_built(self, error: RetailpipeError) -> None:
        """Hook: the build could not start, or was interrupted."""

    def built(self, run: RunReport, loads: Sequence[LoadReport]) -> None:
        """Hook: a build has ended, with or without errors. loads: the loads to name in the report."""

    def hint(self, error: RetailpipeError) -> str:
        """The hint of an error."""
        return error.hint

    def described(self, error: RetailpipeError) -> str:
        """The message and the hint of an error."""
        return f"{error}. {self.hint(error)}".strip()

    def is_built(self) -> bool:
        """Whether silver and gold are up to date."""
        return bool(self.until_reachable(lambda: is_built(self.environment)))

    def until_reachable(self, work: Callable[[], _T], *also: type[RetailpipeError]) -> _T:
        """Return the result of work; retry on transient errors and errors of the types `also`. Raises other errors."""
        started = time.monotonic()
        while True:
            try:
                return work()
            except RetailpipeError as error:
                waited = time.monotonic() - started
                is_retried = isinstance(error, also) or is_transient(error)
                if not is_retried or (self._retry_seconds is not None and waited >= self._retry_seconds):
                    raise
                _log.warning("%s Retrying in %d s", self.described(error), RETRY_SECONDS)
            time.sleep(RETRY_SECONDS)

    def _load(self, key: str) -> list[LoadReport]:
        return self.until_reachable(
            lambda: pipeline.ingest(self.environment, pipeline.Key(key), progress=self._progress)
        )

    def _build(self, loads: Sequence[LoadReport]) -> RunReport:
        """Transform and verify. A model that fails with an error is built again: the database may have restarted."""

        def complete() -> RunReport:
            return pipeline.complete(self.environment, loads, progress=self._progress)

        run = self.until_reachable(complete)
        if any(node.status == "error" for node in run.build.failures):
            time.sleep(RETRY_SECONDS)
            run = self.until_reachable(complete)
        return run


def is_transient(error: RetailpipeError) -> bool:
    """Whether a retry after this error may succeed: it is a transient error of AWS or the database."""
    return isinstance(error, AwsError | WarehouseError) and error.transient


def is_over(since: float, idle_exit: timedelta | None) -> bool:
    """Whether nothing has arrived for `idle_exit`. since: when the last workbook arrived, on the monotonic clock."""
    return idle_exit is not None and time.monotonic() - since >= idle_exit.total_seconds()
