"""The S3 bucket in which Pulumi keeps the state of a class, and the KMS key that encrypts the secrets in it.

Each call makes only what is missing, so a call that was interrupted is completed by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from retailpipe.aws.session import Aws, aws_errors
from retailpipe.aws.state_key import StateKey
from retailpipe.aws.state_names import StateNames
from retailpipe.errors import AwsError

_OLD_VERSION_DAYS = 90
_MISSING = {"404", "NoSuchBucket", "NotFound"}
_NOT_SET = {
    "NoSuchTagSet", "NoSuchBucketPolicy", "NoSuchPublicAccessBlockConfiguration", "NoSuchLifecycleConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError", "OwnershipControlsNotFoundError",
}  # fmt: skip
_PRIVATE = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
_ELSEWHERE = "Choose another `project` in the class file: it is a part of the bucket's name."


def create_state(names: StateNames, aws: Aws) -> tuple[str, ...]:
    """Create the key and the bucket, or complete them. Return what was done, one text for each; empty if nothing.

    aws: clients for the region of `names`.
    Raises AwsError, before anything is changed, if the bucket belongs to another account, or the bucket or the alias is
    not the state of this project.
    """
    bucket, key = _Bucket(names, aws), StateKey(names, aws)
    bucket.check()
    key.check()
    return (*key.complete(), *bucket.complete(key.arn))


def removal_commands(names: StateNames, aws: Aws) -> tuple[str, ...]:
    """Return the shell commands that delete the bucket with all versions, and the key after KMS's waiting period."""
    listed = aws.command(
        *("s3api", "list-object-versions", "--bucket", names.bucket, "--max-items", "400", "--output", "json"),
        *("--query", "{Objects: [Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}}"),
    )
    delete = aws.command("s3api", "delete-objects", "--bucket", names.bucket)
    key = aws.command(
        "kms", "describe-key", "--key-id", names.alias, "--query", "KeyMetadata.KeyId", "--output", "text"
    )
    return (
        f'while {delete} --delete "$({listed})" > /dev/null 2>&1; do :; done',
        aws.command("s3api", "delete-bucket", "--bucket", names.bucket),
        f'{aws.command("kms", "schedule-key-deletion", "--pending-window-in-days", "7")} --key-id "$({key})"',
        aws.command("kms", "delete-alias", "--alias-name", names.alias),
    )


