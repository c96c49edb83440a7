"""Starting, following and stopping runs whose tasks end early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from retailpipe import AwsError, Environment, UsageError, WorkersError
from retailpipe.aws.cleanup import Cleanup
from retailpipe.aws.run_files import Bucket, RunFiles
from retailpipe.aws.stack import Stack
from retailpipe.fargate.following import newest_run, status, stop
from retailpipe.fargate.forecast import Forecast, forecast
from retailpipe.fargate.launch import hours_of_month, start
from retailpipe.fargate.loading import ingest_on_workers
from retailpipe.fargate.runs import Run
from tests.support.fargate import Fargate

KEYS = ["input/a.xlsx", "input/b.xlsx"]


@pytest.fixture
def started(environment: Environment, stack: Stack, published: None) -> Callable[[], Run]:
    """A function that starts a run of two workbooks on one worker."""
    return lambda: start(environment, stack, KEYS, forecast([], 1))


def test_the_first_run_needs_packages(environment: Environment, stack: Stack, cloud: Fargate) -> None:
    with pytest.raises(WorkersError, match="no packages are published") as caught:
        start(environment, stack, KEYS, forecast([], 2))

    assert "`retailpipe workers publish`" in caught.value.hint
    assert (cloud.processes, cloud.secrets()) == ({}, [])


def test_a_stack_limits_the_workers_of_a_run(environment: Environment, cloud: Fargate) -> None:
    for workers in (17, 0):
        with pytest.raises(UsageError, match="at most 16 workers"):
            ingest_on_workers(environment, workers=workers)

    assert not cloud.processes


def test_a_local_environment_has_no_workers_on_aws(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs an AWS stack"):
        ingest_on_workers(Environment.embedded(tmp_path), workers=2)


def test_a_run_that_needs_more_than_the_hours_of_the_month_is_refused(
    environment: Environment, stack: Stack, published: None, cloud: Fargate
) -> None:
    plan = Forecast(workbooks=9, rows=9, workers=2, seconds=26 * 3600, task_hours=104, usd=5)

    with pytest.raises(UsageError, match=r"104\.0 hours of all its tasks, and 100\.0 of 100 are left") as caught:
        start(environment, stack, KEYS, plan)

    assert "`pulumi config set workerHours 200`" in caught.value.hint
    assert (cloud.processes, cloud.secrets()) == ({}, [])


def test_a_run_whose_client_is_killed_ends_when_somebody_looks(
    stack: Stack, started: Callable[[], Run], cloud: Fargate
) -> None:
    run = started()
    with pytest.raises(WorkersError, match=f"run {run.name} is going on"):
        started()
    cloud.of("client")[0].kill()
    cloud.of("client")[0].wait()

    seen = status(stack, newest_run(stack))

    assert (seen.run, seen.state) == (run.name, "ended")
    assert "its client ended without a result: Essential container in task exited (-9)" in seen.error
    assert all(process.poll() is not None for process in cloud.processes.values())
    assert cloud.secrets() == []
    assert str(seen) == str(status(stack, run))


@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_a_run_that_lost_what_it_needs_to_begin_ends_when_somebody_looks(
    role: str, stack: Stack, started: Callable[[], Run], cloud: Fargate
) -> None:
    run = started()
    (lost,) = cloud.of(role)
    lost.kill()
    lost.wait()

    seen = status(stack, run)

    assert seen.state == "ended"
    assert f"{role}{'s' if role == 'worker' else ''} ended: Essential container in task exited (-9)" in seen.error
    assert all(process.poll() is not None for process in cloud.processes.values())
    assert cloud.secrets() == []


def test_a_run_is_stopped(stack: Stack, started: Callable[[], Run], cloud: Fargate) -> None:
    run = started()
    with pytest.raises(
        AwsError, match="3 tasks of a run are in the cluster of stack dev; nothing was deleted"
    ) as caught:
        Cleanup("dev", stack.aws).remove()
    assert "`retailpipe workers stop --stack dev`" in caught.value.hint

    stopped = stop(stack, run)

    Cleanup("dev", stack.aws).check()
    assert (stopped.state, stopped.tasks) == ("ended", 0)
    assert "it was stopped by `retailpipe workers stop`" in stopped.error
    assert cloud.secrets() == []
    assert hours_of_month(stack, run.started_at + timedelta(hours=1)).used < 0.2  # not the three hours of three tasks


def test_a_run_that_aws_does_not_start_completely_leaves_nothing(
    environment: Environment, stack: Stack, published: None, cloud: Fargate
) -> None:
    elsewhere = replace(stack, outputs=replace(stack.outputs, worker_subnets="subnet-0"))

    with pytest.raises(AwsError, match="cannot start 1 tasks in cluster retailpipe-dev-workers"):
        start(environment, elsewhere, KEYS, forecast([], 2))

    assert (cloud.processes, cloud.secrets()) == ({}, [])
    assert "the run could not be started" in status(stack, newest_run(stack)).error


@pytest.mark.nightly
def test_damaged_packages_are_not_installed(
    stack: Stack, environment: Environment, published: None, cloud: Fargate
) -> None:
    bucket = Bucket.of(stack)
    (wheel,) = [key for key in bucket.keys("workers/packages/") if key.endswith(".whl")]
    bucket.write(wheel, b"other bytes")

    run = start(environment, stack, KEYS, forecast([], 1))

    assert set(cloud.wait()) == {1}
    assert f"{wheel} is damaged" in cloud.log
    assert RunFiles(bucket, run.name).read("result") is None
    assert "exited (1)" in status(stack, run).error
