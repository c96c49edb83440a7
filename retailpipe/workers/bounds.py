"""How many loads the database takes at the same time."""

from __future__ import annotations

from retailpipe.warehouse import Warehouse

_SPARE = 2
"""Connections that are left for this program and for others, such as psql."""
_FREE = """
with others as (
    select datname, usename from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
)
select least(
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0)
        - (select count(*) from others),
    (
        select nullif(datconnlimit, -1) - (select count(*) from others where datname = current_database())
        from pg_database where datname = current_database()
    ),
    (
        select nullif(rolconnlimit, -1) - (select count(*) from others where usename = current_user)
        from pg_roles where rolname = current_user
    )
)::int
"""


def loads_at_once(warehouse: Warehouse) -> int:
    """How many loads may run at once: one for each free connection of the server, of the database and of the role.

    It is at least 1. Two connections are left for others. Raises WarehouseError.
    """
    with warehouse.connect(read_only=True) as connection:
        [(free,)] = connection.rows(_FREE)
    return max(int(free) - _SPARE, 1)
