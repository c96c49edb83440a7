"""The kinds of AWS resources that a stack has: their names, how to list them, and how to remove one by hand.

Each list is one paginated call for the whole account and region, so that thirty stacks need no more calls than one. The
names are those that the components in `infra/` give; a test compares them with what the program declares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from retailpipe.aws.session import Aws
from retailpipe.names import CHECK_BUCKET, NOTIFY_UPLOAD, Names

_ALARMS = (f"{NOTIFY_UPLOAD}-errors", f"{CHECK_BUCKET}-errors", "cpu", "storage", "connections", "dead-letters")
_ROLES = (NOTIFY_UPLOAD, CHECK_BUCKET, "expiry", "nightly-stop")
_SCHEDULES = ("expiry-delete", "expiry-notice", "nightly-stop")


@dataclass(frozen=True)
class Place:
    """A project in an account and region. prefix: the start of all its names, such as "retailpipe-"."""

    aws: Aws
    project: str
    account: str

    @property
    def region(self) -> str:
        return self.aws.region

    @property
    def prefix(self) -> str:
        return f"{self.project}-"

    def command(self, *words: str) -> str:
        """A command of the AWS CLI."""
        return self.aws.command(*words)


@dataclass(frozen=True)
class Existing:
    """A resource that exists. name: as in `Kind.names`. id: by which commands name it; it may be the name."""

    name: str
    id: str


@dataclass(frozen=True)
class Kind:
    """A kind of resources.

    about: the kind as people know it. names: the names that a stack's resources of this kind can have.
    existing: lists those of a project, and maybe others.
    removal: the command that removes one. It is called only if the resource is left over, and may ask AWS.
    """

    about: str
    names: Callable[[Names, Place], Iterable[str]]
    existing: Callable[[Place], Iterable[Existing]]
    removal: Callable[[Existing, Names, Place], str]


def _pages(place: Place, service: str, operation: str, key: str, **request: Any) -> Iterator[Any]:
    for page in place.aws.client(service).get_paginator(operation).paginate(**request):
        yield from page.get(key, [])


def _list(service: str, operation: str, key: str, name: str = "", id_key: str = "", **request: str) -> Any:
    """A function that lists resources.

    key: of the list in the answer. name, id_key: the keys of a resource's name and id; without a name,
        the list contains names or ARNs.
    request: arguments; "{prefix}" and "{project}" in them are replaced.
    """

    def listed(place: Place) -> Iterator[Existing]:
        arguments = {
            argument: value.format(prefix=place.prefix, project=place.project) for argument, value in request.items()
        }
        for each in _pages(place, service, operation, key, **arguments):
            label = str(each[name]) if name else str(each)
            yield Existing(label, str(each[id_key]) if id_key else label)

    return listed


def _parts(*parts: str) -> Callable[[Names, Place], Iterable[str]]:
    return lambda names, _: [names.of(part) for part in parts]


def _in_region(*parts: str) -> Callable[[Names, Place], Iterable[str]]:
    """Names that contain the region, because they are unique in the account."""
    return lambda names, place: [f"{names.of(part)}-{place.region}" for part in parts]


def _remove(*words: str) -> Callable[[Existing, Names, Place], str]:
    """A removal by one command of the AWS CLI, which ends with the resource's id."""
    return lambda found, _, place: place.command(*words, found.id)


def _log_groups(place: Place) -> Iterator[Existing]:
    for start in (f"/aws/lambda/{place.prefix}", f"/aws/rds/instance/{place.prefix}"):
        for each in _pages(place, "logs", "describe_log_groups", "logGroups", logGroupNamePrefix=start):
            yield Existing(each["logGroupName"], each["logGroupName"])


def _names_of_log_groups(names: Names, _: Place) -> Sequence[str]:
    """The declared log groups, and those that RDS may create for the same instance."""
    logs = ("postgresql", "upgrade", "iam-db-auth-error")
    functions = (names.lambda_log_group(function) for function in (NOTIFY_UPLOAD, CHECK_BUCKET))
    return [*functions, *map(names.database_log_group, logs)]


def _queues(place: Place) -> Iterator[Existing]:
    for url in _pages(place, "sqs", "list_queues", "QueueUrls", QueueNamePrefix=place.prefix):
        yield Existing(url.rpartition("/")[2], url)


