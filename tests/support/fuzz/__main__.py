"""Reads many changed workbooks, in a process of its own: `python -m tests.support.fuzz SEED COUNT FOLDER`.

Ends with 1 as soon as a workbook is read otherwise than it should be, and keeps it in the folder, made smaller. The
workbook that is being read is in the folder all the time, in case it ends the process.
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
from retailpipe.workbook.reader import open_sheet
from retailpipe.workbook.shards import BlockReader
from retailpipe.workbook.slots import Slots
from tests.support.fuzz.mutations import Parts, mutate, packed, seed
from tests.support.workbooks import contract_of

MOST_SECONDS = 10
MOST_MEGABYTES = 300
_MOST_DATA = 4 << 30
_SMALL = 5_000_000
"""Bytes of a workbook that has no reason to take much memory."""
_COLUMNS = (
    {"header": "Code", "type": "string"},
    {"header": "Price", "type": "decimal128(38, 18)"},
    {"header": "Sold", "type": "timestamp[us]"},
)

Cells = dict[tuple[int, int], Any]


class Wrong(AssertionError):
    """A workbook was read otherwise than it should be."""


def check(path: Path, contract: Contract) -> str:
    """Reads a workbook, and gives what became of it. Raises Wrong, or what the reader should not have raised."""
    signal.alarm(MOST_SECONDS)
    try:
        try:
            sheet = open_sheet(path, contract)
        except WorkbookError as error:
            return _refused(path, error)
        try:
            judge = Judge(sheet.layout, contract)
            kept = sum(judge.judge(chunk).num_rows for chunk in sheet.chunks())
        except WorkbookError as error:
            return _refused(path, error)
        finally:
            sheet.close()
        if judge.rows_read != kept + len(judge.rejects):
            raise Wrong(f"{judge.rows_read} rows were read, {kept} kept and {len(judge.rejects)} rejected")
        _compare_ways(path)
        _compare_with_openpyxl(path)
        return "rejected" if judge.rejects else "loaded"
    finally:
        signal.alarm(0)


def _refused(path: Path, error: WorkbookError) -> str:
    if not error.hint or path.name not in str(error):
        raise Wrong(f"a refusal without hint or name: {error}")
    return "refused"


def _cells(path: Path, way: Way) -> Cells | str:
    package = Package(path, path.name)
    slots = Slots(package)
    blocks = BlockReader(package, package.sheets[0], slots, 2_000, way=way)
    found: Cells = {}
    try:
        for chunk in blocks:
            chunk.check()
            for place, number in enumerate(chunk.numbers):
                for column, cell in chunk.row(place).items():
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
            raise Wrong(f"{way} or rewritten, it is refused: {cells if isinstance(cells, str) else rewritten}")
        places = [place for place in cells | rewritten if repr(cells.get(place)) != repr(rewritten.get(place))]
        if places:
            differ = [f"{place}: {cells.get(place)!r} and {rewritten.get(place)!r}" for place in places]
            raise Wrong(f"{way}, and rewritten: {differ[:5]}")


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
    except Exception:  # whatever it is: openpyxl does not read it
        return
    for place, cell in ours.items():
        if place in theirs and not _alike(cell, theirs[place]):
            raise Wrong(f"{place}: {cell!r}, where openpyxl reads {theirs[place].value!r}")


def _alike(ours: Any, cell: Any) -> bool:
    theirs = cell.value
    if isinstance(ours, ErrorCell) or cell.data_type == "e":
        return True  # openpyxl gives the text of an error, and an error for what it cannot convert
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
    """The parts with as much taken out as leaves the failure; what depends on the bytes of the zip stays as it is."""
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
            print(f"case {number} is kept as {kept}", file=sys.stderr)
            return 1
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    print(f"{count} workbooks: {outcomes}, {_peak_megabytes():.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
