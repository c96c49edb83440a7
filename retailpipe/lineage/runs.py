"""A run of a job: its START event, then one of COMPLETE, FAIL and ABORT."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from retailpipe.errors import HEADER_CELLS, RetailpipeError
from retailpipe.lineage.datasets import Dataset, plain_text
from retailpipe.lineage.emitter import Emit, Event, emit, guarded
from retailpipe.lineage.facets import EVENT, Facet, facets, own_version, producer
from retailpipe.lineage.settings import Settings

if TYPE_CHECKING:
    from types import TracebackType

    from retailpipe.environment import Environment

_MOST_CHARACTERS = 1_000


@dataclass(frozen=True)
class Content:
    """What an event says. inputs, outputs: datasets. facets: of the run."""

    inputs: list[Dataset] = field(default_factory=list[Dataset])
    outputs: list[Dataset] = field(default_factory=list[Dataset])
    facets: dict[str, Facet] = field(default_factory=dict[str, Facet])


class Run:
    """The events of one run. A context manager: an exception becomes FAIL, an interrupt becomes ABORT.

    A run that has not begun when it ends well emits nothing: there was nothing to do. Raises nothing of its own.

    job: the name of the job. kind: LOAD, BUILD or VERIFICATION.
    sink: takes the events; default: the file of the environment and the endpoint.
    """

    def __init__(self, environment: Environment, job: str, kind: str, sink: Emit | None = None) -> None:
        self._environment = environment
        self._job, self._kind = job, kind
        self._sink: Emit = sink or partial(emit, environment.folder)
        self._disabled = Settings.current().disabled
        self._id = _new_id()
        self._began_at = _now()
        self._begun = self._ended = False
        self._known = Content()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error and not self._ended:
            state = "FAIL" if isinstance(error, Exception) else "ABORT"
            self.end(lambda: self._known, state, _message(error))

    def leave(self) -> None:
        """There was nothing to do: emit nothing."""
        self._ended = True

    def begin(self, content: Callable[[], Content]) -> None:
        """Emit START, unless it was emitted before."""
        with guarded():
            if not self._begun and not self._disabled:
                self._known = content()
                self._emit("START", self._began_at, self._known)
                self._begun = True

    def end(self, content: Callable[[], Content], state: str = "COMPLETE", problem: str = "") -> None:
        """Emit the last event. If its content cannot be made, it has that of START.

        problem: the message of a run that failed.
        """
        self.begin(lambda: self._known)
        self._ended = True
        if self._disabled:
            return
        found = self._known
        with guarded():
            found = content()
        with guarded():
            failure = {"message": problem, "programmingLanguage": "Python"} if problem else None
            run_facets = found.facets | facets(errorMessage=failure)
            self._emit(state, _now(), Content(found.inputs, found.outputs, run_facets))

    def _emit(self, state: str, moment: str, content: Content) -> None:
        engine = {"name": "retailpipe", "version": own_version(), "openlineageAdapterVersion": own_version()}
        job_type = {"processingType": "BATCH", "integration": "RETAILPIPE", "jobType": self._kind}
        event: Event = {
            "eventType": state,
            "eventTime": moment,
            "run": {"runId": self._id, "facets": facets(processing_engine=engine) | content.facets},
            "job": {"namespace": self._namespace(), "name": self._job, "facets": facets(jobType=job_type)},
            "inputs": content.inputs,
            "outputs": content.outputs,
            "producer": producer(),
            "schemaURL": EVENT,
        }
        self._sink(event)

    def _namespace(self) -> str:
        """The namespace of the jobs: no two environments of one machine, and no two stacks, have the same."""
        if self._environment.stack:
            outputs = self._environment.stack.outputs
            return "retailpipe:" + "/".join(filter(None, (outputs.project, outputs.stack, outputs.part)))
        return f"retailpipe:{quote(os.fsencode(self._environment.folder))}"


def _message(error: BaseException) -> str:
    """The first line of the message of an error, without cells: more lines quote them, and the end of the first one
    may. Without a header, that is a row of data."""
    text = str(error) if isinstance(error, RetailpipeError) else ""
    text = text.partition("\n")[0].partition(f"; {HEADER_CELLS}")[0]
    return plain_text(text or type(error).__name__)[:_MOST_CHARACTERS]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _new_id() -> str:
    """A UUID of version 7: it begins with the time, so the IDs of runs are in the order of their starts."""
    number = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10))
    number = number & ~(0xF << 76) | 7 << 76
    digits = f"{number & ~(0b11 << 62) | 0b10 << 62:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
