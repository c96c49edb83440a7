"""Read many randomly changed workbooks: `python -m tests.support.fuzz SEED COUNT FOLDER`.

Exits with 1 at the first workbook that is read wrongly, and keeps that workbook, and a reduced copy, in the folder. The
workbook that is being read is always in the folder too (current.xlsx), in case it kills the process.
"""

from __future__ import annotations

import random
import resource
import signal
import sys
import time
import traceback
import warnings
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl

from retailpipe.bronze.judge import Judge
from retailpipe.contract import Contract
from retailpipe.errors import WorkbookError
from retailpipe.workbook.cells import ErrorCell
from retailpipe.workbook.package import Package
from retailpipe.workbook.parsing import Way
from retailpipe.workbook.reader import open_workbook
from retailpipe.workbook.shards import BlockReader
from retailpipe.workbook.slots import Slots
from tests.support.fuzz.mutations import Parts, mutate, packed, seed
from tests.support.workbooks import contract_of

MOST_SECONDS = 10
MOST_MEGABYTES = 300
_MOST_DATA = 4 << 30
_SMALL = 5_000_000
"""Bytes of the largest workbook that is tested: a small one must not take much memory."""
_COLUMNS = (
    {"header": "Code", "type": "string"},
    {"header": "Price", "type": "decimal128(38, 18)"},
    {"header": "Sold", "type": "timestamp[us]"},
)

Cells = dict[tuple[int, int], Any]


class Wrong(AssertionError):
    """The cells of a workbook were read wrong, or reading took too much time or memory."""


def check(path: Path, contract: Contract) -> str:
    """Read a workbook; return "loaded", "rejected" or "refused". Raises Wrong, or any error that is a bug."""
    signal.alarm(MOST_SECONDS)
    try:
        try:
            workbook = open_workbook(path, contract)
        except WorkbookError as error:
            return _refused(path, error)
        try:
            judge = Judge(contract)
            kept = sum(judge.judge(chunk, layout).num_rows for layout, chunk in workbook.chunks())
        except WorkbookError as error:
            return _refused(path, error)
        finally:
            workbook.close()
        if judge.rows_read != kept + len(judge.rejects):
            raise Wrong(f"rows: {judge.rows_read} read, {kept} kept, {len(judge.rejects)} rejected")
        _compare_ways(path)
        _compare_with_openpyxl(path)
        return "rejected" if judge.rejects else "loaded"
    finally:
        signal.alarm(0)


def _refused(path: Path, error: WorkbookError) -> str:
    if not error.hint or path.name not in str(error):
        raise Wrong(f"an error without a hint or the file's name: {error}")
    return "refused"


def _cells(path: Path, way: Way) -> Cells | str:
    """The cells of the first sheet, read in one way, by row number and column index; or the error's text."""
    package = Package(path, path.name)
    slots = Slots(package)
    blocks = BlockReader(package, package.sheets[0], slots, 2_000, way=way)
    found: Cells = {}
    try:
        for chunk in blocks:
            chunk.check()
            for index, number in enumerate(chunk.numbers):
                for column, cell in chunk.row(index).items():
                    if cell != "":
                        found[number, column] = cell
    except WorkbookError as error:
        return str(error)
    finally:
        blocks.close()
        slots.close()
    return found


def _compare_ways(path: Path) -> None:
    rewritten = _cells(path, Way.REWRITTEN)
    for way in (Way.DISTINCT, Way.PLAIN):
        cells = _cells(path, way)
        if isinstance(cells, str) and isinstance(rewritten, str):
            continue
        if isinstance(cells, str) or isinstance(rewritten, str):
            error = cells if isinstance(cells, str) else rewritten
            raise Wrong(f"only one of {way} and {Way.REWRITTEN} refuses it: {error}")
        places = [place for place in cells | rewritten if repr(cells.get(place)) != repr(rewritten.get(place))]
        if places:
            differ = [f"{place}: {cells.get(place)!r} and {rewritten.get(place)!r}" for place in places]
            raise Wrong(f"{way} and {Way.REWRITTEN} differ: {differ[:5]}")


