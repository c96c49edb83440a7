"""Fixtures of the tests of workers."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _clients_are_closed() -> Iterator[None]:
    """Let Dask close the clients that could not connect, which nobody can close.

    Otherwise the garbage collector may do it while another client starts its thread: Dask waits for ever then.
    """
    yield
    gc.collect()
