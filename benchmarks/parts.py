"""Measure the CPU time of each step of a load, one after the other in one thread.

`make profile` runs it. The CPU time is that of this process; in a real load, most steps run in parallel. If there is a
file of earlier results, the table shows the earlier times too, so that a step that became slower is visible.
"""

from __future__ import annotations

import argparse
import gc
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from measure import circumstances, empty_bronze, sample, table, write_section

from retailpipe.bronze import ledger
from retailpipe.bronze.judge import Judge
from retailpipe.bronze.loader import _copy
from retailpipe.bronze.schema import ensure_schema
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.progress import NoProgress
from retailpipe.workbook.chunks import Chunk
from retailpipe.workbook.container import part_blocks
from retailpipe.workbook.cutting import SheetCutter
from retailpipe.workbook.package import Package
from retailpipe.workbook.parsing import BlockParser
from retailpipe.workbook.repeats import cut_cells
from retailpipe.workbook.shards import BLOCK_SIZE
from retailpipe.workbook.sheet import Layout, find_layout
from retailpipe.workbook.slots import Slots

T = TypeVar("T")
TITLE = "CPU time of each step of a load"


class Steps:
    """The CPU seconds of each step: the minimum of all rounds, which has the least noise."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def measure(self, name: str, work: Callable[[], T]) -> T:
        started = time.process_time()
        result = work()
        self.record(name, time.process_time() - started)
        return result

    def record(self, name: str, seconds: float) -> None:
        self.seconds[name] = min(seconds, self.seconds.get(name, seconds))


def measure(steps: Steps, environment: Environment, workbook: Path, contract: Contract) -> int:
    """Run one load step by step; return the number of rows."""
    package = steps.measure("open the workbook", lambda: Package(workbook, workbook.name))
    slots = steps.measure("shared strings", lambda: Slots(package))
    sheet = package.sheets[0]
    if sheet.part is None:
        sys.exit(f"{workbook} has no cells")
    part = sheet.part
    steps.measure("decompress, verify the checksum", lambda: _exhaust(part_blocks(workbook, part, "")))
    cutter = SheetCutter(package, sheet, slots.strings, BLOCK_SIZE)
    parser = BlockParser(package, sheet, slots, cutter)
    spent = dict.fromkeys(("cut", "parse", "objects", "judge"), 0.0)
    judge: Judge | None = None
    batches: list[tuple[pa.RecordBatch, Layout]] = []

    def timed(name: str, work: Callable[[], T]) -> T:
        started = time.process_time()
        result = work()
        spent[name] += time.process_time() - started
        return result

    for block in cutter.blocks():
        timed("cut", lambda block=block: cut_cells(block.xml))
        parsed = timed("parse", lambda block=block: parser.parse(block))
        chunks = timed(
            "objects", lambda parsed=parsed: [each if isinstance(each, Chunk) else each.chunk() for each in parsed]
        )
        for chunk in filter(None, chunks):
            if judge is None:
                layout = find_layout(workbook.name, sheet.name, chunk.numbers[0], chunk.row(0), contract)
                judge = Judge(contract)
                chunk = chunk.select(range(1, len(chunk.numbers)))
            batches.append(
                (timed("judge", lambda judge=judge, chunk=chunk, layout=layout: judge.judge(chunk, layout)), layout)
            )
    if judge is None:
        sys.exit(f"{workbook} has no rows")
    steps.record("cut rows into distinct cells (Arrow)", spent["cut"])
    steps.record("read new cells, and rows that do not repeat (calamine)", spent["parse"] - spent["cut"])
    steps.record("convert rows that do not repeat to Python objects", spent["objects"])
    steps.record("convert to Arrow and apply the contract", spent["judge"])
    with environment.warehouse.connect() as connection:
        ensure_schema(connection, contract)
        ledger.lock(connection, "input/x.xlsx", "x", NoProgress())
        load_id = ledger.open_load(connection, "input/x.xlsx", "x", contract, sheet.name)
        steps.measure(
            "copy into PostgreSQL (ADBC)",
            lambda: _copy(connection, contract, iter(batches), load_id, "input/x.xlsx"),
        )
    slots.close()
    return judge.rows_read


def _exhaust(blocks: Iterator[object]) -> None:
    for _ in blocks:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workbook", type=Path, help="the workbook to load; default: a synthetic one of 541,909 rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/work"))
    parser.add_argument("--results", type=Path, help="a file to write the results to, such as benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    workbook = arguments.workbook or sample(arguments.folder, 541_909)
    environment = Environment.embedded(arguments.folder.absolute())
    empty_bronze(environment.warehouse.uri)
    steps, rows = Steps(), 0
    gc.disable()
    for _ in range(arguments.rounds):
        for name, code in (("start Python", "pass"), ("import the modules of a load", f"import sys; {IMPORTS}")):
            steps.record(name, _seconds([sys.executable, "-c", code]))
        rows = measure(steps, environment, workbook, Contract.default())
    steps.seconds["import the modules of a load"] -= steps.seconds["start Python"]
    before = _before(arguments.results)
    lines = [["step", "CPU s", "µs per row", "µs per row before"]]
    for name, seconds in steps.seconds.items():
        lines.append([name, f"{seconds:.3f}", f"{seconds / rows * 1e6:.3f}", before.get(name, "")])
    total = sum(steps.seconds.values())
    lines.append(["total", f"{total:.3f}", f"{total / rows * 1e6:.3f}", before.get("total", "")])
    about = (
        f"{workbook.name}, {rows:,} rows; the least of {arguments.rounds} rounds, each step separately in one thread"
    )
    write_section(TITLE, f"{circumstances(environment.warehouse.uri)}. {about}.\n\n{table(*lines)}", arguments.results)


IMPORTS = "import retailpipe.cli.app, retailpipe.bronze.loader, retailpipe.connection, retailpipe.store"


def _seconds(command: list[str]) -> float:
    """The CPU seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _before(results: Path | None) -> dict[str, str]:
    """The µs per row of each step in the existing results."""
    if results is None or not results.exists():
        return {}
    section = results.read_text(encoding="utf-8").partition(f"## {TITLE}")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| (.+?) \| [\d.]+ \| ([\d.]+) \|", section, flags=re.MULTILINE))


if __name__ == "__main__":
    main()
