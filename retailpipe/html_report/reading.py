"""Read everything that the report shows, all of it from one snapshot of the database where that is possible."""

from __future__ import annotations

import platform
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from retailpipe.bronze import schema
from retailpipe.environment import Environment
from retailpipe.html_report import health, ledger_facts, sales
from retailpipe.html_report.facts import Facts, Problem, Rejects
from retailpipe.html_report.lineage import lineage
from retailpipe.html_report.own_tables import declared, own_tables

if TYPE_CHECKING:
    from retailpipe.connection import Connection

_PACKAGES = ("retailpipe", "dbt-core", "dbt-postgres", "adbc-driver-postgresql", "pyarrow", "altair")


def read_facts(environment: Environment, *, certificate: str = "") -> Facts:
    """Read the facts. Nothing is changed.

    Memory does not grow with the warehouse: of every list, the first rows are read.
    Raises WarehouseError if the database cannot be reached, SchemaError if schema bronze is not ours.
    """
    with environment.warehouse.connect(read_only=True) as connection:
        facts, models = _of_warehouse(environment, connection), []
        if not facts.is_empty:
            models = declared(connection)
            facts = replace(facts, lineage=lineage(connection, environment, models))
            # Last, because a failed query would end the transaction: a model of the user may be a view that fails.
            checks, problems = health.agreement(connection, environment)
            facts = replace(facts, checks=checks, problems=problems)
    return replace(
        facts,
        problems=_failures_first(*facts.problems, *health.unloaded(environment)),
        own_tables=own_tables(environment, models),
        own_models=len(models),
        options=tuple(shlex.quote(option) for option in environment.options),
        certificate=certificate,
    )


def _of_warehouse(environment: Environment, connection: Connection) -> Facts:
    """The facts of the tables of bronze, silver and gold, without problems."""
    has_schema = schema.has_schema(connection)
    absent = sales.absent(connection) if has_schema else "No workbook is loaded yet."
    return Facts(
        address=environment.store.address,
        made_at=datetime.now(UTC).replace(tzinfo=None),
        problems=(),
        checks=(),
        ledger=ledger_facts.ledger(connection) if has_schema else ledger_facts.NO_LOADS,
        build=ledger_facts.last_build(connection) if has_schema else None,
        rejects=ledger_facts.rejects(connection) if has_schema else Rejects(0),
        sales=None if absent else sales.sales(connection),
        sales_absent=absent,
        own_tables=(),
        lineage=(),
        versions=_versions(connection, has_schema),
    )


def _failures_first(*problems: Problem) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: not problem.is_failure))


def _versions(connection: Connection, has_schema: bool) -> tuple[tuple[str, str], ...]:
    [(server,)] = connection.rows("select current_setting('server_version')")
    found = [("Python", platform.python_version()), ("PostgreSQL", str(server))]
    for package in _PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    if has_schema:
        [(number,)] = connection.rows("select max(version) from bronze.migrations")
        found.append(("schema bronze", str(number)))
    return tuple(found)
