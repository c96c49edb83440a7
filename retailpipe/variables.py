"""Environment variables for the time of a call: what libpq and dbt read from them is not always what they should."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager

_lock = threading.RLock()
"""Held while variables change, and by who connects: libpq reads them meanwhile, and they are the whole process's."""
_kept = 0
"""How many calls keep the variables as they are."""


@contextmanager
def environment_variables(changes: Mapping[str, str | None]) -> Generator[None]:
    """Sets variables, or removes those given as None, and puts all back at the end.

    Nobody else changes them meanwhile: dbt's threads read them when they connect.
    """
    global _kept
    with _lock:
        before = {name: os.environ.get(name) for name in changes}
        _change(changes)
        _kept += 1
    try:
        yield
    finally:
        with _lock:
            _kept -= 1
            _change(before)


@contextmanager
def connecting(*, isolated: bool) -> Generator[None]:
    """For the time of a connection being made: nobody changes the variables meanwhile.

    isolated: whether libpq's are for other databases than this one, and are hidden. While dbt runs they stay, since its
        threads read them: for an isolated database they are set to be right, so only a program that builds in one
        environment and asks another meanwhile could be disturbed.
    """
    with _lock:
        hidden = no_libpq_variables() if isolated and not _kept else {}
        before = {name: os.environ.get(name) for name in hidden}
        _change(hidden)
        try:
            yield
        finally:
            _change(before)


def no_libpq_variables() -> dict[str, str | None]:
    """The change that removes all that libpq would take from the environment: PGPASSWORD, PGSERVICE and so on."""
    with _lock:  # whoever connects may have hidden them
        return {name: None for name in os.environ if name.startswith("PG")}


def _change(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
