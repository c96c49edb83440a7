"""The watcher of a stack: it loads, builds and publishes each upload, and loses or loads no workbook twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from moto.sqs.models import sqs_backends

from retailpipe import Environment, backlog, publishing, transform
from retailpipe.aws.notices import given_up
from retailpipe.aws.stack import stack_folder
from retailpipe.errors import AwsError, WarehouseError
from retailpipe.progress import NoProgress
from retailpipe.watch import Handled, watch, worker
from retailpipe.watch import queue as module
from tests.conftest import ROW, Program, Workbook
from tests.support.aws import recorded_calls
from tests.support.forked import command
from tests.support.nightly import most_nightly
from tests.support.proxy import proxy
from tests.support.stacks import ACCOUNT, REGION, HandMade
from tests.support.tls_server import PASSWORD, USER, TlsServer
from tests.support.waiting import wait_for
from tests.support.workbooks import keep_contract_of_notes


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.3)
    monkeypatch.setattr(module, "_RETURN_SECONDS", 0)


@pytest.fixture(autouse=True)
def _no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish no reports: it would take longer than everything else. tests/test_publishing.py tests them."""
    monkeypatch.setattr(publishing, "FILES", ())


@pytest.fixture(scope="module")
def template_on_aws(tls: TlsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database without loads, whose silver and gold are built.

    No model reads the table of notes. So a test in which a build is not the point loads notes, which need no build.
    """
    name = "prepared"
    tls.execute(f"create database {name} owner {USER}")
    login = f"{USER}:{quote(PASSWORD, safe='')}@localhost:{tls.port}"
    url = f"postgresql://{login}/{name}?sslmode=verify-full&sslrootcert={tls.ca}"
    assert transform(Environment.local(tmp_path_factory.mktemp("built"), database_url=url)).ok
    yield name
    tls.execute(f"drop database {name}")


@pytest.fixture(autouse=True)
def _contract_of_notes() -> None:
    keep_contract_of_notes(stack_folder("retailpipe", "dev"))


@pytest.fixture
def published(made: HandMade) -> Any:
    """A function that returns the subject and text of each notice published since its last call."""
    sns, sqs = made.client("sns"), made.client("sqs")
    url = sqs.create_queue(QueueName="subscriber")["QueueUrl"]
    sns.subscribe(
        TopicArn=made.outputs["topic_arn"],
        Protocol="sqs",
        Endpoint="arn:aws:sqs:eu-central-1:123456789012:subscriber",
        Attributes={"FilterPolicy": json.dumps({"kind": ["result", "failure"]})},
    )

    def take() -> list[tuple[str, str]]:
        notices: list[tuple[str, str]] = []
        while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                body = json.loads(message["Body"])
                notices.append((body["Subject"], body["Message"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return notices

    return take


def put(made: HandMade, path: Path, key: str = "") -> str:
    """Upload a file without this library."""
    key = key or f"input/{path.name}"
    made.client("s3").upload_file(str(path), made.outputs["bucket"], key)
    return key


def notify(made: HandMade, key: str, **changes: Any) -> None:
    """Publish an upload to the topic, as the Lambda does."""
    notice = {"kind": "upload", "bucket": made.outputs["bucket"], "key": key, "size": 1, "version": "", **changes}
    made.client("sns").publish(
        TopicArn=made.outputs["topic_arn"],
        Message=json.dumps({"default": "text", "sqs": json.dumps(notice)}),
        MessageStructure="json",
        MessageAttributes={"kind": {"DataType": "String", "StringValue": "upload"}},
    )


def queued_messages(made: HandMade) -> int:
    """The number of messages in the queue, visible or hidden."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = made.client("sqs").get_queue_attributes(QueueUrl=made.outputs["queue_url"], AttributeNames=names)
    return sum(int(found["Attributes"][name]) for name in names)


def rows(environment: Environment, table: str = "raw_transactions") -> int:
    return environment.warehouse.query(f"select count(*) as n from bronze.{table}").to_pylist()[0]["n"]


def test_an_upload_is_loaded_built_and_published_and_repeated_messages_cause_no_load_no_read_and_no_notice(
    on_aws: Environment, made: HandMade, make_workbook: Workbook, published: Any
) -> None:
    key = put(made, make_workbook())
    notify(made, key)

    handled, repeat = watch(on_aws, once=True)  # the workbook in the bucket, then the message about it

    assert handled.ok
    assert repeat.run is None
    assert handled.run
    assert [load.source for load in handled.run.loads] == [key]
    assert queued_messages(made) == 0
    ((subject, text),) = published()
    assert subject == "Loaded: 1 row, 0 rejected"
    assert "Newest transaction: 2010-12-01 08:26" in text
    assert "invariants hold" in text

    for _ in range(3):
        notify(made, key)
    with recorded_calls() as calls:
        again = list(watch(on_aws, once=True))

    assert ("s3", "ListBucket") in calls
    assert ("s3", "GetObject") not in calls
    assert [handled.run for handled in again] == [None]
    assert (queued_messages(made), rows(on_aws), published()) == (0, 1, [])


def test_messages_out_of_order_load_the_current_content(
    on_aws: Environment, made: HandMade, notes: Callable[..., Path]
) -> None:
    """The workbook was replaced; the content in the bucket counts, not the version in a message."""
    key = put(made, notes())
    put(made, notes(3), key)
    for version in ("second", "first"):
        notify(made, key, version=version)

    list(watch(on_aws, once=True))

    assert rows(on_aws, "notes") == 3
    assert queued_messages(made) == 0


def test_the_failure_of_a_bad_workbook_is_published_once_and_its_message_becomes_a_dead_letter(
    on_aws: Environment, made: HandMade, make_workbook: Workbook, tmp_path: Path, published: Any, program: Program
) -> None:
    bad = tmp_path / "bad.xlsx"
    bad.write_bytes(b"<html>")
    for key in (put(made, bad), put(made, make_workbook(name="good.xlsx"))):
        notify(made, key)

    handled = list(watch(on_aws, once=True))

    assert not handled[0].ok
    assert rows(on_aws) == 1
    subjects = [subject for subject, _ in published()]
    assert sorted(subjects) == ["Loaded: 1 row, 0 rejected", "Not loaded: input/bad.xlsx"]
    assert on_aws.stack
    assert (queued_messages(made), given_up(on_aws.stack)) == (0, 1)
    assert "failed: 1 upload notice is in the dead-letter queue" in program("status", "--stack", "dev").stdout
    list(watch(on_aws, once=True))
    assert published() == []


def test_messages_that_are_not_about_an_upload_become_dead_letters(on_aws: Environment, made: HandMade) -> None:
    bodies = ["no json", "[]", "{}", '{"bucket": "another", "key": "input/a.xlsx"}']
    for body in bodies:
        made.client("sqs").send_message(QueueUrl=made.outputs["queue_url"], MessageBody=body)
    assert on_aws.stack

    for _ in range(4):
        assert list(watch(on_aws, once=True)) == []

    assert given_up(on_aws.stack) == len(bodies)


def test_the_message_of_a_deleted_workbook_is_deleted(on_aws: Environment, made: HandMade) -> None:
    notify(made, "input/gone.xlsx")

    (handled,) = watch(on_aws, once=True)

    assert handled == Handled(("input/gone.xlsx",), handled.run, ())
    assert queued_messages(made) == 0


def test_a_workbook_whose_message_was_lost_is_loaded(
    on_aws: Environment, made: HandMade, notes: Callable[..., Path]
) -> None:
    put(made, notes())
    made.client("sqs").purge_queue(QueueUrl=made.outputs["queue_url"])

    (handled,) = watch(on_aws, once=True)

    assert handled.ok
    assert rows(on_aws, "notes") == 1


def test_a_deleted_queue_is_an_error(on_aws: Environment, made: HandMade) -> None:
    made.client("sqs").delete_queue(QueueUrl=made.outputs["queue_url"])

    with pytest.raises(AwsError, match="cannot receive messages from the queue"):
        list(watch(on_aws, once=True))


def test_idle_exit_ends_the_watch(on_aws: Environment) -> None:
    started = time.monotonic()

    assert list(watch(on_aws, idle_exit=timedelta(seconds=2))) == []

    assert time.monotonic() - started >= 2


def test_a_database_that_is_down_is_retried_until_it_is_up(
    made: HandMade, tls: TlsServer, notes: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retailpipe.aws.rds.ADDRESS_URL", "http://127.0.0.1:9")
    key = put(made, notes())
    notify(made, key)
    with proxy(1) as door:  # the server behind it is not set yet
        environment = Environment.from_outputs({**made.outputs, "database_port": door.port})
        threading.Timer(1, lambda: setattr(door, "target", ("127.0.0.1", tls.port))).start()
        handled = next(watch(environment, idle_exit=timedelta(seconds=6)))
        assert environment.stack
        environment.stack.aws.close()

    assert handled.ok
    assert handled.keys == (key,)
    assert given_up(environment.stack) == 0
    environment.stack.aws.close()


def test_with_once_a_database_that_is_down_is_an_error_and_the_message_is_kept(
    made: HandMade, make_workbook: Workbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retailpipe.aws.rds.ADDRESS_URL", "http://127.0.0.1:9")
    notify(made, put(made, make_workbook()))
    environment = Environment.from_outputs({**made.outputs, "database_port": 1})

    with pytest.raises(WarehouseError, match="does not respond"):
        list(watch(environment, once=True))

    assert environment.stack
    environment.stack.aws.close()
    assert queued_messages(made) == 1


@pytest.mark.nightly
def test_a_failed_build_is_published_once_and_its_message_is_deleted(
    on_aws: Environment, made: HandMade, make_workbook: Workbook, published: Any
) -> None:
    with on_aws.warehouse.connect() as connection:  # a type with the name of a silver model makes the build fail
        connection.execute("drop view public_silver.stg_transactions cascade")
        connection.execute("create type public_silver.stg_transactions as (a int)")
        connection.commit()
    notify(made, put(made, make_workbook()))

    first = next(watch(on_aws, once=True))
    assert not any(handled.ok for handled in watch(on_aws, once=True))
    assert on_aws.stack
    assert (queued_messages(made), given_up(on_aws.stack)) == (0, 0)
    with on_aws.warehouse.connect() as connection:
        connection.execute("drop type public_silver.stg_transactions")
        connection.commit()
    second = next(watch(on_aws, once=True))

    assert (first.ok, second.ok) == (False, True)
    subjects = [subject for subject, _ in published()]
    assert subjects == ["Loaded, but silver and gold have errors: 1 row, 0 rejected", "Loaded: 1 row, 0 rejected"]


def test_a_failure_that_could_not_be_published_is_published_later(
    made: HandMade, make_workbook: Workbook, published: Any
) -> None:
    bad = make_workbook(headers=["nothing"], rows=[[1]])
    put(made, bad)
    for topic in (made.outputs["topic_arn"] + "-missing", made.outputs["topic_arn"], made.outputs["topic_arn"]):
        environment = Environment.from_outputs({**made.outputs, "topic_arn": topic})
        assert not any(handled.ok for handled in watch(environment, once=True))
        assert environment.stack
        environment.stack.aws.close()

    assert [subject for subject, _ in published()].count("Not loaded: input/book.xlsx") == 1


def test_a_message_stays_hidden_until_its_work_is_done(
    on_aws: Environment, made: HandMade, notes: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work waits until the visibility timeout was extended three times."""
    monkeypatch.setattr(module, "_HEARTBEAT_SECONDS", 0.05)
    hidden_until: list[float] = []

    class Slow(NoProgress):
        def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
            deadline = time.monotonic() + 60
            while len(hidden_until) < 3:
                assert time.monotonic() < deadline
                (message,) = sqs_backends[ACCOUNT][REGION].queues["retailpipe-dev-uploads"]._messages
                if message.visible_at not in hidden_until:
                    hidden_until.append(message.visible_at)
                time.sleep(0.01)

    watcher = module.QueueWatcher(on_aws, Slow())
    notify(made, put(made, notes()))

    handled = watcher.handle(watcher.receive(1))

    assert handled.ok
    assert hidden_until == sorted(hidden_until)
    assert queued_messages(made) == 0


@pytest.mark.parametrize("workbooks", most_nightly([2, 6], {0}))
def test_two_watchers_load_each_workbook_once(made: HandMade, make_workbook: Workbook, workbooks: int) -> None:
    keys = [put(made, make_workbook([(n, *ROW[1:])], name=f"{n}.xlsx")) for n in range(workbooks)]
    for key in keys:
        notify(made, key)
    both = [spawn("--once", forked=True) for _ in range(2)]

    ended = [each.communicate(timeout=120) for each in both]

    assert [each.returncode for each in both] == [0, 0], ended
    assert queued_messages(made) == 0
    environment = Environment.from_stack("dev")
    assert rows(environment) == workbooks
    assert backlog.waiting(environment) == []
    assert environment.stack
    environment.stack.aws.close()


def spawn(*arguments: str, forked: bool = False) -> subprocess.Popen[str]:
    """Start a watch. forked: faster, but a kill would not end it."""
    program = command() if forked else [sys.executable, "-m", "retailpipe"]
    words = [*program, "watch", "--stack", "dev", *arguments]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_ctrl_c_ends_the_watch_at_once(made: HandMade) -> None:
    with recorded_calls() as calls:
        watcher = spawn(forked=True)
        wait_for(lambda: ("sqs", "ReceiveMessage") in calls)  # this request waits 20 seconds for a message

    started = time.monotonic()
    watcher.send_signal(signal.SIGINT)
    watcher.communicate(timeout=30)

    assert watcher.returncode == 130
    assert time.monotonic() - started < 8


@pytest.mark.nightly
def test_a_killed_watcher_loses_nothing_and_loads_nothing_twice(made: HandMade, tmp_path: Path) -> None:
    """tests/test_kills.py repeats this more often."""
    from retailpipe.sample import write_sample

    kills = 3
    at = random.Random(kills)  # seeded: the same moments in each run
    for number in range(kills):
        book = tmp_path / f"{number}.xlsx"
        write_sample(book, rows=2_000, seed=number)
        notify(made, put(made, book))
        watcher = spawn("--idle-exit", "1s")
        time.sleep(at.uniform(0.5, 5))
        os.killpg(watcher.pid, signal.SIGKILL)
        watcher.communicate()

    environment = Environment.from_stack("dev")
    assert all(handled.ok for handled in watch(environment, once=True))
    found = environment.warehouse.query(
        "select source, count(*) as loads, sum(rows_read) as rows from bronze.loads where status = 'loaded' group by 1"
    ).to_pylist()
    assert len(found) == kills
    assert {(row["loads"], int(row["rows"])) for row in found} == {(1, 2_000)}
    assert rows(environment) == sum(load.rows_loaded for _, load in backlog.loaded(environment))
    assert backlog.waiting(environment) == []
    assert environment.stack
    environment.stack.aws.close()
