"""Measure what finds the rows of a load in a large table of bronze: nothing, BRIN, B-tree, or partitions.

`make bench-warehouse` runs it. PostgreSQL generates the rows itself, with the shape of the published workbook. Every
index exists while rows are replaced; a figure of one index is taken in a transaction that drops the others and is
rolled back. So all figures are of the same table.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from measure import circumstances, table, write_section

from retailpipe import Environment
from retailpipe.pipeline import init

TABLE = "bronze.raw_transactions"
INDEXES = {
    "BRIN minmax": "create index brin_minmax on {table} using brin (load_id)",
    "BRIN minmax-multi": "create index brin_multi on {table} using brin (load_id int8_minmax_multi_ops)",
    "B-tree": "create index btree on {table} (load_id)",
}
NAMES = {kind: sql.split()[2] for kind, sql in INDEXES.items()}
ROWS = """
insert into {table}
    (invoice_no, stock_code, description, quantity, invoice_date, unit_price, customer_id, country, load_id, source_row)
select
    (536365 + n / 20)::text,
    (10000 + (hashint8(n) & 4095))::text || case when n % 4 = 0 then 'A' else '' end,
    left('WHITE HANGING HEART T-LIGHT HOLDER', 18 + (n % 17)::integer),
    (n % 24)::integer + 1,
    timestamp '2010-12-01' + {load} * interval '1 day' + n % 86400 * interval '1 second',
    (n % 1000)::numeric / 100,
    case when n % 4 <> 0 then (12346 + n / 20 % 5000)::text end,
    'United Kingdom',
    {load},
    n
