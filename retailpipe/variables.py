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

    isolated: hide libpq's variables, because they are meant for other databases. They stay visible while dbt runs,
        because its threads read them. dbt_runner then sets them to suit an isolated database. So they can only be wrong
        in a program that builds one environment and queries another at the same time.
    """
    with _lock:
        hidden = no_libpq_variables() if isolated and not _holds else {}
        before = {name: os.environ.get(name) for name in hidden}
        _change(hidden)
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