def _topics(place: Place) -> Iterator[Existing]:
    for each in _pages(place, "sns", "list_topics", "Topics"):
        yield Existing(each["TopicArn"].rpartition(":")[2], each["TopicArn"])


def _parameters(place: Place) -> Iterator[Existing]:
    filters = [{"Key": "Name", "Option": "BeginsWith", "Values": [f"/{place.project}/"]}]
    for each in _pages(place, "ssm", "describe_parameters", "Parameters", ParameterFilters=filters):
        yield Existing(each["Name"], each["Name"])


def _security_groups(place: Place) -> Iterator[Existing]:
    filters = [{"Name": "group-name", "Values": [f"{place.prefix}*"]}]
    for each in _pages(place, "ec2", "describe_security_groups", "SecurityGroups", Filters=filters):
        yield Existing(each["GroupName"], each["GroupId"])


def _secrets(*, in_recovery: bool) -> Callable[[Place], Iterator[Existing]]:
    """A function that lists the master passwords that RDS manages, by the name of their database.

    in_recovery: only those that are deleted and can be restored, or only the others.
    """
    filters = [{"Key": "tag-key", "Values": ["aws:rds:primaryDBInstanceArn"]}]

    def listed(place: Place) -> Iterator[Existing]:
        request: dict[str, Any] = {"Filters": filters, "IncludePlannedDeletion": in_recovery}
        for each in _pages(place, "secretsmanager", "list_secrets", "SecretList", **request):
            if in_recovery == ("DeletedDate" in each):
                tags = {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}
                yield Existing(tags.get("aws:rds:primaryDBInstanceArn", "").rpartition(":")[2], each["ARN"])

    return listed


def _budgets(place: Place) -> Iterator[Existing]:
    for each in _pages(place, "budgets", "describe_budgets", "Budgets", AccountId=place.account):
        yield Existing(each["BudgetName"], each["BudgetName"])


def _snapshots(place: Place) -> Iterator[Existing]:
    """The manual snapshots, by the name of their database."""
    for each in _pages(place, "rds", "describe_db_snapshots", "DBSnapshots", SnapshotType="manual"):
        yield Existing(each["DBInstanceIdentifier"], each["DBSnapshotIdentifier"])


def _kept_backups(place: Place) -> Iterator[Existing]:
    """The automated backups of deleted databases, by the name of the database."""
    found = _pages(place, "rds", "describe_db_instance_automated_backups", "DBInstanceAutomatedBackups")
    for each in found:
        if each.get("Status") == "retained":
            yield Existing(each["DBInstanceIdentifier"], each["DbiResourceId"])


def _vpcs(place: Place) -> Iterator[Existing]:
    filters = [{"Name": "tag:Project", "Values": [place.project]}]
    for each in _pages(place, "ec2", "describe_vpcs", "Vpcs", Filters=filters):
        tags = {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}
        yield Existing(tags.get("Name", ""), each["VpcId"])


def _remove_bucket(_: Existing, names: Names, place: Place) -> str:
    return place.aws.command("cleanup", "--stack", f"{names.project}/{names.stack}", program="retailpipe")


def _remove_role(found: Existing, _: Names, place: Place) -> str:
    """A role can be deleted only without policies."""
    role = {"RoleName": found.id}
    named = ("--role-name", found.id)
    steps = [
        place.command("iam", "delete-role-policy", *named, "--policy-name", policy)
        for policy in _pages(place, "iam", "list_role_policies", "PolicyNames", **role)
    ]
    steps += [
        place.command("iam", "detach-role-policy", *named, "--policy-arn", policy["PolicyArn"])
        for policy in _pages(place, "iam", "list_attached_role_policies", "AttachedPolicies", **role)
    ]
    return " && ".join([*steps, place.command("iam", "delete-role", *named)])


def _remove_rule(found: Existing, _: Names, place: Place) -> str:
    """A rule can be deleted only without targets."""
    targets = place.command("events", "remove-targets", "--rule", found.id, "--ids", CHECK_BUCKET)
    return f"{targets} && {place.command('events', 'delete-rule', '--name', found.id)}"


def _remove_budget(found: Existing, _: Names, place: Place) -> str:
    return place.command("budgets", "delete-budget", "--account-id", place.account, "--budget-name", found.id)


_DELETE_SECRET = ("secretsmanager", "delete-secret", "--force-delete-without-recovery", "--secret-id")


