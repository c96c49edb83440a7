"""Record what the last complete, successful build of silver and gold was built from.

Table bronze.builds has one row, or no row if there was no such build or a later build failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retailpipe.connection import Connection

# Silver and gold are built only from this table, so loads into other tables do not count.
_CURRENT_LOAD_IDS = """
    select coalesce(array_agg(load_id order by load_id), '{}') from bronze.loads
    where status = 'loaded' and table_name = 'raw_transactions'
"""


def is_built(connection: Connection, project: str) -> bool:
    """Whether the last build used this version of the dbt project and exactly the loads that are current now."""
    found = connection.row(
        f"select exists (select from bronze.builds where project = $1 and load_ids = ({_CURRENT_LOAD_IDS}))", project
    )
    return found == (True,)


def built_by(connection: Connection, project: str) -> bool:
    """Whether the last build used this version of the dbt project."""
    return connection.row("select exists (select from bronze.builds where project = $1)", project) == (True,)


def clear(connection: Connection) -> None:
    """Delete the record before a build: if the build fails, its tables cannot be trusted."""
    connection.execute("delete from bronze.builds")


def record(connection: Connection, project: str) -> None:
    """Record a complete, successful build."""
    connection.execute(f"insert into bronze.builds (project, load_ids) values ($1, ({_CURRENT_LOAD_IDS}))", project)
