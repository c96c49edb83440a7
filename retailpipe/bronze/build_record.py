"""What silver and gold were last built from, whole and without a failure: bronze.builds has one row, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retailpipe.connection import Connection

_LOADED = """
    select coalesce(array_agg(load_id order by load_id), '{}') from bronze.loads
    where status = 'loaded' and table_name = 'raw_transactions'
"""


def is_built(connection: Connection, project: str) -> bool:
    """Whether the last build was by this dbt project, and of the loads that are current now."""
    found = connection.row(
        f"select exists (select from bronze.builds where project = $1 and load_ids = ({_LOADED}))", project
    )
    return found == (True,)


def built_by(connection: Connection, project: str) -> bool:
    """Whether the last build was by this dbt project."""
    return connection.row("select exists (select from bronze.builds where project = $1)", project) == (True,)


def clear(connection: Connection) -> None:
    """Until `record` nothing counts as built: what a build that fails leaves is not to be relied on."""
    connection.execute("delete from bronze.builds")


def record(connection: Connection, project: str) -> None:
    """Writes down a build that is complete."""
    connection.execute(f"insert into bronze.builds (project, load_ids) values ($1, ({_LOADED}))", project)
