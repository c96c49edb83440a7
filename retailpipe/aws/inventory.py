"""What exists on AWS of some stacks of a project: by name, and by the tags `Project` and `Stack`.

The lists by name are exact. AWS's list of tags also has what was added by hand, but it may still show a resource some
minutes after its deletion; those that a list by name knows to be gone are left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

from retailpipe.aws.kinds import KINDS, Existing, Kind, Place
from retailpipe.aws.session import aws_errors, is_credentials_error
from retailpipe.errors import AwsError, SettingsError
from retailpipe.names import Names
from retailpipe.reports import Report
from retailpipe.threads import in_parallel

T = TypeVar("T")

_THREADS = 16
_TAGGED_KINDS = {
    "rds:db": "database",
    "rds:snapshot": "snapshot",
    "rds:subgrp": "subnet group",
    "rds:pg": "parameter group",
    "s3": "bucket",
    "lambda:function": "function",
    "events:rule": "rule",
    "sqs": "queue",
    "sns": "topic",
    "cloudwatch:alarm": "alarm",
    "logs:log-group": "log group",
    "ssm:parameter": "parameter",
    "iam:role": "role",
    "iam:policy": "policy",
    "ec2:security-group": "security group",
    "ec2:vpc": "network",
    "secretsmanager:secret": "secret",
    "budgets:budget": "budget",
}
"""The kinds of the tags' list, by service and resource type of the ARN."""
_EC2_REMOVALS = {
    "vpc-endpoint": ("delete-vpc-endpoints", "--vpc-endpoint-ids"),
    "natgateway": ("delete-nat-gateway", "--nat-gateway-id"),
    "elastic-ip": ("release-address", "--allocation-id"),
    "security-group-rule": ("revoke-security-group-ingress", "--security-group-rule-ids"),
    "security-group": ("delete-security-group", "--group-id"),
    "subnet": ("delete-subnet", "--subnet-id"),
    "route-table": ("delete-route-table", "--route-table-id"),
    "internet-gateway": ("delete-internet-gateway", "--internet-gateway-id"),
    "vpc": ("delete-vpc", "--vpc-id"),
}
"""Commands for the parts of a network, in the order in which they can be removed."""
_ORDER = {kind: number for number, kind in enumerate(_EC2_REMOVALS)}


@dataclass(frozen=True)
class Resource(Report):
    """A resource that exists.

    kind: such as "log group". name: by which AWS knows it. stack: to which it belongs.
    found_by: "tag" if its name is not one that the program gives.
    removal: the shell command that removes it; empty if it was not asked for.
    """

    stack: str
    kind: str
    name: str
    found_by: Literal["name", "tag"]
    removal: str = ""


@dataclass(frozen=True)
class Inventory:
    """The resources of each stack, in the order in which they can be removed.

    expires_on: the values of the tag `ExpiresOn` of a stack's resources.
    unread: the lists that could not be read, each with the reason.
    """

    resources: Mapping[str, Sequence[Resource]]
    expires_on: Mapping[str, Collection[str]]
    unread: Sequence[str]


@dataclass(frozen=True)
class _Tagged:
    """A resource in AWS's list of tags."""

    arn: str
    tags: Mapping[str, str]

    @property
    def type(self) -> str:
        """Service and resource type, such as rds:db; only the service if its ARNs have no type."""
        service, rest = self._parts
        kind = rest.replace("/", ":").partition(":")[0]
        return service if kind == rest else f"{service}:{kind}"

    @property
    def id(self) -> str:
        """The last part of the ARN, after the type."""
        service, rest = self._parts
        kind = self.type.removeprefix(f"{service}:")
        return rest if kind == self.type else rest.removeprefix(kind)[1:]

    def label(self, kind: str) -> str:
        """The resource as the lists of a kind name it."""
        if kind in ("topic", "secret", "policy"):
            return self.arn
        if kind == "parameter":
            return f"/{self.id}"
        return self.id.rpartition("/")[2] if kind == "role" else self.id.removesuffix(":*")

    @property
    def _parts(self) -> tuple[str, str]:
        _, _, service, _, _, rest = self.arn.split(":", 5)
        return service, rest


