"""Certificates of workbooks in a bucket, signed by a KMS key, on the simulated AWS (moto)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from retailpipe import AwsError, Environment, UsageError, certify, check_certificate, ingest
from retailpipe.keys import receipts_prefix
from tests.support.stacks import HandMade
from tests.support.workbooks import book_of


@pytest.fixture
def loaded(made: HandMade, built_environment: Environment, tmp_path: Path) -> Iterator[Environment]:
    """The bucket and the keys of a stack, with a workbook of notes that is loaded.

    The database is the one of `built_environment`: another build takes longer than all of these tests.
    """
    on_aws = Environment.from_stack("dev")
    environment = replace(built_environment, store=on_aws.store, stack=on_aws.stack)
    ingest(environment, book_of(tmp_path / "notes 1.xlsx", {"N": [("Note",), ("a",), ("b",)]}))
    yield environment
    assert on_aws.stack
    on_aws.stack.aws.close()


def test_kms_signs_the_certificate_of_an_object_version(loaded: Environment, made: HandMade, tmp_path: Path) -> None:
    kms = made.client("kms")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]

    [report] = certify(loaded, kms_key=key)

    assert report.ok, report.differences
    envelope = json.loads(Path(report.certificate).read_text())
    [subject] = json.loads(base64.b64decode(envelope["payload"]))["subject"]
    s3, bucket = made.client("s3"), made.outputs["bucket"]
    head = s3.head_object(Bucket=bucket, Key="input/notes 1.xlsx")
    assert subject["uri"] == f"s3://{bucket}/input/notes 1.xlsx"
    assert subject["annotations"] == {"version": head["VersionId"]}
    kept = f"{receipts_prefix('input/notes 1.xlsx')}{head['ETag'].strip(chr(34))}.certificate.json"
    assert s3.get_object(Bucket=bucket, Key=kept)["Body"].read() == Path(report.certificate).read_bytes()
    assert not (loaded.folder / "certificates" / "private_key.pem").exists()
    # Anybody checks it with the public key alone.
    [public] = (loaded.folder / "certificates").glob("key-*.pem")
    stranger = Environment.local(tmp_path / "stranger", database_url="postgresql://nobody@127.0.0.1:9/none")
    assert check_certificate(stranger, report.certificate, key=public, workbook=tmp_path / "notes 1.xlsx").ok
    assert check_certificate(loaded, report.certificate, warehouse=True).ok


def test_environment_key_signs_without_kms(loaded: Environment) -> None:
    [report] = certify(loaded)

    assert report.ok
    assert check_certificate(loaded, report.certificate).ok


def test_kms_key_that_cannot_sign_is_refused(loaded: Environment, made: HandMade) -> None:
    kms = made.client("kms")
    key = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]

    with pytest.raises(UsageError, match="cannot sign with ECDSA_SHA_256") as caught:
        certify(loaded, kms_key=key)
    assert "aws kms create-key --key-spec ECC_NIST_P256" in caught.value.hint

    with pytest.raises(AwsError, match="cannot read the public key of alias/none"):
        certify(loaded, kms_key="alias/none")
