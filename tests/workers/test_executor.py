"""`ingest` and `run` with an executor: bronze equals what one process loads, and each workbook is loaded once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import pytest

import retailpipe
from retailpipe import (
    ContractError,
    DuplicateContent,
    Environment,
    SomeNotLoaded,
    SourceNotFound,
    UsageError,
    WorkersError,
)
from retailpipe.progress import NoProgress
from retailpipe.sources import Keys
from retailpipe.workers import tasks
from retailpipe.workers.bounds import loads_at_once
from retailpipe.workers.places import Place
from retailpipe.workers.processes import Processes, ctrl_c_postponed
from retailpipe.workers.programs import program
from retailpipe.workers.tasks import Task, perform, perform_together
from tests.conftest import Workbook
from tests.support.deadly import die_of
from tests.support.many_workbooks import CONTENT, assert_each_loaded_once, fill, loaded_in_one_process, rows
from tests.support.servers import run_sql
from tests.support.waiting import wait_for


def test_processes_load_what_one_process_loads(environment: Environment, samples: Path) -> None:
    keys = fill(environment, samples, 30)
    expected = loaded_in_one_process(environment)

    with Processes(2) as executor:
        reports = retailpipe.ingest(environment, executor=executor)

    assert [report.source for report in reports] == keys
    assert rows(environment, CONTENT) == expected
    assert_each_loaded_once(environment, keys)
    assert active_children() == []


def test_any_executor_serves(environment: Environment, samples: Path) -> None:
    keys = fill(environment, samples, 4)

    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        retailpipe.ingest(environment, *keys[:2], executor=executor)
    with ThreadPoolExecutor(2) as executor:
        retailpipe.ingest(environment, executor=executor)

    assert_each_loaded_once(environment, keys)


def test_files_are_uploaded_then_loaded_by_workers(environment: Environment, samples: Path) -> None:
    files = sorted(samples.iterdir())[:3]

    with ThreadPoolExecutor(2) as executor:
        retailpipe.ingest(environment, *files, executor=executor)

    assert_each_loaded_once(environment, [f"input/{file.name}" for file in files])


def test_one_failure_stops_no_other(environment: Environment, samples: Path) -> None:
    keys = fill(environment, samples, 4)
    (environment.folder / keys[1]).write_bytes(b"no workbook")

    with ThreadPoolExecutor(2) as executor, pytest.raises(SomeNotLoaded) as caught:
        retailpipe.ingest(environment, executor=executor)

    assert [report.source for report in caught.value.reports] == [keys[0], *keys[2:]]
    assert [type(failure).__name__ for failure in caught.value.failures] == ["WorkbookError"]
    assert [refusal.source for refusal in retailpipe.status(environment).refusals] == [keys[1]]


def test_of_two_workbooks_with_the_same_content_one_is_refused(environment: Environment, samples: Path) -> None:
    keys = fill(environment, samples, 2)
    (environment.folder / keys[1]).write_bytes((environment.folder / keys[0]).read_bytes())

    with ThreadPoolExecutor(2) as executor, pytest.raises(SomeNotLoaded) as caught:
        retailpipe.ingest(environment, executor=executor)

    assert isinstance(caught.value.failures[0], DuplicateContent)
    assert len(caught.value.reports) == 1


def test_workbook_for_several_contracts_fails_alone(environment: Environment, samples: Path) -> None:
    keys = fill(environment, samples, 3)
    folder = environment.folder / "contracts"
    folder.mkdir()
    text = (Path(retailpipe.__file__).parent / "contracts" / "online_retail.toml").read_text()
    for name in ("one", "two"):
        (folder / f"{name}.toml").write_text(f'files = ["branch_00*"]\n{text}')

    with ThreadPoolExecutor(2) as executor, pytest.raises(SomeNotLoaded) as caught:
        retailpipe.ingest(environment, executor=executor)

    assert isinstance(caught.value.failures[0], ContractError)
    assert_each_loaded_once(environment, keys[1:])


def test_run_loads_all_then_builds_once(environment: Environment, samples: Path) -> None:
    fill(environment, samples, 3)

    with ThreadPoolExecutor(2) as executor:
        report = retailpipe.run(environment, executor=executor)

    assert report.ok
    assert len(report.loads) == 3


class Kills(NoProgress):
    """Kills a worker process after each of the first workbooks."""

    def __init__(self, kills: int) -> None:
        self.left = kills

    def advance(self, amount: int = 1) -> None:
        del amount
        if self.left and (children := active_children()):
            self.left -= 1
            assert children[0].pid is not None
            os.kill(children[0].pid, signal.SIGKILL)


def test_killed_workers_are_replaced_and_nothing_is_loaded_twice(environment: Environment, samples: Path) -> None:
    keys = fill(environment, samples, 10)
    kills = Kills(2)

    with Processes(2) as executor:
        reports = retailpipe.ingest(environment, executor=executor, progress=kills)

    assert kills.left == 0
    assert len(reports) == 10
    assert_each_loaded_once(environment, keys)


def test_pool_of_the_caller_that_breaks_ends_the_call(environment: Environment, samples: Path) -> None:
    keys = fill(environment, samples, 6)

    with (
        ProcessPoolExecutor(1, get_context("spawn")) as executor,
        pytest.raises(SomeNotLoaded, match="the workers were lost") as caught,
    ):
        retailpipe.ingest(environment, executor=executor, progress=Kills(1))

    assert caught.value.is_outage
    assert len(caught.value.reports) + len(caught.value.failures) + caught.value.untried == len(keys)
    retailpipe.ingest(environment)
    assert_each_loaded_once(environment, keys)


class Recorder(ThreadPoolExecutor):
    """Notes the keys of each batch."""

    def __init__(self) -> None:
        super().__init__(2)
        self.batches: list[list[str]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.batches.append([task.key for task in args[0]])
        return super().submit(fn, *args, **kwargs)


def test_many_workbooks_are_sent_in_batches_that_become_smaller(
    environment: Environment, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_TOGETHER_SECONDS", 600.0)  # on a busy machine, a worker would send the rest back
    keys = fill(environment, samples, 20)

    with Recorder() as executor:
        reports = retailpipe.ingest(environment, executor=executor, at_once=2)

    assert [report.source for report in reports] == keys
    assert [len(batch) for batch in executor.batches[:3]] == [9, 5, 2]
    assert len(executor.batches[-1]) == 1
    assert_each_loaded_once(environment, keys)


def test_rest_of_a_slow_batch_is_sent_again(
    environment: Environment, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_TOGETHER_SECONDS", 0.0)
    keys = fill(environment, samples, 10)

    with Recorder() as executor:
        reports = retailpipe.ingest(environment, executor=executor, at_once=2)

    assert [report.status for report in reports] == ["loaded"] * 10
    assert len(executor.batches) == 10
    assert len(executor.batches[0]) > 1
    assert_each_loaded_once(environment, keys)


def test_batch_ends_with_an_outage(environment: Environment, samples: Path) -> None:
    keys = fill(environment, samples, 2)
    newer = (("retailpipe", "99.0"), *program()[2:])
    together = [Task(key, "", Place.of(environment), None, False, newer) for key in keys]

    [outcome] = perform_together(together)

    assert isinstance(outcome.error, WorkersError)


class Deadly(Processes):
    """Processes that die when they get one of the workbooks, as if it took all memory."""

    def __init__(self, key: str) -> None:
        super().__init__(2)
        self._key = key

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(partial(die_of, self._key, fn), *args, **kwargs)


def test_workbook_that_kills_each_worker_fails_alone(environment: Environment, samples: Path) -> None:
    keys = fill(environment, samples, 20)

    with Deadly(keys[3]) as executor, pytest.raises(SomeNotLoaded) as caught:
        retailpipe.ingest(environment, executor=executor)

    assert [str(failure) for failure in caught.value.failures] == [f"{keys[3]}: 5 workers died while they loaded it"]
    assert caught.value.untried == 0
    assert_each_loaded_once(environment, [*keys[:3], *keys[4:]])


class Interrupts(NoProgress):
    """Ctrl-C after the second workbook."""

    def __init__(self) -> None:
        self.done = 0

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        if self.done == 2:
            raise KeyboardInterrupt


def test_ctrl_c_keeps_what_is_loaded_and_leaves_no_process(environment: Environment, samples: Path) -> None:
    keys = fill(environment, samples, 8)

    with pytest.raises(KeyboardInterrupt), Processes(2) as executor:
        retailpipe.ingest(environment, executor=executor, progress=Interrupts())

    assert active_children() == []
    assert 2 <= rows(environment, "select count(*) as n from bronze.loads")[0]["n"] < 8
    retailpipe.ingest(environment)
    assert_each_loaded_once(environment, keys)


def test_ctrl_c_in_another_thread_takes_effect_after_a_process_has_started() -> None:
    begins = threading.Event()

    def receive() -> None:
        begins.wait()
        signal.raise_signal(signal.SIGINT)

    other = threading.Thread(target=receive)
    other.start()  # before SIGINT is blocked: a thread takes the mask of the one that starts it
    started: list[bool] = []

    def start() -> None:
        begins.set()
        other.join()
        started.append(True)

    with pytest.raises(KeyboardInterrupt), ctrl_c_postponed():
        start()

    assert started
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_task_is_harmless_to_repeat(environment: Environment, samples: Path) -> None:
    [key] = fill(environment, samples, 1)
    task = Task(key, "", Place.of(environment), None, False, program())

    first, second = perform(task), perform(task)

    assert first.report is not None
    assert second.report is not None
    assert (first.report.status, second.report.status) == ("loaded", "unchanged")
    assert_each_loaded_once(environment, [key])


def test_worker_with_another_version_loads_nothing(environment: Environment, samples: Path) -> None:
    [key] = fill(environment, samples, 1)
    newer = (("retailpipe", "99.0"), *program()[2:])

    outcome = perform(Task(key, "", Place.of(environment), None, False, newer))

    assert isinstance(outcome.error, WorkersError)
    assert "retailpipe is 0.1.0 there and 99.0 here" in str(outcome.error)
    assert retailpipe.status(environment).waiting == (key,)


@pytest.mark.parametrize(
    "url", ["postgresql://user:secret@127.0.0.1:1/name", "postgresql://user@127.0.0.1:1/name?sslpassword=secret"]
)
def test_place_holds_no_password(environment: Environment, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(UsageError, match="passwords are not sent"):
        Place.of(Environment.local(environment.folder, database_url=url))

    monkeypatch.setenv("RETAILPIPE_DATABASE_URL", url)
    place = Place.of(Environment.local(environment.folder))
    assert "secret" not in repr(place)
    assert place.environment().warehouse.uri == url


def test_environment_put_together_by_hand_is_refused(environment: Environment, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="its store is not the folder"):
        Place.of(replace(environment, folder=tmp_path / "other"))


def test_bound_leaves_connections_for_others(database_url: str, environment: Environment) -> None:
    most = run_sql(database_url, "select current_setting('max_connections')::int")
    assert 1 <= loads_at_once(environment.warehouse) < most

    run_sql(database_url, f"alter database {run_sql(database_url, 'select current_database()')} connection limit 6")

    wait_for(lambda: loads_at_once(environment.warehouse) == 4)  # the server ends closed connections a moment later


def test_too_few_at_once_is_refused(environment: Environment, make_workbook: Workbook) -> None:
    with pytest.raises(UsageError, match="0 loads at once"):
        retailpipe.ingest(environment, make_workbook(), at_once=0)


def test_sources_of_the_store_are_listed_once_unless_one_is_new(environment: Environment, samples: Path) -> None:
    first, second, third = fill(environment, samples, 3)
    keys = Keys(environment.store)
    assert (keys.named(first), keys.named(Path(second).name)) == (first, second)
    (environment.folder / third).rename(environment.folder / "input" / "new.xlsx")

    assert keys.named(third) == third  # it is still in the listing; its load says that it is gone
    assert keys.named("new.xlsx") == "input/new.xlsx"
    with pytest.raises(SourceNotFound):
        keys.named(third)


@pytest.mark.parametrize(
    ("workbooks", "size", "pays"),
    [(2, 80_000, False), (20, 800_000, False), (60, 2_400_000, True), (2, 12_000_000, True), (2, 5_000_000, False)],
)
def test_processes_are_the_default_for_much_work(workbooks: int, size: int, pays: bool) -> None:
    assert Processes.pays(workbooks, size) is pays