class _Bucket:
    """The bucket of the state."""

    def __init__(self, names: StateNames, aws: Aws) -> None:
        self._names = names
        self._aws = aws
        self._s3 = aws.client("s3")
        self._named: dict[str, Any] = {"Bucket": names.bucket, "ExpectedBucketOwner": names.account}
        self._exists = False

    def check(self) -> None:
        """Raise AwsError if the bucket exists and is not the state of this project, or is in another account."""
        place = f"s3://{self._names.bucket}"
        try:
            with aws_errors(f"look for {place}"):
                answer = self._s3.head_bucket(**self._named)
        except AwsError as error:
            if error.code in _MISSING:
                return
            if error.code == "403":
                raise AwsError(
                    f"{place} belongs to another account than {self._names.account}, or you may not read it",
                    hint=_ELSEWHERE, code=error.code,
                ) from error  # fmt: skip
            raise
        self._exists = True
        if answer.get("BucketRegion", self._names.region) != self._names.region:
            raise AwsError(f"{place} is in {answer['BucketRegion']}, not in {self._names.region}", hint=_ELSEWHERE)
        tags = self._tags()
        if self._names.tags.items() <= tags.items():
            return
        # A bucket without tags may be ours: creation and tagging are two calls. One with content or a policy is not.
        if tags or self._policy() or self._has_content():
            raise AwsError(
                f"{place} exists, but its tags do not say that it is Pulumi's state of project {self._names.project}; "
                "nothing was changed",
                hint=f"{_ELSEWHERE} If the bucket is yours and for this, give it the tags: `{self._tagging_command()}`",
            )

    def complete(self, key_arn: str) -> list[str]:
        """Create the bucket if it is missing, and set what is not set. Return what was done."""
        done: list[str] = []
        place = f"s3://{self._names.bucket}"
        if not self._exists:
            self._create()
            done.append(f"created {place}")
        tags = self._tags()
        if not self._names.tags.items() <= tags.items():
            with aws_errors(f"set the tags of {place}"):
                tag_set = [{"Key": key, "Value": value} for key, value in (tags | self._names.tags).items()]
                self._s3.put_bucket_tagging(**self._named, Tagging={"TagSet": tag_set})
            done.append(f"set the tags of {place}")
        for what, step in (
            ("blocked public access to", self._block_public_access),
            ("disabled access lists of", self._own_objects),
            ("allowed only TLS for", self._require_tls),
            ("enabled versions of", self._enable_versions),
            ("enabled encryption of", lambda: self._encrypt(key_arn)),
            (f"limited old versions to {_OLD_VERSION_DAYS} days in", self._expire_old_versions),
        ):
            with aws_errors(f"set up {place}"):
                if step():
                    done.append(f"{what} {place}")
        return done

    def _create(self) -> None:
        request: dict[str, Any] = {"Bucket": self._names.bucket, "ObjectOwnership": "BucketOwnerEnforced"}
        if self._names.region != "us-east-1":  # S3 refuses this region as a location constraint
            request["CreateBucketConfiguration"] = {"LocationConstraint": self._names.region}
        try:
            with aws_errors(f"create s3://{self._names.bucket}"):
                self._s3.create_bucket(**request)
        except AwsError as error:
            if error.code != "BucketAlreadyExists":
                raise
            raise AwsError(
                f"s3://{self._names.bucket} belongs to another account", hint=_ELSEWHERE, code=error.code
            ) from error

    def _tags(self) -> dict[str, str]:
        answer = self._read("its tags", self._s3.get_bucket_tagging)
        return {tag["Key"]: tag["Value"] for tag in answer.get("TagSet", [])}

    def _policy(self) -> list[dict[str, Any]]:
        """The statements of the bucket's policy; empty without a policy."""
        text = self._read("its policy", self._s3.get_bucket_policy).get("Policy")
        statements: Any = json.loads(text).get("Statement", []) if text else []
        return [statements] if isinstance(statements, dict) else statements

    def _has_content(self) -> bool:
        answer = self._read("its versions", self._s3.list_object_versions, MaxKeys=1)
        return bool(answer.get("Versions") or answer.get("DeleteMarkers"))

    def _read(self, what: str, call: Callable[..., dict[str, Any]], **request: Any) -> dict[str, Any]:
        """Return the answer of a call about the bucket; empty if this is not set."""
        try:
            with aws_errors(f"read {what} of s3://{self._names.bucket}"):
                return call(**self._named, **request)
        except AwsError as error:
            if error.code in _NOT_SET:
                return {}
            raise

    # Each of the next methods returns whether it changed something.

    def _block_public_access(self) -> bool:
        found = self._read("the public access", self._s3.get_public_access_block)
        if found.get("PublicAccessBlockConfiguration") == _PRIVATE:
            return False
        self._s3.put_public_access_block(**self._named, PublicAccessBlockConfiguration=_PRIVATE)
        return True

    def _own_objects(self) -> bool:
        found = self._read("the ownership", self._s3.get_bucket_ownership_controls)
        rules = [{"ObjectOwnership": "BucketOwnerEnforced"}]
        if found.get("OwnershipControls", {}).get("Rules") == rules:
            return False
        self._s3.put_bucket_ownership_controls(**self._named, OwnershipControls={"Rules": rules})
        return True

    def _require_tls(self) -> bool:
        arn = f"arn:{self._aws.partition}:s3:::{self._names.bucket}"
        wanted = {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        found = [each for each in self._policy() if each.get("Sid") != wanted["Sid"] or each == wanted]
        if wanted in found:
            return False
        policy = json.dumps({"Version": "2012-10-17", "Statement": [*found, wanted]})
        self._s3.put_bucket_policy(**self._named, Policy=policy)
        return True

    def _enable_versions(self) -> bool:
        if self._read("the versioning", self._s3.get_bucket_versioning).get("Status") == "Enabled":
            return False
        self._s3.put_bucket_versioning(**self._named, VersioningConfiguration={"Status": "Enabled"})
        return True

    def _encrypt(self, key_arn: str) -> bool:
        found = self._read("the encryption", self._s3.get_bucket_encryption)
        rules: list[dict[str, Any]] = found.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
        default: dict[str, Any] = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
        if default.get("SSEAlgorithm") == "aws:kms" and default.get("KMSMasterKeyID"):
            return False
        rule = {
            "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key_arn},
            "BucketKeyEnabled": True,  # otherwise each object that is read or written is a paid call to KMS
        }
        self._s3.put_bucket_encryption(**self._named, ServerSideEncryptionConfiguration={"Rules": [rule]})
        return True

    def _expire_old_versions(self) -> bool:
        if self._read("the lifecycle", self._s3.get_bucket_lifecycle_configuration).get("Rules"):
            return False
        rule = {
            "ID": "old-versions",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": _OLD_VERSION_DAYS},
        }
        self._s3.put_bucket_lifecycle_configuration(**self._named, LifecycleConfiguration={"Rules": [rule]})
        return True

    def _tagging_command(self) -> str:
        return self._aws.command(
            *("s3api", "put-bucket-tagging", "--bucket", self._names.bucket, "--tagging"),
            json.dumps({"TagSet": [{"Key": key, "Value": value} for key, value in self._names.tags.items()]}),
        )
