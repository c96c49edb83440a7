"""Deploy, preview or destroy one stack of a class with an engine, and tell how far it is.

Before an update it repairs what a killed engine left: a lock of a process that has ended, and resources whose creation
was cut off.
"""

from __future__ import annotations

import re
import shlex
import socket
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Literal

import psutil
from pulumi.automation import EngineEvent, OpType, Stack, UpResult
from pulumi.automation.errors import CommandError, ConcurrentUpdateError, StackNotFoundError

from retailpipe.aws.session import Aws
from retailpipe.classroom.engine.unfinished import found_id, pending_creates
from retailpipe.classroom.engine.workspace import Workspace
from retailpipe.errors import AwsError, RetailpipeError
from retailpipe.reports import Report

Outcome = Literal["created", "changed", "unchanged", "removed", "absent", "failed", "interrupted", "not started"]

_EXPIRED = re.compile(
    r"ExpiredToken|TokenRefreshRequired|token has expired|SSO session|security token .* expired", re.I
)
_SERVICE_LINKED_ROLE = re.compile(r"service.linked role", re.I)
_LOCKED_BY = re.compile(r"created by (\S+) \(pid (\d+)\) at (\S+)")
_CANCELLED = re.compile(r"update cancell?ed|preview cancell?ed|signal: (killed|interrupt)|^\s*code: -\d+", re.I | re.M)
_NOISE = re.compile(r"^\s*(error: )?(update failed|preview failed|destroy failed)?\s*$", re.I)


@dataclass(frozen=True)
class StackResult(Report):
    """What happened to one stack.

    resources: how many resources were created, changed or deleted. seconds: how long it took.
    problem, hint: the cause of a failure and what to do next; empty if there is none.
    log: the file with the engine's output.
    """

    stack: str
    outcome: Outcome
    resources: int = 0
    seconds: float = 0.0
    problem: str = ""
    hint: str = ""
    log: str = ""

    @property
    def ok(self) -> bool:
        return self.outcome in ("created", "changed", "unchanged", "removed", "absent")


@dataclass
class Activity:
    """What an engine is doing with a stack. done: how many resources it has finished."""

    step: str = "waiting"
    done: int = 0
    started: float = 0.0


