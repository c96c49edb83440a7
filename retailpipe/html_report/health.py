"""Find what is not right: invariants that do not hold, tables that are out of date, workbooks that are not loaded."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from retailpipe import backlog
from retailpipe.builds import own_models_problem, up_to_date
from retailpipe.counts import counted
from retailpipe.environment import Environment
from retailpipe.errors import NothingLoaded, RetailpipeError, WarehouseError
from retailpipe.html_report.facts import Check, Problem
from retailpipe.invariants import verified

if TYPE_CHECKING:
    from retailpipe.connection import Connection

_WORKBOOKS_NAMED = 3


def invariants(connection: Connection) -> tuple[tuple[Check, ...], tuple[Problem, ...]]:
    """All invariants, and a problem for each that does not hold, or one if they cannot be checked.

    Raises WarehouseError if the connection is lost.
    """
    try:
        report = verified(connection)
    except NothingLoaded:
        return (), ()
    except WarehouseError as error:
        if error.transient:
            raise
        # Without silver and gold there is nothing to compare. The transaction is intact: nothing was queried yet.
        return (), (Problem("Silver and gold are not built", f"{error}.", "transform"),)
    checks = tuple(Check(each.name, each.ok, each.expected, each.actual) for each in report.invariants)
    return checks, tuple(
        Problem("An invariant does not hold", f"{each.name}: {each.expected} expected, {each.actual} found.", "verify")
        for each in checks
        if not each.ok
    )


def freshness(connection: Connection, environment: Environment) -> tuple[Problem, ...]:
    """The problem that silver and gold, or the user's models, are not built from all current loads. Raises nothing."""
    try:
        if up_to_date(connection, environment):
            return ()
        own = own_models_problem(connection, environment)
    except RetailpipeError as error:
        return (Problem("It is not known whether the tables are up to date", f"{error}."),)
    reason = f"{own[0].upper()}{own[1:]}." if own else "A load or a model changed since the last build, or it failed."
    return (Problem("Tables are out of date", reason, "transform", is_failure=False),)


def unloaded(environment: Environment) -> tuple[Problem, ...]:
    """The workbooks that are in the store and not loaded, or loaded and no longer in the store. Raises nothing."""
    try:
        found = backlog.compare(environment, dry_run=True)
        refused = backlog.refusals_of(environment, found.waiting)
    except (RetailpipeError, OSError) as error:
        return (Problem("The workbooks in the store cannot be listed", f"{error}.", "check", is_failure=False),)
    problems: list[Problem] = []
    names = {refusal.source for refusal in refused}
    problems += [
        Problem("A workbook was refused", f"{refusal.source}: {refusal}.", f"ingest {shlex.quote(refusal.source)}")
        for refusal in refused
    ]
    if waiting := [key for key in found.waiting if key not in names]:
        what = counted(len(waiting), "workbook is not loaded yet", "workbooks are not loaded yet")
        problems.append(Problem(what, _named(waiting), "run", is_failure=False))
    if found.removed:
        what = counted(len(found.removed), "loaded workbook is", "loaded workbooks are")
        command = f"forget {shlex.quote(found.removed[0])}"
        problems.append(Problem(f"{what} no longer in the store", _named(found.removed), command, is_failure=False))
    return tuple(problems)


def _named(keys: list[str]) -> str:
    more = len(keys) - _WORKBOOKS_NAMED
    return ", ".join(keys[:_WORKBOOKS_NAMED]) + (f" and {more:,} more" if more > 0 else "")
