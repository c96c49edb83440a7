"""The database of a stack: TLS and certificates, the password in the secret, and explained connection errors."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

import retailpipe
from retailpipe import Environment, pipeline
from retailpipe.aws import rds
from retailpipe.errors import AwsError, WarehouseError
from tests.conftest import Workbook
from tests.support.proxy import proxy
from tests.support.stacks import HandMade
from tests.support.tls_server import PASSWORD, USER, TlsServer

_ENCRYPTED = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()"


def changed(made: HandMade, **outputs: object) -> Environment:
    """Return the stack's environment with some outputs changed. Its AWS clients must be closed: use `environments`."""
    return Environment.from_outputs({**made.outputs, **outputs})


@pytest.fixture
def environments() -> Iterator[list[Environment]]:
    """A list of environments whose AWS clients are closed after the test."""
    opened: list[Environment] = []
    yield opened
    for environment in opened:
        assert environment.stack
        environment.stack.aws.close()


def test_the_connection_is_encrypted_and_the_certificate_verified(on_aws: Environment) -> None:
    assert on_aws.warehouse.query(_ENCRYPTED).to_pylist()[0]["ssl"] is True
    assert "sslmode=verify-full" in on_aws.warehouse.uri


def test_a_certificate_of_another_authority_is_refused(
    made: HandMade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environments: list[Environment]
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("RETAILPIPE_CA_BUNDLE", str(tmp_path / "other.pem"))
    environments.append(changed(made))

    with pytest.raises(WarehouseError, match="is not Amazon's") as caught:
        environments[0].warehouse.query("select 1")

    assert PASSWORD not in str(caught.value) + caught.value.hint


def test_a_certificate_for_another_host_is_refused(made: HandMade, environments: list[Environment]) -> None:
    environments.append(changed(made, database_host="127.0.0.1"))

    with pytest.raises(WarehouseError, match="is not Amazon's"):
        environments[0].warehouse.query("select 1")


def test_dbt_uses_the_same_connection_settings(on_aws: Environment, make_workbook: Workbook) -> None:
    report = retailpipe.run(on_aws, make_workbook())

    assert report.ok
    assert retailpipe.transform(on_aws).ok


def test_a_changed_password_is_read_again(on_aws: Environment, made: HandMade, tls: TlsServer) -> None:
    on_aws.warehouse.query("select 1")
    tls.execute(f"alter role {USER} password 'the second'")
    made.set_password("the second")

    assert on_aws.warehouse.query("select 1 as one").to_pylist() == [{"one": 1}]


def test_a_password_may_change_between_load_and_build(
    on_aws: Environment, made: HandMade, tls: TlsServer, make_workbook: Workbook
) -> None:
    loads = retailpipe.ingest(on_aws, make_workbook())
    tls.execute(f"alter role {USER} password 'the third'")
    made.set_password("the third")

    assert pipeline.complete(on_aws, loads).ok


def test_a_permanently_wrong_password_is_reported(on_aws: Environment, made: HandMade, tls: TlsServer) -> None:
    tls.execute(f"alter role {USER} password 'unknown to the secret'")

    with pytest.raises(WarehouseError, match="refuses the password in the secret") as caught:
        on_aws.warehouse.query("select 1")

    assert "`retailpipe db rotate-password`" in caught.value.hint
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("secret", ["{}", '{"username": "retailpipe"}', "no json", '["a"]'])
def test_a_secret_without_user_or_password_is_reported(on_aws: Environment, made: HandMade, secret: str) -> None:
    made.client("secretsmanager").put_secret_value(SecretId=made.outputs["database_secret_arn"], SecretString=secret)

    with pytest.raises(AwsError, match=r"the secret arn:.* has no (username|password)"):
        on_aws.warehouse.query("select 1")


def test_a_deleted_secret_is_reported(made: HandMade, environments: list[Environment]) -> None:
    environments.append(changed(made, database_secret_arn="arn:aws:secretsmanager:eu-central-1:123456789012:secret:x"))

    with pytest.raises(AwsError, match=r"the secret arn:.* does not exist"):
        environments[0].warehouse.query("select 1")


def test_a_stopped_database_is_reported(made: HandMade, environments: list[Environment]) -> None:
    made.client("rds").stop_db_instance(DBInstanceIdentifier=made.outputs["database_instance"])
    environments.append(changed(made, database_port=1))

    with pytest.raises(WarehouseError, match="the database retailpipe-dev-database is stopped") as caught:
        environments[0].warehouse.query("select 1")

    assert "`retailpipe db start`" in caught.value.hint


def test_a_refused_connection_has_a_hint_about_allowed_cidrs(
    made: HandMade, environments: list[Environment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rds, "ADDRESS_URL", "http://127.0.0.1:9")
    environments.append(changed(made, database_port=1))

    with pytest.raises(WarehouseError, match="localhost:1 does not respond") as caught:
        environments[0].warehouse.query("select 1")

    assert "`retailpipe db allow`" in caught.value.hint


def test_a_database_without_public_access_is_reported(made: HandMade, environments: list[Environment]) -> None:
    name = made.outputs["database_instance"]
    made.client("rds").modify_db_instance(DBInstanceIdentifier=name, PubliclyAccessible=False)
    environments.append(changed(made, database_port=1))

    with pytest.raises(WarehouseError, match="not publicly accessible"):
        environments[0].warehouse.query("select 1")


def test_an_unknown_host_is_reported(made: HandMade, environments: list[Environment]) -> None:
    environments.append(changed(made, database_host="none.invalid"))

    with pytest.raises(WarehouseError, match=r"the host none\.invalid is unknown"):
        environments[0].warehouse.query("select 1")


def test_a_dropped_database_is_reported(made: HandMade, environments: list[Environment]) -> None:
    environments.append(changed(made, database_name="dropped"))

    with pytest.raises(WarehouseError, match="the database dropped does not exist") as caught:
        environments[0].warehouse.query("select 1")

    assert "create database dropped" in caught.value.hint


@pytest.mark.nightly
def test_a_connection_cut_during_the_copy_loads_nothing(
    made: HandMade, tls: TlsServer, environments: list[Environment], tmp_path: Path
) -> None:
    from retailpipe.sample import write_sample

    write_sample(tmp_path / "book.xlsx", rows=60_000)
    with proxy(tls.port, cut_after=1_500_000) as broken:
        environments.append(changed(made, database_port=broken.port))
        with pytest.raises(WarehouseError) as caught:
            retailpipe.ingest(environments[0], tmp_path / "book.xlsx")
    assert broken.cuts
    assert "Earlier loads are not affected" in caught.value.hint

    environments.append(changed(made))
    assert environments[1].warehouse.query("select count(*) as n from bronze.loads").to_pylist() == [{"n": 0}]
    (report,) = retailpipe.ingest(environments[1])
    assert (report.status, report.rows_read) == ("loaded", 60_000)


def test_a_load_takes_a_fixed_number_of_round_trips(
    made: HandMade, tls: TlsServer, environments: list[Environment], tmp_path: Path
) -> None:
    """The number does not depend on the rows or batches."""
    from retailpipe.sample import write_sample

    round_trips: list[int] = []
    pipeline.init(_kept(environments, changed(made)))
    for rows in (500, 50_000):
        write_sample(tmp_path / f"{rows}.xlsx", rows=rows, seed=rows)
        with proxy(tls.port) as counting:
            retailpipe.ingest(
                _kept(environments, changed(made, database_port=counting.port)), tmp_path / f"{rows}.xlsx"
            )
            round_trips.append(counting.turns)

    assert round_trips[1] - round_trips[0] <= 3
    assert round_trips[0] <= 45


def _kept(environments: list[Environment], environment: Environment) -> Environment:
    environments.append(environment)
    return environment


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[bytes]]]:
    """An HTTPS address, and the list of bodies that it answers with, one per request."""
    authority = trustme.CA()
    answers: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.pop(0)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    yield f"https://localhost:{server.server_port}/bundle", answers
    server.shutdown()
    server.server_close()


