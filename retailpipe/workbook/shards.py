"""Read a sheet in blocks, with several threads.

Memory use is bounded by the number of blocks read ahead, however long the sheet is. Parsing releases the GIL, so it
runs in parallel with the consumer.
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
"""Bytes of XML in a block. Smaller blocks cost more calls, larger blocks more memory."""

_EXTRA_BLOCKS_AHEAD = 2
"""Blocks that may be read ahead, besides one for each thread. More would take memory without being faster."""
_MAX_THREADS = 3
"""Three threads parse blocks faster than the consumer's single thread handles them."""


class BlockReader:
    """An iterator over the rows of a sheet that are not blank, header included.

    Blocks come in the order of the sheet's XML, which is not always the order of the row numbers. Within a block,
    rewritten rows come last unless `in_order` is set, which it is initially. Threads inflate and parse some blocks
    ahead of the consumer. The Python objects of rows that are not read by distinct cells are created in the consumer's
    thread: if one core creates objects and another uses them, both are slow.

    Iterating raises WorkbookError if the sheet is damaged.
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
        self._parsed: deque[Parsed | Chunk] = deque()
        self._returned = bytearray()
        self.in_order = True
        self._is_closed = False
        # Daemon threads, for the reason that threads.Worker gives.
        self._threads = [threading.Thread(target=self._work, name="parse", daemon=True) for _ in range(_threads())]
        self._room = threading.Semaphore(len(self._threads) + _EXTRA_BLOCKS_AHEAD)
        for thread in self._threads:
            thread.start()

    @property
    def rows_claimed(self) -> int | None:
        """The number of the last row according to the sheet itself; known once the first rows have been returned."""
        return self._cutter.rows_claimed

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        while True:
            while self._parsed:
                parsed = self._parsed.popleft()
                if chunk := parsed if isinstance(parsed, Chunk) else parsed.chunk():
                    self._record(chunk.numbers)
                    return chunk
            block = None if self._ended else self._ahead.get()
            if block is None:
                self._ended = True
                raise StopIteration
            self._room.release()
            results = block.result()
            if self.in_order and len(results) > 1 and isinstance(results[0], Parsed):
                results = self._parser.parse(results[0].block, in_order=True)
            self._parsed.extend(results)

    def close(self) -> None:
        """Stop the threads, even in the middle of the sheet, and wait for them."""
        self._is_closed = True
        self._room.release(len(self._threads))
        for thread in self._threads:
            if thread.ident:
                thread.join()
        self._blocks.close()

    def _record(self, numbers: Sequence[int]) -> None:
        """Record which rows have been returned. Raises WorkbookError if one was returned before."""
        if not self._returned:
            self._returned = bytearray(MAX_ROWS + 1)
        returned, twice = self._returned, 0
        if isinstance(numbers, range):
            twice = returned.find(1, numbers.start, numbers.stop)
            returned[numbers.start : numbers.stop] = b"\1" * len(numbers)
        else:
            for number in numbers:
                if returned[number]:
                    twice = number
                returned[number] = 1
        if twice > 0:
            raise self._cutter.damaged(f"row {twice} occurs twice, with other rows in between")

    def _work(self) -> None:
        while self._room.acquire() and not self._is_closed and self._parse_next():
            pass

    def _parse_next(self) -> bool:
        """Parse the next block, and store the result or the error in its future; False if there is no further block.

        The future enters the queue under the lock, so that the blocks keep their order.
        """
        parsed: Future[Sequence[Parsed | Chunk]] = Future()
        with self._next_block:
            try:
                block = next(self._blocks, None)
            except BaseException as error:
                # Pass on any error: otherwise the thread would just end, and the sheet would seem to end here.
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
    """How many threads parse in parallel with the consumer: one less than there are cores, but at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MAX_THREADS, max(1, cores - 1))