class Deployment:
    """One stack of a class.

    config: the settings of the stack; None if it is only destroyed.
    aws, account: where resources are that a killed engine left.
    """

    def __init__(
        self,
        name: str,
        workspace: Workspace,
        config: Mapping[str, str] | None,
        aws: Aws | None = None,
        account: str = "",
    ) -> None:
        self.name = name
        self.refresh = False
        """Whether to read the resources from AWS before the update, since AWS has deleted some: the database has
        expired."""
        self.activity = Activity()
        self._workspace = workspace
        self._config = config
        self._aws, self._account = aws, account
        self.outputs: Mapping[str, Any] = {}

    @property
    def log(self) -> Path:
        """The file with the engine's output."""
        return self._workspace.folder / "logs" / f"{self.name}.log"

    def up(self) -> StackResult:
        """Deploy the stack. A failure is in the result."""

        def update(stack: Stack, log: TextIOWrapper) -> StackResult:
            self._import_unfinished(stack, log)
            if self.refresh:
                self._workspace.refresh(self.name, [])
            self.activity.step = "deploying"
            try:
                result = self._updated(stack, log)
            except CommandError as error:
                # The first database of an account can fail, because RDS creates its service-linked role meanwhile.
                if not _SERVICE_LINKED_ROLE.search(str(error)):
                    raise
                result = self._updated(stack, log)
            self.outputs = {name: output.value for name, output in result.outputs.items()}
            changes = {str(kind): count for kind, count in (result.summary.resource_changes or {}).items()}
            same = changes.pop("same", 0)
            count = sum(changes.values())
            outcome: Outcome = "unchanged" if not count else "changed" if same else "created"
            return StackResult(self.name, outcome, count)

        return self._run(lambda: self._workspace.prepared(self.name, self._config or {}), update)

    def preview(self) -> int:
        """How many resources `up` would create, change or delete. Raises AwsError if the engine fails."""
        with engine_errors(f"preview the stack {self.name}"):
            stack = self._workspace.prepared(self.name, self._config or {})
            summary = stack.preview(color="never").change_summary
        return sum(count for kind, count in summary.items() if kind != OpType.SAME)

    def destroy(self) -> StackResult:
        """Delete all resources of the stack and its state. A failure is in the result.

        The outcome is `absent` if Pulumi's state does not have the stack.
        """

        def remove(stack: Stack, log: TextIOWrapper) -> StackResult:
            self._import_unfinished(stack, log)
            self.activity.step = "removing"
            result = stack.destroy(on_output=_to(log), on_error=_to(log), on_event=self._noted, color="never")
            self._workspace.remove_stack(self.name)
            return StackResult(self.name, "removed", (result.summary.resource_changes or {}).get(OpType.DELETE, 0))

        try:
            return self._run(lambda: self._workspace.existing(self.name), remove)
        except StackNotFoundError:
            self.activity.step = "absent"
            return StackResult(self.name, "absent")

    def _updated(self, stack: Stack, log: TextIOWrapper) -> UpResult:
        return stack.up(on_output=_to(log), on_error=_to(log), on_event=self._noted, color="never")

    def _run(self, prepare: Callable[[], Stack], work: Callable[[Stack, TextIOWrapper], StackResult]) -> StackResult:
        self.activity.started = time.monotonic()
        self.activity.step = "preparing"
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("w", encoding="utf-8", errors="replace") as log:
            try:
                stack = prepare()
                if self._workspace.stale_locks(self.name):
                    stack.cancel()  # it deletes the lock; the process that held it has ended
                try:
                    result = work(stack, log)
                except ConcurrentUpdateError as error:
                    if not _is_of_ended_process(str(error)):
                        raise
                    stack.cancel()
                    result = work(stack, log)
            except StackNotFoundError:  # `up` creates its stack, so only `destroy` meets this
                raise
            except ConcurrentUpdateError as error:
                result = self._locked(str(error))
            except CommandError as error:
                log.write(str(error))
                result = self._failed(str(error))
            except RetailpipeError as error:
                expired = _EXPIRED.search(str(error))
                result = self._failed(str(error)) if expired else self._refused(error)
        seconds = round(time.monotonic() - self.activity.started, 1)
        self.activity.step = result.outcome
        return replace(result, seconds=seconds, log=str(self.log))

    def _noted(self, event: EngineEvent) -> None:
        if event.resource_pre_event and event.resource_pre_event.metadata.op != OpType.SAME:
            self.activity.step = event.resource_pre_event.metadata.urn.rpartition("::")[2]
        elif event.res_outputs_event and event.res_outputs_event.metadata.op != OpType.SAME:
            self.activity.done += 1

    def _import_unfinished(self, stack: Stack, log: TextIOWrapper) -> None:
        """Import the resources whose creation was cut off into the state, or forget those that do not exist."""
        pending = pending_creates(stack.export_stack().deployment or {})
        if not pending:
            return
        self.activity.step = "repairing"
        arguments: list[str] = []
        for each in pending:
            found = found_id(each, self._aws, self._account) if self._aws else None
            if found:
                arguments += ["--import-pending-creates", each.urn, "--import-pending-creates", found]
            log.write(f"the creation of {each.urn} was cut off; {f'imported as {found}' if found else 'repeated'}\n")
        if arguments:
            self._workspace.refresh(self.name, arguments)
        self._workspace.refresh(self.name, ["--clear-pending-creates"])

    def _locked(self, text: str) -> StackResult:
        found = _LOCKED_BY.search(text)
        who = f"{found[1]} (process {found[2]}, since {found[3]})" if found else "another process"
        return StackResult(
            self.name,
            "failed",
            problem=f"the stack is locked by {who}",
            hint="Wait until that process has ended, then run the command again. If the process does not exist any "
            f"more, run `PULUMI_BACKEND_URL={shlex.quote(self._workspace.state_url)} pulumi cancel --yes --stack "
            f"{self.name}` in {self._workspace.folder}.",
        )

    def _refused(self, error: RetailpipeError) -> StackResult:
        return StackResult(self.name, "failed", problem=str(error), hint=error.hint)

    def _failed(self, text: str) -> StackResult:
        if _EXPIRED.search(text):
            hint = "Log in again, then run the command again: it continues where it stopped."
            return StackResult(self.name, "failed", problem="the AWS session has expired", hint=hint)
        if _CANCELLED.search(text):
            hint = "Run the command again: it continues where it stopped."
            return StackResult(self.name, "interrupted", problem="the engine was stopped", hint=hint)
        return StackResult(
            self.name, "failed", problem=cause(text), hint=f"Read {self.log}, then run the command again."
        )


@contextmanager
def engine_errors(doing: str) -> Generator[None]:
    """Translate errors of the engine in the `with` block into AwsError: "cannot {doing}: ..."."""
    try:
        yield
    except CommandError as error:
        raise AwsError(
            f"cannot {doing}: {cause(str(error))}",
            hint="Log in if the session has expired, then run the command again.",
        ) from error


def cause(text: str) -> str:
    """The first lines in an engine's output that name an error."""
    lines = [line.strip() for line in text.splitlines()]
    errors = [line for line in lines if re.search(r"\berror:", line) and not _NOISE.match(line)]
    chosen = errors or [line for line in lines if line and not line.startswith(("code:", "stdout:", "stderr:"))]
    return re.sub(r"^(stderr: )?error: ", "", chosen[0]) if chosen else "the engine failed without a message"


def _is_of_ended_process(text: str) -> bool:
    """Whether all locks that a message of the engine names are of processes on this machine that have ended."""
    found = [*_LOCKED_BY.finditer(text)]
    return bool(found) and all(
        lock[1].rpartition("@")[2] == socket.gethostname() and not psutil.pid_exists(int(lock[2])) for lock in found
    )


def has_expired(result: StackResult) -> bool:
    """Whether a stack failed because the credentials have expired, so that all others would fail too."""
    return result.problem == "the AWS session has expired"


def _to(log: TextIOWrapper) -> Callable[[str], None]:
    def write(line: str) -> None:
        log.write(f"{line}\n")
        log.flush()

    return write
