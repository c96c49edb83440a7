"""Start, describe and stop the Fargate tasks of a run on workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.errors import AwsError
from retailpipe.names import WORKERS, Names

_STARTED_AT_ONCE = 10
_DESCRIBED_AT_ONCE = 100
"""The limits of ECS for one call."""


@dataclass(frozen=True)
class TaskState:
    """The state of a task. status: of ECS, such as RUNNING or STOPPED. reason: why it stopped, if ECS says so."""

    arn: str
    status: str
    reason: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ("STOPPED", "DELETED")


def start_tasks(
    stack: Stack, run: str, count: int, variables: Mapping[str, str], *, spot: bool = False
) -> Iterator[list[str]]:
    """Start tasks, and yield the ARNs of each ten as they start.

    variables: the environment variables of the tasks. spot: whether AWS may stop them at any time.
    Raises AwsError, also if AWS starts fewer tasks than it was asked for.
    """
    outputs = stack.outputs
    part = Names(outputs.project, outputs.stack, outputs.part).of(WORKERS)
    environment = [{"name": name, "value": value} for name, value in variables.items()]
    network = {
        "subnets": (outputs.worker_subnets or "").split(","),
        "securityGroups": [outputs.worker_group],
        "assignPublicIp": "ENABLED",  # there is no NAT gateway
    }
    for begin in range(0, count, _STARTED_AT_ONCE):
        wanted = min(_STARTED_AT_ONCE, count - begin)
        with aws_errors(f"start {wanted} tasks in cluster {part}"):
            answer = stack.aws.client("ecs").run_task(
                cluster=part,
                taskDefinition=part,
                count=wanted,
                capacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT" if spot else "FARGATE", "weight": 1}],
                networkConfiguration={"awsvpcConfiguration": network},
                overrides={"containerOverrides": [{"name": WORKERS, "environment": environment}]},
                propagateTags="TASK_DEFINITION",
                startedBy=run,
            )
        yield [task["taskArn"] for task in answer["tasks"]]
        if len(answer["tasks"]) < wanted:
            reasons = sorted({str(each.get("reason", "")) for each in answer.get("failures", [])})
            raise AwsError(
                f"AWS started only {len(answer['tasks'])} of {wanted} tasks in cluster {part}: {', '.join(reasons)}",
                hint="Use fewer workers, or ask AWS for a higher quota of Fargate vCPUs: a new account may have 6.",
            )


def describe_tasks(stack: Stack, arns: Sequence[str]) -> list[TaskState]:
    """The states of tasks, in their order. ECS forgets a task an hour after it stopped. Raises AwsError."""
    found: dict[str, Any] = {}
    for begin in range(0, len(arns), _DESCRIBED_AT_ONCE):
        with aws_errors(f"describe the tasks in cluster {_cluster(arns[0])}"):
            answer = stack.aws.client("ecs").describe_tasks(
                cluster=_cluster(arns[0]), tasks=[*arns[begin : begin + _DESCRIBED_AT_ONCE]]
            )
        found |= {task["taskArn"]: task for task in answer["tasks"]}
    return [_state(arn, found.get(arn)) for arn in arns]


def stop_tasks(stack: Stack, arns: Sequence[str], reason: str) -> None:
    """Stop tasks; those that have ended stay as they are. Raises AwsError."""
    for state in describe_tasks(stack, arns):
        if not state.ended:
            with aws_errors(f"stop the task {state.arn}"):
                stack.aws.client("ecs").stop_task(cluster=_cluster(state.arn), task=state.arn, reason=reason)


def _cluster(arn: str) -> str:
    """The cluster in the ARN of a task, which ends with task/CLUSTER/ID."""
    return arn.split("/")[1]


def _state(arn: str, task: Mapping[str, Any] | None) -> TaskState:
    if task is None:
        return TaskState(arn, "STOPPED", "ECS does not know it any more")
    codes = [f"exit code {each['exitCode']}" for each in task.get("containers", []) if each.get("exitCode") is not None]
    reasons = [task.get("stoppedReason", ""), *(each.get("reason", "") for each in task.get("containers", [])), *codes]
    return TaskState(arn, task["lastStatus"], "; ".join(dict.fromkeys(filter(None, reasons))))
