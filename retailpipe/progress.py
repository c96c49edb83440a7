"""The protocol by which long steps report their progress."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of steps. The methods may be called from a worker thread, and must return quickly."""

    def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
        """Begin a new step, and end the previous one. total: the number of units of the new step, if known."""

    def advance(self, amount: int = 1) -> None:
        """Report that `amount` more units of the current step are done."""

    def note(self, text: str) -> None:
        """Show a short text beside the current step, such as a rate, instead of the last one."""

    def end(self) -> None:
        """End the last step."""


class NoProgress:
    """Ignores all progress."""

    def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
        del name, unit, total

    def advance(self, amount: int = 1) -> None:
        del amount

    def note(self, text: str) -> None:
        del text

    def end(self) -> None:
        pass
