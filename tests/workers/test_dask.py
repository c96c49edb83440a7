"""`ingest` on a real Dask cluster: a scheduler and workers as processes on loopback."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment, SomeNotLoaded, UsageError, WorkersError
from retailpipe.progress import NoProgress
from retailpipe.workers import dask
from retailpipe.workers.dask import DaskWorkers
from tests.conftest import Program
from tests.support.dask_cluster import Cluster
from tests.support.many_workbooks import CONTENT, assert_each_loaded_once, fill, loaded_in_one_process, rows


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and two workers, which no test may harm."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.add_workers(2)
        yield cluster


def test_cluster_loads_what_one_process_loads(environment: Environment, samples: Path, cluster: Cluster) -> None:
    keys = fill(environment, samples, 30)
    expected = loaded_in_one_process(environment)

    with DaskWorkers(cluster.address) as executor:
        reports = retailpipe.ingest(environment, executor=executor)

    assert [report.source for report in reports] == keys
    assert rows(environment, CONTENT) == expected
    assert_each_loaded_once(environment, keys)


def test_command_loads_on_the_cluster(
    environment: Environment, database_url: str, samples: Path, cluster: Cluster, program: Program
) -> None:
    keys = fill(environment, samples, 4)
    (environment.folder / keys[0]).write_bytes(b"no workbook")
    where = ("--local", environment.folder, "--database-url", database_url)

    done = program("ingest", "--workers", cluster.address, "--at-once", "1", "--json", *where)

    assert done.returncode == 1
    assert [load["source"] for load in json.loads(done.stdout)["error"]["loads"]] == keys[1:]
    assert "loading 4 workbooks" in done.stderr
    assert_each_loaded_once(environment, keys[1:])


class Harms(NoProgress):
    """Does something after the second workbook."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.done = 0

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        if self.done == 2:
            self.harm()

    def harm(self) -> None:
        raise NotImplementedError


class KillsWorker(Harms):
    def harm(self) -> None:
        self.cluster.workers[-1].kill()


class KillsScheduler(Harms):
    def harm(self) -> None:
        self.cluster.scheduler.kill()


def test_work_of_a_killed_worker_is_done_by_others(environment: Environment, samples: Path, cluster: Cluster) -> None:
    keys = fill(environment, samples, 10)
    cluster.add_workers(1)

    with DaskWorkers(cluster.address) as executor:
        reports = retailpipe.ingest(environment, executor=executor, progress=KillsWorker(cluster))

    assert cluster.workers.pop().wait() == -signal.SIGKILL
    assert len(reports) == 10
    assert_each_loaded_once(environment, keys)


@pytest.mark.nightly
def test_killed_scheduler_ends_the_call_and_the_next_call_finishes(
    environment: Environment, samples: Path, tmp_path: Path
) -> None:
    keys = fill(environment, samples, 12)

    with Cluster(tmp_path) as cluster:
        cluster.add_workers(1)
        with (
            DaskWorkers(cluster.address) as executor,
            pytest.raises(SomeNotLoaded, match="the workers were lost") as caught,
        ):
            retailpipe.ingest(environment, executor=executor, progress=KillsScheduler(cluster))

    assert caught.value.is_outage
    retailpipe.ingest(environment)
    assert_each_loaded_once(environment, keys)


def test_missing_workers_and_other_versions_are_named_before_the_first_load(
    environment: Environment, samples: Path, tmp_path: Path
) -> None:
    keys = fill(environment, samples, 2)
    other = tmp_path / "other" / "pyarrow-1.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: pyarrow\nVersion: 1.0\n")
    with Cluster(tmp_path) as cluster:
        with DaskWorkers(cluster.address) as executor, pytest.raises(WorkersError, match="has no workers"):
            retailpipe.ingest(environment, executor=executor)

        cluster.add_workers(1, env={"PYTHONPATH": str(other.parent)})

        with (
            DaskWorkers(cluster.address) as executor,
            pytest.raises(WorkersError, match=r"worker tcp:.*pyarrow is 1\.0"),
        ):
            retailpipe.ingest(environment, executor=executor)

    assert retailpipe.status(environment).waiting == tuple(keys)


@pytest.mark.parametrize(
    "address", ["host:8786", "tcp://", "tcp://host", "tcp://host:", "tcp://h:port", "tcp://a b:1", "http://h:1"]
)
def test_address_without_protocol_host_or_port_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="not the address of a scheduler"):
        DaskWorkers(address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://[::1]:1", "no scheduler answers at tcp://\\[::1\\]:1"),
        ("tls://127.0.0.1:1", "needs certificates, and Dask's settings name none"),
    ],
)
def test_scheduler_that_is_not_there_or_needs_certificates(
    address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask, "_CONNECT_SECONDS", 0.2)

    with DaskWorkers(address) as executor, pytest.raises(WorkersError, match=message):
        executor.prepare(1)


@pytest.mark.nightly
def test_worker_that_hangs_is_named_before_the_first_load(
    environment: Environment, samples: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(environment, samples, 2)
    monkeypatch.setattr(dask, "_ANSWER_SECONDS", 1.0)
    cluster.workers[0].send_signal(signal.SIGSTOP)
    try:
        with DaskWorkers(cluster.address) as executor, pytest.raises(WorkersError, match="did not answer within"):
            retailpipe.ingest(environment, executor=executor)
    finally:
        cluster.workers[0].send_signal(signal.SIGCONT)


class Interrupts(Harms):
    def harm(self) -> None:
        raise KeyboardInterrupt


@pytest.mark.nightly
def test_ctrl_c_says_how_many_are_loaded_and_leaves_the_cluster_usable(
    environment: Environment, samples: Path, cluster: Cluster
) -> None:
    keys = fill(environment, samples, 12)

    with DaskWorkers(cluster.address) as executor, pytest.raises(KeyboardInterrupt, match="2 of 12 workbooks were"):
        retailpipe.ingest(environment, executor=executor, progress=Interrupts(cluster))

    with DaskWorkers(cluster.address) as executor:
        retailpipe.ingest(environment, executor=executor)
    assert_each_loaded_once(environment, keys)


class KillsAll(Harms):
    def harm(self) -> None:
        while self.cluster.workers:
            worker = self.cluster.workers.pop()
            worker.kill()
            worker.wait()


@pytest.mark.nightly
def test_loads_on_workers_that_come_and_ends_when_all_are_gone(
    environment: Environment, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = fill(environment, samples, 12)
    monkeypatch.setattr(dask, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(dask, "_ABANDONED_SECONDS", 0.0)

    with Cluster(tmp_path) as cluster, DaskWorkers(cluster.address) as executor:
        cluster.add_workers(1)
        executor.prepare(8)
        assert executor.window() == 2
        cluster.add_workers(1)
        assert executor.window() == 4
        with pytest.raises(SomeNotLoaded, match="has no worker any more") as caught:
            retailpipe.ingest(environment, executor=executor, progress=KillsAll(cluster))

    assert caught.value.is_outage
    retailpipe.ingest(environment)
    assert_each_loaded_once(environment, keys)
