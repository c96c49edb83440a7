"""`class up`: deploy the classroom stack, then one student's stack, then the others in parallel.

A fresh account fails its first database, so the first student's stack is deployed alone. A second call does only what
is missing. The failure of one stack stops no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from retailpipe.aws.databases import database_instances
from retailpipe.aws.deployed import deployed_stacks
from retailpipe.aws.session import Aws
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.engine.deployment import Deployment, StackResult, engine_errors
from retailpipe.classroom.engine.engines import Engines
from retailpipe.classroom.engine.together import Show, Together, engines_at_once
from retailpipe.classroom.engine.workspace import Workspace
from retailpipe.classroom.lock import class_lock
from retailpipe.classroom.plan import ClassPlan, plan
from retailpipe.classroom.roster import CLASSROOM
from retailpipe.counts import counted
from retailpipe.names import Names
from retailpipe.outputs import ClassroomOutputs
from retailpipe.reports import Report


@dataclass(frozen=True)
class ClassUp(Report):
    """What `class up` or `class down` did: a result for each stack, those that were not started included."""

    results: tuple[StackResult, ...]
    interrupted: bool

    @property
    def ok(self) -> bool:
        return all(result.ok for result in self.results)

    def as_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **super().as_dict()}

    def __str__(self) -> str:
        failed = sum(not result.ok for result in self.results)
        done = counted(len(self.results) - failed, "stack")
        return f"{done} done, {failed} not" if failed else f"{done} done"


def up(
    classroom: Classroom,
    aws: Aws,
    *,
    only: Sequence[str] = (),
    at_once: int | None = None,
    show: Show = lambda running, results: None,
    today: date | None = None,
) -> ClassUp:
    """Deploy the stacks of a class, or of some of its students. Everything is validated before anything is created.

    at_once: how many engines run at once; default: the class file's `stacks_at_once`, else as the memory allows.
    show: called again and again with the stacks that are being deployed and the results so far.
    Raises ClassError if the plan is refused or another `class up` is running, UsageError if pulumi is not installed,
    AwsError.
    """
    students = classroom.chosen(only)
    engines = Engines()
    with class_lock(classroom.folder):
        found = plan(classroom, aws, today=today)
        found.check()
        workspace = Workspace(classroom.file, engines, aws)
        with engine_errors("read the stacks of the class in Pulumi's state"):
            workspace.install_provider()
            in_state = set(workspace.names())

        def deployment(name: str, config: Mapping[str, str]) -> Deployment:
            return Deployment(name, workspace, config, aws, found.account)

        together = Together(engines, at_once or engines_at_once(classroom.file.stacks_at_once), show)
        shared = deployment(CLASSROOM, classroom.shared_config())
        results = together.run([shared], Deployment.up)
        if results[CLASSROOM].ok:
            network = ClassroomOutputs.from_mapping(shared.outputs).settings
            deployments = [deployment(each.name, {**classroom.config_of(each), **network}) for each in students]
            existing = deployed_stacks(classroom.file.project, aws)
            names = {each.name: Names(classroom.file.project, each.name).of("database") for each in students}
            databases = database_instances(names.values(), aws)
            for each in deployments:
                each.refresh = each.name in in_state and names[each.name] not in databases
            results |= {name: _foreign(name, classroom) for name in (existing.keys() & names.keys()) - in_state}
            results |= {
                name: _being_deleted(name, database)
                for name, database in names.items()
                if database in databases and databases[database].status == "deleting"
            }
            deployments = [each for each in deployments if each.name not in results]
            alone = deployments[:1] if not any(each.name in existing for each in students) else []
            results |= together.run(alone, Deployment.up)
            results |= together.run(deployments[len(alone) :], Deployment.up)
    return ClassUp(
        tuple(_complete([CLASSROOM, *(each.name for each in students)], results, together)), together.interrupted
    )


def previewed(classroom: Classroom, aws: Aws, found: ClassPlan, *, show: Show) -> ClassPlan:
    """The plan with the changes that the engine would make to each stack that exists. Raises UsageError, AwsError."""
    engines = Engines()
    workspace = Workspace(classroom.file, engines, aws)
    with engine_errors("read the stacks of the class in Pulumi's state"):
        workspace.install_provider()
        # AWS lists only stacks whose deployment was completed; Pulumi's state has the others too.
        states = set(workspace.names())
        rows = [replace(row, action="deployed") if row.stack in states else row for row in found.rows]
        existing = [row.stack for row in rows if row.action == "deployed" and row.stack in states]
        outputs: dict[str, Any] = {}
        if CLASSROOM in existing:
            outputs = {name: output.value for name, output in workspace.stack_outputs(CLASSROOM).items()}
    if not outputs:
        return found
    network = ClassroomOutputs.from_mapping(outputs).settings
    found = replace(found, rows=tuple(rows))
    configs = {each.name: {**classroom.config_of(each), **network} for each in classroom.students}
    configs[CLASSROOM] = classroom.shared_config()
    changes: dict[str, int] = {}

    def preview(deployment: Deployment) -> StackResult:
        changes[deployment.name] = deployment.preview()
        return StackResult(deployment.name, "unchanged", changes[deployment.name])

    together = Together(engines, engines_at_once(classroom.file.stacks_at_once), show)
    deployments = [Deployment(name, workspace, configs[name], aws) for name in existing if name in configs]
    with class_lock(classroom.folder):  # a preview writes the config of its stack
        results = together.run(deployments, preview)
    if together.interrupted:
        raise KeyboardInterrupt
    problems = {name: result.problem for name, result in results.items() if result.problem}
    noted = [replace(row, note=problems.get(row.stack, row.note)) for row in found.rows]
    return replace(found, rows=tuple(noted)).refined(changes)


def _foreign(name: str, classroom: Classroom) -> StackResult:
    """The result for a stack that exists in AWS, but that this class did not deploy."""
    return StackResult(
        name,
        "failed",
        problem=f"a stack {name} of project {classroom.file.project} exists, but not in the state of this class",
        hint="Give the student another name, or remove that stack with `pulumi destroy` where it was deployed.",
    )


def _being_deleted(name: str, database: str) -> StackResult:
    """The result for a stack whose database AWS is deleting: the engine would not see that it is gone afterwards."""
    return StackResult(
        name,
        "failed",
        problem=f"the database {database} is being deleted",
        hint="Run the command again in some minutes: it creates the database again.",
    )


def _complete(names: Sequence[str], results: Mapping[str, StackResult], together: Together) -> list[StackResult]:
    """A result for each stack, in order; those without one were not started."""
    if together.interrupted:
        reason = "the command was interrupted"
    elif together.expired:
        reason = "the AWS session has expired"
    else:
        reason = "the classroom stack is not deployed"
    hint = "Run the command again: it continues where it stopped."
    missing = {name: StackResult(name, "not started", problem=reason, hint=hint) for name in names}
    return [results.get(name, missing[name]) for name in names]
