"""The quotas of an AWS account that stacks can exceed: their values, and how much of each is used.

The codes are those of the Service Quotas API; the default values are from the services' documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from retailpipe.aws.session import Aws, aws_errors, is_credentials_error
from retailpipe.errors import AwsError

UNCOUNTED_SHARE = 0.01
"""Usage is not counted if less than this share of the quota is needed: counting 1,000,000 log groups takes minutes."""


@dataclass(frozen=True)
class Quota:
    """A quota of an account in a region.

    service, code: of the Service Quotas API; empty if it does not have this quota.
    default: its value in a new account.
    count: counts what is used.
    is_global: whether it is for all regions, so that the API has it in us-east-1 only.
    """

    name: str
    service: str
    code: str
    default: int
    count: Callable[[Aws], int]
    is_global: bool = False


@dataclass(frozen=True)
class QuotaUsage:
    """A quota and how much of it is used.

    limit: its value; is_default: whether AWS did not tell it, so that it is the value of a new account.
    used: None if it was not counted; then `reason` says why.
    """

    quota: Quota
    limit: int
    is_default: bool
    used: int | None
    reason: str = ""


def quota_usage(quota: Quota, needed: int, aws: Aws) -> QuotaUsage:
    """Ask AWS for the value of a quota and for what is used of it.

    needed: how much more will be needed; it decides whether it is worth counting what is used.
    Raises AwsError if AWS does not accept the credentials. Another error, such as a missing permission, is not raised:
    then the value is that of a new account, or the usage is unknown.
    """
    limit = _asked_limit(quota, aws)
    value = quota.default if limit is None else limit
    if needed <= value * UNCOUNTED_SHARE:
        return QuotaUsage(quota, value, limit is None, None, "not counted, because the class needs less than 1 %")
    try:
        with aws_errors(f"count the {quota.name} in {aws.region}"):
            return QuotaUsage(quota, value, limit is None, quota.count(aws))
    except AwsError as error:
        if is_credentials_error(error):
            raise
        return QuotaUsage(quota, value, limit is None, None, str(error))


def _asked_limit(quota: Quota, aws: Aws) -> int | None:
    """Return the account's value of a quota; None if AWS does not tell it."""
    if not quota.code:
        return None
    where = aws.in_region("us-east-1") if quota.is_global else aws
    try:
        with aws_errors(f"read the quota {quota.code} of {quota.service}"):
            answer = where.client("service-quotas").get_service_quota(ServiceCode=quota.service, QuotaCode=quota.code)
            return int(answer["Quota"]["Value"])
    except AwsError as error:
        if is_credentials_error(error):
            raise
        return None


def _counted(service: str, operation: str, key: str, aws: Aws) -> int:
    return sum(len(page.get(key, [])) for page in aws.client(service).get_paginator(operation).paginate())


def _gateway_endpoints(aws: Aws) -> int:
    only = [{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}]
    pages = aws.client("ec2").get_paginator("describe_vpc_endpoints").paginate(Filters=only)
    return sum(
        endpoint["VpcEndpointType"] == "Gateway" and endpoint.get("State", "").lower() not in ("deleted", "deleting")
        for page in pages
        for endpoint in page.get("VpcEndpoints", [])
    )


def _database_storage(aws: Aws) -> int:
    pages = aws.client("rds").get_paginator("describe_db_instances").paginate()
    return sum(instance["AllocatedStorage"] for page in pages for instance in page["DBInstances"])


def _iam(key: str, aws: Aws) -> int:
    return int(aws.client("iam").get_account_summary()["SummaryMap"][key])


def _nothing(aws: Aws) -> int:
    return 0


VPCS = Quota("VPCs", "vpc", "L-F678F1CE", 5, partial(_counted, "ec2", "describe_vpcs", "Vpcs"))
GATEWAY_ENDPOINTS = Quota("gateway endpoints", "vpc", "L-1B52E74A", 20, _gateway_endpoints)
SECURITY_GROUPS = Quota(
    "security groups", "vpc", "L-E79EC296", 2500,
    partial(_counted, "ec2", "describe_security_groups", "SecurityGroups"),
)  # fmt: skip
GROUP_RULES = Quota("rules of a security group", "vpc", "L-0EA8095F", 60, _nothing)
"""Each stack has a security group of its own, in which no rule is used before."""
DATABASES = Quota(
    "DB instances", "rds", "L-7B6409FD", 40, partial(_counted, "rds", "describe_db_instances", "DBInstances")
)
DATABASE_STORAGE = Quota("GB of database storage", "rds", "L-7ADDB58A", 100_000, _database_storage)
SUBNET_GROUPS = Quota(
    "DB subnet groups", "rds", "L-48C6BF61", 50,
    partial(_counted, "rds", "describe_db_subnet_groups", "DBSubnetGroups"),
)  # fmt: skip
PARAMETER_GROUPS = Quota(
    "DB parameter groups", "rds", "L-DE55804A", 50,
    partial(_counted, "rds", "describe_db_parameter_groups", "DBParameterGroups"),
)  # fmt: skip
RULES = Quota("EventBridge rules", "events", "L-244521F2", 300, partial(_counted, "events", "list_rules", "Rules"))
POLICIES = Quota("IAM policies", "iam", "L-E95E4862", 1500, partial(_iam, "Policies"), is_global=True)
ROLES = Quota("IAM roles", "iam", "L-FE177D64", 1000, partial(_iam, "Roles"), is_global=True)
BUCKETS = Quota("S3 buckets", "s3", "L-DC2B2D3D", 10_000, partial(_counted, "s3", "list_buckets", "Buckets"))
SECRETS = Quota(
    "secrets",
    "secretsmanager",
    "L-2F66C23C",
    500_000,
    partial(_counted, "secretsmanager", "list_secrets", "SecretList"),
)
LOG_GROUPS = Quota(
    "CloudWatch log groups", "logs", "", 1_000_000, partial(_counted, "logs", "describe_log_groups", "logGroups")
)
QUOTAS: Sequence[Quota] = (
    VPCS, GATEWAY_ENDPOINTS, SECURITY_GROUPS, GROUP_RULES, DATABASES, DATABASE_STORAGE, SUBNET_GROUPS, PARAMETER_GROUPS,
    RULES, POLICIES, ROLES, BUCKETS, SECRETS, LOG_GROUPS,
)  # fmt: skip
