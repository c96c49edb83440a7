"""A thread that does one thing after the other, and never keeps the process from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Does what it is given in a thread of its own, in order.

    A ThreadPoolExecutor's threads are waited for when the process ends. One whose start Ctrl-C interrupts is never
    told to end, and the process waits for ever; this one is a daemon.
    """

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._work.put((work, future))
        return future

    def shutdown(self, *, wait: bool = True) -> None:
        """Ends the thread when all that was given is done. wait: return only then."""
        self._work.put(None)
        if wait:
            self._thread.join()

    def _run(self) -> None:
        while given := self._work.get():
            work, future = given
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            del given, work, future  # what they hold is not to live until the next comes
