"""The interface of our own executors: they know how many loads the database takes."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import Executor


class BoundedExecutor(Executor):
    """An executor that never runs more loads at once than it was told."""

    @abstractmethod
    def prepare(self, at_once: int) -> None:
        """Get ready for loads, at most `at_once` at the same time.

        Raises WorkersError if the workers cannot be reached, or run other versions than this program.
        """

    @abstractmethod
    def window(self) -> int:
        """How many batches of tasks to send ahead of the results at present, at least 1. Call `prepare` first.

        Raises WorkersError if there are no workers any more.
        """
