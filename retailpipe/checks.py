"""The end-to-end check: whether each part of the pipeline exists, works, and is up to date with the part before it.

Each point is a function that returns the detail of a point that passes, and raises an error with a hint otherwise.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from retailpipe import backlog
from retailpipe.bronze import ledger, schema
from retailpipe.builds import own_models_problem, tables_unread
from retailpipe.contract import Contract
from retailpipe.counts import counted, noun, some_of
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError
from retailpipe.invariants import verify
from retailpipe.keys import printable
from retailpipe.reports import CheckPoint, CheckReport


class _Failed(Exception):
    """A point fails. hint: the next command to try."""

    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.hint = hint


def check(environment: Environment) -> CheckReport:
    """Check every point, even after one fails. A failed point has a hint with the next command to try.

    If the connection fails, the points that need it are not tried: they fail with the same message.

    A local environment has seven points, an AWS stack nine. No error is raised: errors become failed points.
    """
    points: list[CheckPoint] = []
    unreachable: CheckPoint | None = None
    for name, attempt in _points(environment):
        if unreachable and name in _NEED_CONNECTION:  # do not wait for the same connection timeout at each point
            points.append(CheckPoint(name, ok=False, detail=unreachable.detail, hint=unreachable.hint))
            continue
        points.append(_try(name, attempt, environment))
        if name == "connection" and not points[-1].ok:
            unreachable = points[-1]
    return CheckReport(all(point.ok for point in points), tuple(points))


def _try(name: str, attempt: Callable[[Environment], str], environment: Environment) -> CheckPoint:
    try:
        return CheckPoint(name, ok=True, detail=attempt(environment))
    except _Failed as failed:
        return CheckPoint(name, ok=False, detail=str(failed), hint=failed.hint)
    except RetailpipeError as error:
        return CheckPoint(name, ok=False, detail=str(error), hint=error.hint)
    except OSError as error:
        return CheckPoint(name, ok=False, detail=str(error), hint="Check the permissions of the folder.")


def _store(environment: Environment) -> str:
    workbooks = environment.store.workbooks()
    if not workbooks:
        raise _Failed(f"no workbooks in {environment.store.address}", "Upload one with `retailpipe upload FILE`.")
    return f"{counted(len(workbooks), 'workbook')} in {environment.store.address}"


def _database(environment: Environment) -> str:
    if environment.server is None:
        return "your own PostgreSQL server, which retailpipe does not start or stop"
    environment.server.start()
    return f"the embedded PostgreSQL server is running (log file: {environment.server.log})"


def _connection(environment: Environment) -> str:
    row = environment.warehouse.query(
        "select current_setting('server_version') as v, current_user::text as u"
    ).to_pylist()
    return f"connected to PostgreSQL {row[0]['v']} as user {row[0]['u']}"


def _schemas(environment: Environment) -> str:
    with environment.warehouse.connect(read_only=True) as connection:
        if not schema.has_schema(connection):
            raise _Failed("schema bronze does not exist", "Create it with `retailpipe init`.")
        built = "select to_regnamespace('public_silver') is not null and to_regnamespace('public_gold') is not null"
        if connection.row(built) != (True,):
            raise _Failed(
                "schema public_silver or public_gold does not exist", "Build them with `retailpipe transform`."
            )
        [(version,)] = connection.rows("select max(version) from bronze.migrations")
    return f"schema bronze is at version {version}; schemas public_silver and public_gold exist"


def _ingestion(environment: Environment) -> str:
    found = backlog.compare(environment)
    keys = [printable(key) for key in found.waiting]
    if keys:
        verb = noun(len(keys), "is", "are")
        refusals = backlog.refusals_of(environment, found)
        reason = f"; {refusals[0]}" if refusals else ""
        raise _Failed(
            f"{counted(len(keys), 'workbook')} in the store {verb} not loaded: {some_of(keys)}{reason}",
            _remedy(environment, refusals[0].source) if refusals else "Load them with `retailpipe ingest`.",
        )
    if found.removed:
        first, count = shlex.quote(found.removed[0]), len(found.removed)
        raise _Failed(
            f"{counted(count, 'loaded workbook is', 'loaded workbooks are')} no longer in the store: "
            f"{some_of([printable(key) for key in found.removed])}",
            f"Put it back, or delete its rows with `retailpipe forget {first}`.",
        )
    with environment.warehouse.connect(read_only=True) as connection:
        loads = ledger.current_loads(connection) if schema.has_schema(connection) else {}
    corrected = sum(load.rows_corrected for load in loads.values())
    more = f"; {counted(corrected, 'rejected row is', 'rejected rows are')} corrected" if corrected else ""
    if found.kept:
        return f"all workbooks in the store are loaded, except {counted(len(found.kept), 'forgotten one')}{more}"
    return f"all workbooks in the store are loaded{more}"


def _remedy(environment: Environment, refused: str) -> str:
    """The hint for a refused workbook. `forget` would also delete the rows of its earlier content, if any."""
    with environment.warehouse.connect(read_only=True) as connection:
        undo = "restore" if refused in ledger.current_loads(connection) else "forget"
    what = "bring the earlier one back" if undo == "restore" else "remove it"
    return f"Correct {refused}, or {what} with `retailpipe {undo} {shlex.quote(refused)}`."


def _transformation(environment: Environment) -> str:
    with environment.warehouse.connect(read_only=True) as connection:
        built = connection.row(
            "select to_regclass('bronze.loads') is null, to_regclass('public_silver.built_loads') is null"
        )
        if built != (False, False):
            raise _Failed("silver and gold are not built", "Build them with `retailpipe transform`.")
        loaded = ledger.loads_in(connection, Contract.default().table)
        built = {load_id for (load_id,) in connection.rows("select load_id from public_silver.built_loads")}
        problem = own_models_problem(connection, environment)
        unread = () if loaded != built or problem else tables_unread(connection)
    if loaded != built:
        changed = sorted(loaded ^ built)
        shown = ", ".join(str(load_id) for load_id in changed[:5]) + (", ..." if len(changed) > 5 else "")
        raise _Failed(
            f"silver and gold are out of date: {counted(len(changed), 'load')} added, replaced or forgotten since "
            f"the last build (load_id {shown})",
            "Rebuild them with `retailpipe transform`.",
        )
    if problem:
        raise _Failed(problem, "Rebuild them with `retailpipe transform`.")
    more = f"; no model reads {', '.join(unread)}: write one (docs/models.md)" if unread else ""
    return f"silver and gold are up to date with bronze ({counted(len(loaded), 'load')}){more}"


def _verification(environment: Environment) -> str:
    report = verify(environment)
    if report.broken:
        first = report.broken[0]
        more = f", and {len(report.broken) - 1} more" if len(report.broken) > 1 else ""
        raise _Failed(
            f"{report.verdict}: {first.name} (expected {first.expected}, actual {first.actual}){more}",
            "List all invariants with `retailpipe verify`.",
        )
    return report.verdict


def _transformation_and_verification(environment: Environment) -> str:
    return f"{_transformation(environment)}; {_verification(environment)}"


_NEED_CONNECTION = {"schemas", "ingestion complete", "transformation fresh", "layers agree"}
_Points = Sequence[tuple[str, Callable[[Environment], str]]]
_LOCAL: _Points = (
    ("store", _store),
    ("database", _database),
    ("connection", _connection),
    ("schemas", _schemas),
    ("ingestion complete", _ingestion),
    ("transformation fresh", _transformation),
    ("layers agree", _verification),
)


def _points(environment: Environment) -> _Points:
    stack = environment.stack
    if stack is None:
        return _LOCAL
    from retailpipe.aws import checks

    return (
        ("credentials", lambda _: checks.credentials(stack)),
        ("bucket", lambda _: checks.bucket(stack)),
        ("database instance", lambda _: checks.instance(stack)),
        ("connection", _connection),
        ("schemas", _schemas),
        ("Lambdas", lambda _: checks.lambdas(stack)),
        ("topic", lambda _: checks.topic(stack)),
        ("ingestion complete", _ingestion),
        ("transformation fresh", _transformation_and_verification),
    )
