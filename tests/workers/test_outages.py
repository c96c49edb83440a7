"""What happens while many workbooks load: too few connections, a server that is killed, and (nightly) many kills."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment, SomeNotLoaded, pipeline
from retailpipe.progress import NoProgress
from retailpipe.sample import write_sample
from retailpipe.workers.bounds import loads_at_once
from retailpipe.workers.dask import DaskWorkers
from retailpipe.workers.processes import Processes
from tests.bronze.test_load_interrupted import kill_server
from tests.support.dask_cluster import Cluster
from tests.support.many_workbooks import (
    CONTENT,
    LOADS,
    STRAYS,
    assert_each_loaded_once,
    fill,
    loaded_in_one_process,
    rows,
)
from tests.support.servers import as_superuser, execute

KILLS = 20
SMALL, LARGE, LARGE_ROWS = 300, 3, 60_000


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Environment]:
    """An environment with its own server of 12 connections, which may be killed."""
    environment = Environment.local(tmp_path / "own")
    pipeline.init(environment)
    url = as_superuser(environment.warehouse.uri)
    execute(url, "alter system set max_connections = 12")
    kill_server(environment)  # the next connection starts it again
    yield environment
    assert environment.server is not None
    environment.server.destroy()


class KillsServer(NoProgress):
    """Kills the server after the third workbook."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.done = 0

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        if self.done == 3:
            kill_server(self.environment)


def test_server_with_few_connections_that_is_killed_loads_all(own: Environment, samples: Path) -> None:
    keys = fill(own, samples, 20)
    assert loads_at_once(own.warehouse) < 10

    with ThreadPoolExecutor(20) as executor:
        retailpipe.ingest(own, *keys[:10], executor=executor, at_once=20)  # more than the server takes: repeated
        retailpipe.ingest(own, *keys[10:], executor=executor, progress=KillsServer(own))

    assert_each_loaded_once(own, keys)


@pytest.fixture
def crowd(own: Environment) -> list[str]:
    """The keys of 300 small workbooks and three large ones in the store."""
    folder = own.folder / "input"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(SMALL + LARGE):
        count = LARGE_ROWS if number % 100 == 50 else 60
        write_sample(folder / f"branch_{number:03}.xlsx", rows=count, seed=number)
    return [f"input/branch_{number:03}.xlsx" for number in range(SMALL + LARGE)]


class Regularly(NoProgress):
    """Kills a worker after every tenth workbook, twenty times, and the server once."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.done = self.kills = 0

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        if self.done % 10 == 0 and self.kills < KILLS:
            self.kills += 1
            self.kill()
        if self.done == SMALL // 2:
            kill_server(self.environment)

    def kill(self) -> None:
        process = active_children()[0]
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)


class KillsDaskWorkers(Regularly):
    def __init__(self, environment: Environment, cluster: Cluster) -> None:
        super().__init__(environment)
        self.cluster = cluster

    def kill(self) -> None:
        worker = self.cluster.workers.pop(0)
        worker.kill()
        worker.wait()
        self.cluster.add_workers(1)


class KillsScheduler(KillsDaskWorkers):
    def kill(self) -> None:
        if self.done == SMALL // 3:
            self.cluster.scheduler.kill()


def assert_all_loaded(environment: Environment, keys: list[str], expected: list[dict[str, object]]) -> None:
    assert [load["source"] for load in rows(environment, LOADS)] == keys
    assert {load["n"] for load in rows(environment, LOADS)} == {1}
    assert rows(environment, CONTENT) == expected
    assert rows(environment, STRAYS) == [{"n": 0}]


@pytest.mark.nightly
def test_processes_that_are_killed_twenty_times(own: Environment, crowd: list[str]) -> None:
    expected = loaded_in_one_process(own)
    kills = Regularly(own)

    with Processes(2) as executor:
        retailpipe.ingest(own, executor=executor, progress=kills)

    assert kills.kills == KILLS
    assert_all_loaded(own, crowd, expected)


@pytest.mark.nightly
def test_dask_workers_that_are_killed_twenty_times(own: Environment, crowd: list[str], tmp_path: Path) -> None:
    expected = loaded_in_one_process(own)

    with Cluster(tmp_path) as cluster:
        cluster.add_workers(2)
        kills = KillsDaskWorkers(own, cluster)
        with DaskWorkers(cluster.address) as executor:
            retailpipe.ingest(own, executor=executor, progress=kills)

    assert kills.kills == KILLS
    assert_all_loaded(own, crowd, expected)


@pytest.mark.nightly
def test_second_cluster_finishes_what_a_killed_scheduler_left(
    own: Environment, crowd: list[str], tmp_path: Path
) -> None:
    expected = loaded_in_one_process(own)

    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Cluster(folder) as cluster, DaskWorkers(cluster.address) as executor:
            cluster.add_workers(2)
            if number:
                retailpipe.ingest(own, executor=executor)
                continue
            with pytest.raises(SomeNotLoaded) as caught:
                retailpipe.ingest(own, executor=executor, progress=KillsScheduler(own, cluster))
            assert caught.value.is_outage

    assert_all_loaded(own, crowd, expected)
