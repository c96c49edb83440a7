"""The register: which folders of this machine are environments of this user.

Each environment has a small file in the user's state directory, which only the user can read. It is written when the
embedded server of the environment starts, and when a workbook is loaded. The register only serves lists: what cannot be
read or written is ignored, so that a read-only or full home directory makes no command fail.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path


def record(folder: Path) -> None:
    """Add the folder of an environment to the register. Raises nothing."""
    with suppress(OSError, ValueError):
        records = _records()
        records.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = folder.resolve()
        content = json.dumps({"folder": str(folder)})
        file = records / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:24]}.json"
        if file.exists() and file.read_text() == content:
            return
        replace_private(file, content)


def folders() -> list[Path]:
    """The recorded folders that exist. The records of folders that do not exist are deleted. Raises nothing."""
    found: list[Path] = []
    with suppress(OSError):
        for file in sorted(_records().glob("*.json")):
            folder = _recorded(file)
            if folder is None:
                continue
            try:
                if stat.S_ISDIR(folder.stat().st_mode):
                    found.append(folder)
            except (FileNotFoundError, NotADirectoryError):
                file.unlink(missing_ok=True)
            except (OSError, ValueError):  # not readable at the moment, or not a path
                continue
    return found


def replace_private(file: Path, content: str) -> None:
    """Write a file that only its owner can read, in one step for its readers. Raises OSError."""
    # Its own name: if two processes wrote to one file, the second would write to what the first has put in place.
    fresh = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as target:
        target.write(content)
    fresh.replace(file)


def _records() -> Path:
    """The folder of the register. Raises OSError if the user has no home directory."""
    from platformdirs import user_state_path

    try:
        state = user_state_path("retailpipe", appauthor=False)
    except RuntimeError as error:
        raise FileNotFoundError(str(error)) from error
    if not state.is_absolute():  # older versions of platformdirs return `~` unchanged instead of raising an error
        raise FileNotFoundError(f"{state} is not an absolute path")
    return state / "environments"


def _recorded(file: Path) -> Path | None:
    """The folder in a record; None if the record is damaged."""
    try:
        folder = json.loads(file.read_text())["folder"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return Path(folder) if isinstance(folder, str) and Path(folder).is_absolute() else None
