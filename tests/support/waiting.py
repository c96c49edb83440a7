"""Wait for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], *, timeout: float = 60, pause: float = 0.05) -> None:
    """Wait until a condition is true. timeout, pause: in seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "timeout: the condition is still false"
        time.sleep(pause)
