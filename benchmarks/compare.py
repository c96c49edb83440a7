"""Compare a load with retailpipe and with other tools: time, CPU, memory, and the loaded tables.

`make bench` runs it. Each load is a process of its own, and all tools load into the same PostgreSQL, in turn. The table
of each tool is compared with ours cell by cell, so that a fast but wrong load is detected.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path

from measure import PROGRAM, Figures, circumstances, empty_bronze, execute, sample, spread, table, write_section

from retailpipe.environment import Environment

HERE = Path(__file__).parent
PEERS = ("duckdb", "fastexcel", "polars", "dlt", "pandas")
OURS = "bronze.raw_transactions"
DLT_STATE = "public._dlt_loads, public._dlt_pipeline_state, public._dlt_version"
"""dlt's state: while it lists a table, dlt does not create that table again."""
COLUMNS = (
    "invoice_no",
    "stock_code",
    "description",
    "quantity",
    "invoice_date",
    "unit_price",
    "customer_id",
    "country",
)


@dataclass
class Peer:
    name: str
    command: list[str]
    figures: Figures = field(default_factory=Figures)
    failure: str = ""

    @property
    def table(self) -> str:
        return f"public.peer_{self.name}"


def main() -> None:
    arguments = parse_arguments()
    environment = Environment.embedded(arguments.folder.absolute())
    workbook = arguments.workbook or sample(arguments.folder, arguments.rows)
    url = environment.warehouse.uri
    key = environment.store.upload(workbook).key
    ours = Figures()
    peers = [peer(name, workbook, url, arguments.python) for name in arguments.peers]
    for round_ in range(arguments.rounds + 1):  # round 0 only warms the caches
        empty_bronze(url)
        if failure := ours.run([PROGRAM, "ingest", key, "--local", str(arguments.folder)]):
            sys.exit(f"retailpipe failed: {failure}")
        for each in peers:
            if not each.failure:
                execute(url, f"drop table if exists {each.table}, {DLT_STATE}")
                each.failure = each.figures.run(each.command)
        print(f"round {round_}", file=sys.stderr)
        if round_ == 0:
            for figures in (ours, *(each.figures for each in peers)):
                figures.clear()
    [(rows,)] = execute(url, f"select count(*) from {OURS}")
    ratio, rows_compared = "retailpipe's wall / this tool's wall", "rows compared with retailpipe's"
    lines = [["", "wall s: median (min to max)", ratio, "CPU s", "peak MB", rows_compared]]
    lines.append(["retailpipe", spread(ours.walls), "", f"{ours.cpu:.2f}", f"{ours.peak:.0f}", ""])
    lines += [line(each, ours, url) for each in peers]
    about = (
        f"{workbook.name}, {rows:,} rows loaded; {arguments.rounds} rounds of whole processes, each tool once per round"
    )
    write_section(
        "Comparison with other tools", f"{circumstances(url)}. {about}.\n\n{table(*lines)}", arguments.results
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workbook", type=Path, help="the workbook to load; default: a synthetic one")
    parser.add_argument("--rows", type=int, default=541_909, help="how many rows the synthetic workbook has")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS[:3]))
    parser.add_argument(
        "--python", default=sys.executable, help="the Python interpreter that has the other tools installed"
    )
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/work"))
    parser.add_argument("--results", type=Path, help="a file to write the results to, such as benchmarks/RESULTS.md")
    return parser.parse_args()


def peer(name: str, workbook: Path, url: str, python: str) -> Peer:
    return Peer(name, [python, str(HERE / "peers" / f"load_{name}.py"), str(workbook), url, f"peer_{name}"])


def line(peer: Peer, ours: Figures, url: str) -> list[str]:
    if peer.failure:
        return [peer.name, "", "", "", "", f"failed: {peer.failure}"]
    ratios = [a / b for a, b in zip(ours.walls, peer.figures.walls, strict=True)]
    figures = peer.figures
    costs = [f"{figures.cpu:.2f}", f"{figures.peak:.0f}"]
    return [peer.name, spread(figures.walls), spread(ratios), *costs, differences(peer, url)]


def differences(peer: Peer, url: str) -> str:
    """Return "the same", or the number of our rows that are missing in the other table.

    All cells must be equal; duplicates count.
    """
    columns = ", ".join(f"{name}::text" for name in COLUMNS if name not in ("invoice_date", "unit_price"))
    columns += ", invoice_date::timestamp(0), round(unit_price::numeric, 6)"
    difference = f"select {columns} from {OURS} except all select {columns} from {peer.table}"
    [(missing,)] = execute(url, f"select count(*) from ({difference}) as rows")
    return "the same" if missing == 0 else f"{missing:,} {'row differs' if missing == 1 else 'rows differ'}"


if __name__ == "__main__":
    main()
