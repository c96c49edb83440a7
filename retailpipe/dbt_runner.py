"""dbt in this process. The only module that imports dbt.

dbt keeps state in its process and reads the environment variables: one call runs at a time, and the variables are set
for the time of the call.
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
from retailpipe.progress import Progress
from retailpipe.reports import BuildReport, Node
from retailpipe.variables import environment_variables, no_libpq_variables

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest

_ROWS_SHOWN = 5
_one_at_a_time = threading.Lock()
_log = logging.getLogger(__name__)


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
            # The import is the longest part, and needs none of the settings that `invoke` keeps others waiting for.
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
    """The folder of the dbt project: in an installed library beside this module, in a checkout at its top."""
    package = Path(__file__).parent
    for folder in (package / "dbt_project", package.parent / "dbt_project"):
        if (folder / "dbt_project.yml").is_file():
            return folder
    raise TransformError("the dbt project is not installed with this library", hint="Install retailpipe anew.")


def invoke(
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


def relations() -> list[str]:
    """The tables and views of the project."""
    models = (project_folder() / "models").rglob("*.sql")
    return sorted(f"public_{model.parent.name}.{model.stem}" for model in models)


def project_hash() -> str:
    """A hash of the dbt project and of the version of dbt."""
    from importlib.metadata import version

    folder = project_folder()
    digest = hashlib.sha256(version("dbt-core").encode())
    files = [folder / "dbt_project.yml", *(folder / "models").rglob("*.*"), *(folder / "macros").rglob("*.sql")]
    for file in sorted([*files, *(folder / "tests").rglob("*.sql")]):
        digest.update(f"\n{file.relative_to(folder).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


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


class Listener:
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


def build_report(environment: Environment, results: list[Any], seconds: float) -> BuildReport:
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


def log_hint(environment: Environment) -> str:
    return f"See {environment.folder / 'dbt' / 'logs' / 'dbt.log'}, or try `retailpipe dbt debug`."
