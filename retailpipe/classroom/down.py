"""`class down`: remove the stacks of a class, then prove that nothing is left.

The order: all students' stacks, in parallel; then the classroom stack, if no student's stack is left in its network.
Pulumi's state is not removed: the report has the commands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from retailpipe.aws.session import Aws
from retailpipe.classroom.absence import AbsenceReport, absence
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.rehearsal import DownPlan, StackRemoval
from retailpipe.classroom.roster import CLASSROOM
from retailpipe.classroom.spent import CostFrom
from retailpipe.classroom.state import removal_of_state
from retailpipe.counts import counted
from retailpipe.reports import Report

Outcome = Literal["removed", "absent", "failed", "blocked", "kept"]


@dataclass(frozen=True)
class Destroyed:
    """What Pulumi did with a stack.

    error: why it is not destroyed; empty if it is. was_known: whether Pulumi's state has or had the stack.
    """

    error: str = ""
    was_known: bool = True


Destroy = Callable[[Sequence[str]], Mapping[str, Destroyed]]
"""Destroys stacks in parallel with Pulumi. Returns what happened to each."""


@dataclass(frozen=True)
class RemovedStack(Report):
    """What happened to one stack.

    outcome: `removed`; `absent`, because neither AWS nor Pulumi's state has it; `failed`; `blocked` by what the plan
        says, so that it was not tried; `kept`, because another stack needs it.
    reason: why it was not removed; empty if it is gone.
    cost: until its removal, in USD; None if it is unknown. cost_from: where it is from.
    """

    stack: str
    outcome: Outcome
    reason: str
    cost: float | None
    cost_from: CostFrom


@dataclass(frozen=True)
class DownReport(Report):
    """The result of `class down`.

    absence: what is left of the stacks that were destroyed.
    state: the commands that remove Pulumi's state; empty unless the whole class is removed.
    """

    ok: bool
    rows: tuple[RemovedStack, ...]
    cost: float
    cost_about: str
    absence: AbsenceReport
    state: tuple[str, ...]

    def __str__(self) -> str:
        counts = Counter(row.outcome for row in self.rows)
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()) or "none"
        return f"{counted(len(self.rows), 'stack')}: {outcomes}; {self.absence}; {self.cost:,.2f} USD in the end"


def down(classroom: Classroom, aws: Aws, plan: DownPlan, destroy: Destroy) -> DownReport:
    """Remove the stacks of a plan that nothing blocks, then look for what is left of them.

    plan: from `rehearse_down`.
    destroy: is called with the students' stacks, then with the classroom stack. It may be called with stacks of which
        AWS has nothing: Pulumi's state may still have them.
    Raises AwsError if the credentials are missing, expired or of another account, and what `destroy` raises.
    """
    removable = plan.removable
    students = [stack for stack in removable if stack != CLASSROOM]
    resources = {row.stack: row.resources for row in plan.rows}
    destroyed = dict(destroy(students)) if students else {}
    kept = ""
    if CLASSROOM in removable:
        failed = [stack for stack in students if _failure(destroyed[stack], resources[stack])]
        kept = f"it is still used by {', '.join(failed)}" if failed else ""
        if not kept:
            destroyed |= destroy([CLASSROOM])
    rows = tuple(_row(row, destroyed.get(row.stack), kept) for row in plan.rows)
    tried = [row.stack for row in rows if row.outcome in ("removed", "absent", "failed")]
    left = prove_absence(classroom, aws, tried)
    ok = left.is_proved and all(row.outcome in ("removed", "absent") for row in rows)
    return DownReport(
        ok=ok,
        rows=rows,
        cost=plan.cost,
        cost_about=plan.cost_about,
        absence=left,
        state=removal_of_state(classroom.file, plan.account, aws) if ok and plan.whole else (),
    )


def prove_absence(classroom: Classroom, aws: Aws, stacks: Sequence[str]) -> AbsenceReport:
    """Look for what is left of stacks. Raises AwsError."""
    return absence(classroom, aws, stacks)


def _failure(destroyed: Destroyed, resources: int) -> str:
    """Why a stack is not removed; empty if it is. resources: how many AWS had of it."""
    if not destroyed.was_known and resources:
        return "Pulumi's state does not have this stack, but AWS does: see what is left of it"
    return destroyed.error


def _row(row: StackRemoval, destroyed: Destroyed | None, kept: str) -> RemovedStack:
    outcome: Outcome = "removed"
    reason = ""
    if row.blockers:
        outcome, reason = "blocked", "; ".join(map(str, row.blockers))
    elif destroyed is None:
        outcome, reason = "kept", kept
    elif failure := _failure(destroyed, row.resources):
        outcome, reason = "failed", failure
    elif not destroyed.was_known:
        outcome = "absent"
    return RemovedStack(row.stack, outcome, reason, row.cost, row.cost_from)
