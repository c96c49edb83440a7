"""Follow a run on workers from any machine, and stop it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from retailpipe.aws.run_files import Bucket, RunFiles, runs_of
from retailpipe.aws.run_secret import delete_secret
from retailpipe.aws.stack import Stack
from retailpipe.aws.tasks import TaskState, describe_tasks, stop_tasks
from retailpipe.counts import counted
from retailpipe.errors import AwsError, WorkersError
from retailpipe.fargate import results
from retailpipe.fargate.runs import Run
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import Report

_POLL_SECONDS = 3.0
_START_SECONDS = 300
"""Until then, a run without tasks may still be starting them on another machine."""


@dataclass(frozen=True)
class RunStatus(Report):
    """The state of a run.

    state: `going on` or `ended`. done: workbooks, loaded or refused. tasks: how many have not ended.
    note: the rate and the time left. loaded, failed: workbooks, after the end. error: why the run itself failed.
    """

    run: str
    state: str
    started_at: datetime
    workbooks: int
    done: int
    tasks: int
    note: str = ""
    loaded: int = 0
    failed: int = 0
    error: str = ""

    def __str__(self) -> str:
        begin = f"run {self.run}, {self.state}: "
        if self.state == "ended" and not self.error:
            return f"{begin}{self.loaded:,} of {counted(self.workbooks, 'workbook')} loaded, {self.failed:,} refused"
        if self.state == "ended":
            return f"{begin}{self.error}"
        more = f"; {self.note}" if self.note else ""
        return f"{begin}{self.done:,} of {counted(self.workbooks, 'workbook')}; {counted(self.tasks, 'task')}{more}"


def newest_run(stack: Stack) -> Run:
    """Return the newest run of a stack. Raises WorkersError if there is none, AwsError."""
    bucket = Bucket.of(stack)
    names = runs_of(bucket)
    document = RunFiles(bucket, names[-1]).read("run") if names else None
    if document is None:
        raise WorkersError(
            f"stack {stack.outputs.name} has had no run on workers for 90 days",
            hint="Start one with `retailpipe ingest --workers N`.",
        )
    return Run.from_document(document)


def status(stack: Stack, run: Run) -> RunStatus:
    """Return the state of a run. If it cannot go on and has no result, end the rest of it. Raises AwsError."""
    files = RunFiles(Bucket.of(stack), run.name)
    tasks = _tasks(stack, files)
    progress: dict[str, Any] = files.read("progress") or {}
    # Read after the tasks: a client writes its result before it ends.
    result = files.read("result")
    if result is None and (why := _why_lost(run, tasks, begun=bool(progress.get("done")))):
        result = end(stack, run, [task.arn for task in tasks], why)
    found = result or {}
    loaded, failed = len(found.get("reports", [])), len(found.get("failures", []))
    return RunStatus(
        run=run.name,
        state="ended" if result else "going on",
        started_at=run.started_at,
        workbooks=len(run.keys),
        done=max(int(progress.get("done", 0)), loaded + failed),
        tasks=sum(not task.ended for task in tasks),
        note=str(progress.get("note", "")),
        loaded=loaded,
        failed=failed,
        error=found.get("error", {}).get("message", ""),
    )


def is_going(stack: Stack, name: str) -> bool:
    """Whether a run of that name has not ended. Raises AwsError."""
    document = RunFiles(Bucket.of(stack), name).read("run")
    return document is not None and status(stack, Run.from_document(document)).state == "going on"


def follow(stack: Stack, run: Run, progress: Progress | None = None) -> dict[str, Any]:
    """Wait until a run ends, and show its progress; return its result. It goes on if this is interrupted.

    Raises AwsError.
    """
    progress = progress or NoProgress()
    files = RunFiles(Bucket.of(stack), run.name)
    progress.step("starting workers", unit="workbooks", total=len(run.keys))
    shown, step = 0, ""
    while (result := files.read("result")) is None:
        now: dict[str, Any] = files.read("progress") or {}
        if now and now["step"] != step:
            shown, step = 0, str(now["step"])
            progress.step(step, unit="workbooks", total=len(run.keys))
        if now:
            progress.note(str(now["note"]))
            progress.advance(int(now["done"]) - shown)
            shown = int(now["done"])
        status(stack, run)  # ends a run whose client is lost
        time.sleep(_POLL_SECONDS)
    return result


def stop(stack: Stack, run: Run) -> RunStatus:
    """Stop a run. What is loaded stays; PostgreSQL rolls back what was under way. Raises AwsError."""
    files = RunFiles(Bucket.of(stack), run.name)
    end(stack, run, [task.arn for task in _tasks(stack, files)], "it was stopped by `retailpipe workers stop`")
    return status(stack, run)


def end(stack: Stack, run: Run, arns: Sequence[str], reason: str) -> dict[str, Any]:
    """Stop what is left of a run, delete its secret, and write why it ended, if it has no result yet; return that.

    Every step is tried. Raises the first AwsError.
    """
    files = RunFiles(Bucket.of(stack), run.name)
    error = WorkersError(
        f"run {run.name} ended before all workbooks were loaded: {reason}",
        hint="See `retailpipe logs workers`. Start it again with `retailpipe ingest --workers N`: it loads the rest.",
    )
    failed: AwsError | None = None
    try:
        if arns:
            stop_tasks(stack, arns, reason[:200])
    except AwsError as problem:
        failed = problem
    with suppress(AwsError):
        delete_secret(stack.aws, run.secret)
    result = files.read("result")
    if result is None:
        result = results.of_error(error)
        files.write("result", result)
    if failed:
        raise failed
    return result


def _tasks(stack: Stack, files: RunFiles) -> list[TaskState]:
    """The tasks of a run; the first is its client."""
    document = files.read("tasks") or {"arns": []}
    return describe_tasks(stack, document["arns"]) if document["arns"] else []


def _why_lost(run: Run, tasks: Sequence[TaskState], *, begun: bool) -> str:
    """Why a run without a result cannot go on; empty if it can.

    tasks: the client, the scheduler, then the workers. begun: whether a workbook is done: then the client itself
    notices that it lost its workers, and its result says what they loaded.
    """
    if not tasks:
        is_late = (datetime.now(UTC) - run.started_at).total_seconds() > _START_SECONDS
        return "no task" if is_late else ""
    client, others = tasks[0], tasks[1:]
    if client.ended:
        return f"its client ended without a result: {_reason(client)}"
    if not begun and len(others) == run.workers + 1:
        scheduler, workers = others[0], others[1:]
        if scheduler.ended:
            return f"its scheduler ended: {_reason(scheduler)}"
        if all(worker.ended for worker in workers):
            return f"all its workers ended: {_reason(workers[0])}"
    return ""


def _reason(task: TaskState) -> str:
    return task.reason or "AWS gives no reason"
