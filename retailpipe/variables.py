"""Temporary changes of environment variables, which libpq and dbt read.

Environment variables belong to the whole process, so this module guards them with a lock and a counter.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager

_lock = threading.RLock()
"""Held while variables change, and while a connection is opened, because libpq reads the variables then."""
_holds = 0
"""The number of `environment_variables` contexts that are open; while there are any, `connecting` changes nothing."""

ISOLATED = dict.fromkeys(("hostaddr", "password", "options"), "") | {
    "sslmode": "disable",
    **dict.fromkeys(("sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "ssl_max_protocol_version"), ""),
    "ssl_min_protocol_version": "TLSv1.2",
    "gssencmode": "disable",
    "channel_binding": "prefer",
    "target_session_attrs": "any",
}
"""Settings of a URI for which libpq would read variables, such as PGPASSWORD, that are meant for other databases."""
_ONLY_VARIABLES = {
    *("PGSERVICE", "PGTZ", "PGDATESTYLE", "PGGEQO"),
    # libpq has settings for these only since PostgreSQL 16, 17 or 18.
    *("PGREQUIREAUTH", "PGSSLCERTMODE", "PGLOADBALANCEHOSTS", "PGSSLNEGOTIATION"),
    *("PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION"),
}
"""Variables of libpq that no setting of a URI overrides, in all versions that are used."""


@contextmanager
def environment_variables(changes: Mapping[str, str | None]) -> Generator[None]:
    """Set variables (None removes one), and restore all of them at the end.

    Until then `connecting` does not hide libpq's variables: dbt's threads read them when they connect.
    """
    global _holds
    with _lock:
        before = {name: os.environ.get(name) for name in changes}
        _change(changes)
        _holds += 1
    try:
        yield
    finally:
        with _lock:
            _holds -= 1
            _change(before)


@contextmanager
def connecting(*, isolated: bool) -> Generator[None]:
    """Keep the variables unchanged while a connection is opened.

    isolated: hide those of libpq's variables that no setting of the URI overrides, because they are meant for other
        databases. They are rarely set. They stay visible while dbt runs, because its threads read them.
    """
    with _lock:
        names = _ONLY_VARIABLES & os.environ.keys() if isolated and not _holds else set[str]()
        before = {name: os.environ[name] for name in names}
        _change(dict.fromkeys(names))
        try:
            yield
        finally:
            _change(before)


def no_libpq_variables() -> dict[str, str | None]:
    """The change that removes all of libpq's variables: PGPASSWORD, PGSERVICE and so on."""
    with _lock:  # wait for a `connecting` that may have hidden them
        return {name: None for name in os.environ if name.startswith("PG")}


def _change(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
