"""The Lambdas, imported from the archives that Pulumi packs, with events that the simulated AWS delivers."""

from __future__ import annotations

import http.server
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest
import trustme
from botocore.exceptions import ClientError, ConnectTimeoutError

from retailpipe.keys import Receipt
from tests.support.archives import handlers, packed
from tests.support.aws import empty_account, moto_server
from tests.support.nightly import most_nightly

CONTEXT = SimpleNamespace(aws_request_id="request-1")
BUCKET = "retailpipe-dev"
WORKBOOK = b"PK\x03\x04" + b"a workbook" * 100


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture
def aws(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Clients for an empty account with a bucket, a topic, and a queue that is subscribed to the topic."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "BUCKET": BUCKET,
        "STACK": "dev",
        "SOURCE_URL": "",
    }.items():
        monkeypatch.setenv(name, value)
    clients: dict[str, Any] = {}

    def client(service: str) -> Any:
        return clients.setdefault(service, boto3.client(service))

    where = {"LocationConstraint": "eu-central-1"}
    client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
    client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    topic = client("sns").create_topic(Name="notices")["TopicArn"]
    monkeypatch.setenv("TOPIC_ARN", topic)
    queue = client("sqs").create_queue(QueueName="uploads")["QueueUrl"]
    client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn(client, queue), Attributes={"RawMessageDelivery": "true"}
    )
    yield client
    boto3.client("s3").close()

    empty_account(endpoint)
    for each in clients.values():
        each.close()


def arn(client: Callable[[str], Any], queue: str) -> str:
    return client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def messages(client: Callable[[str], Any], name: str = "uploads") -> list[str]:
    """Receive and delete all messages of a queue."""
    queue = client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
    taken: list[str] = []
    while found := client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            taken.append(message["Body"])
            client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return taken


@pytest.fixture(params=["notify_upload", "check_bucket"])
def function(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Callable[[str], ModuleType]]:
    """A function that imports the handler of a Lambda from its archive."""
    with handlers(tmp_path) as load:
        yield load


def upload(client: Callable[[str], Any], key: str, body: bytes = WORKBOOK) -> None:
    client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)


def deliver(client: Callable[[str], Any]) -> str:
    """Make the bucket deliver its events to a queue, so that a test can pass them on; returns the queue's name."""
    queue = client("sqs").create_queue(QueueName="events")["QueueUrl"]
    configuration = {"QueueConfigurations": [{"QueueArn": arn(client, queue), "Events": ["s3:ObjectCreated:*"]}]}
    client("s3").put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=configuration)
    return "events"


def test_an_archive_contains_all_that_its_handler_imports(function: str, tmp_path: Path) -> None:
    """It is imported by an isolated Python that has boto3 but not this project."""
    file = packed(function, tmp_path / "function.zip")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import handler; "
        "assert callable(handler.handle); assert 'retailpipe' not in sys.modules"
    )

    done = subprocess.run([sys.executable, "-I", "-c", code, file], capture_output=True, text=True, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("key", ["input/2011.xlsx", "input/a b & c.xlsx", "input/größe 日本.XLSX", "input/a+b%20.xlsx"])
def test_an_upload_is_published_with_the_command_that_loads_it(
    aws: Any, load: Any, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    events = deliver(aws)
    upload(aws, key)
    delivered = [json.loads(text) for text in messages(aws, events)]

    published = [load("notify_upload").handle(event, CONTEXT)["published"] for event in delivered]

    assert sum(published) == 1
    (notice,) = [json.loads(text) for text in messages(aws)]
    assert (notice["kind"], notice["bucket"], notice["key"], notice["size"]) == ("upload", BUCKET, key, len(WORKBOOK))
    assert notice["command"].startswith("retailpipe run --stack dev ")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["request_id"] for line in lines} == {"request-1"}
    assert key in [line.get("key") for line in lines]


def test_the_test_event_of_s3_publishes_nothing(aws: Any, load: Any) -> None:
    event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET}

    assert load("notify_upload").handle(event, CONTEXT) == {"published": 0}
    assert messages(aws) == []


