"""The end-to-end check: is every part there, and is each abreast of the one before it?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from retailpipe import backlog
from retailpipe.bronze import ledger, schema
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError
from retailpipe.invariants import verify
from retailpipe.reports import CheckPoint, CheckReport


class _Failed(Exception):
    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.hint = hint


def check(environment: Environment) -> CheckReport:
    """Tries each point, whatever fails before it; a failed one carries the next command to try. Raises nothing.

    On this machine there are seven points, for a stack on AWS nine.
    """
    points: list[CheckPoint] = []
    unreachable: CheckPoint | None = None
    for name, attempt in _points(environment):
        if unreachable and name in _NEED_CONNECTION:  # it was tried, and would be waited for again and again
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
        return CheckPoint(name, ok=False, detail=str(error), hint="Check that the folder can be read.")


def _store(environment: Environment) -> str:
    workbooks = environment.store.workbooks()
    if not workbooks:
        raise _Failed(f"no workbook in {environment.store.address}", "Put one there: `retailpipe upload FILE`.")
    return f"{len(workbooks)} workbooks in {environment.store.address}"


def _database(environment: Environment) -> str:
    if environment.server is None:
        return "a server of your own"
    environment.server.start()
    return f"the embedded PostgreSQL runs, its log is {environment.server.log}"


def _connection(environment: Environment) -> str:
    row = environment.warehouse.query(
        "select current_setting('server_version') as v, current_user::text as u"
    ).to_pylist()
    return f"PostgreSQL {row[0]['v']}, as {row[0]['u']}"


def _schemas(environment: Environment) -> str:
    with environment.warehouse.connect(read_only=True) as connection:
        if not schema.has_schema(connection):
            raise _Failed("there is no schema bronze", "Make it with `retailpipe init`.")
        built = "select to_regnamespace('public_silver') is not null and to_regnamespace('public_gold') is not null"
        if connection.row(built) != (True,):
            raise _Failed("there are no schemas silver and gold", "Build them with `retailpipe transform`.")
    return f"bronze (number {len(schema.MIGRATIONS)}), public_silver and public_gold"


def _ingestion(environment: Environment) -> str:
    waits = backlog.waiting(environment)
    if waits:
        raise _Failed(f"{len(waits)} workbooks wait: {', '.join(waits[:3])}", "Load them with `retailpipe ingest`.")
    return "every workbook of the store is loaded"


def _transformation(environment: Environment) -> str:
    with environment.warehouse.connect(read_only=True) as connection:
        built = connection.row(
            "select to_regclass('bronze.loads') is null, to_regclass('public_silver.built_loads') is null"
        )
        if built != (False, False):
            raise _Failed("silver and gold are not built", "Build them with `retailpipe transform`.")
        entries = ledger.current_loads(connection).values()
        loaded = {entry.load_id for entry in entries if entry.table_name == Contract.default().table}
        built = {load_id for (load_id,) in connection.rows("select load_id from public_silver.built_loads")}
    if loaded != built:
        behind = ", ".join(str(load_id) for load_id in sorted(loaded ^ built)[:5])
        raise _Failed(
            f"silver and gold were built before the ledger changed (loads {behind})",
            "`retailpipe transform`.",
        )
    return f"silver and gold hold all {len(loaded)} loads"


def _verification(environment: Environment) -> str:
    report = verify(environment)
    broken = [invariant for invariant in report.invariants if not invariant.ok]
    if broken:
        raise _Failed(f"{len(broken)} invariants do not hold: {broken[0].name}", "See them all: `retailpipe verify`.")
    return f"all {len(report.invariants)} invariants hold"


def _fresh_and_true(environment: Environment) -> str:
    return f"{_transformation(environment)}, and {_verification(environment)}"


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
        ("transformation fresh", _fresh_and_true),
    )
