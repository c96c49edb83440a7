"""Run dbt in this process. This is the only module that imports dbt.

dbt keeps global state and reads environment variables. Therefore only one call runs at a time, and the variables are
set only during that call.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError, TransformError
from retailpipe.folders import make_folder
from retailpipe.progress import Progress
from retailpipe.reports import BuildReport, Node
from retailpipe.variables import environment_variables, no_libpq_variables

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest

_ROWS_SHOWN = 5
_dbt_lock = threading.Lock()
_log = logging.getLogger(__name__)


class WarmUp:
    """Imports dbt and parses the project in a background thread, so that a later `transform` starts seconds earlier."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._thread: threading.Thread | None = None
        self._manifest: Manifest | None = None

    def start(self) -> None:
        """Start the thread, unless it was started before."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._parse, name="warm-up", daemon=True)
            self._thread.start()

    def manifest(self) -> Manifest | None:
        """Wait for the thread and return the parsed project; None if the thread was not started, or failed."""
        if self._thread:
            self._thread.join()
        return self._manifest

    def _parse(self) -> None:
        with suppress(Exception):  # `transform` will raise the same error again and report it
            # The import takes the longest. It runs before `invoke`, which holds the lock, because it needs no settings.
            import_module("dbt.cli.main")
            import_module("dbt.task.build")
            arguments = ["--log-level", "none", "--log-level-file", "none", "--no-write-json", "parse"]
            result: Any = invoke(self._environment, arguments, [])
            self._manifest = result.result


def is_usage_error(error: BaseException) -> bool:
    """Whether dbt's command line did not accept its arguments."""
    from dbt.cli.exceptions import DbtUsageException

    return isinstance(error, DbtUsageException)


def project_folder() -> Path:
    """The folder of the dbt project: in the installed package, or at the top of a checkout. Raises TransformError."""
    package = Path(__file__).parent
    for folder in (package / "dbt_project", package.parent / "dbt_project"):
        if (folder / "dbt_project.yml").is_file():
            return folder
    raise TransformError(
        "the dbt project is missing from this installation of retailpipe", hint="Install retailpipe again."
    )


def invoke(
    environment: Environment, arguments: list[str], callbacks: list[Any], manifest: Manifest | None = None
) -> dbtRunnerResult:
    """Run one dbt command with the environment's connection; its target and log files go to the environment's folder.

    manifest: the project as an earlier `dbt parse` returned it, or None to parse it now.
    Returns dbt's result, also for errors. Raises KeyboardInterrupt if dbt was interrupted.
    """
    project = str(project_folder())
    state = environment.folder / "dbt"
    with suppress(OSError):  # dbt reports folders that cannot be created
        make_folder(environment.folder)
    settings = _settings(environment) | {
        "DBT_TARGET": "aws" if environment.stack else "local",
        "DBT_PROJECT_DIR": project,
        "DBT_PROFILES_DIR": project,
        "DBT_TARGET_PATH": str(state / "target"),
        "DBT_LOG_PATH": str(state / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    with _dbt_lock, environment_variables(settings):
        # Imported only now, because dbt reads some of its settings at import time.
        from dbt.cli.main import dbtRunner

        runner: Any = dbtRunner(manifest=manifest, callbacks=callbacks)
        # dbt writes sys.argv into its log and artifacts. Ours may contain a database URL with a password.
        original_argv, sys.argv = sys.argv, ["dbt", *arguments]
        try:
            result = runner.invoke(arguments)
        finally:
            sys.argv = original_argv
            _close_log()
    if isinstance(result.exception, KeyboardInterrupt):
        raise result.exception
    return result


def relations() -> list[str]:
    """The tables and views of the dbt project, as schema.name, sorted."""
    models = (project_folder() / "models").rglob("*.sql")
    return sorted(f"public_{model.parent.name}.{model.stem}" for model in models)


def project_hash() -> str:
    """A hash of the files of the dbt project and of the version of dbt."""
    from importlib.metadata import version

    folder = project_folder()
    digest = hashlib.sha256(version("dbt-core").encode())
    files = [folder / "dbt_project.yml", *(folder / "models").rglob("*.*"), *(folder / "macros").rglob("*.sql")]
    for file in sorted([*files, *(folder / "tests").rglob("*.sql")]):
        digest.update(f"\n{file.relative_to(folder).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _close_log() -> None:
    """Close dbt's log file, which dbt leaves open."""
    log = logging.getLogger("file_log")
    for handler in [*log.handlers]:
        log.removeHandler(handler)
        handler.close()


def _settings(environment: Environment) -> dict[str, str | None]:
    """The environment variables from which profiles.yml and libpq read the connection; None removes a variable."""
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
    # As in all our connections, the encoding is fixed, because the environment, role or database may set another one.
    encoding = {"PGCLIENTENCODING": "UTF8"}
    return defaults | {names[key]: str(value) for key, value in parts.items() if key in names} | encoding


class Listener:
    """Reports dbt's events as progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, event: Any) -> None:
        if event.info.name == "ConcurrencyLine":
            self._progress.step("building models", unit="models and tests", total=event.data.node_count)
        elif event.info.name == "NodeFinished":
            node = event.data.node_info
            _log.debug("%s %s: %s", node.resource_type, node.node_name, node.node_status)
            self._progress.advance()


def build_report(environment: Environment, results: list[Any], seconds: float) -> BuildReport:
    """The report of a build from dbt's results, one per model and test."""
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
    """A failed model or test. For a failed test its query is run again, to show the first failing rows."""
    node = result.node
    rows: tuple[dict[str, Any], ...] = ()
    compiled = getattr(node, "compiled_code", None)
    if result.status == "fail" and node.resource_type == "test" and compiled:
        try:
            found = environment.warehouse.query(f"select * from ({compiled}\n) as failing limit {_ROWS_SHOWN}")
            rows = tuple(found.to_pylist())
        except RetailpipeError as error:
            _log.warning("cannot read the failing rows of test %s: %s", node.name, error)
    return Node(str(node.name), str(node.resource_type), str(result.status), str(result.message or "").strip(), rows)


def log_hint(environment: Environment) -> str:
    """The hint for an error whose cause is in dbt's log."""
    return f"See {environment.folder / 'dbt' / 'logs' / 'dbt.log'}, or run `retailpipe dbt debug`."