def record(key: str, **changes: Any) -> dict[str, Any]:
    stored = {"key": key, "size": 3, "eTag": "e1", "versionId": "v1"}
    return {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": BUCKET}, "object": stored}, **changes}  # fmt: skip


def test_repeated_records_of_an_upload_are_published_once(aws: Any, load: Any) -> None:
    put, complete = record("input/a.xlsx"), record("input/a.xlsx", eventName="ObjectCreated:CompleteMultipartUpload")

    assert load("notify_upload").handle({"Records": [put, complete, put]}, CONTEXT) == {"published": 1}
    assert len(messages(aws)) == 1


def test_objects_that_are_not_workbooks_are_not_published(aws: Any, load: Any) -> None:
    records = [record("input/notes.txt"), record("elsewhere/a.xlsx"), record("input/~%24a.xlsx")]

    assert load("notify_upload").handle({"Records": records}, CONTEXT) == {"published": 0}
    assert messages(aws) == []


@pytest.mark.parametrize("bad", [{}, None, {"eventSource": "aws:sqs"}, {"eventSource": "aws:s3", "s3": {}}])
def test_a_malformed_record_raises_an_error_after_the_others_are_published(aws: Any, load: Any, bad: Any) -> None:
    handler = load("notify_upload")

    with pytest.raises(RuntimeError, match="1 of 3 records failed"):
        handler.handle({"Records": [record("input/a.xlsx"), bad, record("input/b.xlsx")]}, CONTEXT)

    assert sorted(json.loads(text)["key"] for text in messages(aws)) == ["input/a.xlsx", "input/b.xlsx"]


@pytest.mark.parametrize("event", [{}, None, [], {"Records": "none"}, {"detail": {}}])
def test_an_event_that_is_not_from_s3_raises_and_publishes_nothing(aws: Any, load: Any, event: Any) -> None:
    with pytest.raises(ValueError, match="not an S3 event"):
        load("notify_upload").handle(event, CONTEXT)

    assert messages(aws) == []


def test_a_long_name_is_shortened_in_the_subject(aws: Any, load: Any) -> None:
    load("notify_upload").handle({"Records": [record(f"input/{'ü' * 300}.xlsx")]}, CONTEXT)

    assert len(messages(aws)) == 1


def test_workbooks_without_a_receipt_are_published(aws: Any, load: Any) -> None:
    upload(aws, "input/a b.xlsx")
    upload(aws, "input/b.xlsx", WORKBOOK + b"b")
    upload(aws, "input/notes.txt")
    etag = aws("s3").head_object(Bucket=BUCKET, Key="input/b.xlsx")["ETag"]
    receipt = Receipt("input/b.xlsx", etag.strip('"'), "sha", 1, 10, 0, "2026-11-26T08:00:00+00:00")
    aws("s3").put_object(Bucket=BUCKET, Key=receipt.receipt_key, Body=receipt.as_json().encode())

    assert load("check_bucket").handle({}, CONTEXT) == {"pulled": None, "waiting": 1}

    (notice,) = messages(aws)
    assert notice.startswith(f"1 workbook is in the bucket {BUCKET} but not loaded")
    assert "input/a b.xlsx" in notice
    assert "input/b.xlsx" not in notice
    assert "retailpipe run --stack dev" in notice


def test_without_new_workbooks_nothing_is_published(aws: Any, load: Any) -> None:
    assert load("check_bucket").handle({}, CONTEXT) == {"pulled": None, "waiting": 0}
    assert messages(aws) == []


@pytest.mark.nightly
def test_more_workbooks_than_one_page_are_counted(aws: Any, load: Any) -> None:
    for number in range(1_005):
        upload(aws, f"input/{number:04}.xlsx", b"PK\x03\x04")

    assert load("check_bucket").handle({}, CONTEXT)["waiting"] == 1_005

    (notice,) = messages(aws)
    assert "and 985 more" in notice


class Source:
    """An HTTPS server whose responses a test sets.

    requests: path and If-None-Match of each request.
    slow_part: "headers" or "body", to send that part byte by byte without end; "" for neither.
    """

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.authority = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        self.status, self.headers, self.body, self.requests = 200, {}, WORKBOOK, []
        self.authorizations: list[str] = []
        self.slow_part = ""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append((self.path, self.headers.get("If-None-Match")))
                outer.authorizations += filter(None, [self.headers.get("Authorization")])
                if outer.slow_part:
                    self.send_slowly()
                    return
                etag = outer.headers.get("ETag")
                status = 304 if etag and self.headers.get("If-None-Match") == etag else outer.status
                self.send_response(status)
                for name, value in {"Content-Length": str(len(outer.body)), **outer.headers}.items():
                    for each in value.split("\n"):  # a header that is sent several times
                        self.send_header(name, each)
                self.end_headers()
                if 200 <= status < 300:
                    self.wfile.write(outer.body)

            def send_slowly(self) -> None:
                self.wfile.write(b"HTTP/1.0 200 OK\r\n" + (b"" if outer.slow_part == "headers" else b"\r\nPK\x03\x04"))
                with suppress(OSError):
                    while outer.slow_part:
                        self.wfile.write(b"x")
                        time.sleep(0.05)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server.server_port}/files/sales%202011.xlsx"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    source = Source(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(source.authority))
    monkeypatch.setenv("SOURCE_URL", source.url)
    yield source
    source.server.shutdown()
    source.server.server_close()


