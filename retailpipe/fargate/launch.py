"""Start a run on the workers of a stack."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from retailpipe.aws.run_files import Bucket, RunFiles, runs_of
from retailpipe.aws.run_secret import create_secret
from retailpipe.aws.stack import Stack
from retailpipe.aws.tasks import start_tasks
from retailpipe.bindings import FOLDER
from retailpipe.durations import rounded
from retailpipe.environment import Environment
from retailpipe.errors import UsageError, WorkersError
from retailpipe.fargate.certificate import new_certificate
from retailpipe.fargate.following import end, is_going
from retailpipe.fargate.forecast import Forecast
from retailpipe.fargate.packages import current_manifest
from retailpipe.fargate.runs import Run
from retailpipe.names import Names
from retailpipe.reports import Report

_LONGEST_SECONDS = 2 * 3600
"""After this time every task of a run ends. What is loaded by then stays; the next run loads the rest."""


@dataclass(frozen=True)
class Hours(Report):
    """The hours of all tasks in this month. most: the setting `workerHours`."""

    used: float
    most: int

    @property
    def left(self) -> float:
        return max(self.most - self.used, 0.0)


def hours_of_month(stack: Stack, now: datetime | None = None) -> Hours:
    """Count the hours of the tasks of all runs that began in this month, in UTC. Raises AwsError."""
    bucket, now = Bucket.of(stack), now or datetime.now(UTC)
    used = 0.0
    for name in runs_of(bucket, f"{now:%Y%m}"):
        files = RunFiles(bucket, name)
        result = files.read("result") or {}
        if document := files.read("run"):
            used += Run.from_document(document).hours(now, result.get("ended_at"))
    return Hours(round(used, 3), stack.outputs.worker_hours or 0)


def require_workers(stack: Stack, workers: int) -> None:
    """Raise UsageError unless the stack allows so many workers in a run."""
    most = stack.outputs.workers or 0
    if not 1 <= workers <= most:
        what = f"at most {most} workers in a run" if most else "no workers"
        raise UsageError(
            f"stack {stack.outputs.name} has {what}",
            hint=f"Allow more with `pulumi config set workers {max(workers, 1)}` and `pulumi up`, or use `--jobs`.",
        )


def start(
    environment: Environment,
    stack: Stack,
    keys: Sequence[str],
    plan: Forecast,
    *,
    contract: Path | None = None,
    allow_duplicate: bool = False,
    at_once: int | None = None,
) -> Run:
    """Start a run that loads keys. It goes on without this machine, and ends by itself.

    Raises UsageError if the hours of the month are not enough, WorkersError if another run is going on or no packages
    are published, AwsError. After an error, no task and no secret is left.
    """
    bucket = Bucket.of(stack)
    if going := [name for name in runs_of(bucket)[-1:] if is_going(stack, name)]:
        raise WorkersError(
            f"run {going[0]} is going on",
            hint="See `retailpipe workers status`, or stop it with `retailpipe workers stop`.",
        )
    manifest = current_manifest(bucket)
    run = Run(
        name=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        outputs=stack.outputs.as_dict(),
        keys=tuple(keys),
        workers=plan.workers,
        limit=_limit(plan, hours_of_month(stack)),
        manifest=manifest,
        contracts=_contracts(environment.folder),
        contract=contract.read_text("utf-8") if contract else None,
        allow_duplicate=allow_duplicate,
        at_once=at_once,
    )
    names = Names(stack.outputs.project, stack.outputs.stack, stack.outputs.part)
    tags = {"Project": names.project, "Stack": names.stack, "Pipeline": names.prefix}
    create_secret(stack.aws, run.secret, new_certificate(run.limit), tags)
    files = RunFiles(bucket, run.name)
    arns: list[str] = []
    try:
        files.write("run", run.as_document())
        for role, count in (("client", 1), ("scheduler", 1), ("worker", run.workers)):
            spot = role == "worker" and bool(stack.outputs.worker_spot)
            for started in start_tasks(stack, run.name, count, _variables(run, role), spot=spot):
                arns += started
                files.write("tasks", {"arns": arns})
    except BaseException:
        end(stack, run, arns, "the run could not be started")
        raise
    return run


def _variables(run: Run, role: str) -> dict[str, str]:
    return {"MANIFEST": run.manifest, "LIMIT": str(run.limit), "RUN": run.name, "ROLE": role}


def _limit(plan: Forecast, hours: Hours) -> int:
    """The seconds after which the run ends: as many as the hours of the month allow. Raises UsageError."""
    seconds = hours.left / (plan.workers + 2) * 3600
    if seconds < plan.seconds:
        raise UsageError(
            f"the run would need {plan.task_hours:.1f} hours of all its tasks, and {hours.left:.1f} of {hours.most} "
            "are left in this month",
            hint=f"Load with `--jobs` instead, or allow more: `pulumi config set workerHours {hours.most * 2}`. A run "
            f"with fewer workers needs fewer hours to start, which takes {rounded(120)} of each.",
        )
    return int(min(seconds, _LONGEST_SECONDS))


def _contracts(folder: Path) -> dict[str, str]:
    files = sorted((folder / FOLDER).glob("*.toml"))
    return {file.name: file.read_text("utf-8") for file in files if not file.name.startswith(".")}
