"""Refusals, table bronze.refusals: why the workbooks that are not loaded were refused when that was last tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retailpipe.bronze.nul import without_nul
from retailpipe.reports import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from retailpipe.connection import Connection
    from retailpipe.store import Stored


def note(connection: Connection, source: str, etag: str, reason: str) -> None:
    """Record why a content of a workbook was refused. etag: the store's etag of this content; empty if not certain."""
    connection.execute(
        """
        insert into bronze.refusals (source, etag, reason, refused_at) values ($1, $2, $3, clock_timestamp())
        on conflict (source) do update
        set etag = excluded.etag, reason = excluded.reason, refused_at = excluded.refused_at
        """,
        source,
        etag,
        without_nul(reason),
    )


def current(connection: Connection, workbooks: Iterable[Stored]) -> dict[str, Refusal]:
    """Return the refusals of the present contents of workbooks, by key.

    A refusal is over when its workbook has been loaded or forgotten since, or has another content now.
    """
    stored = {each.key: each for each in workbooks}
    found = connection.rows(
        """
        select source, etag, reason, refused_at at time zone 'UTC' from bronze.refusals
        where not exists (
            select from bronze.loads
            where
                corrects is null and loads.source = refusals.source
                and greatest(finished_at, forgotten_at) > refused_at
        )
        """
    )
    refusals: dict[str, Refusal] = {}
    for source, etag, reason, refused_at in found:
        present = stored.get(source)
        is_same = present and (present.etag == etag if etag else present.modified.replace(tzinfo=None) <= refused_at)
        if is_same:
            refusals[source] = Refusal(source, reason, refused_at)
    return refusals
