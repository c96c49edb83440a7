"""The rehearsal of `class down`: what would be removed, what would block it, and what would stay. It only reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from retailpipe.aws.billing import Bill, Billing
from retailpipe.aws.blockers import (
    Attachment,
    Blocker,
    attachments,
    bucket_blockers,
    database_blockers,
    network_blockers,
    policy_blockers,
)
from retailpipe.aws.databases import DatabaseInstance, database_instances
from retailpipe.aws.deployed import DeployedStack, caller_of, deployed_stacks
from retailpipe.aws.inventory import Inventory, Resource, inventory
from retailpipe.aws.kinds import Place
from retailpipe.aws.session import Aws, is_credentials_error
from retailpipe.classroom.account import checked_account
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.roster import CLASSROOM
from retailpipe.classroom.spent import CostFrom, cost_about, cost_so_far, first_day
from retailpipe.counts import counted
from retailpipe.errors import AwsError, ClassError
from retailpipe.names import Names
from retailpipe.prices import Prices
from retailpipe.reports import Report
from retailpipe.threads import in_parallel

_THREADS = 16
_STAYING = ("snapshot", "automated backup", "secret in recovery")
_DECLARED_LOGS = ("postgresql",)
_LOG_GROUP = "log group"


@dataclass(frozen=True)
class StackRemoval(Report):
    """What the removal of one stack would do.

    resources: how many resources AWS has of it; 0 if there is nothing to remove.
    blockers: what would stop the removal. stays: what the removal would leave behind, each with the command that
        removes it.
    cost: so far, in USD; None if it is unknown. cost_from: where it is from.
    problem: what could not be read, and why; empty if all could be.
    """

    stack: str
    resources: int
    expires_on: date
    blockers: tuple[Blocker, ...]
    stays: tuple[Resource, ...]
    cost: float | None
    cost_from: CostFrom
    problem: str = ""


@dataclass(frozen=True)
class DownPlan(Report):
    """What `class down` would do.

    rows: the stacks in the order of their removal: the students', then the classroom stack.
    whole: whether these are all stacks of the class.
    not_in_roster: other stacks of the project that exist; they are removed only if --only names them.
    unread: lists of AWS that could not be read, each with the reason.
    """

    course: str
    project: str
    account: str
    region: str
    rows: tuple[StackRemoval, ...]
    whole: bool
    cost: float
    cost_about: str
    not_in_roster: tuple[str, ...]
    unread: tuple[str, ...]

    @property
    def removable(self) -> tuple[str, ...]:
        """The stacks that nothing blocks, in the order of their removal."""
        return tuple(row.stack for row in self.rows if not row.blockers)

    @property
    def nothing(self) -> bool:
        """Whether AWS has nothing of these stacks."""
        return not self.unread and not any(row.resources for row in self.rows)

    def __str__(self) -> str:
        existing = [row for row in self.rows if row.resources]
        blocked = sum(bool(row.blockers) for row in existing)
        stays = sum(len(row.stays) for row in existing)
        resources = sum(row.resources for row in existing)
        return (
            f"{counted(len(existing), 'stack')} with {counted(resources, 'resource')} would be removed, "
            f"{blocked} blocked, {counted(stays, 'resource')} would stay; {self.cost:,.2f} USD so far"
        )


def rehearse_down(
    classroom: Classroom,
    aws: Aws,
    *,
    only: Collection[str] | None = None,
    expired: bool = False,
    billing: Billing | None = None,
    now: datetime | None = None,
) -> DownPlan:
    """Find out what the removal of a class, or of some of its stacks, would do. Nothing is changed.

    only: names of students, "classroom", or other stacks of the project; None: all students of the roster and the
        classroom stack.
    expired: only stacks whose date of expiry has passed.
    billing: keeps the answer of Cost Explorer. now: default: the current time.
    Raises ClassError if `only` has a name that neither the roster nor AWS has; AwsError if the credentials are missing,
    expired or of another account.
    """
    return _Rehearsal(classroom, aws, billing or Billing(aws), now or datetime.now(UTC)).plan(only, expired)


class _Rehearsal:
    """Reads what is the same for all stacks, then the buckets."""

    def __init__(self, classroom: Classroom, aws: Aws, billing: Billing, now: datetime) -> None:
        file = classroom.file
        self._classroom, self._aws, self._billing, self._now = classroom, aws, billing, now
        self._students = {student.name: student for student in classroom.students}
        self._place = Place(aws, file.project, checked_account(file, aws))
        self._unread: list[str] = []
        calls: list[Any] = [
            partial(inventory, [*self._students, CLASSROOM], self._place, discover=True,
                    removals=(*_STAYING, _LOG_GROUP)),
            partial(self._or, {}, deployed_stacks, file.project, aws),
            partial(self._or, (), attachments, aws),
            partial(self._or, "", caller_of, aws),
        ]  # fmt: skip
        answers: list[Any] = in_parallel(lambda call: call(), calls, _THREADS)
        self._inventory: Inventory = answers[0]
        self._deployed: Mapping[str, DeployedStack] = answers[1]
        self._attachments: Sequence[Attachment] = answers[2]
        self._caller: str = answers[3]
        self._unread += self._inventory.unread
        identifiers = {self._names(stack).of("database") for stack in self._inventory.resources}
        self._instances: Mapping[str, DatabaseInstance] = self._or({}, database_instances, identifiers, aws)

    def plan(self, only: Collection[str] | None, expired: bool) -> DownPlan:
        file, existing = self._classroom.file, self._inventory.resources
        if only and (unknown := sorted({*only} - existing.keys())):
            raise ClassError(
                f"neither the roster {file.roster} nor project {file.project} in {file.region} has a stack "
                f"{' or '.join(unknown)}; nothing was removed",
                hint=f"The stacks are {', '.join(existing)}.",
            )
        selected = [stack for stack in (*self._students, *existing) if stack != CLASSROOM]
        selected = list(dict.fromkeys([*selected, CLASSROOM]))
        wanted = {*self._students, CLASSROOM} if only is None else {*only}
        selected = [stack for stack in selected if stack in wanted]
        if expired:
            today = self._now.date()
            selected = [stack for stack in selected if existing[stack] and self._expiry(stack) < today]
        bill, since, prices = self._bill(selected), self._since(), Prices.known()
        rows = in_parallel(lambda stack: self._row(stack, bill, prices), selected, _THREADS)
        if CLASSROOM in selected:
            rows[-1] = replace(rows[-1], blockers=(*rows[-1].blockers, *self._users_of_network(rows[:-1])))
        others = {stack for stack in existing if existing[stack]} - self._students.keys() - {CLASSROOM}
        return DownPlan(
            course=file.course,
            project=file.project,
            account=self._place.account,
            region=file.region,
            rows=tuple(rows),
            whole={*self._students, CLASSROOM} <= {*selected},
            cost=round(sum(row.cost or 0 for row in rows), 2),
            cost_about=cost_about(bill, since, prices, is_known=any(row.cost_from for row in rows)),
            not_in_roster=tuple(sorted(others - {*selected})),
            unread=tuple(self._unread),
        )

    def _row(self, stack: str, bill: Bill, prices: Prices) -> StackRemoval:
        names, resources = self._names(stack), self._inventory.resources[stack]
        instance = self._instances.get(names.of("database"))
        blockers, problem = list[Blocker](), ""
        if resources:
            blockers += self._protection(stack, resources)
            blockers += self._policies(stack, resources)
            if instance:
                blockers += database_blockers(instance, f"{names.project}/{stack}", self._aws)
            try:
                for each in resources:
                    if each.kind == "bucket" and each.found_by == "name":
                        blockers += bucket_blockers(each.name, self._place.account, self._caller, self._aws)
            except AwsError as error:
                if is_credentials_error(error):
                    raise
                problem = str(error)
        cost, cost_from = cost_so_far(names.prefix, bool(resources), instance, bill, prices, self._now)
        return StackRemoval(
            stack=stack,
            resources=len(resources),
            expires_on=self._expiry(stack),
            blockers=tuple(blockers),
            stays=tuple(each for each in resources if self._stays(each, names)),
            cost=cost,
            cost_from=cost_from,
            problem=problem,
        )

    def _protection(self, stack: str, resources: Sequence[Resource]) -> list[Blocker]:
        """The blockers of a stack whose setting `ephemeral` is false, which no stack of a class should have."""
        found = self._deployed.get(stack)
        if not found or not found.outputs or found.outputs.ephemeral:
            return []
        # No stack of a class is protected, so this one was deployed elsewhere: `class up` would refuse it.
        redeploy = f"pulumi config set ephemeral true --stack {stack} && pulumi up --stack {stack}"
        blockers = [Blocker("protection", f"stack {stack}", "its setting `ephemeral` is false", redeploy)]
        last = self._names(stack).of("last")
        for each in resources:
            if each.kind == "snapshot" and each.name == last:
                reason = "the last snapshot of the database would have this name"
                blockers.append(Blocker("snapshot", f"snapshot {last}", reason, each.removal))
        return blockers

    def _policies(self, stack: str, resources: Sequence[Resource]) -> list[Blocker]:
        student = self._students.get(stack)
        policies = {each.name for each in resources if each.kind == "policy"}
        roles = {each.name for each in resources if each.kind == "role"}
        user = student.iam_user if student else ""
        return [*policy_blockers(policies, roles, user, self._attachments, self._aws)]

    def _users_of_network(self, rows: Sequence[StackRemoval]) -> list[Blocker]:
        """Why the classroom stack must stay: stacks of students that are not removed, and what else is in its network.

        rows: the other stacks that would be removed.
        """
        removed = {row.stack for row in rows if not row.blockers}
        blockers = [
            Blocker(
                "stack in use", f"stack {CLASSROOM}", f"stack {stack} uses it", f"retailpipe class down --only {stack}"
            )
            for stack in self._students
            if self._inventory.resources[stack] and stack not in removed
        ]
        known = {blocker.command for blocker in blockers}
        groups = {self._names(stack).of("database") for stack in removed}
        for each in self._inventory.resources[CLASSROOM]:
            if each.kind == "network" and each.found_by == "name":
                found: Sequence[Blocker] = self._or((), network_blockers, self._place, each.name, groups)
                blockers += [blocker for blocker in found if blocker.command not in known]
        return blockers

    def _stays(self, resource: Resource, names: Names) -> bool:
        if resource.kind == _LOG_GROUP and resource.found_by == "name":
            declared = {names.database_log_group(log) for log in _DECLARED_LOGS}
            return resource.name.startswith(names.database_log_group("")) and resource.name not in declared
        return resource.kind in _STAYING

    def _expiry(self, stack: str) -> date:
        """The latest date of the stack's tags; without one, that of the class file."""
        dates = [*self._inventory.expires_on.get(stack, ())]
        instance = self._instances.get(self._names(stack).of("database"))
        if instance:
            dates.append(instance.tags.get("ExpiresOn", ""))
        return max(filter(None, map(_date, dates)), default=self._classroom.file.expires_on)

    def _bill(self, stacks: Sequence[str]) -> Bill:
        existing = self._inventory.resources
        pipelines = {self._names(stack).prefix for stack in stacks if existing[stack]}
        return self._billing.bill(pipelines, self._since(), self._now.date()) if pipelines else Bill({})

    def _since(self) -> date:
        stacks = sum(bool(found) for stack, found in self._inventory.resources.items() if stack != CLASSROOM)
        return first_day(self._instances.values(), stacks, self._now)

    def _names(self, stack: str) -> Names:
        return Names(self._classroom.file.project, stack)

    def _or(self, default: Any, read: Any, *arguments: Any) -> Any:
        """The result of a call; the default if AWS refused it, and then the reason is kept.

        Raises AwsError if AWS does not accept the credentials.
        """
        try:
            return read(*arguments)
        except AwsError as error:
            if is_credentials_error(error):
                raise
            self._unread.append(str(error))
            return default


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