from generate_series(2, {rows} + 1) as n
"""


class Server:
    """One connection, outside of a transaction, and the CPU time of its process on the server."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True
        self._process = psutil.Process(self.value("select pg_backend_pid()"))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def value(self, sql: str) -> Any:
        [(value,)] = self.rows(sql)
        return value

    @property
    def cpu(self) -> float:
        return sum(self._process.cpu_times()[:2])

    def wal(self) -> int:
        return int(self.value("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))

    @contextmanager
    def rolled_back(self, *dropped: str) -> Generator[None]:
        self.rows("begin")
        try:
            for name in dropped:
                self.rows(f"drop index bronze.{name}")
            yield
        finally:
            self.rows("rollback")

    def size(self, name: str) -> int:
        return int(self.value(f"select pg_relation_size('{name}')"))


@dataclass
class Cost:
    """What a statement cost. megabytes: of the pages that it read. wal: in MB."""

    wall: float
    cpu: float
    wal: float
    megabytes: float = 0.0
    plan: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table")
    parser.add_argument("--load-rows", type=int, default=50_000, help="rows of each load")
    parser.add_argument("--replaced", type=int, default=10, help="how many loads are replaced before the last figures")
    parser.add_argument("--partitions", type=int, default=1_000, help="partitions to plan with")
    parser.add_argument("--keep", action="store_true", help="keep the server and the table")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/work"))
    parser.add_argument("--results", type=Path, help="a file to write the results to, such as benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    environment = Environment.embedded((arguments.folder / "warehouse").absolute())
    init(environment)
    server = Server(environment.warehouse.uri)
    try:
        text = measured(server, arguments.rows, arguments.load_rows, arguments.replaced)
        text += "\n" + partitions(server, arguments.partitions)
        write_section("A large warehouse", f"{circumstances(environment.warehouse.uri)}. {text}", arguments.results)
    finally:
        if environment.server and not arguments.keep:
            environment.server.destroy()


def measured(server: Server, rows: int, load_rows: int, replaced: int) -> str:
    loads = rows // load_rows
    for (name,) in server.rows("select indexname from pg_indexes where tablename = 'raw_transactions'"):
        server.rows(f"drop index bronze.{name}")
    server.rows(f"alter table {TABLE} set (autovacuum_enabled = off)")
    started = time.perf_counter()
    for load in range(1, loads + 1):
        insert(server, load, load_rows)
    server.rows(f"vacuum (analyze) {TABLE}")
    say(f"{rows:,} rows in {time.perf_counter() - started:.0f} s")
    last = loads
    plain = inserted(server, last := last + 1, load_rows)
    million = 1_000_000 / load_rows
    building = [
        ["", "build s", "CPU s", "MB", "insert: CPU s a million rows", "WAL MB a million rows"],
        ["no index", "", "", "", f"{plain.cpu * million:.2f}", f"{plain.wal * million:.0f}"],
    ]
    for kind, sql in INDEXES.items():
        build = timed(server, sql.format(table=TABLE))
        size = server.size(f"bronze.{NAMES[kind]}")
        # The second load: the first one writes whole pages to the WAL.
        inserted(server, last := last + 1, load_rows)
        cost = inserted(server, last := last + 1, load_rows)
        building.append(
            [
                kind,
                f"{build.wall:.1f}",
                f"{build.cpu:.1f}",
                f"{size / 1e6:.1f}",
                f"{cost.cpu * million:.2f}",
                f"{cost.wal * million:.0f}",
            ]
        )
        say(str(building[-1]))
        if kind != [*INDEXES][-1]:
            server.rows(f"drop index bronze.{NAMES[kind]}")
    for kind, sql in [*INDEXES.items()][:-1]:
        server.rows(sql.format(table=TABLE))
        say(f"built {kind}")
    server.rows(f"vacuum (analyze) {TABLE}")
    middle = loads // 2
    states = {"new table": deletes(server, middle)}
    tail = max(loads // 10, 1)
    for _ in range(tail):
        insert(server, last := last + 1, load_rows)
    states[f"{tail * load_rows:,} rows since the last VACUUM"] = deletes(server, middle)
    server.rows(f"vacuum (analyze) {TABLE}")
    others = [load for load in range(1, loads + 1) if load != middle]
    for old in others[:: max(len(others) // replaced, 1)][:replaced]:
        server.rows(f"delete from {TABLE} where load_id = {old}")
        server.rows(f"vacuum {TABLE}")
        insert(server, last := last + 1, load_rows)
    server.rows(f"vacuum (analyze) {TABLE}")
    states[f"after {replaced} replacements"] = deletes(server, middle)
    finding = [["", "index", "s", "CPU s", "pages read, MB", "plan"]]
    for state, costs in states.items():
        for kind, cost in costs.items():
            finding.append([state, kind, f"{cost.wall:.2f}", f"{cost.cpu:.2f}", f"{cost.megabytes:,.0f}", cost.plan])
    heap = server.size(TABLE)
    return (
        f"{rows:,} rows in {loads} loads of {load_rows:,}; the table has {heap / 1e9:.2f} GB.\n\n"
        f"{table(*building)}\n\nThe delete of one load of {load_rows:,} rows:\n\n{table(*finding)}\n"
    )


def insert(server: Server, load: int, rows: int) -> None:
    server.rows(ROWS.format(table=TABLE, load=load, rows=rows))


def inserted(server: Server, load: int, rows: int) -> Cost:
    return timed(server, ROWS.format(table=TABLE, load=load, rows=rows))


def timed(server: Server, sql: str) -> Cost:
    started, cpu, wal = time.perf_counter(), server.cpu, server.wal()
    server.rows(sql)
    return Cost(time.perf_counter() - started, server.cpu - cpu, (server.wal() - wal) / 1e6)


def deletes(server: Server, load: int) -> dict[str, Cost]:
    """The delete of a load with each index, and without any; nothing is deleted."""
    costs: dict[str, Cost] = {}
    for kind, kept in {**NAMES, "no index": ""}.items():
        with server.rolled_back(*(name for name in NAMES.values() if name != kept)):
            cpu, wal = server.cpu, server.wal()
            plan = server.value(
                f"explain (analyze, buffers, timing off, format json) delete from {TABLE} where load_id = {load}"
            )[0]
            scan = plan["Plan"]["Plans"][0]
            index = scan.get("Plans", [scan])[0]
            costs[kind] = Cost(
                plan["Execution Time"] / 1000,
                server.cpu - cpu,
                (server.wal() - wal) / 1e6,
                distinct_pages(scan) * 8192 / 1e6,
                scan["Node Type"] + (f" of {index['Index Name']}" if "Index Name" in index else ""),
            )
            say(f"{kind}: {costs[kind]}")
    return costs


def distinct_pages(scan: dict[str, Any]) -> int:
    """The pages of the table that a scan reads: of a bitmap scan, its heap blocks; otherwise the blocks it touches."""
    return int(
        (scan["Exact Heap Blocks"] + scan["Lossy Heap Blocks"])
        if "Exact Heap Blocks" in scan
        else scan["Shared Hit Blocks"] + scan["Shared Read Blocks"]
    )


def partitions(server: Server, count: int) -> str:
    """What it costs to plan with one partition for each load."""
    server.rows(f"create table bronze.parts (like {TABLE}) partition by list (load_id)")
    started = time.perf_counter()
    for load in range(1, count + 1):
        server.rows(f"create table bronze.part_{load} partition of bronze.parts for values in ({load})")
    created = time.perf_counter() - started
    server.rows("analyze bronze.parts")
    try:
        plan = server.value("explain (analyze, summary, format json) select count(*) from bronze.parts")[0]
        planned = f"{plan['Planning Time']:.0f} ms to plan and {plan['Execution Time']:.0f} ms to run"
    except psycopg2.Error as error:
        planned = f"no plan: {str(error).splitlines()[0]}"
    return (
        f"{count:,} empty partitions: {created / count * 1000:.1f} ms to create each; `select count(*)`: {planned}.\n"
    )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
