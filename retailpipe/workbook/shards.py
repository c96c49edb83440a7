"""A sheet read in blocks by several threads.

Memory stays that of some blocks however long the sheet is, and parsing, which lets go of the interpreter's lock, runs
beside everything else.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue

from retailpipe.workbook.chunks import Chunk
from retailpipe.workbook.container import MAX_ROWS
from retailpipe.workbook.cutting import SheetCutter
from retailpipe.workbook.package import Package, Sheet
from retailpipe.workbook.parsing import BlockParser, Parsed, Way
from retailpipe.workbook.slots import Slots

BLOCK_SIZE = 3 << 19
"""Bytes of XML in a block: smaller ones cost more calls, larger ones more memory."""

_MORE_AHEAD = 2
"""Blocks that are parsed and wait, beyond one for each thread: enough that none waits, few enough for memory."""
_MOST_THREADS = 3
"""The consumer's one thread takes longer for a block than three of these."""


class BlockReader:
    """The used rows of a sheet, its header among them; an iterator.

    Blocks of rows come in the order of the sheet's XML, which need not be that of their numbers; within a block, rows
    that had to be rewritten come last, unless `in_order` is set, as it is at first. Threads inflate and parse some
    blocks ahead of the consumer. The many objects of rows that do not repeat are made in the consumer's thread: where
    one core makes them and another uses them, both are slow.

    Iterating raises WorkbookError where the sheet is damaged.
    """

    def __init__(
        self, package: Package, sheet: Sheet, slots: Slots, block_size: int = BLOCK_SIZE, *, way: Way = Way.QUICKEST
    ) -> None:
        self._cutter = SheetCutter(package, sheet, slots.strings, block_size)
        self._parser = BlockParser(package, sheet, slots, self._cutter, way)
        self._blocks = self._cutter.blocks()
        self._next_block = threading.Lock()
        self._ahead: SimpleQueue[Future[Sequence[Parsed | Chunk]] | None] = SimpleQueue()
        self._ended = False
        self._parts: deque[Parsed | Chunk] = deque()
        self._given = bytearray()
        self.in_order = True
        self._is_closed = False
        # Daemons, as is said at Worker.
        self._threads = [threading.Thread(target=self._work, name="parse", daemon=True) for _ in range(_threads())]
        self._room = threading.Semaphore(len(self._threads) + _MORE_AHEAD)
        for thread in self._threads:
            thread.start()

    @property
    def rows_claimed(self) -> int | None:
        """The number of the last row, by what the sheet says of itself; known once the first rows were given."""
        return self._cutter.rows_claimed

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        while True:
            while self._parts:
                part = self._parts.popleft()
                if chunk := part if isinstance(part, Chunk) else part.chunk():
                    self._note(chunk.numbers)
                    return chunk
            block = None if self._ended else self._ahead.get()
            if block is None:
                self._ended = True
                raise StopIteration
            self._room.release()
            parts = block.result()
            if self.in_order and len(parts) > 1 and isinstance(parts[0], Parsed):
                parts = self._parser.parse(parts[0].block, in_order=True)
            self._parts.extend(parts)

    def close(self) -> None:
        """Ends the threads, whatever they are at."""
        self._is_closed = True
        self._room.release(len(self._threads))
        for thread in self._threads:
            if thread.ident:
                thread.join()
        self._blocks.close()

    def _note(self, numbers: Sequence[int]) -> None:
        """Notes which rows are given. Raises WorkbookError if one was given before."""
        if not self._given:
            self._given = bytearray(MAX_ROWS + 1)
        given, twice = self._given, 0
        if isinstance(numbers, range):
            twice = given.find(1, numbers.start, numbers.stop)
            given[numbers.start : numbers.stop] = b"\1" * len(numbers)
        else:
            for number in numbers:
                if given[number]:
                    twice = number
                given[number] = 1
        if twice > 0:
            raise self._cutter.damaged(f"row {twice} stands twice, with others between")

    def _work(self) -> None:
        while self._room.acquire() and not self._is_closed and self._parse_next():
            pass

    def _parse_next(self) -> bool:
        """Parses one block more, or puts what keeps it from being parsed in its place; False if there is none."""
        parsed: Future[Sequence[Parsed | Chunk]] = Future()
        with self._next_block:
            try:
                block = next(self._blocks, None)
            except (
                BaseException
            ) as error:  # whatever it is: in a thread nobody sees it, and the sheet would seem to end
                parsed.set_exception(error)
                self._ahead.put(parsed)
                return False
            self._ahead.put(parsed if block else None)
        if block is None:
            return False
        try:
            parsed.set_result(self._parser.parse(block))
        except BaseException as error:
            parsed.set_exception(error)
        return True


def _threads() -> int:
    """How many threads parse beside the consumer: one less than there are cores, but one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_THREADS, max(1, cores - 1))
