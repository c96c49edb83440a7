"""Writes the output of a command to a file."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from retailpipe.environment import expanded
from retailpipe.errors import UsageError
from retailpipe.hints import file_argument
from retailpipe.paths import reason


def check_target(path: Path) -> None:
    """Raise UsageError if a file cannot be written: it is a folder, its folder does not exist, its name is too long."""
    path = expanded(path)
    try:
        is_folder, has_folder = path.is_dir(), path.parent.is_dir()
    except OSError as error:
        raise _cannot_write(path, error) from error
    if is_folder:
        raise UsageError(f"cannot write {path}: it is a folder", hint="Write the name of a file.")
    if not has_folder:
        raise UsageError(
            f"cannot write {path}: the folder {path.parent} does not exist",
            hint=f"Create it: `mkdir -p {file_argument(path.parent)}`.",
        )


def write_file(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file, or replace it in one step: an error leaves no half file and keeps the old one.

    What is not a regular file, such as a pipe or /dev/stdout, is written directly.

    private: whether only its owner can read the file. Otherwise a file that is replaced keeps its permissions.

    Raises UsageError if the file cannot be written.
    """
    try:
        path = expanded(path)
        if path.absolute().is_relative_to("/dev") or (path.exists() and not path.is_file()):
            path.write_bytes(content)
            return
        target = path.resolve()  # the file behind a link is replaced, not the link
        fresh = target.with_name(f".{target.name[:50]}.{os.getpid()}")  # at most 255 bytes, as file systems allow
        try:
            with fresh.open("xb") as file:
                if private:
                    fresh.chmod(0o600)
                file.write(content)
            if target.exists() and not private:
                shutil.copymode(target, fresh)
            fresh.replace(target)
        finally:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError | ValueError) -> UsageError:
    hint = "Check the name, the folder and the free disk space."
    return UsageError(f"cannot write {path}: {reason(error)}", hint=hint)
