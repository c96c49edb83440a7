"""Read the loads, the last build and the rejected rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retailpipe.bronze.ledger import CORRECTED
from retailpipe.html_report.facts import Build, Ledger, Load, RejectedCell, Rejects, Rule
from retailpipe.html_report.records import records

if TYPE_CHECKING:
    from retailpipe.connection import Connection

LOADS_SHOWN = 40
_RULES_SHOWN = 30
_CELLS_SHOWN = 12
# A schema of an earlier version does not have this column.
_NOT_CORRECTED = "where to_jsonb(rejected_rows) ->> 'corrected_by' is null"
NO_LOADS = Ledger(0, 0, 0, 0, 0, (), ())


def ledger(connection: Connection) -> Ledger:
    """The loads. Schema bronze must exist. Raises WarehouseError."""
    sources, read, loaded, rejected, loads, corrected = connection.row(
        f"""
        select
            count(*) filter (where status = 'loaded'),
            coalesce(sum(rows_read) filter (where status = 'loaded'), 0)::bigint,
            coalesce(sum(rows_loaded) filter (where status = 'loaded'), 0)::bigint,
            coalesce(sum(rows_rejected) filter (where status = 'loaded'), 0)::bigint,
            count(*),
            coalesce(sum({CORRECTED}) filter (where status = 'loaded'), 0)::bigint
        from bronze.loads
        """
    ) or (0, 0, 0, 0, 0, 0)
    current = _loads(connection, "where status = 'loaded'")
    return Ledger(sources, loads, read, loaded, rejected, current, _loads(connection), corrected)


def _loads(connection: Connection, condition: str = "") -> tuple[Load, ...]:
    # In UTC without a zone, because for times with a zone Arrow imports its time zone modules, which takes time.
    return records(
        connection,
        Load,
        f"from bronze.loads {condition} order by load_id desc limit {LOADS_SHOWN}",
        started_at="started_at at time zone 'UTC'",
        finished_at="finished_at at time zone 'UTC'",
        rows_corrected=CORRECTED,
    )


def last_build(connection: Connection) -> Build | None:
    """The last complete build; None if there is none, or if the last one failed."""
    if connection.row("select to_regclass('bronze.builds') is null") == (True,):  # a schema of an older version
        return None
    builds = records(
        connection,
        Build,
        "from bronze.builds order by finished_at desc limit 1",
        finished_at="finished_at at time zone 'UTC'",
        loads="cardinality(load_ids)",
    )
    return builds[0] if builds else None


def rejects(connection: Connection) -> Rejects:
    """The rejected rows of the current loads that are not corrected, by rule and column, and the first cells."""
    [(total,)] = connection.rows(f"select count(*) from bronze.rejected_rows {_NOT_CORRECTED}")
    if not total:
        return Rejects(0)
    groups = f"select from bronze.rejected_rows {_NOT_CORRECTED} group by code, column_name"
    [(broken,)] = connection.rows(f"select count(*) from ({groups}) as rules")
    return Rejects(
        total,
        records(
            connection,
            Rule,
            f"from bronze.rejected_rows {_NOT_CORRECTED} group by code, column_name "
            f"order by count(*) desc, code, column_name limit {_RULES_SHOWN}",
            rows="count(*)",
        ),
        records(
            connection,
            RejectedCell,
            f"from bronze.rejected_rows inner join bronze.loads using (load_id) {_NOT_CORRECTED} "
            f"order by load_id, rejected_rows.sheet, source_row limit {_CELLS_SHOWN}",
            sheet="rejected_rows.sheet",
        ),
        broken,
    )
