"""The file that a workbook is written to."""

from __future__ import annotations

from pathlib import Path

from retailpipe.environment import expanded
from retailpipe.errors import UsageError
from retailpipe.files import check_target
from retailpipe.keys import SUFFIX


def check_new_workbook(path: str | Path, *, force: bool) -> Path:
    """The path of a new workbook. Raises UsageError if it exists, unless `force`, or cannot be written."""
    target = expanded(path)
    if target.suffix.lower() != SUFFIX:
        raise UsageError(f"{path} does not end in {SUFFIX}", hint="Write the name of a workbook, such as rejects.xlsx.")
    check_target(target)
    if target.exists() and not force:
        raise UsageError(f"{path} already exists", hint="Pass --force to overwrite it, or another file.")
    return target
