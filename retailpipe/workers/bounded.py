"""The interface of our own executors: they know how many loads the database takes."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import Executor


class BoundedExecutor(Executor):
    """An executor that never runs more loads at once than it was told."""

    @abstractmethod
    def prepare(self, at_once: int) -> int:
        """Get ready for loads, at most `at_once` at the same time; return how many tasks to send ahead of the results.

        Raises WorkersError if the workers cannot be reached, or run other versions than this program.
        """
