"""What a build publishes on a stack: the files in the bucket, the links in the notice, the newest report."""

from __future__ import annotations

import json
import logging
import re
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from typer.testing import CliRunner

import retailpipe
from retailpipe import Environment, RunReport, publishing
from retailpipe.aws.published import LATEST, PublishedReports
from retailpipe.cli.app import app
from retailpipe.errors import UsageError
from retailpipe.html_report import render_report
from retailpipe.publishing import SAFE_HEAD, File, Rendered, fetch_report, links_text, publish_reports
from retailpipe.sample import HEADERS
from retailpipe.watch import watch
from tests.conftest import ROW
from tests.support.aws import empty_account, s3_refuses
from tests.support.stacks import HandMade, hand_made, variables
from tests.support.tls_server import PASSWORD, USER, TlsServer

LINK = re.compile(r"http://\S+")


@pytest.fixture(scope="module")
def stack(moto: str, tls: TlsServer) -> Iterator[HandMade]:
    empty_account(moto)
    made = hand_made(moto, tls.port)
    made.outputs["database_name"] = "publishing"
    made.publish()
    tls.execute(f"alter role {USER} password '{PASSWORD}'")
    tls.execute(f"create database publishing owner {USER}")
    yield made
    tls.execute("drop database publishing with (force)")
    made.close()


