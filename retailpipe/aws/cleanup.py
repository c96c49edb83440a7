"""Find and remove everything that belongs to a stack: its resources, what AWS created for it, and its local files.

Order: `pulumi destroy` first, then the bucket, the log groups and the local files. Without the pulumi command only the
buckets are emptied, so that a later `pulumi destroy` can finish.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retailpipe.aws.pulumi import Pulumi
from retailpipe.aws.session import Aws, aws_errors
from retailpipe.aws.shell import ENV_FILE
from retailpipe.aws.stack import Stack, stack_folder
from retailpipe.counts import counted, noun
from retailpipe.errors import AwsError, OutputsError, StackNotFound
from retailpipe.names import CHECK_BUCKET, NOTIFY_UPLOAD, WORKERS, Names, parse_stack_name
from retailpipe.outputs import StackOutputs
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import Report

_MAX_DELETED = 1000
"""Keys per delete request: the maximum of S3."""
_NOT_FOUND_CODES = {"NoSuchBucket", "404", "ResourceNotFoundException"}
_OWN = ("certificates", "contracts", "models")
"""What the user has written in the stack's folder: it is kept."""


@dataclass(frozen=True)
class Remains(Report):
    """What exists of a stack.

    deployed: whether the stack exists, completely or partly: it has outputs, or resources in Pulumi's state.
    by_pulumi: whether the pulumi command and the Pulumi project are available here, so that `remove` can destroy the
    stack.
    buckets: one for each pipeline of the stack.
    versions: number of object versions and delete markers in the buckets.
    log_groups: the stack's log groups in CloudWatch, including those that AWS created.
    folder: the stack's folder on this machine, or None if it contains only what is kept: certificates, contracts and
        models.
    variables: the file aws_config.env of this stack in the current folder, or None.
    """

    project: str
    stack: str
    deployed: bool
    by_pulumi: bool
    buckets: tuple[str, ...]
    versions: int
    log_groups: tuple[str, ...]
    folder: Path | None
    variables: Path | None

    @property
    def nothing(self) -> bool:
        return not (self.deployed or self.buckets or self.log_groups or self.folder or self.variables)

    @property
    def _counted(self) -> str:
        return counted(self.versions, "object version")

    def lines(self) -> list[str]:
        """Return what `remove` deletes, one text per item. Without the pulumi command: only the buckets' content."""
        where = ", ".join(f"s3://{bucket}" for bucket in self.buckets)
        if self.deployed and not self.by_pulumi:
            return [f"{self._counted} in {where}"] if self.versions else []
        lines = [f"stack {self.stack} of project {self.project}"] if self.deployed else []
        lines += [f"{where} with {self._counted}"] if self.buckets else []
        lines += [f"log group {name}" for name in self.log_groups]
        if self.folder:
            kept = [f"{name}/" for name in _OWN if (self.folder / name).exists()]
            lines += [f"folder {self.folder}{', except ' if kept else ''}{' and '.join(kept)}"]
        return lines + ([f"file {self.variables}"] if self.variables else [])


