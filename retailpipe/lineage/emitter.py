"""Where events go: into the file of the environment and, if there is one, to the HTTP endpoint."""

from __future__ import annotations

import functools
import json
import logging
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retailpipe.lineage.datasets import plain_text
from retailpipe.lineage.journal import Journal
from retailpipe.lineage.settings import Settings

if TYPE_CHECKING:
    from retailpipe.lineage.endpoint import Endpoint

Event = dict[str, Any]
Emit = Callable[[Event], None]
_TOGETHER = 20
"""How many events an endpoint must take within 2 s."""
_log = logging.getLogger(__name__)


def emit(folder: Path, event: Event) -> None:
    """Write an event into the file of the environment in a folder, and send it. Raises nothing.

    The variables of this process count, also for an event of a worker, which may not have them. The text is ASCII: an
    escape sequence of a hostile name cannot reach a terminal.
    """
    settings = Settings.current()
    if settings.disabled:
        return
    with guarded():
        if settings.namespace:
            event = event | {"job": event["job"] | {"namespace": plain_text(settings.namespace)}}
        line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        _journal(folder).append(line)
        if settings.address:
            _endpoint(settings.address, settings.key).send(line)
        elif settings.problem:
            warn_once(settings.problem)


def emit_all(folder: Path, events: Sequence[Event]) -> None:
    """Emit many events at once, of a run on other machines. Raises nothing.

    All at once would be too many for the endpoint: it is waited for in between, as at the end of a process.
    """
    for number, event in enumerate(events, 1):
        emit(folder, event)
        if number % _TOGETHER == 0:
            flush()


def flush() -> None:
    """Wait until all events are sent that the variables of this moment send, at most 2 s. The end of a process does."""
    settings = Settings.current()
    if settings.address:
        _endpoint(settings.address, settings.key).flush()


@functools.cache
def _journal(folder: Path) -> Journal:
    return Journal(folder)


@functools.cache
def _endpoint(address: str, key: str) -> Endpoint:
    from retailpipe.lineage.endpoint import Endpoint

    return Endpoint(address, key)


@contextmanager
def guarded() -> Generator[None]:
    """Log an error once instead of raising it: an event is never worth a load.

    The message has only the kind and the place of the error, because its text may hold a password.
    """
    try:
        yield
    except Exception as error:  # whatever it is: see above
        place = traceback.extract_tb(error.__traceback__)[-1]
        warn_once(f"cannot make a lineage event ({type(error).__name__} in {Path(place.filename).name}:{place.lineno})")


@functools.cache
def warn_once(problem: str) -> None:
    """Log a warning, but not the same one again."""
    _log.warning("%s. The loads are not affected.", problem)
