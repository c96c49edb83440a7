"""How a long step tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Hears what a step does. Methods may be called from the thread that does the work, and must be quick."""

    def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
        """A new step begins, of `total` units where that is known; the one before has ended."""

    def advance(self, amount: int = 1) -> None:
        """So many more units of the current step are done."""

    def end(self) -> None:
        """The last step has ended."""


class NoProgress:
    """Tells nobody."""

    def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
        del name, unit, total

    def advance(self, amount: int = 1) -> None:
        del amount

    def end(self) -> None:
        pass
