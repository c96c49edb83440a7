"""The work of `ingest`: loads sources one after the other in this process, or several at once on an executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from retailpipe.backlog import compare, write_missing_receipts
from retailpipe.bindings import Bindings
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import ContractError, RetailpipeError, UsageError, WarehouseError
from retailpipe.loads import load_snapshot
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import LoadReport, SomeNotLoaded
from retailpipe.sources import Key, Keys, snapshot_of, stored_key


@dataclass(frozen=True)
class Options:
    """How workbooks are loaded: the arguments of `pipeline.ingest` with the same names."""

    contract: Contract | None = None
    allow_duplicate: bool = False
    dry_run: bool = False
    replace: bool = False
    executor: Executor | None = None
    at_once: int | None = None


def load_sources(
    environment: Environment,
    sources: Sequence[str | Path],
    options: Options,
    progress: Progress | None,
    starting: Callable[[], None] | None = None,
) -> list[LoadReport]:
    """Load sources; none stands for the workbooks that wait. starting: called before a workbook is loaded.

    Raises what `pipeline.ingest` raises.
    """
    if options.at_once is not None and options.at_once < 1:
        raise UsageError(f"{options.at_once} loads at once are too few", hint="Load at least 1 at once.")
    loading = _Loading(environment, options, progress, starting)
    wanted = sources or loading.backlog()
    if options.executor and not options.dry_run and loading.pays(options.executor, wanted):
        loading.load_on(options.executor, wanted)
    else:
        loading.load_here(wanted)
    reports = [report for _, report in sorted(loading.reports.items())]
    failures = [error for _, error in sorted(loading.failures.items())]
    if failures and len(sources) == 1:
        raise failures[0]
    if failures:
        raise SomeNotLoaded(reports, failures, untried=max(len(wanted) - len(reports) - len(failures), 0))
    return reports


class _Loading:
    """The loads of one call. reports, failures: by the index of their source."""

    def __init__(
        self,
        environment: Environment,
        options: Options,
        progress: Progress | None,
        starting: Callable[[], None] | None,
    ) -> None:
        self._environment = environment
        self._options = options
        self._progress = progress
        self._starting = starting
        self._bindings = Bindings.of(environment.folder)
        self._keys = Keys(environment.store)
        self._would_load: dict[str, str] = {}
        self.reports: dict[int, LoadReport] = {}
        self.failures: dict[int, RetailpipeError] = {}

    def backlog(self) -> list[Key]:
        """The keys of the workbooks that wait.

        Unless it is a dry run, also write missing receipts: the Lambda check_bucket reads them to find workbooks that
        are not loaded.
        """
        options = self._options
        found = compare(self._environment, contract=options.contract, dry_run=options.dry_run)
        if not options.dry_run:
            write_missing_receipts(self._environment, found)
        self._keys = Keys(self._environment.store, found.workbooks)
        return [Key(key) for key in found.waiting]

    def load_here(self, wanted: Sequence[str | Path]) -> None:
        """Load one after the other, until the database fails."""
        for index, source in enumerate(wanted):
            self._try(index, source)
            if isinstance(self.failures.get(index), WarehouseError):
                return

    def pays(self, executor: Executor, wanted: Sequence[str | Path]) -> bool:
        """Whether to load on an executor: several workbooks, and large enough for processes that are to be started."""
        from retailpipe.workers.processes import Processes

        if len(wanted) < 2 or not isinstance(executor, Processes) or executor.is_asked_for:
            return len(wanted) > 1
        return executor.pays(len(wanted), sum(self._keys.size_of(source) for source in wanted))

    def load_on(self, executor: Executor, wanted: Sequence[str | Path]) -> None:
        """Upload files, then load all on an executor, at most as many at once as the database takes."""
        from retailpipe.lineage.emitter import emit
        from retailpipe.workers.bounded import BoundedExecutor
        from retailpipe.workers.bounds import loads_at_once
        from retailpipe.workers.places import Place
        from retailpipe.workers.programs import program
        from retailpipe.workers.tasks import Task
        from retailpipe.workers.window import load_all

        place = Place.of(self._environment)
        at_once = self._options.at_once or loads_at_once(self._environment.warehouse)
        if isinstance(executor, BoundedExecutor):
            executor.prepare(at_once)
            window = executor.window
        else:

            def window() -> int:
                return at_once

        keys = self._stored(wanted)
        tasks: dict[int, Task] = {}
        for index, key in keys.items():
            try:
                contract = self._contract_for(key)
            except ContractError:  # several contracts are for it: a load here records that
                self._try(index, key)
                continue
            stored = self._keys.find(key)
            task = Task(key, stored.etag if stored else "", place, contract, self._options.allow_duplicate, program())
            tasks[index] = task
        if tasks and self._starting:
            self._starting()
        indexes = [*tasks]
        emit_here = partial(emit, self._environment.folder)
        results = load_all(executor, [*tasks.values()], window, self._progress or NoProgress(), emit_here)
        self.reports |= {indexes[number]: report for number, report in results.reports.items()}
        self.failures |= {indexes[number]: error for number, error in results.failures.items()}
        if results.lost:
            self.failures[len(wanted)] = results.lost

    def _stored(self, wanted: Sequence[str | Path]) -> dict[int, Key]:
        keys: dict[int, Key] = {}
        for index, source in enumerate(wanted):
            try:
                keys[index] = stored_key(
                    self._environment, source, self._keys, replace=self._options.replace, progress=self._progress
                )
            except RetailpipeError as error:
                self.failures[index] = error
        return keys

    def _contract_for(self, key: str) -> Contract | None:
        return self._options.contract or self._bindings.contract_for(key)

    def _try(self, index: int, source: str | Path) -> None:
        """Load a source in this process."""
        options = self._options
        try:
            with snapshot_of(
                self._environment,
                source,
                self._keys,
                replace=options.replace,
                dry_run=options.dry_run,
                progress=self._progress,
            ) as snapshot:
                report = load_snapshot(
                    self._environment,
                    snapshot,
                    self._contract_for,
                    allow_duplicate=options.allow_duplicate,
                    dry_run=options.dry_run,
                    would_load=self._would_load,
                    progress=self._progress,
                    starting=self._starting,
                )
            self.reports[index] = report
            if options.dry_run:
                self._would_load[report.content_hash] = report.source
        except RetailpipeError as error:
            self.failures[index] = error