def inventory(
    stacks: Collection[str], place: Place, *, discover: bool = False, removals: Collection[str] | None = None
) -> Inventory:
    """List what exists of the stacks of a project.

    discover: also list the project's other stacks, which have a tag or a parameter.
    removals: the kinds for which to find the command that removes a resource; None: all.
    Raises AwsError if AWS does not accept the credentials. A list that is refused for another reason is in `unread`.
    """
    unread: list[str] = []

    def listed(kind: Kind) -> Sequence[Existing] | None:
        return _unless_unread(f"list each {kind.about} in {place.region}", lambda: [*kind.existing(place)], unread)

    regions = sorted({place.region, "us-east-1"})  # policies have their tags in us-east-1
    calls: list[Any] = [partial(listed, kind) for kind in KINDS]
    calls += [partial(_tagged, place, region, unread) for region in regions]
    calls.append(partial(_network_parts, place, unread))
    answers: list[Any] = in_parallel(lambda call: call(), calls, _THREADS)
    existing: dict[str, Sequence[Existing] | None] = {
        kind.about: found for kind, found in zip(KINDS, answers, strict=False)
    }
    parts = answers[-1]
    tagged = [
        each
        for found in answers[len(KINDS) : -1]
        for each in found or ()
        if parts is None or not each.type.startswith("ec2:") or each.id in parts
    ]
    found = {*stacks, *(_stacks(tagged, existing, place) if discover else ())}
    resources = {stack: _resources(stack, existing, place, removals, unread) for stack in sorted(found)}
    dates: defaultdict[str, set[str]] = defaultdict(set)
    for each in tagged:
        stack = each.tags.get("Stack", "")
        if stack in resources:
            if date := each.tags.get("ExpiresOn"):
                dates[stack].add(date)
            resource = _beyond_names(each, stack, existing, resources[stack], place)
            if resource:
                resources[stack].append(resource)
    for found in resources.values():
        found.sort(key=lambda each: each.kind == "network")  # its parts, which only have tags, must be removed before
    return Inventory(resources, dates, tuple(unread))


def _resources(
    stack: str,
    existing: Mapping[str, Sequence[Existing] | None],
    place: Place,
    removals: Collection[str] | None,
    unread: list[str],
) -> list[Resource]:
    names = Names(place.project, stack)

    def resource(found: tuple[Kind, Existing]) -> Resource:
        kind, each = found
        removal = ""
        if removals is None or kind.about in removals:
            removal = _unless_unread(f"read {each.id}", lambda: kind.removal(each, names, place), unread) or ""
        return Resource(stack, kind.about, each.id, "name", removal)

    own = [
        (kind, each)
        for kind in KINDS
        for wanted in [{*kind.names(names, place)}]
        for each in existing[kind.about] or ()
        if each.name in wanted
    ]
    return in_parallel(resource, own, _THREADS)


def _beyond_names(
    tagged: _Tagged,
    stack: str,
    existing: Mapping[str, Sequence[Existing] | None],
    known: Sequence[Resource],
    place: Place,
) -> Resource | None:
    """The resource of a tag that no list by name has; None if one has it, or knows that it is gone."""
    kind = _TAGGED_KINDS.get(tagged.type, "")
    label = tagged.label(kind)
    listed = existing.get(kind) if kind else None
    found = next((each for each in listed or () if label in (each.id, each.name)), None)
    if found and any((each.kind, each.name) == (kind, found.id) for each in known):
        return None
    # The lists contain all names that begin with the project's.
    if listed is not None and not found and re.search(rf"(^|[/:]){re.escape(place.project)}[-/]", label):
        return None
    return Resource(stack, kind or tagged.type, tagged.arn, "tag", _removal(tagged, place))


