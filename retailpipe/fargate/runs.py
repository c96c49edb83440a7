"""A run on workers: what is to be loaded, and under which names its files and its secret are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from retailpipe.names import Names
from retailpipe.outputs import StackOutputs


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run. The file `run` in the bucket holds it as JSON.

    name: begins with the UTC time of its start, so that names sort by time.
    outputs: of the stack. keys: the workbooks to load.
    contracts: the texts of the contracts of the environment, by file name. contract: the text of the one for all keys.
    workers: how many. limit: seconds after which every task ends.
    manifest: SHA-256 of the manifest of the packages that the tasks install.
    """

    name: str
    outputs: Mapping[str, Any]
    keys: Sequence[str]
    workers: int
    limit: int
    manifest: str
    contracts: Mapping[str, str] = field(default_factory=dict[str, str])
    contract: str | None = None
    allow_duplicate: bool = False
    at_once: int | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        return cls(**document)

    def as_document(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def started_at(self) -> datetime:
        return datetime.strptime(self.name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)

    @property
    def tasks(self) -> int:
        """How many tasks it has: the workers, the scheduler and the client."""
        return self.workers + 2

    @property
    def secret(self) -> str:
        """The name of the secret with its certificate."""
        outputs = StackOutputs.from_mapping(self.outputs)
        return Names(outputs.project, outputs.stack, outputs.part).run_secret(self.name)

    def hours(self, now: datetime, ended_at: str | None = None) -> float:
        """The hours of all its tasks together until now, or until it ended."""
        end = datetime.fromisoformat(ended_at) if ended_at else now
        seconds = min((end - self.started_at).total_seconds(), self.limit)
        return max(seconds, 0) * self.tasks / 3600
