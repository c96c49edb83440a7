"""Count the rows of a new load that other workbooks already hold, so that no row counts twice unnoticed.

Two rows are the same if all columns of the contract are. Only loads into the same table whose dates overlap with the
new load's dates are compared, so a workbook with a new month costs one query. PostgreSQL compares the rows themselves
(`intersect all`): this is exact, and it is faster than a digest of each row, which PostgreSQL would have to compute for
all rows of both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retailpipe.reports import Overlap

if TYPE_CHECKING:
    from datetime import datetime

    from retailpipe.connection import Connection
    from retailpipe.contract import Contract

_SOURCES_REPORTED = 5
_TEMPORARY = "retailpipe_new_rows"


@dataclass(frozen=True)
class NewRows:
    """The rows of a load that is not committed yet, or of a dry run.

    relation: the table and the condition that select them, in SQL.
    first_date, last_date: the first and last date of its rows; None if they have no dates.
    """

    source: str
    relation: str
    first_date: datetime | None = None
    last_date: datetime | None = None


def rows_of_load(contract: Contract, load_id: int) -> str:
    """The relation of a load's rows in the contract's table."""
    return f'bronze."{contract.table}" where load_id = {load_id}'


def create_temporary_table(connection: Connection, contract: Contract) -> tuple[str, str]:
    """Create a temporary table for the rows of a dry run, and return its schema and name."""
    connection.execute(f'create temporary table {_TEMPORARY} (like bronze."{contract.table}") on commit drop')
    return "pg_temp", _TEMPORARY


def has_other_loads(connection: Connection, contract: Contract, source: str) -> bool:
    """Whether the contract's table holds rows of another source."""
    return bool(_other_loads(connection, contract, NewRows(source, "")))


def overlap(connection: Connection, contract: Contract, rows: NewRows) -> tuple[int, tuple[Overlap, ...]]:
    """Return how many of the new rows other sources hold, and the sources that hold most of them.

    A row that occurs twice in the new load and once in other sources counts once.
    """
    others = _other_loads(connection, contract, rows)
    if not others:
        return 0, ()
    columns = ", ".join(f'"{column.name}"' for column in contract.columns)
    ids = ", ".join(str(load_id) for load_id, _ in others)
    held = f'bronze."{contract.table}" where load_id in ({ids})'
    if contract.date_column and rows.first_date and rows.last_date:
        first, last = rows.first_date.isoformat(), rows.last_date.isoformat()
        held += f""" and coalesce("{contract.date_column}" between '{first}' and '{last}', true)"""
    (count,) = connection.row(
        f"select count(*) from (select {columns} from {rows.relation} intersect all select {columns} from {held}) as c"
    ) or (0,)
    if not count:
        return 0, ()
    digest = f"hash_record_extended(row({columns}), 0)"
    found = connection.rows(
        f"""
        with new_rows as materialized (select distinct {digest} as digest from {rows.relation})
        select load_id, count(*) from (select load_id, {digest} as digest from {held}) as held
        inner join new_rows using (digest)
        group by load_id order by count(*) desc, load_id limit {_SOURCES_REPORTED}
        """
    )
    known = dict(others)
    return int(count), tuple(
        Overlap(known[load_id].source, int(number), known[load_id].first_date, known[load_id].last_date)
        for load_id, number in found
    )


@dataclass(frozen=True)
class _Other:
    source: str
    first_date: datetime | None
    last_date: datetime | None


def _other_loads(connection: Connection, contract: Contract, rows: NewRows) -> list[tuple[int, _Other]]:
    """Return the current loads of other sources in the contract's table whose dates overlap with the new rows'."""
    found = connection.rows(
        """
        select load_id, source, first_date, last_date from bronze.loads
        where
            status in ('loaded', 'correction') and table_name = $1 and source <> $2
            and coalesce(first_date <= nullif($4, '')::timestamp and last_date >= nullif($3, '')::timestamp, true)
        """,
        contract.table,
        rows.source,
        rows.first_date.isoformat() if rows.first_date else "",
        rows.last_date.isoformat() if rows.last_date else "",
    )
    return [(int(load_id), _Other(*other)) for load_id, *other in found]