def _compare_with_openpyxl(path: Path) -> None:
    ours = _cells(path, Way.QUICKEST)
    if isinstance(ours, str):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(path, data_only=True)
        page = book[book.sheetnames[0]]
        theirs = {
            (cell.row, cell.column - 1): cell for row in page.iter_rows() for cell in row if cell.value is not None
        }
    except Exception:  # openpyxl cannot read it: nothing to compare
        return
    for place, cell in ours.items():
        if place in theirs and not _is_equal(cell, theirs[place]):
            raise Wrong(f"{place}: {cell!r}, but openpyxl reads {theirs[place].value!r}")


def _is_equal(ours: Any, cell: Any) -> bool:
    theirs = cell.value
    if isinstance(ours, ErrorCell) or cell.data_type == "e":
        return True  # openpyxl returns an error's text, and an error for values that it cannot convert
    if isinstance(ours, str) and isinstance(theirs, str):
        return "_x" in theirs or ours.split() == theirs.split()
    if isinstance(ours, str):
        return not isinstance(theirs, float | int) or ours.lstrip("-").isdigit() or ours == ""
    if isinstance(theirs, str):
        return False
    if isinstance(ours, float) and isinstance(theirs, float | int):
        return ours == float(theirs)
    if isinstance(ours, datetime | date) and isinstance(theirs, datetime | date):
        return abs(_moment(ours) - _moment(theirs)) < timedelta(seconds=1) or _moment(ours) < datetime(1900, 3, 1)
    return True


def _moment(moment: date) -> datetime:
    return moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day)


def _peak_megabytes() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0


def _timeout(*_: object) -> None:
    raise Wrong(f"it took more than {MOST_SECONDS} s")


def _fails(parts: Parts, path: Path, contract: Contract) -> bool:
    path.write_bytes(packed(random.Random(0), parts))
    try:
        check(path, contract)
    except BaseException:
        return True
    return False


def _smaller(parts: Parts, path: Path, contract: Contract) -> Parts:
    """Reduce the parts as far as the failure remains. Return them unchanged if it depends on the bytes of the zip."""
    if not _fails(parts, path, contract):
        return parts
    until = time.monotonic() + 60
    for name in [*parts]:
        size = len(parts[name]) // 2
        while size and time.monotonic() < until:
            start = 0
            while start < len(parts[name]) and time.monotonic() < until:
                tried = {**parts, name: parts[name][:start] + parts[name][start + size :]}
                if _fails(tried, path, contract):
                    parts = tried
                else:
                    start += size
            size //= 2
    return parts


def main(first: int, count: int, folder: Path) -> int:
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_DATA, _MOST_DATA))
    signal.signal(signal.SIGALRM, _timeout)
    contract = contract_of(folder, *_COLUMNS)
    path = folder / "current.xlsx"
    outcomes: dict[str, int] = {}
    for number in range(first, first + count):
        draw = random.Random(number)
        parts = seed(draw)
        for _ in range(draw.choice([1, 1, 1, 2, 4])):
            mutate(draw, parts)
        content = packed(draw, parts)
        if len(content) > _SMALL:
            continue
        path.write_bytes(content)
        try:
            outcome = check(path, contract)
            if _peak_megabytes() > MOST_MEGABYTES:
                raise Wrong(f"it took {_peak_megabytes():.0f} MB")
        except BaseException:
            traceback.print_exc()
            kept = folder / f"case-{number}.xlsx"
            kept.write_bytes(content)
            small = _smaller(parts, path, contract)
            (folder / f"case-{number}-smaller.xlsx").write_bytes(packed(random.Random(0), small))
            print(f"case {number} failed; workbook kept as {kept}", file=sys.stderr)
            return 1
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    print(f"{count} workbooks: {outcomes}, {_peak_megabytes():.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
