"""Runs on workers, whole: the commands of the task definition as processes, with moto's S3, secrets and ECS.

The packages are published into the bucket and installed from it; Dask speaks TLS on loopback; the database is real.
"""

from __future__ import annotations

import json
import re
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from retailpipe import Environment
from retailpipe.aws.stack import Stack
from retailpipe.fargate.following import newest_run, status
from retailpipe.fargate.forecast import forecast
from retailpipe.fargate.launch import hours_of_month, start
from retailpipe.fargate.loading import ingest_on_workers
from tests.conftest import Program
from tests.support.fargate import Fargate
from tests.support.many_workbooks import assert_each_loaded_once
from tests.support.openlineage import events_of

pytestmark = pytest.mark.usefixtures("published")


def upload(environment: Environment, samples: Path, count: int) -> list[str]:
    return [environment.store.upload(file).key for file in sorted(samples.iterdir())[:count]]


def test_a_run_loads_what_waits_and_leaves_nothing(
    environment: Environment, stack: Stack, cloud: Fargate, samples: Path
) -> None:
    keys = upload(environment, samples, 5)

    reports = ingest_on_workers(environment, workers=2)

    assert [(report.source, report.status) for report in reports] == [(key, "loaded") for key in keys]
    assert_each_loaded_once(environment, keys)
    jobs = [(event["job"]["name"], event["eventType"]) for event in events_of(environment.folder)]
    assert sorted(jobs) == [(f"ingest.{key}", state) for key in keys for state in ("COMPLETE", "START")]
    assert cloud.wait() == [0, 0, 0, 0], cloud.log
    assert sorted(cloud.roles.values()) == ["client", "scheduler", "worker", "worker"]
    assert len(re.findall(r"Registered to: +tls://", cloud.log)) == 2
    assert cloud.secrets() == []
    ended = status(stack, newest_run(stack))
    assert (ended.state, ended.done, ended.loaded, ended.failed, ended.tasks) == ("ended", 5, 5, 0, 0)
    assert 0 < hours_of_month(stack, datetime.now(UTC)).used < 0.2
    assert ingest_on_workers(environment, workers=2) == []
    assert len(cloud.processes) == 4  # nothing waits, so nothing was started


@pytest.mark.nightly
def test_commands_run_on_workers_with_the_same_report_and_exit_code(
    environment: Environment, cloud: Fargate, samples: Path, tmp_path: Path, program: Program
) -> None:
    keys = upload(environment, samples, 3)
    bad = tmp_path / "bad.xlsx"
    bad.write_bytes(b"no workbook")
    environment.store.upload(bad)

    done = program("ingest", "--stack", "dev", "--workers", "2", "--json")

    assert done.returncode == 1, done.stderr + cloud.log
    assert "4 workbooks, about " in done.stderr
    answer = json.loads(done.stdout)["error"]
    assert [load["source"] for load in answer["loads"]] == keys
    assert "input/bad.xlsx" in answer["message"]
    state = json.loads(program("workers", "status", "--stack", "dev", "--json").stdout)
    assert (state["state"], state["loaded"], state["failed"]) == ("ended", 3, 1)
    assert cloud.wait() == [0, 0, 0, 0], cloud.log


@pytest.mark.nightly
def test_a_whole_run_loads_on_workers_then_builds_here(
    environment: Environment, cloud: Fargate, samples: Path, program: Program
) -> None:
    keys = upload(environment, samples, 2)

    done = program("run", "--stack", "dev", "--workers", "2", "--json")

    assert done.returncode == 0, done.stderr + cloud.log
    answer = json.loads(done.stdout)
    assert [(load["source"], load["status"]) for load in answer["loads"]] == [(key, "loaded") for key in keys]
    assert answer["ok"]
    assert answer["build"]["models"]
    assert cloud.wait() == [0, 0, 0, 0], cloud.log


@pytest.mark.nightly
def test_a_client_whose_limit_is_reached_says_so_and_ends_the_run(
    environment: Environment, stack: Stack, cloud: Fargate
) -> None:
    """The worker is halted, so that the client waits for it when the alarm comes."""
    run = start(environment, stack, ["input/a.xlsx", "input/b.xlsx"], forecast([], 1))
    cloud.of("worker")[0].send_signal(signal.SIGSTOP)
    while "Receive client connection" not in cloud.log:
        assert cloud.of("client")[0].poll() is None, cloud.log

    cloud.of("client")[0].send_signal(signal.SIGALRM)

    assert [process.wait(60) for process in (*cloud.of("client"), *cloud.of("scheduler"))] == [0, 0], cloud.log
    assert status(stack, run).error.endswith("ended before all workbooks were loaded: its time limit was reached")
    assert cloud.secrets() == []
