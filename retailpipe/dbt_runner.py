"""Run dbt in this process. This is the only module that imports dbt.

dbt keeps global state and reads environment variables. Therefore only one call runs at a time, and the variables are
set only during that call.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from retailpipe.bronze.build_record import OwnModel
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError, TransformError
from retailpipe.folders import make_folder
from retailpipe.models import OWN_PROJECT, Project, generated_project, own_models, project_folder
from retailpipe.progress import Progress
from retailpipe.reports import BuildReport, Node
from retailpipe.variables import environment_variables, no_libpq_variables

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest

    from retailpipe.lineage.builds import BuiltModel

_ROWS_SHOWN = 5
_PARSE = ["--log-level", "none", "--log-level-file", "none", "--no-use-colors", "--no-write-json", "parse"]
FAILED = ("error", "fail", "runtime error")
_SKIPPED = ("skipped", "partial success")
_dbt_lock = threading.Lock()
_log = logging.getLogger(__name__)


class WarmUp:
    """Imports dbt and parses the project in a background thread, so that a later `transform` starts seconds earlier."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._thread: threading.Thread | None = None
        self._parsed: tuple[str, Manifest] | None = None

    def start(self) -> None:
        """Start the thread, unless it was started before."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._parse, name="warm-up", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Wait for the thread, if it was started."""
        if self._thread:
            self._thread.join()

    def manifest(self, project: Project | None = None) -> Manifest | None:
        """Wait for the thread and return the project that it parsed.

        None if the thread was not started, failed, or parsed another version of the project.
        project: the project to build if there are models of the user; None for our project.
        """
        self.wait()
        if self._parsed and self._parsed[0] == (project.fingerprint if project else ""):
            return self._parsed[1]
        return None

    def _parse(self) -> None:
        with suppress(Exception):  # `transform` will raise the same error again and report it
            # The import takes the longest. It runs before `invoke`, which holds the lock, because it needs no settings.
            import_module("dbt.cli.main")
            import_module("dbt.task.build")
            own = own_models(self._environment)
            # The tables are not read from the database: the load, which runs meanwhile, may add one.
            project = generated_project(self._environment, own, None) if own else None
            result: Any = invoke(self._environment, _PARSE, [], project=project)
            if result.result:
                self._parsed = (project.fingerprint if project else "", result.result)


def is_usage_error(error: BaseException) -> bool:
    """Whether dbt's command line did not accept its arguments."""
    from dbt.cli.exceptions import DbtUsageException

    return isinstance(error, DbtUsageException)


