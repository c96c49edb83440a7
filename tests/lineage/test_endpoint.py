"""The HTTP endpoint: whatever it does, it gets nothing for a while after a failure, and there is one warning."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from retailpipe.lineage import emitter, endpoint
from retailpipe.lineage.emitter import emit, emit_all, flush
from retailpipe.lineage.endpoint import Endpoint
from retailpipe.lineage.journal import events_in
from retailpipe.lineage.settings import Settings
from tests.support.lineage_endpoint import receiving, unhelpful

EVENT = {"eventType": "START", "job": {"namespace": "n", "name": "j"}}
KEY = "a-secret-key"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same limits, but shorter, so that the tests need not wait for two seconds."""
    monkeypatch.setattr(endpoint, "_SECONDS", 0.3)


def send(address: str, events: int = 3) -> None:
    one = Endpoint(address, KEY)
    for _ in range(events):
        one.send(b"{}")
        one.flush()


@pytest.fixture
def closed_port() -> Iterator[str]:
    """The address of a port that nobody listens on, and nobody else gets."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"


def test_port_that_nobody_listens_on(closed_port: str, caplog: pytest.LogCaptureFixture) -> None:
    send(closed_port)

    [message] = caplog.messages
    assert message == (
        f"{closed_port[:-1]} of OPENLINEAGE_URL gets no lineage events from this process for 10 minutes: it cannot be "
        "reached (Connection refused). The loads are not affected."
    )


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 201 Created\r\nA: " + b"x" * 60, b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n"],
    ids=["never answers", "drips its answer", "drips a body that nobody reads"],
)
def test_server_that_does_not_end_its_answer(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with unhelpful(answer) as server:
        send(server.address)

        assert server.connections == 1
    [message] = caplog.messages
    assert "it did not" in message


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_server_that_refuses_the_event(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with receiving(status) as server:
        send(server.address)

        assert len(server.events) == 1
    [message] = caplog.messages
    assert f"it answered {status} " in message


def test_redirect_is_not_followed(caplog: pytest.LogCaptureFixture) -> None:
    with receiving() as other, receiving(307, f"{other.address}/taken") as server:
        send(server.address)

        assert len(server.events) == 1
        assert other.events == []
    [message] = caplog.messages
    assert "it answered 307 Temporary Redirect" in message


def test_server_that_speaks_another_protocol(caplog: pytest.LogCaptureFixture) -> None:
    with unhelpful(b"220 \x1b[31mmail\r\n\r\n", every=0.001) as server:
        send(server.address)

    [message] = caplog.messages
    assert "\x1b" not in message


def test_too_slow_server_has_a_limit_of_waiting_events(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(endpoint, "_MOST_WAITING", 2)
    with unhelpful() as server:
        one = Endpoint(server.address, KEY)
        for _ in range(5):
            one.send(b"{}")
        one.flush()

    [message] = caplog.messages
    assert "2 events are waiting for it" in message


def test_many_events_of_a_run_on_other_machines_are_all_sent(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(endpoint, "_MOST_WAITING", 20)
    monkeypatch.setattr(endpoint, "_SECONDS", 2)
    with receiving() as server:
        monkeypatch.setenv("OPENLINEAGE_URL", server.address)

        emit_all(folder, [EVENT] * 70)
        flush()

        assert len(server.events) == 70
    assert caplog.messages == []


def test_namespace_that_is_not_utf_8_is_a_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "shop \udcff")

    emit(folder, EVENT)

    assert events_in(folder)[-1]["job"]["namespace"] == "shop \\udcff"


def test_server_that_is_back_gets_events_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(endpoint, "_PAUSE_SECONDS", 0)
    with receiving(503) as server:
        one = Endpoint(server.address, KEY)
        for status in (503, 503, 201, 201, 500, 500):
            server.status = status
            one.send(b"{}")
            one.flush()

        assert len(server.events) == 6
    assert [message.partition("it answered ")[2][:3] for message in caplog.messages] == ["503", "500"]


def test_server_that_does_not_end_its_answer_holds_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_PAUSE_SECONDS", 0)
    with unhelpful(b"HTTP/1.1 201 Created\r\nA: ") as server:
        send(server.address)

        assert server.connections == 1


def test_interrupt_ends_the_wait_for_the_last_events(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(endpoint, "_SECONDS", 60)
    with unhelpful() as server:
        one = Endpoint(server.address, KEY)
        one.send(b"{}")
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            one.flush()
        finally:
            signal.signal(signal.SIGALRM, before)

    [message] = caplog.messages
    assert "the wait for the last events was interrupted" in message


def test_certificate_of_the_server_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with receiving(context=context) as server:
        send(server.address)
        assert server.events == []

        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        send(server.address)
        assert len(server.events) == 3
    [message] = caplog.messages
    assert "it cannot be reached" in message


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({}, "/api/v1/lineage"),
        ({"OPENLINEAGE_ENDPOINT": "/events"}, "/events"),
        ({"OPENLINEAGE_ENDPOINT": " "}, "/api/v1/lineage"),
    ],
)
def test_variables_say_where_events_go(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], path: str
) -> None:
    with receiving() as server:
        monkeypatch.setenv("OPENLINEAGE_URL", server.address)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

        emit(folder, EVENT)
        flush()

        assert server.paths == [path]
        assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize(
    "url", ["localhost:5000", "ftp://host", "http://", "http://user:a-secret-key@host", "http://[", "http://host:99999"]
)
def test_url_that_is_not_valid_is_one_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    emitter.warn_once.cache_clear()
    monkeypatch.setenv("OPENLINEAGE_URL", url)

    emit(folder, EVENT)
    emit(folder, EVENT)

    [message] = caplog.messages
    assert "OPENLINEAGE_URL is not of the form https://HOST:PORT" in message
    assert KEY not in message
    assert len((folder / "lineage.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("path", ["//[", "http://[", "http://user:a-secret-key@host/events", "//host/x", "file:///x"])
def test_endpoint_that_is_not_a_path_is_one_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    emitter.warn_once.cache_clear()
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1")
    monkeypatch.setenv("OPENLINEAGE_ENDPOINT", path)

    emit(folder, EVENT)
    flush()

    [message] = caplog.messages
    assert message.startswith("OPENLINEAGE_ENDPOINT is not a path such as api/v1/lineage, so no event is sent.")
    assert KEY not in message


@pytest.mark.parametrize("key", ["line\nbreak", "g\u00fcltig"])
def test_key_that_no_header_can_hold_sends_nothing(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", key)

    settings = Settings.current()

    assert settings.address == ""
    assert "OPENLINEAGE_API_KEY" in settings.problem
    assert key not in repr(settings)


def test_forked_process_sends_its_own_events_only(folder: Path, tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from retailpipe.lineage.emitter import emit, emit_all, flush
for number in range(3):
    emit(Path({str(folder)!r}), {{"number": number}})
if not os.fork():
    emit(Path({str(folder)!r}), {{"number": 3}})
else:
    assert os.wait()[1] == 0
"""
    with receiving() as server:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={"OPENLINEAGE_URL": server.address, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )

        assert sorted(event["number"] for event in server.events) == [0, 1, 2, 3]
    assert (done.stdout, done.stderr) == ("", "")


def test_end_of_the_process_waits_for_the_last_event(folder: Path, tmp_path: Path) -> None:
    code = (
        f"from pathlib import Path; from retailpipe.lineage.emitter import emit; emit(Path({str(folder)!r}), {EVENT!r})"
    )
    with receiving() as server:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"OPENLINEAGE_URL": server.address, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )

        assert server.events == [EVENT]
    assert (done.stdout, done.stderr) == ("", "")
