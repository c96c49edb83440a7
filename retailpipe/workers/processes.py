"""Processes of this machine that load workbooks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import FrameType, TracebackType
from typing import ParamSpec, TypeVar

from retailpipe.imports import prepare_process
from retailpipe.workers.bounded import BoundedExecutor

_P = ParamSpec("_P")
_T = TypeVar("_T")
_ENDING_SECONDS = 5.0
# What one process needs, and what the start of processes costs, in seconds of a core. Measured with PostgreSQL on the
# same machine (docs/scale.md): the imports of the fork server and the forks take about a second, and two processes save
# a third of the time of one. So they pay from three seconds on: 45 workbooks of 1,000 rows, or two of 150,000 rows.
_SECONDS_PER_WORKBOOK = 0.055
_SECONDS_PER_MEGABYTE = 0.27
_SECONDS_THAT_PAY = 3.0


class Processes(BoundedExecutor):
    """A process pool that starts with the first call, replaces processes that died, and leaves none behind.

    The processes are forked from a server that has imported everything heavy once; where there is no fork server, each
    is started afresh. They are never forked from this process: its threads may hold locks.
    """

    def __init__(self, count: int, *, is_asked_for: bool = True) -> None:
        """is_asked_for: whether a person chose processes, so that they are used for small workbooks too."""
        self.count = count
        self.is_asked_for = is_asked_for
        self._at_once = count
        self._pool: ProcessPoolExecutor | None = None
        self._children: set[BaseProcess] = set()

    @staticmethod
    def pays(workbooks: int, size: int) -> bool:
        """Whether the time that several processes save is longer than their start. size: of all workbooks, in bytes."""
        work = workbooks * _SECONDS_PER_WORKBOOK + size / 1e6 * _SECONDS_PER_MEGABYTE
        return work >= _SECONDS_THAT_PAY

    def prepare(self, at_once: int) -> None:
        """Set the bound. Starts no process."""
        self._at_once = at_once

    def window(self) -> int:
        """One batch for each process that may load: the next is sent when one has ended."""
        return min(self.count, self._at_once)

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Call a function in one of the processes. If a process died since the last call, all are started again."""
        try:
            return self._submit(fn, *args, **kwargs)
        except BrokenProcessPool:
            self._end()
            return self._submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes when they have done their calls."""
        if self._pool:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)
            self._pool = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the processes. After an error such as Ctrl-C, end them now: the server rolls back what they had begun."""
        if error:
            self._end()
        self.shutdown()

    def _submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        others = {*active_children()}
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.count, _context(), initializer=_begin)
        try:
            with ctrl_c_postponed():
                return self._pool.submit(fn, *args, **kwargs)  # this starts a process if it needs one more
        finally:
            self._children |= {*active_children()} - others

    def _end(self) -> None:
        """End the processes now, whatever they do."""
        if self._pool is None:
            return
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.join(_ENDING_SECONDS)
            child.kill()
        self._children.clear()
        self.shutdown(cancel_futures=True)


def _context() -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["retailpipe.workers.preload"])
    return context


@contextmanager
def ctrl_c_postponed() -> Generator[None]:
    """Let a Ctrl-C that comes during this block take effect at its end. Processes started in the block never see one.

    Ctrl-C reaches every process of the terminal, from its first moment on: the first process alone decides what it
    means. Its other threads do not block SIGINT, and Python handles what they receive in the main thread. So a handler
    records it: KeyboardInterrupt within the block could lose a process that starts.
    """
    came = False

    def record(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True

    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if handler is not None:
        signal.signal(signal.SIGINT, record)
    try:
        with _sigint_blocked():
            yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _sigint_blocked() -> Generator[None]:
    """Block SIGINT in this thread, and for good in the processes that it starts meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows `_begin` alone ignores it
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """Prepare a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if multiprocessing.get_start_method(allow_none=True) == "spawn":
        prepare_process()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the process that sends the work was killed: nobody else would."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
