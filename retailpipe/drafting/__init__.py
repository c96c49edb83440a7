"""Drafts a contract from a workbook: finds its header, its columns and their types, and the rows to skip."""

from __future__ import annotations

import os
from pathlib import Path

from retailpipe.errors import StoreError, UsageError
from retailpipe.paths import reason
from retailpipe.reports import ContractDraft


def draft_contract(path: str | Path, *, sheet: str | None = None, name: str | None = None) -> ContractDraft:
    """Draft a contract for a workbook: an xlsx workbook or a CSV file.

    sheet: the name of the sheet to draft it for; by default the sheets that have the same header.
    name: the name of the contract and of its table; by default that of the file.

    Raises SourceNotFound, UsageError, StoreError if the path is not a workbook, WorkbookError if it cannot be read,
    SheetError if no sheet has rows.
    """
    from retailpipe.drafting.draft import draft

    return draft(Path(path), sheet, name)


def write_contract(text: str, path: Path, *, overwrite: bool = False) -> None:
    """Write the text of a contract to a file; create its folder if needed.

    Raises UsageError if the file exists and `overwrite` is false, StoreError if it cannot be written.
    """
    if not overwrite and os.path.lexists(path):
        raise UsageError(f"{path} already exists", hint="Pass --force to overwrite it, or another file with --out.")
    temporary = path.with_name(f".{path.name[:50]}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text, encoding="utf-8", newline="\n")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot write {path}: {reason(error)}", hint="Pass another file with --out.") from error
