"""Compare what a class needs with the quotas of its AWS account, before a deployment fails at one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retailpipe.aws import quotas
from retailpipe.aws.quotas import UNCOUNTED_SHARE, Quota, QuotaUsage, quota_usage
from retailpipe.aws.session import Aws
from retailpipe.classroom.costs import largest_storage
from retailpipe.reports import Report
from retailpipe.settings import Settings
from retailpipe.threads import in_parallel

_THREADS = 8
_LAMBDAS = 2
_LOG_GROUPS = _LAMBDAS + 1
_GLOBAL = "us-east-1"


@dataclass(frozen=True)
class QuotaCheck(Report):
    """A quota, what is used of it, and what the class will need in addition.

    limit_from: where the limit is from: "AWS", or "documentation" if AWS did not tell it.
    used: None if it is unknown or was not counted; then `note` says why.
    ok: whether the class fits.
    raise_command, raise_link: how to have the quota raised; empty if the Service Quotas API does not have it.
    """

    name: str
    needed: int
    used: int | None
    limit: int
    limit_from: str
    ok: bool
    note: str
    raise_command: str
    raise_link: str

    @property
    def is_doubtful(self) -> bool:
        """Whether the class might not fit, because what is used is unknown."""
        return self.used is None and self.needed > self.limit * UNCOUNTED_SHARE

    @property
    def refusal(self) -> str:
        """Why the class does not fit, with the command that raises the quota; empty if it fits."""
        if self.ok:
            return ""
        used = f"{self.used:,}" if self.used is not None else "an unknown number"
        lines = [
            f"the quota of {self.name} is too low: {used} of {self.limit:,} are used, and the class needs "
            f"{self.needed:,} more"
        ]
        if self.raise_command:
            lines += [f"  raise it: {self.raise_command}", f"  or at {self.raise_link}"]
        return "\n".join(lines)


def needs(new: Sequence[Settings], *, network: bool) -> Mapping[str, int]:
    """What the stacks that are not yet deployed need of each quota, by its name.

    new: the settings of these stacks. network: whether the classroom stack, with the network, is one of them.
    """
    count = len(new)
    roles = sum(
        _LAMBDAS + bool(each.nightly_stop) + bool(each.expires_on) for each in new if not each.existing_role_arn
    )
    found = {
        quotas.VPCS: int(network),
        quotas.GATEWAY_ENDPOINTS: int(network),
        quotas.SECURITY_GROUPS: count + network,
        quotas.GROUP_RULES: max((len(each.allowed_cidrs) for each in new), default=0),
        quotas.DATABASES: count,
        quotas.DATABASE_STORAGE: sum(largest_storage(each) for each in new),
        quotas.SUBNET_GROUPS: count,
        quotas.PARAMETER_GROUPS: count,
        quotas.RULES: count,
        quotas.POLICIES: sum(each.student_policy and not each.existing_role_arn for each in new),
        quotas.ROLES: roles,
        quotas.BUCKETS: count,
        quotas.SECRETS: count,
        quotas.LOG_GROUPS: count * _LOG_GROUPS,
    }
    return {quota.name: needed for quota, needed in found.items()}


def check_quotas(needed: Mapping[str, int], aws: Aws) -> tuple[QuotaCheck, ...]:
    """Compare needs with the quotas of the account; what is not needed is left out.

    needed: as `needs` returns it.
    Raises AwsError if AWS does not accept the credentials. If another call fails, such as for a missing permission, the
    quota's value in a new account is used.
    """
    asked = [quota for quota in quotas.QUOTAS if needed.get(quota.name)]
    usages = in_parallel(lambda quota: quota_usage(quota, needed[quota.name], aws), asked, _THREADS)
    return tuple(_check(usage, needed[usage.quota.name], aws.region) for usage in usages)


def _check(usage: QuotaUsage, needed: int, region: str) -> QuotaCheck:
    quota = usage.quota
    total = (usage.used or 0) + needed
    where = _GLOBAL if quota.is_global else region
    return QuotaCheck(
        name=quota.name,
        needed=needed,
        used=usage.used,
        limit=usage.limit,
        limit_from="documentation" if usage.is_default else "AWS",
        ok=total <= usage.limit,
        note=usage.reason,
        raise_command=_command(quota, total, where),
        raise_link=_link(quota, where),
    )


def _command(quota: Quota, total: int, region: str) -> str:
    if not quota.code:
        return ""
    return (
        f"aws service-quotas request-service-quota-increase --service-code {quota.service} --quota-code {quota.code} "
        f"--desired-value {total} --region {region}"
    )


def _link(quota: Quota, region: str) -> str:
    if not quota.code:
        return ""
    home = f"https://{region}.console.aws.amazon.com/servicequotas/home"
    return f"{home}/services/{quota.service}/quotas/{quota.code}"
