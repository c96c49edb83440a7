"""`class plan`: what `class up` would do for each student, what the class can cost, and whether it fits the quotas.

Without an engine, a stack that exists is `deployed`: only a preview by Pulumi knows whether it would change. `refined`
puts the results of previews into the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Literal

from retailpipe.aws.databases import DatabaseInstance, database_instances
from retailpipe.aws.deployed import DeployedStack, deployed_stacks, has_network
from retailpipe.aws.monitors import Monitors, monitors
from retailpipe.aws.session import Aws
from retailpipe.classroom.account import checked_account
from retailpipe.classroom.costs import ClassCost, class_cost
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.quotas import QuotaCheck, check_quotas, needs
from retailpipe.classroom.roster import CLASSROOM
from retailpipe.counts import counted
from retailpipe.errors import ClassError
from retailpipe.names import Names
from retailpipe.reports import Report

Action = Literal["create", "deployed", "change", "unchanged", "gone"]
ACTIONS: Mapping[Action, str] = {
    "create": "create",
    "deployed": "deployed",
    "change": "change",
    "unchanged": "unchanged",
    "gone": "gone from the roster",
}
"""The actions as people read them."""

_NO_EMAIL = (
    "[settings] has no `notifyEmails`: nobody gets an email when the class's budget is used up, or two days before its "
    "databases are deleted"
)


@dataclass(frozen=True)
class PlanRow(Report):
    """What `class up` would do for one stack.

    stack: the student's name, or "classroom" for the stack that the class shares.
    action: `create`; `deployed` if it exists and no preview was made, else `change` or `unchanged`; `gone` if the
        roster has no student of this name: `class up` does not touch such a stack.
    resources: how many resources a preview would create, change or delete; None without a preview.
    worst, expected: the stack's monthly cost in USD; None if the class file does not describe the stack.
    note: what to know about the stack; empty if there is nothing.
    problem: why the class cannot be deployed with this stack; empty if it can.
    """

    stack: str
    action: Action
    email: str = ""
    resources: int | None = None
    worst: float | None = None
    expected: float | None = None
    note: str = ""
    problem: str = ""


@dataclass(frozen=True)
class ClassPlan(Report):
    """The plan of a class.

    ok: whether `class up` would be allowed. refusals: why not. warnings: what should be considered before.
    account, region: where the class is.
    """

    ok: bool
    course: str
    project: str
    account: str
    region: str
    expires_on: date
    rows: tuple[PlanRow, ...]
    cost: ClassCost
    quotas: tuple[QuotaCheck, ...]
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]

    def refined(self, previews: Mapping[str, int]) -> ClassPlan:
        """The plan with the results of previews: how many resources each stack would create, change or delete."""
        rows = [
            replace(
                row,
                resources=previews[row.stack],
                action=row.action if row.action != "deployed" else "change" if previews[row.stack] else "unchanged",
            )
            if row.stack in previews
            else row
            for row in self.rows
        ]
        return replace(self, rows=tuple(rows))

    def check(self) -> None:
        """Raise ClassError, with all refusals, if the class cannot be deployed."""
        if self.refusals:
            raise ClassError("\n".join(self.refusals), hint="Correct the class, then run `retailpipe class plan`.")

    def __str__(self) -> str:
        counts = Counter(row.action for row in self.rows)
        stacks = ", ".join(f"{counts[action]} {words}" for action, words in ACTIONS.items() if counts[action])
        return f"{counted(len(self.rows), 'stack')}: {stacks}"


def plan(classroom: Classroom, aws: Aws, *, today: date | None = None) -> ClassPlan:
    """Plan a class; nothing is changed.

    aws: clients for the region of the class file.
    today: the date by which expiry is judged; default: the current date in UTC.
    Raises AwsError if the credentials are missing, expired or of another account, UnknownPrice.
    """
    file = classroom.file
    class_cost(classroom)  # before any call: an unknown price is a mistake in the class file
    account = checked_account(file, aws)
    found = deployed_stacks(file.project, aws)
    shared = has_network(Names(file.project, CLASSROOM), aws)
    # The outputs are written last: a stack of which only a part was deployed has its database, but no outputs.
    database = {student.name: Names(file.project, student.name).of("database") for student in classroom.students}
    gone = {name: Names(file.project, name).of("database") for name in sorted(found.keys() - database.keys())}
    databases = database_instances({*database.values(), *gone.values()}, aws)
    new = [each for each in classroom.students if each.name not in found and database[each.name] not in databases]
    needed = needs([classroom.settings_of(student) for student in new], network=not shared)
    still_there = {name: databases[identifier] for name, identifier in gone.items() if identifier in databases}
    cost = _cost(classroom, found, still_there, monitors(aws))
    checks = check_quotas(needed, aws)
    rows = _rows(classroom, found, cost, account, shared=shared)
    refusals = _refusals(classroom, rows, cost, checks, today or datetime.now(UTC).date())
    return ClassPlan(
        ok=not refusals,
        course=file.course,
        project=file.project,
        account=account,
        region=file.region,
        expires_on=file.expires_on,
        rows=rows,
        cost=cost,
        quotas=checks,
        refusals=refusals,
        warnings=() if "notifyEmails" in file.settings else (_NO_EMAIL,),
    )


def _cost(
    classroom: Classroom,
    found: Mapping[str, DeployedStack],
    gone: Mapping[str, DatabaseInstance],
    existing: Monitors,
) -> ClassCost:
    """The cost of the class; the alarms and dashboards of its own stacks are not counted as others."""
    own = [found[student.name].outputs for student in classroom.students if student.name in found]
    alarms = sum(outputs.alarms for outputs in own if outputs)
    dashboards = sum(outputs.dashboard is not None for outputs in own if outputs)
    return class_cost(
        classroom,
        gone=gone,
        other_alarms=max(0, existing.alarms - alarms),
        other_dashboards=max(0, existing.dashboards - dashboards),
    )


def _rows(
    classroom: Classroom, found: Mapping[str, DeployedStack], cost: ClassCost, account: str, *, shared: bool
) -> tuple[PlanRow, ...]:
    rows = [PlanRow(CLASSROOM, "deployed" if shared else "create", note="shared by all students")]
    costs = {each.student: each for each in cost.students}
    for student in classroom.students:
        stack = found.get(student.name)
        rows.append(
            PlanRow(
                stack=student.name,
                action="deployed" if stack else "create",
                email=student.email,
                worst=costs[student.name].worst,
                expected=costs[student.name].expected,
                problem=_problem(stack, classroom, account) if stack else "",
            )
        )
    names = {CLASSROOM, *(student.name for student in classroom.students)}
    note = "not in the roster; `class up` does not touch it"
    rows += [PlanRow(name, "gone", note=note) for name in sorted(found.keys() - names)]
    return tuple(rows)


def _problem(stack: DeployedStack, classroom: Classroom, account: str) -> str:
    """Why the existing stack cannot be a student's; empty if it can."""
    outputs, file = stack.outputs, classroom.file
    if outputs is None:
        return stack.problem
    for name, actual, expected in (
        ("project", outputs.project, file.project),
        ("stack", outputs.stack, stack.name),
        ("account", outputs.account_id, account),
        ("region", outputs.region, file.region),
    ):
        if actual != expected:
            return f"its outputs name the {name} {actual}, not {expected}"
    return "" if outputs.ephemeral else "it is protected (`ephemeral` is false), so it is not of a class"


def _refusals(
    classroom: Classroom, rows: Sequence[PlanRow], cost: ClassCost, checks: Sequence[QuotaCheck], today: date
) -> tuple[str, ...]:
    file = classroom.file
    refusals: list[str] = []
    if file.expires_on < today:
        refusals.append(f"{file.file}: expires_on, {file.expires_on}, is in the past; choose a later date")
    refusals += [
        f"a stack {row.stack} already exists: {row.problem}. Remove it, or give the student another name"
        for row in rows
        if row.problem
    ]
    refusals += [f"{file.file}: {cost.refusal}"] if cost.is_too_high else []
    return (*refusals, *(check.refusal for check in checks if not check.ok))