def _remove_secret_in_recovery(found: Existing, _: Names, place: Place) -> str:
    """Such a secret must be restored before it can be deleted at once."""
    restore = place.command("secretsmanager", "restore-secret", "--secret-id", found.id)
    return f"{restore} && {place.command(*_DELETE_SECRET, found.id)}"


def _remove_database(found: Existing, _: Names, place: Place) -> str:
    return place.command(
        *("rds", "delete-db-instance", "--skip-final-snapshot", "--delete-automated-backups"),
        *("--db-instance-identifier", found.id),
    )


KINDS: Sequence[Kind] = (
    Kind(
        "database", _parts("database"),
        _list("rds", "describe_db_instances", "DBInstances", "DBInstanceIdentifier"), _remove_database,
    ),
    Kind(
        "snapshot", _parts("database"), _snapshots, _remove("rds", "delete-db-snapshot", "--db-snapshot-identifier"),
    ),
    Kind(
        "automated backup", _parts("database"), _kept_backups,
        _remove("rds", "delete-db-instance-automated-backup", "--dbi-resource-id"),
    ),
    Kind("secret", _parts("database"), _secrets(in_recovery=False), _remove(*_DELETE_SECRET)),
    Kind("secret in recovery", _parts("database"), _secrets(in_recovery=True), _remove_secret_in_recovery),
    Kind(
        "subnet group", _parts("database"),
        _list("rds", "describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName"),
        _remove("rds", "delete-db-subnet-group", "--db-subnet-group-name"),
    ),
    Kind(
        "parameter group", _parts("postgres17"),
        _list("rds", "describe_db_parameter_groups", "DBParameterGroups", "DBParameterGroupName"),
        _remove("rds", "delete-db-parameter-group", "--db-parameter-group-name"),
    ),
    Kind(
        "bucket", lambda names, place: [names.bucket(place.account, place.region)],
        _list("s3", "list_buckets", "Buckets", "Name", Prefix="{prefix}"), _remove_bucket,
    ),
    Kind(
        "function", _parts(NOTIFY_UPLOAD, CHECK_BUCKET),
        _list("lambda", "list_functions", "Functions", "FunctionName"),
        _remove("lambda", "delete-function", "--function-name"),
    ),
    Kind(
        "rule", _parts("schedule"), _list("events", "list_rules", "Rules", "Name", NamePrefix="{prefix}"), _remove_rule,
    ),
    Kind(
        "schedule", _parts(*_SCHEDULES),
        _list("scheduler", "list_schedules", "Schedules", "Name", GroupName="default", NamePrefix="{prefix}"),
        _remove("scheduler", "delete-schedule", "--name"),
    ),
    Kind("queue", _parts("uploads", "dead-letters"), _queues, _remove("sqs", "delete-queue", "--queue-url")),
    Kind("topic", _parts("notices"), _topics, _remove("sns", "delete-topic", "--topic-arn")),
    Kind(
        "alarm", _parts(*_ALARMS),
        _list("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName", AlarmNamePrefix="{prefix}"),
        _remove("cloudwatch", "delete-alarms", "--alarm-names"),
    ),
    Kind(
        "dashboard", lambda names, _: [names.prefix],
        _list("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName", DashboardNamePrefix="{prefix}"),
        _remove("cloudwatch", "delete-dashboards", "--dashboard-names"),
    ),
    Kind("budget", _in_region("month"), _budgets, _remove_budget),
    Kind("log group", _names_of_log_groups, _log_groups, _remove("logs", "delete-log-group", "--log-group-name")),
    Kind("parameter", lambda names, _: [names.parameter], _parameters, _remove("ssm", "delete-parameter", "--name")),
    Kind("role", _in_region(*_ROLES), _list("iam", "list_roles", "Roles", "RoleName"), _remove_role),
    Kind(
        "policy", _in_region("student"),
        _list("iam", "list_policies", "Policies", "PolicyName", "Arn", Scope="Local"),
        _remove("iam", "delete-policy", "--policy-arn"),
    ),
    Kind(
        "security group", _parts("database"), _security_groups, _remove("ec2", "delete-security-group", "--group-id"),
    ),
    Kind("network", _parts("vpc"), _vpcs, _remove("ec2", "delete-vpc", "--vpc-id")),
)  # fmt: skip
"""In the order in which they can be removed."""
