"""The index that finds the rows of one load in a contract's table, so that a replacement does not read all of it.

It is a BRIN index: the rows of a load lie together, so the index holds a few load_ids for every 128 pages, and a load
writes no WAL for it. A B-tree would write 65 bytes of WAL for each row. After a replacement, VACUUM frees pages that
later loads fill, so neighbouring pages hold loads with distant ids. The operator class minmax-multi keeps the ids
themselves. The default, minmax, keeps only the least and the greatest, and would have to read everything between.
docs/scale.md has the measurements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retailpipe.connection import Connection

_USING = "using brin (load_id int8_minmax_multi_ops)"
_OWN_TABLES = """
    select distinct pg_class.oid from bronze.loads inner join pg_class on relname = table_name
    where relnamespace = 'bronze'::regnamespace and relkind = 'r' and pg_has_role(relowner, 'usage')
"""
"""The tables with loads that the current role may index."""

REPLACE_INDEXES = f"""
do $$
declare
    own oid;
    old regclass;
begin
    for own in {_OWN_TABLES} loop
        execute format('create index on %s {_USING}', own::regclass);
        -- Dropped last: until then, other sessions can read the table.
        for old in
            select indexrelid from pg_index
            inner join pg_opclass on pg_opclass.oid = indclass[0]
            inner join pg_am on pg_am.oid = opcmethod
            inner join pg_attribute on attrelid = indrelid and attnum = indkey[0]
            where indrelid = own and indnatts = 1 and amname = 'brin' and opcname = 'int8_minmax_ops'
                and attname = 'load_id'
        loop
            execute format('drop index %s', old);
        end loop;
    end loop;
end $$
"""
"""The migration of tables with the index of an earlier version. It reads each table once."""


def create_index(connection: Connection, table: str) -> None:
    """Create the index of a new table in schema bronze."""
    connection.execute(f'create index on bronze."{table}" {_USING}')


def bytes_to_index(connection: Connection) -> int:
    """How many bytes REPLACE_INDEXES reads; 0 if no workbook was loaded yet."""
    if connection.row("select to_regclass('bronze.loads') is null") == (True,):
        return 0
    (size,) = connection.row(f"select coalesce(sum(pg_table_size(oid)), 0)::bigint from ({_OWN_TABLES}) as own") or (0,)
    return int(size)


def summarize(connection: Connection) -> None:
    """Add the rows of new loads to the indexes. Until then, each use of an index reads all those rows.

    PostgreSQL does this itself with each VACUUM, which comes only when a fifth of a table is new.
    """
    connection.execute(
        f"""
        select brin_summarize_new_values(indexrelid)
        from ({_OWN_TABLES}) as own
        inner join pg_index on indrelid = own.oid
        inner join pg_class on pg_class.oid = indexrelid
        inner join pg_am on pg_am.oid = relam
        where amname = 'brin'
        """
    )


def prefer_indexes(connection: Connection) -> None:
    """Make the rest of the transaction read tables by their indexes.

    PostgreSQL underestimates a BRIN index if a table has no statistics, or if its loads are not in order any more, and
    would read the whole table.
    """
    connection.execute("set local enable_seqscan = off")
