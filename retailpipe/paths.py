"""Questions about paths that users pass: the answer to a path that no file can have is no, not an error.

pathlib raises OSError for a name that is too long, and Python ValueError for a NUL. But the source of a load may be a
key of a bucket, which can be longer than the name of a file.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path

NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Errors of a path that leads to no file: there is none, it is a link to nothing, or no file can have such a name."""


def exists(path: Path) -> bool:
    """Whether there is a file or a folder. If it cannot be looked at, yes: reading it then says why."""
    try:
        path.stat()
    except OSError as error:
        return error.errno not in NO_FILE
    except ValueError:
        return False
    return True


def is_file(path: Path) -> bool:
    """Whether there is a regular file that can be looked at."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def reason(error: OSError | ValueError) -> str:
    """Why a file cannot be read or written, without its name. A ValueError is the one of a NUL in the name."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
