"""The locks of loads and builds. They are PostgreSQL advisory locks.

Every load takes them in this order, so loads and builds cannot deadlock:

1. schema:  exclusive, while schema bronze is created or migrated (see schema.py)
2. bronze:  shared by loads, exclusive for a build
3. source:  exclusive; one load of a source at a time
4. content: exclusive; one load of a content at a time, whatever its source
5. rows:    exclusive; one load into a table at a time compares its rows with the other loads', and commits

A build takes only 1 and 2, and releases 1 before it waits for 2.

A load whose process hangs, or whose machine is gone, would keep its locks: the server learns nothing of it. So a
session that waits watches those that hold the lock. It ends the session of a load that sends nothing for two minutes
while the server waits for it. The server rolls that load back; its process, if it goes on, has lost its connection.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from retailpipe.bronze.schema import LOCK_CLASS_SCHEMA

if TYPE_CHECKING:
    from retailpipe.connection import Connection
    from retailpipe.progress import Progress

_BRONZE = LOCK_CLASS_SCHEMA + 1
_SOURCE = LOCK_CLASS_SCHEMA + 2
_CONTENT = LOCK_CLASS_SCHEMA + 3
_ROWS = LOCK_CLASS_SCHEMA + 4
_MEMORY_TO_COMPARE = "64MB"
"""PostgreSQL's `work_mem` while rows are compared: with its default of 4 MB it would sort them on disk."""
_HANGING_SECONDS = 120.0
_WATCH_MILLISECONDS = 10_000
"""The lock timeout: how often a session that waits looks at those that hold the lock."""
# Sessions of our own user that hold the lock and the lock of a source, which only a load or `forget` has, and for whose
# client the server waits. Their state changes with each statement, the bytes with each part of a COPY.
_SILENT = f"""
select
    pid,
    concat(backend_start, state_change, (select bytes_processed from pg_stat_progress_copy as c where c.pid = a.pid))
        as state
from pg_stat_activity as a
where usename = current_user and wait_event = 'ClientRead' and pid in (
    select pid from pg_locks
    where
        locktype = 'advisory' and granted
        and database = (select oid from pg_database where datname = current_database())
    group by pid
    having bool_or(classid = {_SOURCE}) and bool_or(classid = $1 and objid::bigint = hashtext($2) & 4294967295)
)
"""
_log = logging.getLogger(__name__)


def lock(connection: Connection, source: str, content_hash: str, progress: Progress) -> None:
    """Wait until there is no build and no other load of this source or this content, and make later ones wait.

    The locks are released when the transaction ends. They are taken in the order bronze, source, content: a load that
    waits for one lock never holds a later one.
    """
    wanted = (("_shared", _BRONZE, ""), ("", _SOURCE, source), ("", _CONTENT, content_hash))
    # One statement, one round trip: it tries the locks in order, stops at the first one that is not free, and returns
    # how many locks it took. The expression is nested, with the last lock innermost.
    taken_sql = str(len(wanted))
    for index, (kind, lock_class, _) in reversed([*enumerate(wanted)]):
        attempt = f"pg_try_advisory_xact_lock{kind}({lock_class}, hashtext(${index + 1}))"
        taken_sql = f"case when {attempt} then {taken_sql} else {index} end"
    taken = connection.row(f"select {taken_sql}", *(name for _, _, name in wanted)) or (0,)
    for kind, lock_class, name in wanted[taken[0] :]:
        progress.step("waiting for another load or build")
        _wait(connection, f"xact_lock{kind}", lock_class, name)


def lock_rows(connection: Connection, table: str) -> None:
    """Wait until no other load is comparing its rows with those in a table, and make later ones wait until the commit.

    Without this lock, two loads with the same rows that run at the same time would not detect each other.
    """
    taken = connection.row(
        f"""
        select
            set_config('work_mem', '{_MEMORY_TO_COMPARE}', true),
            set_config('enable_seqscan', 'off', true),  -- see indexes.prefer_indexes
            pg_try_advisory_xact_lock({_ROWS}, hashtext($1))
        """,
        table,
    )
    if taken is None or not taken[2]:
        _wait(connection, "xact_lock", _ROWS, table)


def lock_for_build(connection: Connection, progress: Progress) -> None:
    """Wait until there is no load and no other build, and make them wait until the session ends.

    The lock belongs to the session, not to a transaction, because a build commits several times.
    """
    if connection.row(f"select pg_try_advisory_lock({_BRONZE}, hashtext(''))") != (True,):
        progress.step("waiting for another load or build")
        _wait(connection, "lock", _BRONZE, "")


def is_building(connection: Connection) -> bool:
    """Whether a build is running in this database: it holds the lock of bronze alone."""
    held = connection.row(
        f"""
        select exists (
            select from pg_locks
            where locktype = 'advisory' and classid = {_BRONZE} and mode = 'ExclusiveLock' and granted
                and database = (select oid from pg_database where datname = current_database())
        )
        """
    )
    return held == (True,)


def _wait(connection: Connection, kind: str, lock_class: int, name: str) -> None:
    """Wait for a lock, and end the sessions of loads that hold it and hang. kind: the end of the function's name."""
    silent_since: dict[tuple[int, str], float] = {}
    while not _taken(connection, kind, lock_class, name):
        now = time.monotonic()
        silent = [(pid, state) for pid, state in connection.rows(_SILENT, lock_class, name)]
        silent_since = {session: silent_since.get(session, now) for session in silent}
        for (pid, state), since in silent_since.items():
            if now - since >= _HANGING_SECONDS:
                _log.warning("ending process %s of the server: its load hangs and holds a lock", pid)
                connection.row(
                    f"select pg_terminate_backend(pid) from ({_SILENT}) as silent where pid = $3 and state = $4",
                    lock_class,
                    name,
                    pid,
                    state,
                )


def _taken(connection: Connection, kind: str, lock_class: int, name: str) -> bool:
    """Wait for a lock until the lock timeout; return whether it is taken."""
    # The block catches the timeout: an error would end the transaction, and release the locks that were taken before.
    connection.execute(
        f"""
        do $$ begin
            set local lock_timeout = {_WATCH_MILLISECONDS};
            perform pg_advisory_{kind}({lock_class}, hashtext($1));
            set local lock_timeout to default;
        exception when lock_not_available then null;
        end $$
        """,
        name,
    )
    return connection.row(f"select pg_try_advisory_{kind}({lock_class}, hashtext($1))", name) == (True,)
