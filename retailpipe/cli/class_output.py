"""Print the reports of the commands `retailpipe class ...`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from retailpipe.cli.invocation import as_typed
from retailpipe.cli.output import say_table, say_text
from retailpipe.cli.terminal import say
from retailpipe.counts import counted

if TYPE_CHECKING:
    from retailpipe.classroom.down import DownReport
    from retailpipe.classroom.plan import ClassPlan
    from retailpipe.classroom.rehearsal import DownPlan
    from retailpipe.classroom.status import ClassStatus
    from retailpipe.classroom.up import ClassUp


def print_plan(found: ClassPlan) -> None:
    """Print the stacks, the cost and the quotas of a plan, and why the class is refused."""
    from retailpipe.classroom.plan import ACTIONS

    complete = "class plan --json"
    rows = [
        [row.stack, ACTIONS[row.action], row.resources, _usd(row.expected), _usd(row.worst), row.problem or row.note]
        for row in found.rows
    ]
    columns = ["stack", "action", "resources", "expected", "at most", "note"]
    if all(row.resources is None for row in found.rows):  # no preview was made
        columns, rows = [*columns[:2], *columns[3:]], [[*row[:2], *row[3:]] for row in rows]
    say_table(columns, rows, spare=["note", "expected", "at most"], complete=complete)
    say(f"{found}\n")
    cost = found.cost
    rows = [[part.part, _usd(part.expected), _usd(part.worst), part.about] for part in cost.parts]
    rows.append(["total", _usd(cost.expected), _usd(cost.worst), f"USD a month; at most {cost.limit:,g} is allowed"])
    say_table(["cost", "expected", "at most", "for"], rows, spare=["for"], complete=complete)
    say_text(f"expected: {cost.expected_about}", indent=2)
    say_text(f"prices of {cost.region}, as of {cost.as_of}; other regions cost up to 25 % more", indent=2)
    say("")
    rows = [
        [quota.name, quota.needed, quota.used, quota.limit, quota.limit_from, "ok" if quota.ok else "TOO LOW"]
        for quota in found.quotas
    ]
    if rows:
        columns = ["quota", "needed", "used", "limit", "limit from", "result"]
        say_table(columns, rows, spare=["limit from", "used"], complete=complete)
    for quota in found.quotas:
        if quota.is_doubtful:
            say_text(f"{quota.name}: unknown how much is used: {quota.note}", indent=2)
    for warning in found.warnings:
        say_text(f"warning: {warning}", indent=2)
    for refusal in found.refusals:
        say(f"\nrefused: {refusal}")
    if found.ok:
        say(f"\nthe class can be deployed in account {found.account}, {found.region}")


def print_results(found: ClassUp) -> None:
    """Print what happened to each stack, then each failure with its cause and what to do next."""
    rows = [[each.stack, each.outcome, each.resources, f"{each.seconds:.0f} s"] for each in found.results]
    say_table(["stack", "result", "resources", "time"], rows)
    same_problem: dict[tuple[str, str], list[str]] = {}
    for each in found.results:
        if each.problem:
            same_problem.setdefault((each.problem, each.hint), []).append(each.stack)
    for (problem, hint), stacks in same_problem.items():
        say(f"\n{', '.join(stacks)}: {problem}")
        say(as_typed(hint))
    say(f"\n{found}")


def print_class_status(found: ClassStatus) -> None:
    """Print a row for each student, then what could not be read."""
    rows = [
        [
            row.student,
            row.database or ("-" if row.stack == "missing" else "gone"),
            row.uploads,
            row.loads,
            row.rows_rejected,
            row.last_activity,
            row.grade,
            _usd(row.cost),
            row.expires_on and row.expires_on.isoformat(),
        ]
        for row in found.rows
    ]
    columns = ["student", "database", "uploads", "loads", "rejected", "last activity", "grade", "USD", "expires"]
    spare = ["expires", "last activity", "uploads", "rejected", "grade"]
    say_table(columns, rows, spare=spare, complete="class status --json")
    for row in found.rows:
        if row.problem:
            say_text(f"{row.student}: {row.problem}", indent=2)
    if found.not_in_roster:
        say_text(f"not in the roster: {', '.join(found.not_in_roster)}", indent=2)
    say_text(str(found), indent=2)
    say_text(found.cost_about, indent=2)
    say(f"{found.course}, {found.region}, {found.at:%Y-%m-%d %H:%M:%S} UTC")


def print_down_plan(found: DownPlan, *, err: bool = False) -> None:
    """Print the stacks that would be removed, what blocks them, what would stay, and what could not be read.

    err: to the standard error, before a confirmation.
    """
    if not found.rows:
        say("no stack is to be removed", err=err)
    elif found.nothing:
        say(f"AWS has nothing of these stacks in account {found.account}, {found.region}", err=err)
    for row in found.rows:
        if not (row.resources or row.blockers or row.problem):
            continue
        cost = "" if row.cost is None else f", {row.cost:,.2f} USD so far"
        state = "blocked" if row.blockers else "would be removed"
        say(f"{row.stack}: {state}, {counted(row.resources, 'resource')}, expires {row.expires_on}{cost}", err=err)
        for blocker in row.blockers:
            say(f"  blocked by {blocker}\n    {_typed(blocker.command)}", err=err)
        for stays in row.stays:
            say(f"  would stay: {stays.kind} {stays.name}\n    {_typed(stays.removal)}", err=err)
        if row.problem:
            say(f"  {row.problem}", err=err)
    for reason in found.unread:
        say(f"unknown: {reason}", err=err)
    if found.not_in_roster:
        say(f"not in the roster, kept unless --only names them: {', '.join(found.not_in_roster)}", err=err)
    if found.rows:
        say(f"{found}\n{found.cost_about}", err=err)


def print_down(report: DownReport) -> None:
    """Print what happened to each stack, what is left, and how to remove Pulumi's state."""
    rows = [[row.stack, row.outcome, _usd(row.cost), row.reason] for row in report.rows]
    say_table(["stack", "result", "USD", "reason"], rows, spare=["USD"])
    say(report.cost_about)
    for each in report.absence.remains:
        say(f"left of {each.stack}: {each.kind} {each.name}\n  {_typed(each.removal)}")
    for reason in report.absence.unread:
        say(f"unknown: {reason}")
    say(str(report))
    if report.state:
        say("Pulumi's state of the class is kept; to remove it, run:")
        for line in report.state:
            say(f"  {line}")


def _typed(removal: str) -> str:
    """A command of a report as it must be typed here."""
    return as_typed(f"`{removal}`")[1:-1]


def _usd(amount: float | None) -> Decimal | None:
    """An amount with two digits, as a number, so that a table aligns it to the right."""
    return None if amount is None else Decimal(f"{amount:.2f}")
