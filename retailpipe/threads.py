"""Daemon threads: one that runs calls one after the other, and several that run calls in parallel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

S = TypeVar("S")
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


def in_parallel(work: Callable[[S], T], items: Sequence[S], threads: int) -> list[T]:
    """Return the results of `work` for all items, in their order, from at most this many calls at the same time.

    Raises the error of the first item that has one. The calls that have not started by then are not made.
    """
    stopped = threading.Event()

    def unless_stopped(item: S) -> T:
        if stopped.is_set():
            raise CancelledError
        return work(item)

    workers = [Worker(f"parallel call {number}") for number in range(min(threads, len(items)))]
    try:
        futures = [
            workers[number % len(workers)].submit(partial(unless_stopped, item)) for number, item in enumerate(items)
        ]
        return [future.result() for future in futures]
    finally:
        stopped.set()
        for worker in workers:
            worker.shutdown(wait=False)
