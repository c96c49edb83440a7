"""Repeat a load that failed for a reason that passes: never for what is wrong with a workbook."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from retailpipe.errors import AwsError, RetailpipeError, WarehouseError

_T = TypeVar("_T")
_FIRST_PAUSE_SECONDS = 0.2
_TRIES = 7
"""The pauses double, so the last try is about 13 seconds after the first: a server restarts within that time."""


def with_retries(work: Callable[[], _T]) -> _T:
    """Return the result of `work`; after a transient error of AWS or of the database, pause and call it again.

    Raises the error of the last call.
    """
    for attempt in range(_TRIES - 1):
        try:
            return work()
        except RetailpipeError as error:
            if not is_transient(error):
                raise
        # A random part, so that loads that failed together do not come back together.
        time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.75, 1.25))  # noqa: S311 - a pause is not a secret
    return work()


def is_transient(error: RetailpipeError) -> bool:
    """Whether a retry may succeed: the connection was lost, a deadlock, too many connections, AWS throttles."""
    return isinstance(error, AwsError | WarehouseError) and error.transient
