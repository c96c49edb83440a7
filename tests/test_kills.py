"""Kills clients or the server 1,000 times, at random points of loads, replacements, builds and watches.

After each kill, bronze has either the old or the new content, no row is loaded twice, and the next command succeeds.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import retailpipe
from retailpipe import Environment, backlog, builds, pipeline
from retailpipe.sample import write_sample
from retailpipe.watch import watch
from tests.bronze.test_load_interrupted import Retailpipe, kill_server
from tests.support.stacks import HandMade
from tests.test_watch import notify, put, spawn

pytestmark = pytest.mark.nightly

LOADS, REPLACEMENTS, BUILDS, WATCHES, SERVERS = 350, 250, 150, 100, 150
assert LOADS + REPLACEMENTS + BUILDS + WATCHES + SERVERS == 1000

ROWS = 300
KEPT = """
select source, rows_read, rows_loaded, rows_rejected,
    (select count(*) from bronze.raw_transactions as t where t.load_id = loads.load_id) as rows,
    (select count(*) from bronze.rejected_rows as r where r.load_id = loads.load_id) as rejects
from bronze.loads where status = 'loaded' order by source
"""
STRAYS = """
select count(*) as n from bronze.raw_transactions
where load_id not in (select load_id from bronze.loads where status = 'loaded')
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Environment]:
    """An environment with its own server, which may be killed."""
    environment = Environment.local(tmp_path / "own")
    pipeline.init(environment)
    yield environment
    assert environment.server is not None
    environment.server.destroy()


def put_sample(environment: Environment, name: str, seed: int) -> str:
    """Write a sample workbook into the store, and return its key."""
    file = environment.folder / "input" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    write_sample(file, rows=ROWS, seed=seed)
    return f"input/{name}"


def check_kept(environment: Environment) -> dict[str, dict[str, Any]]:
    """Check that every current load is complete and that no other rows exist; return the loads by source."""
    kept = retailpipe.query(environment, KEPT).to_pylist()
    for load in kept:
        assert load["rows_read"] == ROWS, load
        assert (load["rows"], load["rejects"]) == (load["rows_loaded"], load["rows_rejected"]), load
    assert len({load["source"] for load in kept}) == len(kept)
    assert retailpipe.query(environment, STRAYS).to_pylist() == [{"n": 0}]
    return {load["source"]: load for load in kept}


def seconds_of(environment: Environment, *arguments: str) -> float:
    """Run a command without killing it, and return how long it took."""
    started = time.monotonic()
    command = Retailpipe(environment, *arguments)
    assert command.end() == 0, command.stderr
    return time.monotonic() - started


def killed_at(environment: Environment, seconds: float, *arguments: str, kill: Callable[[], None] | None = None) -> int:
    """Run a command, and after some seconds call `kill`, by default to kill the command; return its exit code."""
    command = Retailpipe(environment, *arguments)
    time.sleep(seconds)
    kill() if kill else os.killpg(command.process.pid, signal.SIGKILL)
    return command.end()


def test_killed_loads_are_complete_or_absent(environment: Environment) -> None:
    at = random.Random(1)
    usual = seconds_of(environment, "ingest", put_sample(environment, "first.xlsx", 0))
    undone = 0
    for number in range(1, LOADS + 1):
        key = put_sample(environment, f"{number}.xlsx", number)

        killed_at(environment, at.uniform(0.1, 1.1) * usual, "ingest", key)

        is_loaded = key in check_kept(environment)
        undone += not is_loaded
        (report,) = retailpipe.ingest(environment, key)
        assert report.status == ("unchanged" if is_loaded else "loaded")
    assert len(check_kept(environment)) == LOADS + 1
    assert 0 < undone < LOADS


