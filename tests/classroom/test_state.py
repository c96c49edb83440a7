"""`class init --state`: the bucket and the key on the simulated AWS, and the lines in the class file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jmespath
import pytest
from typer.testing import CliRunner

from retailpipe import AwsError, ClassError, SettingsError
from retailpipe.aws.session import Aws
from retailpipe.aws.state_names import StateNames
from retailpipe.classroom.class_file import ClassFile
from retailpipe.classroom.drafting import draft_class
from retailpipe.classroom.state import StateReport, init_state, removal_of_state
from retailpipe.cli.app import app
from tests.support.aws import empty_account, s3_refuses
from tests.support.classes import write_class
from tests.support.stacks import ACCOUNT, REGION, HandMade

NAMES = StateNames("retailpipe", ACCOUNT, REGION)
LINES = f'url = "{NAMES.url}"\nsecrets_provider = "{NAMES.secrets_provider}"\n'


@pytest.fixture(autouse=True)
def _empty_account(moto: str, account: HandMade) -> None:  # pyright: ignore[reportUnusedFunction]
    empty_account(moto)


def init(folder: Path, aws: Aws) -> StateReport:
    return init_state(ClassFile.read(folder / "class.toml"), aws)


def refused(folder: Path, aws: Aws) -> ClassError:
    """The error of a call that creates nothing and leaves the class file as it is."""
    before = (folder / "class.toml").read_bytes()
    with pytest.raises(ClassError) as caught:
        init(folder, aws)
    assert (folder / "class.toml").read_bytes() == before
    assert aws.client("s3").list_buckets()["Buckets"] == []
    return caught.value


def own_keys(aws: Aws) -> list[str]:
    return [key["KeyId"] for key in aws.client("kms").list_keys()["Keys"]]


def test_the_bucket_is_versioned_encrypted_private_and_accepts_only_tls(tmp_path: Path, aws: Aws) -> None:
    report = init(write_class(tmp_path), aws)

    s3, bucket = aws.client("s3"), {"Bucket": NAMES.bucket}
    (rule,) = s3.get_bucket_encryption(**bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    (statement,) = json.loads(s3.get_bucket_policy(**bucket)["Policy"])["Statement"]
    assert report.bucket == NAMES.bucket == f"retailpipe--state-{ACCOUNT}-{REGION}"
    assert s3.get_bucket_versioning(**bucket)["Status"] == "Enabled"
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert {*s3.get_public_access_block(**bucket)["PublicAccessBlockConfiguration"].values()} == {True}
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert s3.get_bucket_ownership_controls(**bucket)["OwnershipControls"]["Rules"] == [
        {"ObjectOwnership": "BucketOwnerEnforced"}
    ]


def test_the_key_rotates_and_encrypts_the_bucket(tmp_path: Path, aws: Aws) -> None:
    init(write_class(tmp_path), aws)

    kms = aws.client("kms")
    key = kms.describe_key(KeyId=NAMES.alias)["KeyMetadata"]
    encryption = aws.client("s3").get_bucket_encryption(Bucket=NAMES.bucket)["ServerSideEncryptionConfiguration"]
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == key["Arn"]


def test_the_class_file_has_the_state_afterwards(tmp_path: Path, aws: Aws) -> None:
    init(write_class(tmp_path), aws)

    file = ClassFile.read(tmp_path / "class.toml")
    assert file.state_url == f"s3://{NAMES.bucket}?region={REGION}"
    assert file.secrets_provider == f"awskms://alias/retailpipe--state?region={REGION}"


def test_a_second_run_changes_nothing(tmp_path: Path, aws: Aws) -> None:
    first = init(write_class(tmp_path), aws)
    text = (tmp_path / "class.toml").read_text()

    second = init(tmp_path, aws)

    assert len(first.done) == 11
    assert second.done == ()
    assert (tmp_path / "class.toml").read_text() == text
    assert len(own_keys(aws)) == 1


class Stopped(Exception):
    """The process was killed."""


@pytest.mark.parametrize("calls", range(1, 10))
def test_a_state_that_was_half_created_is_completed(tmp_path: Path, aws: Aws, calls: int) -> None:
    """The process ends after this number of calls that change something."""
    changes = 0

    def before_call(model: Any, **_: Any) -> None:
        nonlocal changes
        changes += not re.match("Get|Head|List|Describe", model.name)
        if changes > calls:
            raise Stopped

    clients = [aws.client(service) for service in ("s3", "kms")]
    for client in clients:
        client.meta.events.register("before-call", before_call)
    with pytest.raises(Stopped):
        init(write_class(tmp_path), aws)
    for client in clients:
        client.meta.events.unregister("before-call", before_call)

    report = init(tmp_path, aws)

    assert len(report.done) == 11 - calls
    assert init(tmp_path, aws).done == ()
    assert len(own_keys(aws)) == 1


def test_a_bucket_with_the_tags_of_something_else_is_refused(tmp_path: Path, account: HandMade, aws: Aws) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket=NAMES.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_tagging(Bucket=NAMES.bucket, Tagging={"TagSet": [{"Key": "Project", "Value": "sales"}]})

    with pytest.raises(AwsError, match=f"s3://{NAMES.bucket} exists, but its tags do not say") as caught:
        init(write_class(tmp_path), aws)

    assert "put-bucket-tagging" in caught.value.hint
    assert own_keys(aws) == []
    assert s3.get_bucket_tagging(Bucket=NAMES.bucket)["TagSet"] == [{"Key": "Project", "Value": "sales"}]


def test_a_bucket_without_tags_is_refused_if_it_has_content(tmp_path: Path, account: HandMade, aws: Aws) -> None:
    s3 = account.client("s3")
    s3.create_bucket(Bucket=NAMES.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=NAMES.bucket, Key="a", Body=b"")

    with pytest.raises(AwsError, match="nothing was changed"):
        init(write_class(tmp_path), aws)

    assert "Status" not in s3.get_bucket_versioning(Bucket=NAMES.bucket)


def test_a_bucket_of_another_account_is_refused(tmp_path: Path, aws: Aws) -> None:
    with s3_refuses("AccessDenied", 403, 1), pytest.raises(AwsError, match="belongs to another account") as caught:
        init(write_class(tmp_path), aws)

    assert "`project`" in caught.value.hint
    assert own_keys(aws) == []


def test_an_alias_of_another_key_is_refused(tmp_path: Path, account: HandMade, aws: Aws) -> None:
    kms = account.client("kms")
    kms.create_alias(AliasName=NAMES.alias, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])

    with pytest.raises(AwsError, match="alias/retailpipe--state in eu-central-1 is of the key"):
        init(write_class(tmp_path), aws)

    assert aws.client("s3").list_buckets()["Buckets"] == []


def test_a_key_that_will_be_deleted_is_told_with_the_commands(tmp_path: Path, account: HandMade, aws: Aws) -> None:
    init(write_class(tmp_path), aws)
    kms = account.client("kms")
    kms.schedule_key_deletion(KeyId=kms.describe_key(KeyId=NAMES.alias)["KeyMetadata"]["KeyId"])

    with pytest.raises(AwsError, match="it is PendingDeletion") as caught:
        init(tmp_path, aws)

    assert re.search("aws kms cancel-key-deletion .*`, then `aws kms enable-key", caught.value.hint)


def test_credentials_of_another_account_are_refused(tmp_path: Path, aws: Aws) -> None:
    with pytest.raises(AwsError, match="the class is in account 111111111111"):
        init(write_class(tmp_path, keys='account = "111111111111"'), aws)


def test_a_project_that_is_too_long_for_names_is_refused(tmp_path: Path, aws: Aws) -> None:
    with pytest.raises(SettingsError, match="too long"):
        init(write_class(tmp_path, keys=f'project = "{"a" * 23}"'), aws)


def test_the_name_of_the_bucket_is_never_too_long() -> None:
    assert len(StateNames("a" * 22, ACCOUNT, "us-isof-south-1").bucket) <= 63


def test_the_command_creates_the_state_once(tmp_path: Path, aws: Aws) -> None:
    folder = str(write_class(tmp_path))

    first, second = (CliRunner().invoke(app, ["class", "init", folder, "--state"]) for _ in range(2))

    assert f"created s3://{NAMES.bucket}" in first.output
    assert second.output.startswith("nothing to do: the state of the class is in s3://")


# The class file


def test_the_lines_of_a_drafted_class_are_replaced(tmp_path: Path, aws: Aws) -> None:
    draft_class(tmp_path / "class")
    path = tmp_path / "class" / "class.toml"
    text = path.read_text()

    init(tmp_path / "class", aws)

    old = '# [state]\n# url = "s3://BUCKET"\n# secrets_provider = "awskms://alias/NAME"\n'
    assert path.read_text() == text.replace(old, f"[state]\n{LINES}")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("[state] # kept\n# also kept\n", f"[state] # kept\n{LINES}# also kept\n"),
        (f'[state]\nurl = "{NAMES.url}" # here\n', f'[state]\n{LINES.splitlines()[1]}\nurl = "{NAMES.url}" # here\n'),
        ("# a comment at the end", f"# a comment at the end\n\n[state]\n{LINES}"),
        ('[workbooks]\nrows = 100\n\n[ "state" ]\n', f'[workbooks]\nrows = 100\n\n[ "state" ]\n{LINES}'),
    ],
)
@pytest.mark.parametrize("written", [str.encode, lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()])
def test_the_rest_of_the_class_file_is_kept(
    tmp_path: Path, aws: Aws, state: str, expected: str, written: Callable[[str], bytes]
) -> None:
    path = write_class(tmp_path) / "class.toml"
    text = path.read_text().rstrip("\n") + "\n\n"
    path.write_bytes(written(text + state))
    path.chmod(0o640)

    init(tmp_path, aws)

    assert path.read_bytes() == written(text + expected).rstrip() + written("\n").removeprefix(b"\xef\xbb\xbf")
    assert path.stat().st_mode & 0o777 == 0o640


def test_another_state_is_refused_with_both_values(tmp_path: Path, aws: Aws) -> None:
    error = refused(write_class(tmp_path, settings='[state]\nurl = "s3://mine"\n'), aws)

    assert "[state] has url = 's3://mine', but the state of this class would have" in str(error)
    assert f"url = '{NAMES.url}'" in str(error)


@pytest.mark.parametrize(
    "lines", ["state = {}", 'course2 = """\n[state]\n"""\n[state]\n', "state.url = 1", "[[state]]", "state = 1"]
)
def test_a_state_that_cannot_be_edited_is_refused(tmp_path: Path, aws: Aws, lines: str) -> None:
    write_class(tmp_path)
    path = tmp_path / "class.toml"
    file = ClassFile.read(path)
    path.write_text(f"{lines}\n" if lines.startswith("state") else f"{path.read_text()}\n{lines}\n")
    before = path.read_text()

    with pytest.raises(ClassError):
        init_state(file, aws)

    assert path.read_text() == before
    assert aws.client("s3").list_buckets()["Buckets"] == []


def test_a_folder_that_has_stacks_is_not_abandoned(tmp_path: Path, aws: Aws) -> None:
    stack = write_class(tmp_path) / "state" / ".pulumi" / "stacks" / "retailpipe" / "anna.json"
    stack.parent.mkdir(parents=True)
    stack.write_text("{}")

    error = refused(tmp_path, aws)

    assert "has stacks: anna" in str(error)
    assert "`retailpipe class down`" in error.hint


def test_a_symbolic_link_to_the_class_file_stays_one(tmp_path: Path, aws: Aws) -> None:
    path = write_class(tmp_path / "class") / "class.toml"
    path.rename(tmp_path / "real.toml")
    path.symlink_to(tmp_path / "real.toml")

    init(tmp_path / "class", aws)

    assert path.is_symlink()
    assert NAMES.url in (tmp_path / "real.toml").read_text()


def test_the_commands_remove_the_state_by_hand(tmp_path: Path, aws: Aws) -> None:
    init(write_class(tmp_path), aws)

    empty, bucket, key, alias = removal_of_state(ClassFile.read(tmp_path / "class.toml"), ACCOUNT, aws)

    query = re.search(r"--query '([^']*)'", empty)
    answer = {"Versions": [{"Key": "a", "VersionId": "1", "Size": 3}], "DeleteMarkers": None}
    assert query
    assert jmespath.search(query[1], answer) == {"Objects": [{"Key": "a", "VersionId": "1"}]}
    assert f"s3api delete-bucket --bucket {NAMES.bucket} --region {REGION}" in bucket
    assert "schedule-key-deletion" in key
    assert NAMES.alias in alias


def test_the_state_in_a_folder_is_removed_by_one_command(tmp_path: Path, aws: Aws) -> None:
    (write_class(tmp_path / "a class") / "state").mkdir()
    file = ClassFile.read(tmp_path / "a class" / "class.toml")

    assert removal_of_state(file, ACCOUNT, aws) == (f"rm -r '{tmp_path}/a class/state'",)


def test_the_state_in_another_bucket_is_the_users_own(tmp_path: Path, aws: Aws) -> None:
    file = ClassFile.read(write_class(tmp_path, settings='[state]\nurl = "s3://mine"\n') / "class.toml")

    assert removal_of_state(file, ACCOUNT, aws) == ()
