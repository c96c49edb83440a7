"""Find what is not right: invariants that do not hold, tables that are out of date, workbooks that are not loaded."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from retailpipe import backlog
from retailpipe.builds import own_models_problem, up_to_date, why_outdated
from retailpipe.counts import counted
from retailpipe.environment import Environment
from retailpipe.errors import HEADER_CELLS, NothingLoaded, RetailpipeError, WarehouseError
from retailpipe.html_report.facts import Check, Problem
from retailpipe.invariants import layer_of, verified
from retailpipe.reports import Refusal

if TYPE_CHECKING:
    from retailpipe.connection import Connection

_WORKBOOKS_NAMED = 3


@dataclass(frozen=True)
class Age:
    """Tables that are out of date. layers: the layers whose invariants need not hold because of that."""

    problem: Problem
    layers: frozenset[str]


def agreement(connection: Connection, environment: Environment) -> tuple[tuple[Check, ...], tuple[Problem, ...]]:
    """All invariants, and what is wrong with the tables.

    Tables that are out of date are one problem: it stands for all invariants that the next build may mend.
    Raises WarehouseError if the connection is lost.
    """
    age = _age(connection, environment)
    try:
        report = verified(connection)
    except NothingLoaded:
        return (), ()
    except WarehouseError as error:
        if error.transient:
            raise
        # Without silver and gold there is nothing to compare. The transaction is intact: nothing was queried yet.
        return (), (Problem("Silver and gold are not built", f"{error}.", "transform"),)
    checks = tuple(
        Check(each.name, each.ok, each.expected, each.actual, layer_of(each.name)) for each in report.invariants
    )
    return checks, problems(checks, age)


def problems(checks: tuple[Check, ...], age: Age | None) -> tuple[Problem, ...]:
    """The problems of invariants that do not hold, after the problem of tables that are out of date."""
    broken = [check for check in checks if not check.ok]
    stale = [check for check in broken if age and check.layer in age.layers]
    found = [
        Problem("An invariant does not hold", f"{each.name}: {each.expected} expected, {each.actual} found.", "verify")
        for each in broken
        if each not in stale
    ]
    if age and stale:
        detail = f"{age.problem.detail} {counted(len(stale), 'invariant does', 'invariants do')} not hold now."
        return (replace(age.problem, detail=detail, is_failure=True), *found)
    return (*([age.problem] if age else []), *found)


def _age(connection: Connection, environment: Environment) -> Age | None:
    """The problem that silver and gold, or the user's models, are not built from all current loads. Raises nothing."""
    try:
        if up_to_date(connection, environment):
            return None
        ours, own = why_outdated(connection), own_models_problem(connection, environment)
    except RetailpipeError as error:
        return Age(Problem("It is not known whether the tables are up to date", f"{error}."), frozenset())
    if ours:
        layers = frozenset({"gold", "own"})
        return Age(Problem("Silver and gold are out of date", ours, "transform", is_failure=False), layers)
    reason = f"{own[0].upper()}{own[1:]}." if own else "A table of a model is missing."
    return Age(Problem("Tables are out of date", reason, "transform", is_failure=False), frozenset({"own"}))


def unloaded(environment: Environment) -> tuple[Problem, ...]:
    """The workbooks that are in the store and not loaded, or loaded and no longer in the store. Raises nothing."""
    try:
        found = backlog.compare(environment, dry_run=True)
        refused = backlog.refusals_of(environment, found)
    except (RetailpipeError, OSError) as error:
        return (Problem("The workbooks in the store cannot be listed", f"{error}.", "check", is_failure=False),)
    names = {refusal.source for refusal in refused}
    problems = [_refused(environment, refusal) for refusal in refused]
    if waiting := [key for key in found.waiting if key not in names]:
        what = counted(len(waiting), "workbook is not loaded yet", "workbooks are not loaded yet")
        problems.append(Problem(what, _named(waiting), "run", is_failure=False))
    if found.removed:
        what = counted(len(found.removed), "loaded workbook is", "loaded workbooks are")
        command = f"forget {shlex.quote(found.removed[0])}"
        problems.append(Problem(f"{what} no longer in the store", _named(found.removed), command, is_failure=False))
    return tuple(problems)


def _refused(environment: Environment, refusal: Refusal) -> Problem:
    """The problem of a workbook that was refused, with the whole first line of the reason.

    If its headers do not fit the contract, the command drafts another contract; otherwise it tries the load again.
    """
    reason = refusal.reason.partition("\n")[0].rstrip(":.")
    place = "" if reason.startswith(refusal.source) else f"{refusal.source}: "
    when = f"on {refusal.refused_at:%Y-%m-%d at %H:%M} UTC"
    if HEADER_CELLS in refusal.reason:
        file = "FILE" if environment.stack else shlex.quote(str(environment.folder / refusal.source))
        return Problem(f"A workbook was refused {when}", f"{place}{reason}.", f"contract init {file} --save")
    return Problem(
        f"A workbook was refused {when}",
        f"{place}{reason}. Correct it, then load it again.",
        f"ingest {shlex.quote(refusal.source)}",
    )


def _named(keys: list[str]) -> str:
    more = len(keys) - _WORKBOOKS_NAMED
    return ", ".join(keys[:_WORKBOOKS_NAMED]) + (f" and {more:,} more" if more > 0 else "")