def test_killed_replacements_leave_the_old_or_the_new_rows(environment: Environment) -> None:
    at = random.Random(2)
    key = put_sample(environment, "book.xlsx", 0)
    usual = seconds_of(environment, "ingest", key)
    undone = 0
    for number in range(1, REPLACEMENTS + 1):
        (before,) = retailpipe.query(environment, "select max(load_id) as id from bronze.loads").to_pylist()
        put_sample(environment, "book.xlsx", number)

        killed_at(environment, at.uniform(0.1, 1.1) * usual, "ingest", key)

        assert list(check_kept(environment)) == [key]
        (after,) = retailpipe.query(environment, "select max(load_id) as id from bronze.loads").to_pylist()
        undone += after == before
        (report,) = retailpipe.ingest(environment, key)
        assert report.status == ("replaced" if after == before else "unchanged")
    assert 0 < undone < REPLACEMENTS


def test_a_run_after_a_killed_build_completes_it(environment: Environment) -> None:
    """Each table of silver and gold has either its old or its new rows; the next build completes all of them."""
    at = random.Random(3)
    key = put_sample(environment, "book.xlsx", 0)
    usual = seconds_of(environment, "run", key)
    built = 0
    for number in range(1, BUILDS + 1):
        put_sample(environment, "book.xlsx", number)
        retailpipe.ingest(environment, key)
        before = digests(environment)

        killed_at(environment, at.uniform(0.1, 1.1) * usual, "transform")

        check_kept(environment)
        found = digests(environment)
        built += builds.is_built(environment)
        report = retailpipe.run(environment)
        assert report.ok, report
        assert builds.is_built(environment)
        after = digests(environment)
        for table, digest in found.items():
            assert digest in (before[table], after[table]), table
    assert 0 < built < BUILDS


def digests(environment: Environment) -> dict[str, str]:
    """Return a digest of the rows of each table of silver and gold, by the table's name."""
    tables = retailpipe.query(
        environment,
        "select table_schema || '.' || table_name as name from information_schema.tables "
        "where table_schema in ('public_silver', 'public_gold') and table_name not like '%__dbt_%'",
    ).to_pylist()
    rows = " union all ".join(
        f"select '{name}' as name, md5(string_agg(t::text, chr(10) order by t::text)) as digest from {name} as t"
        for name in (table["name"] for table in tables)
    )
    return {row["name"]: row["digest"] for row in retailpipe.query(environment, rows).to_pylist()}


def test_killed_watchers_lose_nothing_and_load_nothing_twice(made: HandMade, tmp_path: Path) -> None:
    at = random.Random(4)
    for number in range(WATCHES):
        book = tmp_path / f"{number}.xlsx"
        write_sample(book, rows=ROWS, seed=number)
        notify(made, put(made, book))
        watcher = spawn("--idle-exit", "1s")
        try:
            watcher.communicate(timeout=at.uniform(0.3, 6))
        except subprocess.TimeoutExpired:
            os.killpg(watcher.pid, signal.SIGKILL)
            watcher.communicate()

    environment = Environment.from_stack("dev")
    assert all(handled.ok for handled in watch(environment, once=True))
    assert len(check_kept(environment)) == WATCHES
    assert backlog.waiting(environment) == []
    assert retailpipe.verify(environment).ok
    assert environment.stack
    environment.stack.aws.close()


def test_commands_succeed_after_the_server_was_killed(own: Environment) -> None:
    """Every third kill happens during `run`, so it can hit a build."""
    at = random.Random(5)
    load, run = (
        seconds_of(own, *words, put_sample(own, f"{words[0]}.xlsx", 0))
        for words in (["ingest"], ["run", "--allow-duplicate"])
    )
    failed = 0
    for number in range(1, SERVERS + 1):
        key = put_sample(own, f"{number}.xlsx", number)
        words, usual = (["run"], run) if number % 3 == 0 else (["ingest"], load)

        failed += killed_at(own, at.uniform(0.1, 1.0) * usual, *words, key, kill=lambda: kill_server(own)) != 0

        is_loaded = key in check_kept(own)
        (report,) = retailpipe.ingest(own, key)
        assert report.status == ("unchanged" if is_loaded else "loaded")
    assert retailpipe.run(own).ok
    assert len(check_kept(own)) == SERVERS + 2
    assert failed > 0