def invoke(
    environment: Environment,
    arguments: list[str],
    callbacks: list[Any],
    manifest: Manifest | None = None,
    *,
    project: Project | None = None,
    target: str = "target",
) -> dbtRunnerResult:
    """Run one dbt command with the environment's connection; its target and log files go to the environment's folder.

    manifest: the project as an earlier `dbt parse` returned it, or None to parse it now.
    project: the project that includes the user's models, or None for our own project.
    target: the folder of dbt's files in `dbt/` of the environment.
    Returns dbt's result, even if dbt failed. Raises KeyboardInterrupt if dbt was interrupted.
    """
    ours = str(project_folder())
    state = environment.folder / "dbt"
    with suppress(OSError):  # dbt reports folders that cannot be created
        make_folder(environment.folder)
    settings = _settings(environment) | {
        "DBT_TARGET": "aws" if environment.stack else "local",
        "DBT_PROJECT_DIR": str(project.folder) if project else ours,
        "DBT_PROFILES_DIR": ours,
        "DBT_TARGET_PATH": str(state / target),
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


def parse(environment: Environment, project: Project) -> Manifest:
    """Parse the project with the user's models. Raises TransformError with dbt's message if dbt cannot."""
    result: Any = invoke(environment, _PARSE, [], project=project)
    if result.result is None or result.exception:
        raise parse_error(environment, result.exception)
    return result.result


def parse_error(environment: Environment, error: BaseException) -> TransformError:
    """The error of models of the user that dbt cannot read, with their file and line."""
    message = re.sub(r"\x1b\[\d*m|\[WARNING\](?:\[\w+\])?: ", "", str(error)).strip()
    hint = "Correct the file and try again."
    target, place = str(getattr(error, "target_name", "")), re.search(r"\(models/([^()]+)\)", message)
    if target and place:  # dbt does not say in which line an unknown name is
        name = target.rpartition(".")[2]
        with suppress(OSError):
            lines = (environment.folder / "models" / place[1]).read_text(encoding="utf-8").splitlines()
            message += next((f"\n    line {n}\n      {line}" for n, line in enumerate(lines, 1) if name in line), "")
        if getattr(error, "target_kind", "") == "source":
            hint = "Check the name, or load a workbook into this table first."
    return TransformError(message, hint=hint)


def own_nodes(manifest: Manifest) -> list[OwnModel]:
    """The user's models in a parsed project. Raises TransformError if an invariant in their yml is malformed."""
    models: list[OwnModel] = []
    nodes: list[Any] = [node for node in manifest.nodes.values() if node.package_name == OWN_PROJECT]
    for node in nodes:
        if node.resource_type not in ("model", "snapshot"):
            continue
        sources: list[Any] = [manifest.sources[name] for name in node.depends_on.nodes if name in manifest.sources]
        models.append(
            OwnModel(
                name=str(node.name),
                schema=str(node.schema) if node.relation_name else "",
                relation=str(node.alias) if node.relation_name else "",
                reads=tuple(sorted({str(source.identifier) for source in sources if source.schema == "bronze"})),
                invariants=_invariants(node),
                incremental=str(node.config.materialized) in ("incremental", "snapshot"),
                chart=node.config.meta.get("chart"),
                file=str(node.patch_path or "").partition("://")[2],
                trace=node.config.meta.get("trace"),
            )
        )
    return models


def _invariants(node: Any) -> dict[str, Any]:
    """The invariants that the yml of a model declares, in one form. Raises TransformError."""
    meta: dict[str, Any] = node.config.meta
    file = str(node.patch_path or node.original_file_path).partition("://")[2] or str(node.original_file_path)

    def tables(value: Any, parts: int, key: str) -> list[str]:
        names = cast("list[Any]", value) if isinstance(value, list) else [value]
        for name in names:
            if not isinstance(name, str) or len(name.split(".")) != parts or not all(name.split(".")) or "\0" in name:
                form = "bronze.TABLE" if parts == 2 else "bronze.TABLE.COLUMN"
                raise TransformError(
                    f"{file}: {key} of model {node.name} must be {form}, or a list of them; it is {name!r}",
                    hint="docs/models.md describes rows_of and sum_of.",
                )
        return names

    declared: dict[str, Any] = {}
    if "rows_of" in meta:
        declared["rows_of"] = tables(meta["rows_of"], 2, "rows_of")
    if "sum_of" in meta:
        sums = meta["sum_of"]
        if not isinstance(sums, dict):
            raise TransformError(
                f"{file}: sum_of of model {node.name} must map columns of the model to bronze.TABLE.COLUMN",
                hint="docs/models.md describes rows_of and sum_of.",
            )
        items = cast("dict[object, Any]", sums).items()
        declared["sum_of"] = {str(column): tables(value, 3, "sum_of") for column, value in items}
    return declared


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


def ours_succeeded(results: list[Any]) -> bool:
    """Whether all our own models and tests succeeded; the results of the user's models do not count."""
    ours = [result for result in results if result.node.package_name != OWN_PROJECT]
    return bool(ours) and not any(result.status in (*FAILED, *_SKIPPED) for result in ours)


def built_models(results: list[Any]) -> list[BuiltModel]:
    """The tables and views that a build has built, in the order in which dbt built them."""
    from retailpipe.lineage.builds import BuiltModel

    return [
        BuiltModel(
            name=str(result.node.name),
            relation=f"{result.node.schema}.{result.node.alias}",
            reads=tuple(sorted(_bronze_tables(result.node))),
            rows=_rows_written(result),
            whole=str(result.node.config.materialized) == "table",
            trace=result.node.config.meta.get("trace"),
        )
        for result in results
        if result.status == "success"
        and result.node.resource_type in ("model", "snapshot")
        and result.node.relation_name
    ]


def _bronze_tables(node: Any) -> Iterator[str]:
    """The tables of bronze that a node reads. The ID of a source is source.PROJECT.SCHEMA.TABLE."""
    for unique_id in node.depends_on.nodes:
        kind, _, source = str(unique_id).partition(".")
        schema, _, table = source.partition(".")[2].partition(".")
        if kind == "source" and schema == "bronze":
            yield table


def _rows_written(result: Any) -> int | None:
    """The rows that the last statement of a model wrote, as PostgreSQL reports it; None for a view."""
    response: dict[str, Any] = result.adapter_response or {}
    rows = response.get("rows_affected")
    is_known = isinstance(rows, int) and rows >= 0 and result.node.config.materialized != "view"
    return rows if is_known else None


def build_report(environment: Environment, results: list[Any], seconds: float) -> BuildReport:
    """The report of a build from dbt's results, one per model and test."""
    done = [result for result in results if result.status in ("success", "pass", "warn")]
    failed = [result for result in results if result.status in FAILED]
    skipped = [result for result in results if result.status in _SKIPPED]
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
    """Return the report of a failed model or test. A test's query is run again, to show the first failing rows."""
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
