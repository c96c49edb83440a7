"""Bronze to silver and gold, by dbt in this process. The only module that imports dbt.

dbt keeps state in its process and its environment: one build runs at a time, and what it reads from the environment is
set for the time of the call.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retailpipe.bronze import builds
from retailpipe.bronze.ledger import lock_for_build
from retailpipe.bronze.schema import ensure_schema, is_migrated
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError, TransformError, UsageError
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import BuildReport, Node
from retailpipe.variables import environment_variables, no_libpq_variables

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest

    from retailpipe.connection import Connection

_ROWS_SHOWN = 5
_BUILDING = {"build", "run", "test", "seed", "snapshot", "retry", "clone"}
_one_at_a_time = threading.Lock()
_log = logging.getLogger(__name__)


def transform(
    environment: Environment,
    *,
    select: str | None = None,
    full_refresh: bool = False,
    progress: Progress | None = None,
    warm_up: WarmUp | None = None,
) -> BuildReport:
    """Builds silver and gold from bronze with `dbt build`, and runs their tests.

    select: nodes in dbt's own syntax, such as `fact_sales_daily+`; default: all.
    full_refresh: build incremental models anew. It is done in any case where the last build failed, or was by another
        version of the dbt project.

    warm_up: what was begun for this call, if anything was.

    A model or test that fails is told in the report. Raises TransformError if dbt cannot run at all, UsageError if
    `select` matches nothing.
    """
    progress = progress or NoProgress()
    started = time.monotonic()
    # Unit tests are about the models, not about these data: `retailpipe dbt test` runs them too.
    arguments = [
        "--log-level",
        "none",
        "--log-level-file",
        "info",
        "--no-write-json",
        "build",
        "--exclude-resource-type",
        "unit_test",
    ]
    arguments += [*(["--select", select] if select else []), *(["--full-refresh"] if full_refresh else [])]
    project = _project_hash()
    with _bronze_stands_still(environment, progress) as connection:
        if not select:
            # What another version of the project built, or a build that failed, is no ground to build upon.
            if not full_refresh and not builds.is_by(connection, project):
                arguments.append("--full-refresh")
            builds.forget(connection)
            connection.commit()
        else:
            _forget_unless_built(connection)
        progress.step("starting dbt")
        result = _invoke(environment, arguments, [_Listener(progress)], warm_up.manifest() if warm_up else None)
        if result.success and not select:
            builds.remember(connection, project)
            connection.commit()
    if result.exception:
        raise TransformError(
            f"dbt could not run: {result.exception}", hint=_log_hint(environment)
        ) from result.exception
    results: list[Any] = list(getattr(result.result, "results", []))
    if not results:
        if select:
            raise UsageError(f"--select {select!r} matches no model or test", hint="See `retailpipe dbt ls`.")
        raise TransformError("dbt found nothing to build", hint=_log_hint(environment))
    return _report(environment, results, time.monotonic() - started)


def is_up_to_date(connection: Connection) -> bool:
    """Whether silver and gold are what a `transform` would build: by this project, of all that bronze holds."""
    if not is_migrated(connection) or not builds.is_built(connection, _project_hash()):
        return False
    places = ", ".join(f"to_regclass('{name}')" for name in _relations())
    return None not in (connection.row(f"select {places}") or (None,))


class WarmUp:
    """Imports dbt and parses the project in a thread, which takes seconds, for a `transform` to come."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._thread: threading.Thread | None = None
        self._manifest: Manifest | None = None

    def start(self) -> None:
        """Begins, unless it has begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._parse, name="warm-up", daemon=True)
            self._thread.start()

    def manifest(self) -> Manifest | None:
        """The project as dbt parsed it; None where it never began, or failed."""
        if self._thread:
            self._thread.join()
        return self._manifest

    def _parse(self) -> None:
        with suppress(Exception):  # `transform` will meet it again, and tell
            # The import is the longest part, and needs none of the settings that `_invoke` keeps others waiting for.
            import_module("dbt.cli.main")
            import_module("dbt.task.build")
            arguments = ["--log-level", "none", "--log-level-file", "none", "--no-write-json", "parse"]
            result: Any = _invoke(self._environment, arguments, [])
            self._manifest = result.result


def dbt(environment: Environment, arguments: Sequence[str]) -> int:
    """Runs any dbt command on an environment, its output as dbt's own; gives dbt's exit code: 0, 1 or 2.

    One that builds or tests keeps loads and other builds waiting, as `transform` does.
    """
    if _BUILDING & set(arguments):
        with _bronze_stands_still(environment, NoProgress()) as connection:
            _forget_unless_built(connection)
            result = _invoke(environment, list(arguments), [])
    else:
        if environment.stack:
            with suppress(RetailpipeError), environment.warehouse.connect():
                pass  # a password that was changed is known from here on; what fails, dbt tells
        result = _invoke(environment, list(arguments), [])
    if result.success:
        return 0
    if result.exception is None:
        return 1
    from dbt.cli.exceptions import DbtUsageException

    # dbt prints its own failures; what its command line refuses it only raises.
    if isinstance(result.exception, DbtUsageException):
        raise UsageError(f"dbt: {result.exception}", hint="List dbt's commands with `retailpipe dbt -- --help`.")
    return 2


def project_folder() -> Path:
    """The folder of the dbt project: in an installed library beside this module, in a checkout at its top."""
    package = Path(__file__).parent
    for folder in (package / "dbt_project", package.parent / "dbt_project"):
        if (folder / "dbt_project.yml").is_file():
            return folder
    raise TransformError("the dbt project is not installed with this library", hint="Install retailpipe anew.")


def _invoke(
    environment: Environment, arguments: list[str], callbacks: list[Any], manifest: Manifest | None = None
) -> dbtRunnerResult:
    project = str(project_folder())
    state = environment.folder / "dbt"
    settings = _settings(environment) | {
        "DBT_TARGET": "aws" if environment.stack else "local",
        "DBT_PROJECT_DIR": project,
        "DBT_PROFILES_DIR": project,
        "DBT_TARGET_PATH": str(state / "target"),
        "DBT_LOG_PATH": str(state / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    with _one_at_a_time, environment_variables(settings):
        # Only now, since dbt reads some of its settings as it is imported.
        from dbt.cli.main import dbtRunner

        runner: Any = dbtRunner(manifest=manifest, callbacks=callbacks)
        # dbt writes the command line of its process into its files; ours may hold a URL with a password.
        called, sys.argv = sys.argv, ["dbt", *arguments]
        try:
            result = runner.invoke(arguments)
        finally:
            sys.argv = called
            _close_log()
    if isinstance(result.exception, KeyboardInterrupt):
        raise result.exception
    return result


def _forget_unless_built(connection: Connection) -> None:
    """Before a build of some models: where others are not abreast of it, the next whole build begins from nothing."""
    if not builds.is_built(connection, _project_hash()):
        builds.forget(connection)
        connection.commit()


def _relations() -> list[str]:
    """The tables and views of the project."""
    models = (project_folder() / "models").rglob("*.sql")
    return sorted(f"public_{model.parent.name}.{model.stem}" for model in models)


def _project_hash() -> str:
    """A hash of the dbt project and of the version of dbt."""
    from importlib.metadata import version

    folder = project_folder()
    digest = hashlib.sha256(version("dbt-core").encode())
    files = [folder / "dbt_project.yml", *(folder / "models").rglob("*.*"), *(folder / "macros").rglob("*.sql")]
    for file in sorted([*files, *(folder / "tests").rglob("*.sql")]):
        digest.update(f"\n{file.relative_to(folder).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


@contextmanager
def _bronze_stands_still(environment: Environment, progress: Progress) -> Generator[Connection]:
    """Makes schema bronze where there is none, and keeps loads and other builds waiting meanwhile."""
    with environment.warehouse.connect() as connection:
        ensure_schema(connection, Contract.default())
        connection.commit()
        lock_for_build(connection, progress)
        # For the plans of what follows; a load, which is to be quick, leaves it to whoever needs it.
        connection.execute("analyze bronze.raw_transactions")
        connection.commit()
        yield connection


def _close_log() -> None:
    """dbt leaves its log file open."""
    log = logging.getLogger("file_log")
    for handler in [*log.handlers]:
        log.removeHandler(handler)
        handler.close()


def _settings(environment: Environment) -> dict[str, str | None]:
    """The environment variables from which profiles.yml takes the connection."""
    from psycopg2.extensions import parse_dsn

    parts = parse_dsn(environment.warehouse.uri)
    names = {
        "host": "AWS_RDS_HOST",
        "port": "AWS_RDS_PORT",
        "dbname": "AWS_RDS_DATABASE",
        "user": "AWS_RDS_USER",
        "password": "AWS_RDS_PASSWORD",
        "passfile": "PGPASSFILE",
        "hostaddr": "PGHOSTADDR",
        "service": "PGSERVICE",
        "options": "PGOPTIONS",
        "sslmode": "PGSSLMODE",
        "sslrootcert": "PGSSLROOTCERT",
        "sslcert": "PGSSLCERT",
        "sslkey": "PGSSLKEY",
        "sslcrl": "PGSSLCRL",
        "gssencmode": "PGGSSENCMODE",
        "channel_binding": "PGCHANNELBINDING",
        "target_session_attrs": "PGTARGETSESSIONATTRS",
    }
    defaults: dict[str, str | None] = {
        "AWS_RDS_HOST": os.environ.get("PGHOST", "localhost"),
        "AWS_RDS_PORT": os.environ.get("PGPORT", "5432"),
        "AWS_RDS_DATABASE": os.environ.get("PGDATABASE", parts.get("user") or ""),
        "AWS_RDS_USER": os.environ.get("PGUSER", ""),
        "AWS_RDS_PASSWORD": os.environ.get("PGPASSWORD", ""),
    }
    if environment.warehouse.isolated:
        defaults = no_libpq_variables() | {"AWS_RDS_PASSWORD": ""}
    # As in every connection of ours: the encoding is not for the environment, the role or the database to choose.
    encoding = {"PGCLIENTENCODING": "UTF8"}
    return defaults | {names[key]: str(value) for key, value in parts.items() if key in names} | encoding


class _Listener:
    """Turns dbt's events into progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, event: Any) -> None:
        if event.info.name == "ConcurrencyLine":
            self._progress.step("building models", unit="models and tests", total=event.data.node_count)
        elif event.info.name == "NodeFinished":
            node = event.data.node_info
            _log.debug("%s %s: %s", node.resource_type, node.node_name, node.node_status)
            self._progress.advance()