def versions(client: Callable[[str], Any]) -> int:
    return len(client("s3").list_object_versions(Bucket=BUCKET, Prefix="input/").get("Versions", []))


def test_a_source_is_pulled_again_only_if_it_changed(aws: Any, load: Any, source: Source) -> None:
    handler = load("check_bucket")
    source.headers = {"ETag": '"one"'}

    assert handler.handle({}, CONTEXT) == {"pulled": "input/sales 2011.xlsx", "waiting": 1}
    assert handler.handle({}, CONTEXT) == {"pulled": None, "waiting": 1}
    source.headers, source.body = {"ETag": '"two"'}, WORKBOOK + b"more"
    assert handler.handle({}, CONTEXT) == {"pulled": "input/sales 2011.xlsx", "waiting": 1}

    assert [etag for _, etag in source.requests] == [None, '"one"', '"one"']
    assert versions(aws) == 2
    stored = aws("s3").get_object(Bucket=BUCKET, Key="input/sales 2011.xlsx")
    assert stored["Body"].read() == WORKBOOK + b"more"


def test_a_source_without_an_etag_is_compared_by_its_content(aws: Any, load: Any, source: Source) -> None:
    handler = load("check_bucket")

    assert handler.handle({}, CONTEXT)["pulled"]
    assert handler.handle({}, CONTEXT)["pulled"] is None
    assert versions(aws) == 1


