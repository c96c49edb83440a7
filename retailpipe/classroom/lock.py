"""Keep two commands apart that change the stacks of a class."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from retailpipe.errors import ClassError

_LOCK = ".class.lock"


@contextmanager
def class_lock(folder: Path) -> Generator[None]:
    """Keep two calls on one machine apart. On two machines, Pulumi's own locks do. Raises ClassError."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / _LOCK, timeout=0):
            yield
    except Timeout as error:
        raise ClassError(
            f"another `class up` or `class down` is running for {folder}", hint="Wait until it has ended."
        ) from error
