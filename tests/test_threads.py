"""Calls in parallel: their results in order, how many run at once, and what an error stops."""

from __future__ import annotations

import threading
import time

import pytest

from retailpipe.threads import in_parallel
from tests.support.waiting import wait_for


def test_results_have_the_order_of_the_items() -> None:
    def slow_at_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item * 2

    assert in_parallel(slow_at_first, range(50), 8) == [item * 2 for item in range(50)]
    assert in_parallel(slow_at_first, [], 8) == []


def test_no_more_calls_run_at_once_than_allowed() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def count(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    in_parallel(count, range(30), 3)

    assert most == 3


def test_an_error_stops_the_calls_that_have_not_started() -> None:
    called: list[int] = []

    def fail(item: int) -> None:
        called.append(item)
        if item == 0:
            raise ValueError("first")
        time.sleep(0.01)

    with pytest.raises(ValueError, match="first"):
        in_parallel(fail, range(100), 2)

    wait_for(lambda: not any(thread.name.startswith("parallel call") for thread in threading.enumerate()))
    assert len(called) < 20
