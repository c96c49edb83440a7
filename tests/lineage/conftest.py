"""Fixtures of lineage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _without_proxy() -> Iterator[None]:
    """A proxy of this machine is not for servers on this machine."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield
