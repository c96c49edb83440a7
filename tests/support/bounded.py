"""Read a workbook in a process of its own with limited memory, so that an abort or a full memory fails only one test.

The processes are forked from one that has already imported the reader: each starts in milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
from pathlib import Path

from retailpipe.contract import Contract
from retailpipe.errors import WorkbookError
from retailpipe.workbook.reader import open_workbook

_ADDRESS_SPACE = 3 << 30
"""In bytes."""
_TIMEOUT_SECONDS = 120


def read_bounded(workbook: Path, contract: Path) -> subprocess.CompletedProcess[str]:
    """Read a workbook. The output has the number of its rows, or the refusal, and the peak of the memory in MB."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    files = [workbook.with_name(f"{workbook.name}.{stream}") for stream in ("stdout", "stderr")]
    process = context.Process(target=_read, args=(workbook, contract, *files))
    process.start()
    process.join(_TIMEOUT_SECONDS)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"{workbook} was not read within {_TIMEOUT_SECONDS} s")
    output, errors = (file.read_text() for file in files)
    return subprocess.CompletedProcess([str(workbook)], process.exitcode or 0, output, errors)


def _read(workbook: Path, contract: Path, stdout: Path, stderr: Path) -> None:
    for number, file in ((1, stdout), (2, stderr)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    try:
        book = open_workbook(workbook, Contract.from_file(contract))
        print("rows", sum(len(chunk.numbers) for _, chunk in book.chunks()))
    except WorkbookError as error:
        print("refused", str(error)[:500], "| hint:", error.hint)
    with Path("/proc/self/status").open() as status:
        print("MB", next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM")), flush=True)