class Cleanup:
    """Finds what exists of a stack, with one or several pipelines, and removes it.

    It also works if the stack is half deployed or half removed, or if its outputs have another version.

    name: STACK or PROJECT/STACK.
    Raises StackNotFound if the name is not that of a whole stack, AwsError.
    """

    def __init__(self, name: str, aws: Aws) -> None:
        self._project, self._stack, part = parse_stack_name(name)
        if part:
            raise StackNotFound(
                f"{part} is only one of the pipelines in stack {self._stack}",
                hint="To remove one pipeline, delete it from your Pulumi program and run `pulumi up`.",
            )
        self._aws = aws
        self._pulumi = Pulumi.find(self._stack, self._project)
        self._outputs: dict[str, StackOutputs] = {}
        with suppress(StackNotFound, OutputsError):
            found = Stack.named(name, aws)
            self._aws = found.aws
            self._outputs[found.outputs.part] = found.outputs
        if not self._outputs and self._pulumi:
            with suppress(AwsError):  # pulumi may not know the stack
                self._aws = aws.in_region(self._pulumi.config("region") or aws.region)
        parts = self._parts()
        for part in parts - self._outputs.keys():
            with suppress(OutputsError):  # another version: the resources exist all the same
                self._outputs[part] = Stack.from_parameter(Names(self._project, self._stack, part), self._aws).outputs
        self._deployed = bool(parts or self._outputs or (self._pulumi and self._pulumi.has_resources()))
        self._account = self._checked_account()
        self._pipelines = [
            Names(self._project, self._stack, part) for part in sorted(parts | self._outputs.keys()) or [""]
        ]

    def remains(self) -> Remains:
        """Return what exists now. Raises AwsError."""
        buckets = self._buckets()
        folder = stack_folder(self._project, self._stack)
        return Remains(
            project=self._project,
            stack=self._stack,
            deployed=self._deployed,
            by_pulumi=self._pulumi is not None,
            buckets=tuple(buckets),
            versions=sum(1 for bucket in buckets for _ in self._versions(bucket)),
            log_groups=tuple(self._log_groups()),
            folder=folder if _removable(folder) else None,
            variables=self._variables(),
        )

    def check(self) -> None:
        """Raise AwsError if AWS would not delete the stack.

        That is so if it is protected, its setting `ephemeral` being false, or while a run has tasks in its cluster.
        """
        protected = any(not outputs.ephemeral for outputs in self._outputs.values())
        if not self._outputs and self._deployed and self._pulumi:
            protected = self._pulumi.config("ephemeral") == "false"
        if protected:
            raise AwsError(
                f"stack {self._stack} is protected (its setting `ephemeral` is false); nothing was deleted",
                hint="To delete it and its backups, run `pulumi config set ephemeral true` and `pulumi up`, then try "
                "again. docs/aws.md explains how to keep a last snapshot.",
            )
        if tasks := self._running_tasks():
            raise AwsError(
                f"{counted(tasks, 'task')} of a run {noun(tasks, 'is', 'are')} in the cluster of stack {self._stack}; "
                "nothing was deleted: AWS does not delete a cluster with tasks",
                hint=f"Run `retailpipe workers stop --stack {self._stack}`, then try again.",
            )

    def remove(self, progress: Progress | None = None) -> Remains:
        """Remove everything and return what is left. Without the pulumi command, only the buckets are emptied.

        Raises AwsError; if the stack is protected, before anything is removed.
        """
        progress = progress or NoProgress()
        self.check()
        if self._deployed and self._pulumi:
            progress.step("destroying the stack")
            progress.end()  # pulumi prints its own progress
            self._pulumi.destroy()  # this also deletes the content of an ephemeral stack's bucket
            self._deployed = False
        for bucket in self._buckets():
            progress.step("emptying the bucket", unit="versions")
            self._empty(bucket, progress)
            if not self._deployed:
                with aws_errors(f"remove s3://{bucket}"):
                    self._aws.client("s3").delete_bucket(Bucket=bucket, **self._owner)
        if not self._deployed:
            progress.step("removing logs")
            for name in self._log_groups():
                self._remove_log_group(name)
            _remove(stack_folder(self._project, self._stack))
            if file := self._variables():
                file.unlink()
        return self.remains()

    def _running_tasks(self) -> int:
        """Return the number of Fargate tasks that run or start in the stack's clusters."""
        clusters = [
            Names(self._project, self._stack, part).of(WORKERS) for part, each in self._outputs.items() if each.workers
        ]
        if not clusters:
            return 0
        with aws_errors(f"describe the cluster of stack {self._stack}"):
            found = self._aws.client("ecs").describe_clusters(clusters=clusters)["clusters"]
        return sum(cluster["runningTasksCount"] + cluster["pendingTasksCount"] for cluster in found)

    def _variables(self) -> Path | None:
        """Return the file aws_config.env in the current folder, or None if it was not written for this stack."""
        file = Path(ENV_FILE)
        wanted = {"PROJECT_NAME": self._project, "STACK_NAME": self._stack}
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return None
        of_this_stack = all(f"export {name}={value}" in lines for name, value in wanted.items())
        return file.absolute() if of_this_stack else None

    def _checked_account(self) -> str:
        """Return the account of the credentials. Raises AwsError if the stack is in another account.

        A stack of the same name may exist in both.
        """
        with aws_errors("ask AWS for the account of the credentials"):
            account: str = self._aws.client("sts").get_caller_identity()["Account"]
        for outputs in self._outputs.values():
            if outputs.account_id != account:
                raise AwsError(
                    f"stack {self._stack} is in account {outputs.account_id}, but the credentials belong to {account}",
                    hint="Use the credentials of the stack's account: --profile NAME.",
                )
        return account

    def _parts(self) -> set[str]:
        """Return the names of the pipelines of this stack, taken from the SSM parameters of their outputs."""
        prefix = f"/{self._project}/{self._stack}/"
        beginning = {"Key": "Name", "Option": "BeginsWith", "Values": [prefix]}
        with aws_errors(f"list the SSM parameters of stack {self._stack}"):
            pages = self._aws.client("ssm").get_paginator("describe_parameters").paginate(ParameterFilters=[beginning])
            names = [parameter["Name"] for page in pages for parameter in page["Parameters"]]
        found = [re.fullmatch(r"(?:([^/]+)/)?outputs", name.removeprefix(prefix)) for name in names]
        return {match[1] or "" for match in found if match}

    def _buckets(self) -> list[str]:
        """Return the stack's buckets that exist.

        If no outputs name a bucket, its name is derived from the stack's name, and it counts only if its tags prove
        that it is the stack's.
        """
        wanted = {"Project": self._project, "Stack": self._stack, "Ephemeral": "true"}
        found: list[str] = []
        for names in self._pipelines:
            outputs = self._outputs.get(names.part)
            bucket = outputs.bucket if outputs else names.bucket(self._account, self._aws.region)
            named = self._deployed and outputs is not None
            try:
                with aws_errors(f"read the tags of s3://{bucket}"):
                    answer = self._aws.client("s3").get_bucket_tagging(Bucket=bucket, **self._owner)
            except AwsError as error:
                if error.code in _NOT_FOUND_CODES:
                    continue
                if error.code != "NoSuchTagSet":
                    raise
                answer: dict[str, Any] = {"TagSet": []}
            tags = {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}
            if named or wanted.items() <= tags.items():
                found.append(bucket)
        return found

    @property
    def _owner(self) -> dict[str, str]:
        return {"ExpectedBucketOwner": self._account}

    def _versions(self, bucket: str) -> Iterator[dict[str, Any]]:
        with aws_errors(f"list the versions in s3://{bucket}"):
            for page in (
                self._aws.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket, **self._owner)
            ):
                yield from page.get("Versions", [])
                yield from page.get("DeleteMarkers", [])

    def _empty(self, bucket: str, progress: Progress) -> None:
        """Delete all object versions, delete markers and unfinished uploads."""
        s3 = self._aws.client("s3")
        with aws_errors(f"empty s3://{bucket}"):
            for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, **self._owner):
                for upload in page.get("Uploads", []):
                    s3.abort_multipart_upload(
                        Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"], **self._owner
                    )
        batch: list[dict[str, str]] = []
        for version in [*self._versions(bucket)]:
            batch.append({"Key": version["Key"], "VersionId": version["VersionId"]})
            if len(batch) == _MAX_DELETED:
                self._delete(bucket, batch, progress)
                batch = []
        self._delete(bucket, batch, progress)

    def _delete(self, bucket: str, batch: list[dict[str, str]], progress: Progress) -> None:
        if not batch:
            return
        with aws_errors(f"empty s3://{bucket}"):
            answer = self._aws.client("s3").delete_objects(
                Bucket=bucket, Delete={"Objects": batch, "Quiet": True}, **self._owner
            )
        for error in answer.get("Errors", []):
            raise AwsError(f"cannot remove {error['Key']} from s3://{bucket}: {error['Code']}", code=error["Code"])
        progress.advance(len(batch))

    def _log_groups(self) -> list[str]:
        """Return the stack's log groups that exist. Compare whole names: the prefix of `dev` also matches `dev-2`."""
        found: list[str] = []
        with aws_errors("list the log groups"):
            for names in self._pipelines:
                own = {names.lambda_log_group(function) for function in (NOTIFY_UPLOAD, CHECK_BUCKET)}
                own |= {names.database_log_group(log) for log in ("postgresql", "upgrade")}
                own.add(names.worker_log_group())
                for beginning in (names.lambda_log_group(""), names.database_log_group(""), names.worker_log_group()):
                    pages = self._aws.client("logs").get_paginator("describe_log_groups")
                    for page in pages.paginate(logGroupNamePrefix=beginning):
                        found += [group["logGroupName"] for group in page["logGroups"] if group["logGroupName"] in own]
        return sorted(found)

    def _remove_log_group(self, name: str) -> None:
        try:
            with aws_errors(f"remove the log group {name}"):
                self._aws.client("logs").delete_log_group(logGroupName=name)
        except AwsError as error:
            if error.code not in _NOT_FOUND_CODES:
                raise


def _removable(folder: Path) -> list[Path]:
    """What a cleanup deletes of a stack's folder: all but what the user has written."""
    return [path for path in folder.iterdir() if path.name not in _OWN] if folder.is_dir() else []


def _remove(folder: Path) -> None:
    for path in _removable(folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with suppress(OSError):  # certificates/, contracts/ or models/ are kept, or there is no folder
        folder.rmdir()