def _removal(tagged: _Tagged, place: Place) -> str:
    service, _, kind = tagged.type.partition(":")
    if service == "ec2" and kind in _EC2_REMOVALS:
        removal = place.command("ec2", *_EC2_REMOVALS[kind], tagged.id)
        if kind != "internet-gateway":
            return removal
        named = ("--internet-gateway-id", tagged.id)
        attached = ("InternetGateways[0].Attachments[0].VpcId", "--output", "text")
        network = place.command("ec2", "describe-internet-gateways", f"{named[0]}s", named[1], "--query", *attached)
        detach = place.command("ec2", "detach-internet-gateway", *named)
        return f'{detach} --vpc-id "$({network})" && {removal}'
    if tagged.type == "rds:snapshot":
        return place.command("rds", "delete-db-snapshot", "--db-snapshot-identifier", tagged.id)
    if tagged.type == "s3":
        return place.command("s3", "rb", f"s3://{tagged.id}")
    # Other kinds were added by hand; AWS's console opens them by their ARN.
    return place.command("resourcegroupstaggingapi", "get-resources", "--resource-arn-list", tagged.arn)


def _stacks(
    tagged: Iterable[_Tagged], existing: Mapping[str, Sequence[Existing] | None], place: Place
) -> Collection[str]:
    """The stacks that a tag or a parameter names; names that no stack can have are left out."""
    found = {each.tags.get("Stack", "") for each in tagged}
    for each in existing["parameter"] or ():
        words = each.name.split("/")
        if words[1] == place.project and words[-1] == "outputs":
            found.add(words[2])
    return {stack for stack in found if _is_name(place.project, stack)}


def _is_name(project: str, stack: str) -> bool:
    try:
        Names(project, stack)
    except SettingsError:
        return False
    return True


def _tagged(place: Place, region: str, unread: list[str]) -> Sequence[_Tagged]:
    """The resources with the project's tag in a region; the parts of a network are in the order of their removal."""
    filters = [{"Key": "Project", "Values": [place.project]}]

    def read() -> Sequence[_Tagged]:
        client = place.aws.in_region(region).client("resourcegroupstaggingapi")
        pages = client.get_paginator("get_resources").paginate(TagFilters=filters)
        found = [
            _Tagged(each["ResourceARN"], {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])})
            for page in pages
            for each in page["ResourceTagMappingList"]
        ]
        return sorted(
            (each for each in found if region == place.region or not each.arn.split(":")[3]),
            key=lambda each: _ORDER.get(each.type.removeprefix("ec2:"), -1),
        )

    return _unless_unread(f"list the tags of project {place.project} in {region}", read, unread) or ()


def _network_parts(place: Place, unread: list[str]) -> Collection[str] | None:
    """The ids of the project's resources in EC2, from EC2's own list of tags, which has nothing that is gone.

    Without default security groups, which are deleted with their network. None if the list could not be read.
    """

    def read() -> Collection[str]:
        ec2 = place.aws.client("ec2")
        tags = [{"Name": "key", "Values": ["Project"]}, {"Name": "value", "Values": [place.project]}]
        ids = {
            tag["ResourceId"]
            for page in ec2.get_paginator("describe_tags").paginate(Filters=tags)
            for tag in page["Tags"]
        }
        defaults = [{"Name": "group-name", "Values": ["default"]}, {"Name": "tag:Project", "Values": [place.project]}]
        pages = ec2.get_paginator("describe_security_groups").paginate(Filters=defaults)
        return ids - {group["GroupId"] for page in pages for group in page["SecurityGroups"]}

    return _unless_unread(f"list the tags of EC2 in {place.region}", read, unread)


def _unless_unread(doing: str, read: Callable[[], T], unread: list[str]) -> T | None:
    """The result of a call; None if AWS refused it, and then the reason is added to `unread`."""
    try:
        with aws_errors(doing):
            return read()
    except AwsError as error:
        if is_credentials_error(error):
            raise
        unread.append(str(error))
        return None
