"""Write the whole workbook of a load with the rejected cells marked.

openpyxl reads and writes it. It is an optional dependency, and docs/corrections.md says what it cannot keep.
"""

from __future__ import annotations

import io
import shlex
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from retailpipe.bronze.nul import without_nul
from retailpipe.contract import Contract
from retailpipe.corrections.loaded import Loaded, key_of, loaded
from retailpipe.corrections.target import check_new_workbook
from retailpipe.environment import Environment
from retailpipe.errors import StoreError, UsageError, WorkbookError
from retailpipe.files import write_file
from retailpipe.keys import SUFFIX
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import RejectsFile

if TYPE_CHECKING:
    from retailpipe.corrections.rejects_workbook import Faults
    from retailpipe.snapshots import Snapshot

_FAILURES = (ValueError, KeyError, IndexError, TypeError, AttributeError, SyntaxError, OSError, BadZipFile, EOFError)
"""What openpyxl raises for workbooks that it cannot read; ParseError of XML is a SyntaxError."""
_FILL = "FFFFC7CE"


def annotate_rejects(
    environment: Environment,
    path: str | Path,
    *,
    source: str | None = None,
    contract: Contract | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> RejectsFile:
    """Write the workbook of a load to a file, with each rejected cell coloured and commented.

    The workbook is read from the store. openpyxl writes it, and does not keep everything: docs/corrections.md. It
    takes a hundred times the memory of the file.

    source, contract, force: as in `write_rejects`.

    Raises UsageError if the extra `certify` is not installed, the workbook is not an .xlsx file, or the file exists or
    cannot be written; StoreError if the store has another content than the load; WorkbookError if openpyxl cannot read
    it; otherwise what `write_rejects` raises.
    """
    from retailpipe.corrections.rejects_workbook import faults_of

    progress = progress or NoProgress()
    if find_spec("openpyxl") is None:
        raise UsageError(
            "marking the cells of a whole workbook needs openpyxl, which is not installed",
            hint="Install it with its extra: pip install 'retailpipe[certify]'. "
            "`retailpipe rejects --write FILE.xlsx` does not need it.",
        )
    target = check_new_workbook(path, force=force)
    with environment.warehouse.connect(read_only=True) as connection:
        load = loaded(connection, environment, key_of(connection, environment, source), contract)
    key = load.entry.source
    if not key.lower().endswith(SUFFIX):
        raise UsageError(
            f"{key} is not an {SUFFIX} file: its cells cannot be marked",
            hint=f"Write its rejected rows alone: `retailpipe rejects {shlex.quote(key)} --write FILE.xlsx`.",
        )
    with environment.store.snapshot(key, progress=progress) as snapshot:
        if snapshot.content_hash != load.entry.content_hash:
            raise StoreError(
                f"{key} in {environment.store.address} is not the workbook that load {load.entry.load_id} loaded",
                hint=f"Load it with `retailpipe ingest {shlex.quote(key)}`, or bring the loaded one back with "
                f"`retailpipe restore {shlex.quote(key)}`.",
            )
        progress.step("marking the rejected cells")
        faults = faults_of(load, load.rejected)
        content = _annotated(snapshot, load, faults)
    write_file(target, content)
    return RejectsFile(str(path), key, load.entry.load_id, len(faults), sum(map(len, faults.values())))


def _annotated(snapshot: Snapshot, load: Loaded, faults: Faults) -> bytes:
    from openpyxl import load_workbook

    from retailpipe.certifying.limits import check_package

    check_package(snapshot.path, snapshot.key)
    content = io.BytesIO()
    try:
        with warnings.catch_warnings(), snapshot.path.open("rb") as file:
            warnings.simplefilter("ignore")  # openpyxl warns of parts that it leaves out
            book: Any = load_workbook(file, rich_text=True)
            sheets = {without_nul(sheet.title): sheet for sheet in book.worksheets}
            for (sheet, row), cells in faults.items():
                for index, problem in cells.items():
                    _mark(sheets[sheet].cell(row, index + 1), problem)
            book.save(content)
    except (*_FAILURES, RecursionError) as error:
        text = str(error).partition("\n")[0] or type(error).__name__
        raise WorkbookError(
            f"{snapshot.key} cannot be read and written by openpyxl: {text}",
            hint=f"Write its rejected rows alone: `retailpipe rejects {shlex.quote(snapshot.key)} --write FILE.xlsx`.",
        ) from error
    return content.getvalue()


def _mark(cell: Any, problem: Any) -> None:
    from openpyxl.cell.cell import MergedCell
    from openpyxl.comments import Comment
    from openpyxl.styles import PatternFill

    from retailpipe.corrections.rejects_workbook import described

    if isinstance(cell, MergedCell):  # a part of a merged cell, which cannot have a comment
        return
    text = described(problem)
    if cell.comment:
        text = f"{cell.comment.text}\n\n{text}"
    cell.fill = PatternFill("solid", fgColor=_FILL)
    cell.comment = Comment(text, "retailpipe", width=360, height=120)
