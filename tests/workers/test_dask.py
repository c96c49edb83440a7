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


def test_address_must_name_a_protocol() -> None:
    with pytest.raises(UsageError, match="not the address of a scheduler"):
        DaskWorkers("host:8786")
