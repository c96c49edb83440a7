"""Polls the folder input/ of a local environment, and loads each workbook that is new or has changed.

It polls, because folders on a network share have no file events. A poll reads only the names, sizes and times of the
files, and the database is queried only if some of them are new. So an idle watch does not query the database, and does
not start an embedded server that was stopped.

- Settled: a workbook is loaded once its size and its time of change have stayed the same for two seconds, so that a
  file is not loaded while it is being copied. The two seconds are measured with the clock of this machine, because the
  clock of a file server may differ.
- Failed: a workbook that cannot be loaded is reported once, and tried again when it changes or when a watch starts. If
  it changed while it was being loaded, the failure is not reported: the new content is loaded next.
- Unreachable: while the folder or the database cannot be reached, the watcher waits. The ledger and the files show
  which workbooks are not loaded, so none is lost, even if the watcher is killed.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from datetime import timedelta
from pathlib import Path

from retailpipe import backlog
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError, StoreError
from retailpipe.keys import INPUT
from retailpipe.progress import Progress
from retailpipe.snapshots import remedy
from retailpipe.watch.worker import Handled, Worker, is_over, is_transient

_POLL_SECONDS = 1.0
_SETTLED_SECONDS = 2.0


def watch_folder(
    environment: Environment,
    *,
    once: bool = False,
    idle_exit: timedelta | None = None,
    progress: Progress | None = None,
) -> Generator[Handled]:
    """`watch` of a local environment."""
    _create(environment.folder / INPUT)
    watcher = FolderWatcher(environment, progress, once=once, idle_exit=idle_exit)
    yield from watcher.catch_up()
    last = time.monotonic()
    while True:
        settled = watcher.poll()
        if settled:
            yield from watcher.handle(settled)
        if settled or watcher.is_changing:
            last = time.monotonic()
        elif once or is_over(last, idle_exit):
            return
        time.sleep(_POLL_SECONDS)


class FolderWatcher(Worker):
    """The steps of the watch of a local environment. An etag stands for one content of a workbook."""

    def __init__(
        self,
        environment: Environment,
        progress: Progress | None = None,
        *,
        once: bool = False,
        idle_exit: timedelta | None = None,
    ) -> None:
        super().__init__(environment, progress, once=once, idle_exit=idle_exit)
        self._seen: dict[str, str] = {}
        """The etags of the workbooks that were loaded or have failed, by key."""
        self._changing: dict[str, tuple[str, float]] = {}
        """The etags of the other workbooks, and when each was seen first, on the monotonic clock."""

    @property
    def is_changing(self) -> bool:
        """Whether a workbook is new and may still be incomplete."""
        return bool(self._changing)

    def catch_up(self) -> Generator[Handled]:
        """Record which workbooks are loaded, and finish a build that a killed process left. Raises StoreError."""
        found = {stored.key: stored.etag for stored in self.environment.store.workbooks()}
        waiting = self.until_reachable(lambda: backlog.waiting(self.environment))
        self._seen = {key: etag for key, etag in found.items() if key not in waiting}
        if self._seen and not waiting and not self.is_built():
            yield self.work([], {})[0]

    def poll(self) -> list[str]:
        """List the folder once; return the keys of the workbooks that are new or changed, and have settled."""
        now, found = time.monotonic(), self._etags()
        # Drop workbooks that were deleted. If one is created again, the ledger shows whether it is loaded.
        self._seen = {key: etag for key, etag in self._seen.items() if key in found}
        changed = {key: etag for key, etag in found.items() if self._seen.get(key) != etag}
        before = self._changing
        self._changing = {
            key: before[key] if key in before and before[key][0] == etag else (etag, now)
            for key, etag in changed.items()
        }
        return [key for key, (_, since) in self._changing.items() if now - since >= _SETTLED_SECONDS]

    def handle(self, keys: Sequence[str]) -> Generator[Handled]:
        """Load those of the workbooks that are not loaded, build and verify; yields the result if there is any."""
        waiting = self.until_reachable(lambda: backlog.waiting(self.environment), StoreError)
        to_load = [key for key in keys if key in waiting]
        handled = self.work(to_load, {})[0] if to_load else None
        for key in keys:
            self._seen[key] = self._changing.pop(key)[0]
        if handled and (handled.run or handled.failures):
            yield handled

    def not_loaded(self, key: str, error: RetailpipeError) -> bool:
        if is_transient(error):  # the database could not be reached within the time limit
            raise error
        return self._etags().get(key) == self._changing[key][0]

    def _etags(self) -> dict[str, str]:
        """The etag of each workbook in the folder. While the folder cannot be read, it is tried again."""
        workbooks = self.until_reachable(self.environment.store.workbooks, StoreError)
        return {stored.key: stored.etag for stored in workbooks}


def _create(folder: Path) -> None:
    """Create the folder if there is none, so that workbooks can be copied into it. Raises StoreError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot create {folder}: {error.strerror}", hint=remedy(error)) from error