@pytest.mark.parametrize("etag", [f'"{"x" * 3_000}"', '"größe"', "*"])
def test_an_etag_that_cannot_be_kept_is_not_sent_back(aws: Any, load: Any, source: Source, etag: str) -> None:
    """S3 refuses more than 2 KB of metadata, and characters that are not ASCII; `*` would match any content."""
    handler = load("check_bucket")
    source.headers = {"ETag": etag}

    assert handler.handle({}, CONTEXT)["pulled"]
    assert handler.handle({}, CONTEXT)["pulled"] is None

    assert [etag for _, etag in source.requests] == [None, None]
    assert versions(aws) == 1
    assert "source-etag" not in aws("s3").head_object(Bucket=BUCKET, Key="input/sales 2011.xlsx")["Metadata"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClientError({"Error": {"Code": "KeyTooLongError", "Message": "too long"}}, "PutObject"), "KeyTooLongError"),
        (ConnectTimeoutError(endpoint_url="https://s3"), "ConnectTimeoutError"),
    ],
)
@pytest.mark.parametrize("operation", ["PutObject", "HeadObject"])
def test_a_workbook_that_s3_refuses_is_published_and_the_bucket_is_checked(
    aws: Any, load: Any, source: Source, error: Exception, code: str, operation: str
) -> None:
    upload(aws, "input/sales 2011.xlsx", WORKBOOK + b"old")
    handler = load("check_bucket")

    def refuse(**_: Any) -> None:
        raise error

    handler.client("s3").meta.events.register(f"before-call.s3.{operation}", refuse)

    with pytest.raises(handler.PullFailed, match=code):
        handler.handle({}, CONTEXT)

    failed, not_loaded = sorted(messages(aws), key=lambda text: "Nothing was stored" not in text)
    assert f"cannot be stored in the bucket {BUCKET} as input/sales 2011.xlsx: {code}.\n" in failed
    assert "input/sales 2011.xlsx" in not_loaded
    assert versions(aws) == 1


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("~$a.xlsx", "input/a.xlsx"),
        (".a.CSV", "input/a.CSV"),
        ("..~$.a", "input/a.xlsx"),
        (".csv", "input/source.csv"),
        ("...", "input/source.xlsx"),
        ("", "input/source.xlsx"),
    ],
)
def test_a_pulled_workbook_is_never_stored_under_a_hidden_name(
    aws: Any, load: Any, source: Source, monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    monkeypatch.setenv("SOURCE_URL", source.url.replace("sales%202011.xlsx", name))
    source.body = b"Code;Price\r\na;1\r\n" if key.lower().endswith("csv") else WORKBOOK

    assert load("check_bucket").handle({}, CONTEXT) == {"pulled": key, "waiting": 1}


def test_a_csv_file_is_pulled_under_its_name(
    aws: Any, load: Any, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = load("check_bucket")
    monkeypatch.setenv("SOURCE_URL", source.url.replace(".xlsx", ".CSV"))
    source.body = b"Code;Price\r\na;1\r\n"

    assert handler.handle({}, CONTEXT) == {"pulled": "input/sales 2011.CSV", "waiting": 1}

    source.body = b"<html>log in</html>"
    with pytest.raises(Exception, match="not a CSV file"):
        handler.handle({}, CONTEXT)


@pytest.mark.parametrize(
    ("status", "headers", "body", "reason"),
    most_nightly(
        [
            (404, {}, b"", "404"),
            (304, {}, b"", "the server returned 304 Not Modified"),  # to a request without If-None-Match
            (206, {"Content-Range": "bytes 0-1003/2000"}, WORKBOOK, "the server returned 206 Partial Content"),
            (202, {}, WORKBOOK, "the server returned 202 Accepted"),
            (500, {}, b"", "500"),
            (
                200,
                {"Content-Type": "text/html; charset=utf-8"},
                b"<html>",
                "the server sent text/html; charset=utf-8, which is not an .xlsx workbook",
            ),
            (200, {}, b"<html>", "the server sent content that is not an .xlsx workbook"),
            (200, {}, b"", "the response is empty"),
            (200, {"Content-Length": "999999999"}, WORKBOOK, "more than 200,000,000 bytes"),
            (200, {"Content-Length": "2000"}, WORKBOOK, "the download stopped after"),
            (200, {"Content-Length": "many"}, WORKBOOK, "not a number"),
            (200, {"Content-Length": "-1"}, WORKBOOK, "not a number"),
            (200, {"Content-Length": "9" * 5_000}, WORKBOOK, "not a number"),
            (200, {"Content-Length": f"{len(WORKBOOK)}\n2000"}, WORKBOOK, "more than one Content-Length"),
            (200, {"Content-Type": "text/html\x1b[2J"}, b"<html>", "the server sent content that is not"),
            (302, {"Location": "http://localhost/a.xlsx"}, b"", "an address that is not https"),
            (302, {"Location": "https://[malformed/a.xlsx"}, b"", "not valid HTTP"),
            (302, {"Location": "https://localhost:many/a.xlsx"}, b"", "not valid HTTP"),
            (302, {"Location": "file:///etc/passwd"}, b"", "not https"),
            (302, {"Location": "/files/sales%202011.xlsx"}, b"", "redirects too many times"),
            (302, {}, b"", "302"),
        ],
        {0, 2, 5, 7, 9, 11, 14, 16, 18, 19},
    ),
)
def test_a_pull_that_fails_stores_nothing_and_is_published(
    aws: Any, load: Any, source: Source, status: int, headers: dict[str, str], body: bytes, reason: str
) -> None:
    upload(aws, "input/other.xlsx")
    source.status, source.headers, source.body = status, headers, body
    handler = load("check_bucket")

    with pytest.raises(handler.PullFailed, match=reason):
        handler.handle({}, CONTEXT)

    failed, not_loaded = sorted(messages(aws), key=lambda text: "Nothing was stored" not in text)
    assert "Reason: " in failed
    assert reason in failed
    assert "input/other.xlsx" in not_loaded
    assert versions(aws) == 1


def test_an_address_may_contain_spaces_umlauts_and_a_user(
    aws: Any, load: Any, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = source.server.server_port
    monkeypatch.setenv("SOURCE_URL", f"https://me:pass%20word@localhost:{port}/for us/größe 2011.xlsx?key=a b&ü=%20")
    handler = load("check_bucket")

    assert handler.handle({}, CONTEXT)["pulled"] == "input/größe 2011.xlsx"

    assert source.requests == [("/for%20us/gr%C3%B6%C3%9Fe%202011.xlsx?key=a%20b&%C3%BC=%20", None)]
    assert source.authorizations == ["Basic bWU6cGFzcyB3b3Jk"]


SECRET_ANSWERS: list[tuple[int, dict[str, str]]] = [
    (404, {}),
    (200, {"Content-Length": "0"}),
    (302, {"Location": "https://localhost:many/?token=s3cret"}),
    (302, {"Location": "https://[s3cret"}),
    (302, {"Location": "ftp://localhost/s3cret"}),
    (302, {"Location": "https://localhost:1/s3cret"}),
]


@pytest.mark.parametrize(("status", "headers"), SECRET_ANSWERS)
@pytest.mark.parametrize("blank", most_nightly(["", " "], {1}))
def test_secrets_in_an_address_are_not_published_or_logged(
    aws: Any,
    load: Any,
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    headers: dict[str, str],
    blank: str,
) -> None:
    port = source.server.server_port
    monkeypatch.setenv("SOURCE_URL", f"https://me:geheim@localhost:{port}/a.xlsx?token={blank}s3cret")
    source.status, source.headers, source.body = status, headers, b""
    handler = load("check_bucket")

    with pytest.raises(handler.PullFailed) as caught:
        handler.handle({}, CONTEXT)

    [notice] = messages(aws)
    for text in (notice, str(caught.value), capsys.readouterr().out):
        assert "s3cret" not in text
        assert "geheim" not in text


@pytest.mark.parametrize(
    "url",
    [
        "https://[malformed/geheim.xlsx",
        "https://localhost:many/geheim.xlsx",
        "https:///geheim.xlsx",
        "https://a..b/geheim.xlsx",
        "geheim",
        "https://me:pa/geheim@localhost/a.xlsx",
        "https://me:12/geheim@localhost/a.xlsx",
        "https://me:12#geheim@localhost/a.xlsx",
        "https://me:pa#geheim@localhost/a.xlsx",
        "https://localhost/geheim\n.xlsx",
    ],
)
def test_an_invalid_address_is_reported_in_a_notice_that_does_not_show_it(
    aws: Any, load: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv("SOURCE_URL", url)
    handler = load("check_bucket")

    with pytest.raises(handler.PullFailed) as caught:
        handler.handle({}, CONTEXT)

    [notice] = messages(aws)
    assert "The workbook at the address in sourceUrl was not downloaded" in notice
    for text in (notice, str(caught.value), capsys.readouterr().out):
        assert "geheim" not in text
        assert "//me" not in text


@pytest.mark.parametrize("slow_part", ["headers", "body"])
def test_a_download_from_a_very_slow_server_is_stopped_by_the_time_limit(
    aws: Any, load: Any, source: Source, monkeypatch: pytest.MonkeyPatch, slow_part: str
) -> None:
    source.slow_part = slow_part
    handler = load("check_bucket")
    monkeypatch.setattr(sys.modules["source"], "MOST_SECONDS", 1)

    with pytest.raises(handler.PullFailed, match="the download took longer than 1 s"):
        handler.handle({}, CONTEXT)
    source.slow_part = ""

    [notice] = messages(aws)
    assert "the download took longer than 1 s" in notice
    assert versions(aws) == 0


def test_a_key_cannot_fake_a_line_of_a_notice(aws: Any, load: Any) -> None:
    key = "input/a\nTo load it, run:\n\n    rm -rf ~\x1b[2J'.xlsx"

    assert load("notify_upload").handle({"Records": [record(quote_plus(key))]}, CONTEXT) == {"published": 1}

    [message] = messages(aws)
    notice = json.loads(message)
    assert notice["key"] == key
    assert notice["command"].isprintable()
    word = notice["command"].removeprefix("retailpipe run --stack dev ")
    assert subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, text=True).stdout == key


def test_each_key_that_is_not_loaded_is_one_line(aws: Any, load: Any) -> None:
    upload(aws, "input/a\u2028    rm -rf ~.xlsx")

    assert load("check_bucket").handle({}, CONTEXT)["waiting"] == 1

    [notice] = messages(aws)
    assert "    input/a\\u2028    rm -rf ~.xlsx\n" in notice


def test_a_server_with_an_unknown_certificate_is_refused(
    aws: Any, load: Any, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    handler = load("check_bucket")

    with pytest.raises(handler.PullFailed, match="CERTIFICATE_VERIFY_FAILED"):
        handler.handle({}, CONTEXT)

    assert versions(aws) == 0
