"""What would stop the removal of a stack, with the command that resolves it. Nothing is changed.

The policies of IAM, the databases and the security groups are read with one paginated call each for all stacks.
"""

from __future__ import annotations

import fnmatch
import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from retailpipe.aws.databases import DatabaseInstance
from retailpipe.aws.kinds import Place
from retailpipe.aws.session import Aws, aws_errors
from retailpipe.errors import AwsError
from retailpipe.reports import Report

_DELETABLE = ("available", "stopped", "deleting", "failed", "storage-full", "incompatible-*", "inaccessible-*")
"""Statuses in which RDS deletes a database without a last snapshot, or is doing so."""
_BUCKET_ACTIONS = (
    *("s3:DeleteBucket", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:ListBucket", "s3:ListBucketVersions"),
    *("s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:PutBucketPublicAccessBlock", "s3:PutLifecycleConfiguration"),
)
"""What the removal of a bucket with its content needs."""
_NONE = {
    *("NoSuchBucket", "404", "NoSuchBucketPolicy", "ObjectLockConfigurationNotFoundError", "NoSuchTagSet"),
}
_ENTITIES: Mapping[str, tuple[str, str, str]] = {
    "user": ("UserDetailList", "UserName", "--user-name"),
    "role": ("RoleDetailList", "RoleName", "--role-name"),
    "group": ("GroupDetailList", "GroupName", "--group-name"),
}


@dataclass(frozen=True)
class Blocker(Report):
    """Something that would stop the removal of a stack.

    thing: what it is. place: the resource. reason: why it stops the removal. command: what resolves it.
    """

    thing: str
    place: str
    reason: str
    command: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(frozen=True)
class Attachment:
    """A policy that is attached to a user, a role or a group.

    kind: user, role or group. is_boundary: whether it limits what the entity may do, instead of allowing something.
    """

    policy: str
    kind: str
    name: str
    is_boundary: bool


def attachments(aws: Aws) -> Sequence[Attachment]:
    """List all attachments of the account's own policies. Raises AwsError."""
    found: list[Attachment] = []
    with aws_errors("list what the policies of the account are attached to"):
        pages = aws.client("iam").get_paginator("get_account_authorization_details")
        for page in pages.paginate(Filter=["User", "Role", "Group"]):
            for kind, (key, name, _) in _ENTITIES.items():
                for entity in page.get(key, []):
                    for each in entity.get("AttachedManagedPolicies", []):
                        found.append(Attachment(each["PolicyArn"], kind, entity[name], False))
                    if boundary := entity.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"):
                        found.append(Attachment(boundary, kind, entity[name], True))
    return found


def policy_blockers(
    policies: Collection[str], roles: Collection[str], user: str, found: Sequence[Attachment], aws: Aws
) -> Iterator[Blocker]:
    """The attachments that nothing declares: IAM refuses to delete an attached policy, and a role with a policy.

    policies, roles: ARNs and names of the stack's own. user: the IAM user of the student; empty if there is none.
    """
    for each in found:
        declared = each.kind == "user" and each.name == user and not each.is_boundary
        option = _ENTITIES[each.kind][2]
        named = (option, each.name)
        name = each.policy.rpartition("/")[2]
        if each.policy in policies and not declared:
            if each.is_boundary:
                reason = f"it limits the {each.kind} {each.name} as its permissions boundary"
                command = aws.command("iam", f"delete-{each.kind}-permissions-boundary", *named)
            else:
                reason = f"it was attached by hand to the {each.kind} {each.name}"
                command = aws.command("iam", f"detach-{each.kind}-policy", *named, "--policy-arn", each.policy)
            yield Blocker("attached policy", f"policy {name}", reason, command)
        elif each.kind == "role" and each.name in roles and not each.is_boundary:
            command = aws.command("iam", "detach-role-policy", *named, "--policy-arn", each.policy)
            yield Blocker("attached policy", f"role {each.name}", f"the policy {name} was attached to it", command)


def database_blockers(instance: DatabaseInstance, stack: str, aws: Aws) -> Iterator[Blocker]:
    """What stops the deletion of a database.

    A stopped database is no obstacle: RDS refuses only to change it, and to take a snapshot of it.
    stack: its full name, such as retailpipe/anna.
    """
    place, named = f"database {instance.identifier}", ("--db-instance-identifier", instance.identifier)
    if instance.is_protected:
        # RDS does not change a stopped database.
        start = f"{aws.command('db', 'start', '--stack', stack, program='retailpipe')} && "
        allow = aws.command("rds", "modify-db-instance", *named, "--no-deletion-protection", "--apply-immediately")
        command = f"{start if instance.status == 'stopped' else ''}{allow}"
        yield Blocker("deletion protection", place, "its deletion protection is on", command)
    if not any(fnmatch.fnmatchcase(instance.status, each) for each in _DELETABLE):
        wait = ("rds", "wait", "db-instance-available", *named)
        if instance.status == "stopping":  # there is no such command for this status
            wait = ("rds", "describe-db-instances", *named, "--query", "DBInstances[0].DBInstanceStatus")
        yield Blocker("database in change", place, f"RDS is changing it: it is {instance.status}", aws.command(*wait))


def bucket_blockers(bucket: str, account: str, caller: str, aws: Aws) -> Sequence[Blocker]:
    """What stops the deletion of a bucket with its content; empty if the bucket does not exist.

    caller: the ARN of the credentials. Raises AwsError.
    """
    s3, place, named = aws.client("s3"), f"bucket {bucket}", ("--bucket", bucket)
    read = partial(_read, Bucket=bucket, ExpectedBucketOwner=account)
    found: list[Blocker] = []
    denied = _denied(read(s3.get_bucket_policy).get("Policy", ""), account, caller)
    if denied:
        command = aws.command("s3api", "delete-bucket-policy", *named)
        found.append(Blocker("bucket policy", place, f"its policy denies {', '.join(denied)}", command))
    lock = read(s3.get_object_lock_configuration).get("ObjectLockConfiguration", {})
    if lock.get("ObjectLockEnabled") == "Enabled":
        retention: dict[str, Any] = lock.get("Rule", {}).get("DefaultRetention", {})
        time = f"{retention['Days']} days" if "Days" in retention else f"{retention.get('Years', 0)} years"
        reason = (
            f"it locks each version for {time} ({retention.get('Mode', '')}); versions that are already locked stay "
            "until then" if retention else "object lock is enabled: versions may be locked"
        )  # fmt: skip
        unlock = ("--object-lock-configuration", "ObjectLockEnabled=Enabled")
        command = aws.command("s3api", "put-object-lock-configuration", *named, *unlock)
        if not retention:
            command = aws.command("s3api", "list-object-versions", *named)
        found.append(Blocker("object lock", place, reason, command))
    if read(s3.get_bucket_versioning).get("MFADelete") == "Enabled":
        configuration = ("--versioning-configuration", "Status=Enabled,MFADelete=Disabled", "--mfa", "SERIAL CODE")
        command = aws.command("s3api", "put-bucket-versioning", *named, *configuration)
        found.append(Blocker("MFA delete", place, "versions can be deleted only with MFA, by the root user", command))
    return found


def network_blockers(place: Place, network: str, removed: Collection[str]) -> Sequence[Blocker]:
    """What would keep a network from being deleted: security groups in it, except those of stacks that are removed.

    network: the id of the VPC. removed: the names of the security groups that go before. Raises AwsError.
    """
    aws = place.aws
    filters = [{"Name": "vpc-id", "Values": [network]}]
    with aws_errors(f"list the security groups in {network}"):
        pages = aws.client("ec2").get_paginator("describe_security_groups").paginate(Filters=filters)
        groups = [each for page in pages for each in page["SecurityGroups"]]
    found: list[Blocker] = []
    for each in groups:
        name, id_ = each["GroupName"], each["GroupId"]
        if name == "default" or name in removed:
            continue
        stack = name.removeprefix(place.prefix).removesuffix("-database")
        command = aws.command("ec2", "delete-security-group", "--group-id", id_)
        reason = f"the security group {name} ({id_}) is in it"
        if name == f"{place.prefix}{stack}-database":
            reason = f"stack {stack} is in it"
            command = f"retailpipe class down --only {stack}"
        found.append(Blocker("network in use", f"network {network}", reason, command))
    return found


def _read(call: Any, **request: Any) -> dict[str, Any]:
    """The answer about a bucket; empty if the bucket or this setting does not exist."""
    try:
        with aws_errors(f"read the settings of s3://{request['Bucket']}"):
            return call(**request)
    except AwsError as error:
        if error.code in _NONE:
            return {}
        raise


def _denied(policy: str, account: str, caller: str) -> list[str]:
    """The actions of a removal that a bucket's policy denies to the caller, or may deny."""
    document: Any = json.loads(policy) if policy else {}
    statements = document.get("Statement", [])
    denied: defaultdict[str, None] = defaultdict()
    for each in cast("list[dict[str, Any]]", statements if isinstance(statements, list) else [statements]):
        if each.get("Effect") != "Deny" or _is_about_tls(each) or not _is_for(each, account, caller):
            continue
        allowed, patterns = _texts(each.get("NotAction")), _texts(each.get("Action"))
        for action in _BUCKET_ACTIONS:
            if _matches(action, patterns) or (allowed and not _matches(action, allowed)):
                denied[action] = None
    return list(denied)


def _is_about_tls(statement: Mapping[str, Any]) -> bool:
    """Whether a statement is only about requests without TLS, or with an old version of it, which nobody sends."""
    condition: Mapping[str, Any] = statement.get("Condition") or {}
    keys = {str(key).lower() for each in condition.values() for key in each}
    return bool(keys) and keys <= {"aws:securetransport", "s3:tlsversion"}


def _is_for(statement: Mapping[str, Any], account: str, caller: str) -> bool:
    """Whether a statement may be about the caller."""
    principal: Any = statement.get("Principal")
    if principal is None:  # NotPrincipal
        return True
    named = _texts(cast("dict[str, Any]", principal).get("AWS") if isinstance(principal, dict) else principal)
    # arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION is the role arn:aws:iam::ACCOUNT:role/PATH/ROLE.
    role = f"/{caller.split('/')[1]}" if ":assumed-role/" in caller else caller
    return any(each in ("*", account, caller) or each.endswith((f"::{account}:root", role)) for each in named)


def _texts(value: Any) -> list[str]:
    """The texts of an element of a policy, which is a text or a list of texts."""
    if value is None:
        return []
    return [str(each) for each in cast("list[object]", value)] if isinstance(value, list) else [str(value)]


def _matches(action: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(action.lower(), each.lower().replace("[", "[[]")) for each in patterns)
