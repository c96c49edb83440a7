"""Environments with thousands of workbooks: what commands ask of the database and the bucket, and what they print."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

import retailpipe
from retailpipe import Environment, backlog, pipeline
from retailpipe.checks import check
from retailpipe.keys import receipt_key
from tests.conftest import Program
from tests.support.many_workbooks import record_loads
from tests.support.proxy import proxy
from tests.support.stacks import HandMade

PAGE = 1_000
"""How many keys S3 returns at once."""


def put_files(environment: Environment, count: int) -> None:
    """Put files with the names of workbooks into the store; they are never read."""
    folder = environment.folder / "input"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(len([*folder.iterdir()]), count):
        (folder / f"branch_{number:05}.xlsx").write_bytes(b"content %d" % number)


# The database


@pytest.mark.parametrize("work", [retailpipe.status, backlog.waiting, check, pipeline.ingest])
def test_the_number_of_statements_does_not_depend_on_the_number_of_workbooks(
    environment: Environment, work: Callable[[Environment], object]
) -> None:
    pipeline.init(environment)
    round_trips: list[int] = []
    for count in (20, 400):
        put_files(environment, count)
        record_loads(environment)
        work(environment)  # the etags of new files are recorded
        round_trips.append(_round_trips(environment, work))

    assert round_trips[1] - round_trips[0] <= 2


def _round_trips(environment: Environment, work: Callable[[Environment], object]) -> int:
    port = urlsplit(environment.warehouse.uri).port or 0
    with proxy(port) as counting:
        url = environment.warehouse.uri.replace(f":{port}/", f":{counting.port}/")
        work(Environment.local(environment.folder, database_url=url))
        return counting.turns


# The screen


def test_status_prints_the_newest_loads_and_totals(environment: Environment, program: Program) -> None:
    pipeline.init(environment)
    put_files(environment, 100)
    record_loads(environment)
    place = ("--local", environment.folder, "--database-url", environment.warehouse.uri)

    shown = program("status", *place).stdout
    everything = json.loads(program("status", "--json", *place).stdout)

    assert shown.count("input/branch_") == 30
    assert re.search(r"^ +100  loaded", shown, re.MULTILINE)
    assert "the newest 30 of 100 loads; list all with `" in shown
    assert "100 workbooks are loaded, with 0 rows" in shown
    assert len(everything["loads"]) == everything["loads_in_ledger"] == everything["workbooks_loaded"] == 100


def test_status_prints_the_first_names_of_what_waits(environment: Environment, program: Program) -> None:
    put_files(environment, 100)

    shown = program("status", "--local", environment.folder, "--database-url", environment.warehouse.uri).stdout

    assert shown.count("input/branch_") == 10
    assert "input/branch_00009.xlsx and 90 more\n" in shown


# The bucket


def fill_bucket(on_aws: Environment, made: HandMade, count: int) -> None:
    """Put workbooks into the bucket that are loaded, each with its receipt."""
    pipeline.init(on_aws)
    bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for number in range(count):
        bucket.put_object(made.outputs["bucket"], f"input/branch_{number:05}.xlsx", b"%d" % number)
    for stored in on_aws.store.workbooks():
        bucket.put_object(made.outputs["bucket"], receipt_key(stored.key, stored.etag), b"{}")
    record_loads(on_aws)


@contextmanager
def requests_to_s3(environment: Environment) -> Iterator[Counter[str]]:
    """Count the requests to S3, by operation."""
    counted: Counter[str] = Counter()

    def count(event_name: str, **_: Any) -> None:
        counted[event_name.rpartition(".")[2]] += 1

    assert environment.stack
    events = environment.stack.aws.client("s3").meta.events
    events.register("before-send.s3.*", count)
    try:
        yield counted
    finally:
        events.unregister("before-send.s3.*", count)


@pytest.mark.parametrize("count", [PAGE + 1, pytest.param(10 * PAGE, marks=pytest.mark.nightly)])
def test_each_command_lists_a_bucket_once(on_aws: Environment, made: HandMade, count: int) -> None:
    fill_bucket(on_aws, made, count)
    pages = -(-count // PAGE)

    with requests_to_s3(on_aws) as requests:
        report = retailpipe.status(on_aws)
    assert (report.waiting, report.workbooks_loaded, requests) == ((), count, {"ListObjectsV2": pages})

    with requests_to_s3(on_aws) as requests:
        assert not pipeline.ingest(on_aws)
    assert requests == {"ListObjectsV2": 2 * pages}  # the workbooks and the receipts

    with requests_to_s3(on_aws) as requests, pytest.raises(retailpipe.SomeNotLoaded):
        pipeline.ingest(on_aws, "branch_00001.xlsx", "branch_00002.xlsx", "branch_00003.xlsx")
    assert requests["ListObjectsV2"] == pages


def test_forgetting_a_workbook_lists_the_bucket_once(on_aws: Environment, made: HandMade) -> None:
    for name in ("a", "b"):
        made.client("s3").put_object(Bucket=made.outputs["bucket"], Key=f"input/{name}.xlsx", Body=b"PK")

    with requests_to_s3(on_aws) as requests:
        retailpipe.forget(on_aws, "a.xlsx")

    assert requests["ListObjectsV2"] == 2  # the workbooks, and the receipts of this one


def test_a_missing_receipt_is_written_with_one_request(on_aws: Environment, made: HandMade) -> None:
    pipeline.init(on_aws)
    for number in range(5):
        made.client("s3").put_object(Bucket=made.outputs["bucket"], Key=f"input/{number}.xlsx", Body=b"%d" % number)
    record_loads(on_aws)

    with requests_to_s3(on_aws) as requests:
        pipeline.ingest(on_aws)

    assert requests == {"ListObjectsV2": 2, "PutObject": 5}