def _report(environment: Environment, results: list[Any], seconds: float) -> BuildReport:
    done = [result for result in results if result.status in ("success", "pass", "warn")]
    failed = [result for result in results if result.status in ("error", "fail", "runtime error")]
    skipped = [result for result in results if result.status in ("skipped", "partial success")]
    tests = [result for result in done if result.node.resource_type == "test"]
    return BuildReport(
        ok=not failed and not skipped,
        models=len(done) - len(tests),
        tests=len(tests),
        failures=tuple(_failure(environment, result) for result in failed),
        skipped=len(skipped),
        seconds=round(seconds, 3),
    )


def _failure(environment: Environment, result: Any) -> Node:
    node = result.node
    rows: tuple[dict[str, Any], ...] = ()
    compiled = getattr(node, "compiled_code", None)
    if result.status == "fail" and node.resource_type == "test" and compiled:
        try:
            found = environment.warehouse.query(f"select * from ({compiled}\n) as failing limit {_ROWS_SHOWN}")
            rows = tuple(found.to_pylist())
        except RetailpipeError as error:
            _log.warning("the failing rows of %s cannot be shown: %s", node.name, error)
    return Node(str(node.name), str(node.resource_type), str(result.status), str(result.message or "").strip(), rows)


def _log_hint(environment: Environment) -> str:
    return f"See {environment.folder / 'dbt' / 'logs' / 'dbt.log'}, or try `retailpipe dbt debug`."
