"""The files of a run on workers: small JSON objects under workers/runs/ in the bucket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from retailpipe.aws.session import Aws, aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.errors import AwsError
from retailpipe.keys import WORKERS

RUNS = f"{WORKERS}runs/"


@dataclass(frozen=True)
class Bucket:
    """A bucket, and the account that must own it."""

    aws: Aws
    name: str
    account: str

    @classmethod
    def of(cls, stack: Stack) -> Self:
        return cls(stack.aws, stack.outputs.bucket, stack.outputs.account_id)

    def read(self, key: str) -> dict[str, Any] | None:
        """Return a JSON object, or None if there is no such key. Raises AwsError."""
        try:
            with aws_errors(f"read s3://{self.name}/{key}"):
                answer = self._s3.get_object(Bucket=self.name, Key=key, ExpectedBucketOwner=self.account)
                return json.loads(answer["Body"].read())
        except AwsError as error:
            if error.code == "NoSuchKey":
                return None
            raise

    def write(self, key: str, content: bytes | dict[str, Any]) -> None:
        """Write bytes, or a JSON object. Raises AwsError."""
        body = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
        with aws_errors(f"write s3://{self.name}/{key}"):
            self._s3.put_object(Bucket=self.name, Key=key, Body=body, ExpectedBucketOwner=self.account)

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with a prefix. Raises AwsError."""
        with aws_errors(f"list s3://{self.name}/{prefix}"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=prefix, ExpectedBucketOwner=self.account
            )
            return [each["Key"] for page in pages for each in page.get("Contents", [])]

    @property
    def _s3(self) -> Any:
        return self.aws.client("s3")


@dataclass(frozen=True)
class RunFiles:
    """The files of one run, by name: run, tasks, scheduler, progress, lineage, result."""

    bucket: Bucket
    run: str

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a file, or None if it is not written yet. Raises AwsError."""
        return self.bucket.read(self._key(name))

    def write(self, name: str, document: dict[str, Any]) -> None:
        """Write a file. Raises AwsError."""
        self.bucket.write(self._key(name), document)

    def _key(self, name: str) -> str:
        return f"{RUNS}{self.run}/{name}.json"


def runs_of(bucket: Bucket, month: str = "") -> list[str]:
    """The names of all runs, oldest first. month: only those that began in it, such as 202703. Raises AwsError."""
    keys = bucket.keys(f"{RUNS}{month}")
    return sorted({key.removeprefix(RUNS).partition("/")[0] for key in keys if key.endswith("/run.json")})
