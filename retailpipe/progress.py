"""The protocol by which long steps report their progress."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of steps. The methods may be called from a worker thread, and must return quickly."""

    def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
        """A new step begins, and the previous one has ended. total: its number of units, if known."""

    def advance(self, amount: int = 1) -> None:
        """`amount` more units of the current step are done."""

    def end(self) -> None:
        """The last step has ended."""


class NoProgress:
    """Ignores all progress."""

    def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
        del name, unit, total

    def advance(self, amount: int = 1) -> None:
        del amount

    def end(self) -> None:
        pass
