"""A daemon thread that runs calls one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Runs submitted calls in its own thread, in order.

    It is not a ThreadPoolExecutor, because Python waits for the threads of an executor when the process ends. If Ctrl-C
    interrupts the start of such a thread, the thread never gets the signal to stop, and the process hangs. This thread
    is a daemon.
    """

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Queue a call, and return the future of its result."""
        future: Future[T] = Future()
        self._work.put((work, future))
        return future

    def shutdown(self, *, wait: bool = True) -> None:
        """End the thread after all submitted calls. wait: return only when it has ended."""
        self._work.put(None)
        if wait:
            self._thread.join()

    def _run(self) -> None:
        while item := self._work.get():
            work, future = item
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            del item, work, future  # otherwise they would keep the result alive until the next call