def test_amazons_certificates_are_downloaded_once(
    source: tuple[str, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RETAILPIPE_CA_BUNDLE", raising=False)
    url, answers = source
    pem = trustme.CA().cert_pem.bytes()
    answers.append(pem)

    first, second = (rds.ca_bundle(url, tmp_path / "a cache") for _ in range(2))

    assert first == second
    assert first.read_bytes() == pem
    assert answers == []


@pytest.mark.parametrize("answer", [b"<html>", b""])
def test_a_download_that_is_not_a_certificate_is_not_kept(
    source: tuple[str, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.delenv("RETAILPIPE_CA_BUNDLE", raising=False)
    url, answers = source
    answers.append(answer)

    with pytest.raises(WarehouseError, match="certificates cannot be downloaded") as caught:
        rds.ca_bundle(url, tmp_path / "cache")

    assert "RETAILPIPE_CA_BUNDLE" in caught.value.hint
    assert not (tmp_path / "cache" / "rds-global-bundle.pem").exists()


def test_a_missing_ca_bundle_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETAILPIPE_CA_BUNDLE", str(tmp_path / "none.pem"))

    with pytest.raises(WarehouseError, match=r"the file .* does not exist"):
        rds.ca_bundle()


def test_this_machines_address_is_read_from_the_web(source: tuple[str, list[bytes]]) -> None:
    url, answers = source
    answers += [b"203.0.113.7\n", b"<html>"]

    assert rds.my_address(url) == "203.0.113.7"
    with pytest.raises(AwsError, match="does not return this machine's address") as caught:
        rds.my_address(url)
    assert "--address" in caught.value.hint


def test_the_password_is_not_in_any_file_or_log(
    on_aws: Environment, make_workbook: Workbook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "retailpipe")
    retailpipe.run(on_aws, make_workbook())

    kept = [path for path in on_aws.folder.rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        assert PASSWORD.encode() not in path.read_bytes(), path
    assert PASSWORD not in caplog.text
    assert PASSWORD not in json.dumps(on_aws.stack.outputs.as_dict() if on_aws.stack else "")