@pytest.fixture(autouse=True)
def _on_the_simulated_aws(moto: str, tls: TlsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(moto, tls.ca).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def shop(stack: HandMade) -> Iterator[Environment]:
    shop = Environment.from_stack("dev")
    yield shop
    assert shop.stack
    shop.stack.aws.close()


class Watched:
    """What happened when a workbook was uploaded and watched: the run, the notice, and the log."""

    def __init__(self, run: RunReport, notice: str, log: str) -> None:
        self.run, self.notice, self.log = run, notice, log


@pytest.fixture(scope="module")
def watched(stack: HandMade, moto: str, tls: TlsServer, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """A workbook that was loaded, built and published by a watch."""
    folder = tmp_path_factory.mktemp("watched")
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (HEADERS, ROW, (*ROW[:3], "many", *ROW[4:])):
        book.active.append(row)
    book.save(folder / "book.xlsx")
    stack.client("s3").upload_file(str(folder / "book.xlsx"), stack.outputs["bucket"], "input/book.xlsx")
    sqs = stack.client("sqs")
    url = sqs.create_queue(QueueName="subscriber")["QueueUrl"]
    stack.client("sns").subscribe(
        TopicArn=stack.outputs["topic_arn"],
        Protocol="sqs",
        Endpoint="arn:aws:sqs:eu-central-1:123456789012:subscriber",
        Attributes={"RawMessageDelivery": "true"},
    )
    log = folder / "log"
    handler = logging.FileHandler(log)
    logger = logging.getLogger("retailpipe")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in variables(moto, tls.ca).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XDG_DATA_HOME", str(folder))
        shop = Environment.from_stack("dev")
        handled = list(watch(shop, once=True))
        assert shop.stack
        shop.stack.aws.close()
    logger.setLevel(level)
    logger.removeHandler(handler)
    handler.close()
    [message] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert handled[0].run
    return Watched(handled[0].run, message["Body"], log.read_text())


def opened(url: str) -> tuple[str, Message]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode(), answer.headers


def objects(stack: HandMade, prefix: str = "") -> dict[str, bytes]:
    s3, bucket = stack.client("s3"), stack.outputs["bucket"]
    found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {each["Key"]: s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found}


@pytest.mark.nightly
def test_a_watch_publishes_the_report_and_the_docs_of_a_build(stack: HandMade, watched: Watched) -> None:
    files = objects(stack, "reports/")

    number = watched.run.build.number
    assert number > 0
    assert files.keys() == {f"reports/{number}/report.html", f"reports/{number}/docs.html", LATEST}
    assert files[LATEST] == files[f"reports/{number}/report.html"]
    assert b"dbt Docs" in files[f"reports/{number}/docs.html"]
    for key in files:
        head = stack.client("s3").head_object(Bucket=stack.outputs["bucket"], Key=key)
        assert head["ContentType"] == "text/html; charset=utf-8"


def test_the_notice_says_in_words_what_the_report_says(watched: Watched) -> None:
    assert "1 loaded, 1 rejected" in watched.notice
    assert "Everything agrees. December 2010: revenue 15.30" in watched.notice
    assert "invariants hold" in watched.notice
    assert "December 2010 is partial" in watched.notice


def test_the_links_in_the_notice_open_without_credentials_for_seven_days(watched: Watched) -> None:
    report, docs = LINK.findall(watched.notice)

    content, headers = opened(report)
    assert content.startswith(SAFE_HEAD)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "dbt Docs" in opened(docs)[0]
    for link in (report, docs):
        assert "X-Amz-Expires=604800" in link or "X-Amz-Expires=604799" in link
        assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in link
    [end] = re.findall(r"They end on (\S+) at (\S+) UTC\.", watched.notice)
    left = datetime.fromisoformat(" ".join(end)).replace(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)


def test_the_links_are_in_no_log_no_report_and_no_object(stack: HandMade, watched: Watched) -> None:
    assert "X-Amz" not in watched.log
    assert "X-Amz" not in str(watched.run.as_dict())
    assert not any(b"X-Amz" in content for content in objects(stack).values())


def test_links_of_temporary_credentials_end_with_them(
    stack: HandMade, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a session")
    shop = Environment.from_stack("dev")
    published = retailpipe.Published(watched.run.build.number, (f"reports/{watched.run.build.number}/report.html",))

    text = links_text(shop, published)

    assert "It ends on " in text
    assert "at the latest, or with the AWS session that signed the link." in text
    assert shop.stack
    shop.stack.aws.close()


def test_the_end_of_a_role_that_botocore_renews_is_known(
    stack: HandMade, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    config = tmp_path / "config"
    end = datetime.now(UTC) + timedelta(hours=1)
    config.write_text(
        "[default]\ncredential_process = echo '"
        '{"Version": 1, "AccessKeyId": "test", "SecretAccessKey": "test", "SessionToken": "x", '
        f'"Expiration": "{end.isoformat()}"'
        "}'\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    shop = Environment.from_stack("dev")
    assert shop.stack

    link = PublishedReports(shop.stack).link(LATEST)

    assert link.is_exact
    assert abs(link.until - end) < timedelta(seconds=2)
    shop.stack.aws.close()


def test_the_newest_report_is_fetched_while_it_is_current(shop: Environment, stack: HandMade, watched: Watched) -> None:
    fetched = fetch_report(shop)

    assert fetched
    assert (fetched.build, fetched.ok, fetched.verdict) == (watched.run.build.number, True, "Everything agrees")
    assert Path(fetched.path).read_bytes() == objects(stack)[LATEST]
    assert Path(fetched.path) == shop.folder / "report.html"
    assert Path(fetched.path).stat().st_mode & 0o777 == 0o600


def test_the_newest_report_is_fetched_with_a_warning_if_the_database_is_out_of_reach(
    stack: HandMade, watched: Watched, tls: TlsServer
) -> None:
    stack.outputs["database_port"] = 1
    stack.publish()
    shop = Environment.from_stack("dev")

    fetched = fetch_report(shop)

    stack.outputs["database_port"] = tls.port
    stack.publish()
    assert fetched
    assert "warning: this report may be out of date" in str(fetched)
    assert shop.stack
    shop.stack.aws.close()


@pytest.mark.parametrize(
    "content", ["<script>alert(1)</script>", SAFE_HEAD.replace("'none'", "'unsafe-inline'")], ids=["script", "policy"]
)
def test_a_file_that_is_not_our_report_is_not_fetched(
    shop: Environment, stack: HandMade, watched: Watched, content: str
) -> None:
    s3, bucket = stack.client("s3"), stack.outputs["bucket"]
    before = s3.get_object(Bucket=bucket, Key=LATEST)
    body = before["Body"].read()
    s3.put_object(Bucket=bucket, Key=LATEST, Body=content.encode(), Metadata=before["Metadata"])

    fetched = fetch_report(shop)

    s3.put_object(Bucket=bucket, Key=LATEST, Body=body, Metadata=before["Metadata"])
    assert fetched is None
    assert not (shop.folder / "report.html").exists()


def test_without_the_right_to_read_reports_none_is_fetched(shop: Environment, watched: Watched) -> None:
    with s3_refuses("AccessDenied", 403, 1):
        assert fetch_report(shop) is None


def test_an_older_build_does_not_replace_the_latest_report(
    shop: Environment, stack: HandMade, watched: Watched
) -> None:
    assert shop.stack
    reports = PublishedReports(shop.stack)
    before = objects(stack)[LATEST]

    reports.renew_latest(watched.run.build.number - 1, b"older", "text/html", ok=True, verdict="")

    assert objects(stack)[LATEST] == before


def test_what_cannot_be_made_or_stored_is_told_and_ends_nothing(
    shop: Environment, stack: HandMade, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(environment: Environment) -> Rendered:
        raise ZeroDivisionError("a secret")

    def without(environment: Environment) -> Rendered:
        raise UsageError("it needs altair", hint="Install it.")

    monkeypatch.setattr(
        publishing,
        "FILES",
        (
            File("a.html", "A", "text/html", faulty),
            File("b.html", "B", "text/html", without),
            File("c.html", "C", "text/html", lambda _: Rendered(b"content")),
        ),
    )

    published = publish_reports(shop, 900)

    assert published.keys == ("reports/900/c.html",)
    assert published.problems == (
        "a.html was not published: ZeroDivisionError",
        "b.html was not published: it needs altair. Install it.",
    )
    assert "b.html was not published" in caplog.text


def test_what_cannot_be_stored_is_told_with_its_reason(stack: HandMade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "FILES", (File("a.html", "A", "text/html", lambda _: Rendered(b"content")),))
    shop = Environment.from_outputs({**stack.outputs, "bucket": "retailpipe-gone"})

    published = publish_reports(shop, 901)

    assert published.keys == ()
    assert "NoSuchBucket" in published.problems[0]
    assert links_text(shop, published) == ""
    assert shop.stack
    shop.stack.aws.close()


def test_the_command_report_fetches_the_published_report(watched: Watched) -> None:
    done = CliRunner().invoke(app, ["report", "--stack", "dev", "--json", "--quiet"])

    assert json.loads(done.stdout)["build"] == watched.run.build.number


@pytest.mark.nightly
def test_the_command_run_publishes_the_report_that_it_writes(stack: HandMade, watched: Watched) -> None:
    done = CliRunner().invoke(app, ["run", "--report", "--stack", "dev", "--json", "--quiet"])

    document = json.loads(done.stdout)
    number = watched.run.build.number
    assert document["build"]["up_to_date"]
    assert document["published"]["keys"] == [f"reports/{number}/report.html", f"reports/{number}/docs.html"]
    assert document["published"]["problems"] == []
    assert Path(document["report"]["path"]).is_file()


def test_only_a_stack_publishes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only the reports of an AWS stack"):
        publish_reports(Environment.embedded(tmp_path))


def test_a_report_is_not_fetched_after_another_load(
    shop: Environment, stack: HandMade, watched: Watched, make_workbook: Any
) -> None:
    retailpipe.ingest(shop, make_workbook([(*ROW[:3], 7, *ROW[4:])], name="more.xlsx"))

    assert fetch_report(shop) is None
    assert render_report(shop).startswith(SAFE_HEAD)
