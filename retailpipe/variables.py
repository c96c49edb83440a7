"""Environment variables for the time of a call: what libpq and dbt read from them is not always what they should."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager

ALONE = threading.RLock()
"""Held by a thread that changes the variables while another may connect, and by whoever connects: the variables are
the whole process's."""


@contextmanager
def environment_variables(changes: Mapping[str, str | None]) -> Generator[None]:
    """Sets variables, or removes those given as None, and puts all back at the end."""
    before = {name: os.environ.get(name) for name in changes}
    _change(changes)
    try:
        yield
    finally:
        _change(before)


def no_libpq_variables() -> dict[str, str | None]:
    """The change that removes all that libpq would take from the environment: PGPASSWORD, PGSERVICE and so on."""
    return {name: None for name in os.environ if name.startswith("PG")}


def _change(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
