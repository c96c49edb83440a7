"""Lend a file to a reader of Arrow, and wait until it is given back.

Arrow reads a Python file in a thread of its own. When the reader is gone, this thread may still hold the file, its
blocks and the reader's handlers, and it needs Python to release them. If Python ends meanwhile, the process aborts.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import pyarrow as pa

_LONGEST_WAIT = 10.0
"""Seconds. Arrow's thread gives a file back within milliseconds, unless the machine is very busy."""


class Readable(Protocol):
    """A file that can be read."""

    def read(self, size: int, /) -> bytes: ...


class Loan:
    """A file that is lent to one reader of Arrow.

    error: what reading the file raised. For Arrow the file ends there, because an error would keep the file alive.
    """

    def __init__(self, file: Readable) -> None:
        self.error: BaseException | None = None
        self._lent: _Lent | None = _Lent(file, self)
        self._given_back: SimpleQueue[Any] = SimpleQueue()
        # The queue's method runs no Python code, so Arrow's thread does not stop in the middle of it.
        self._reference = weakref.ref(self._lent, self._given_back.put)

    def file(self) -> pa.PythonFile:
        """The file for Arrow. Do not keep it."""
        return pa.PythonFile(self._lent, mode="r")

    def handler(self, handle: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A handler for the same reader, which is given back with the file. Do not keep it."""
        return _Handler(handle, self._lent)

    def end(self) -> bool:
        """Wait until Arrow has given the file back; return whether it has. The reader must be gone."""
        self._lent = None
        try:
            self._given_back.get(timeout=_LONGEST_WAIT)
        except Empty:
            return False
        return True


class _Lent:
    """The file, as Arrow sees it. Whatever Arrow holds refers to it, so it is released last."""

    closed = False

    def __init__(self, file: Readable, loan: Loan) -> None:
        self._file = file
        self._loan = loan

    def read(self, size: int) -> bytes:
        if self._loan.error:
            return b""
        try:
            return _Block(self._file.read(size), self)
        except BaseException as error:
            self._loan.error = error
            cause: BaseException | None = error
            while cause:  # the frames of a traceback would keep the file alive
                cause.__traceback__ = None
                cause = cause.__cause__ or cause.__context__
            return b""

    def close(self) -> None:
        """Leave the file open: its owner closes it."""


class _Block(bytes):
    lent: _Lent

    def __new__(cls, block: bytes, lent: _Lent) -> _Block:
        made = super().__new__(cls, block)
        made.lent = lent
        return made


class _Handler:
    def __init__(self, handle: Callable[[Any], Any], lent: _Lent | None) -> None:
        self._handle = handle
        self._lent = lent

    def __call__(self, given: Any) -> Any:
        return self._handle(given)
