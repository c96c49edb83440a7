"""The base class of the components, the account and settings they are deployed with, and IAM policy documents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from retailpipe.names import Names
from retailpipe.settings import Settings


@dataclass(frozen=True)
class Deployment:
    """The names, settings, account, region and partition of one pipeline."""

    names: Names
    settings: Settings
    account_id: str
    region: str
    partition: str

    @classmethod
    def of(cls, names: Names, settings: Settings, parent: pulumi.Resource) -> Deployment:
        """The deployment with the account, region and partition of a component's AWS provider."""
        invoke = pulumi.InvokeOptions(parent=parent)
        return cls(
            names,
            settings,
            account_id=aws.get_caller_identity(opts=invoke).account_id,
            region=aws.get_region(opts=invoke).region,
            partition=aws.get_partition(opts=invoke).partition,
        )

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"

    def tags(self, part: str) -> dict[str, str]:
        """The tags of a resource. Tags without a value are left out, because AWS would show them as empty."""
        tags = {
            "Name": self.names.of(part),
            "Project": self.names.project,
            "Stack": self.names.stack,
            "Pipeline": self.names.prefix,
            "Ephemeral": str(self.settings.ephemeral).lower(),
            "Owner": self.settings.owner,
            "ExpiresOn": self.settings.expires_on,
        }
        return {name: value for name, value in tags.items() if value}


class Component(pulumi.ComponentResource):
    """Base class of the components: one group of related resources."""

    def __init__(
        self, kind: str, name: str, deployment: Deployment, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(f"retailpipe:aws:{kind}", name, None, opts)
        self.deployment = deployment
        self.name = name

    def role(
        self, part: str, service: str, *rights: Mapping[str, Any], condition: Mapping[str, Any] | None = None
    ) -> tuple[pulumi.Input[str], list[pulumi.Resource]]:
        """Create a role that an AWS service may assume. Return its ARN and the resources that grant its permissions.

        Until those resources exist, the role allows nothing. A resource that needs it at once must depend on them.
        If `existingRoleArn` is set, return it and an empty list, and create nothing.
        """
        deployment = self.deployment
        if deployment.settings.existing_role_arn:
            return deployment.settings.existing_role_arn, []
        trusted = statement(["sts:AssumeRole"], [], principal={"Service": service}, condition=condition)
        role = aws.iam.Role(
            f"{self.name}-{part}",
            # Role names are unique in the account, not only in a region.
            name=f"{deployment.names.of(part)}-{deployment.region}",
            assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": [trusted]}),
            tags=deployment.tags(part),
            opts=self.child(),
        )
        role_policy = aws.iam.RolePolicy(
            f"{self.name}-{part}", role=role.name, policy=policy(*rights), opts=self.child()
        )
        return role.arn, [role_policy]

    def child(self, **options: Any) -> pulumi.ResourceOptions:
        """Options for a resource of this component."""
        return pulumi.ResourceOptions(parent=self, **options)


def statement(
    actions: Sequence[str],
    resources: Sequence[pulumi.Input[str]],
    *,
    sid: str = "",
    effect: str = "Allow",
    principal: Mapping[str, Any] | str | None = None,
    condition: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One statement of a policy. Elements without a value are left out."""
    parts = {
        "Sid": sid,
        "Effect": effect,
        "Principal": principal,
        "Action": list(actions),
        "Resource": list(resources),
        "Condition": condition,
    }
    return {name: value for name, value in parts.items() if value}


def tls_only(actions: str, resources: Sequence[pulumi.Input[str]]) -> dict[str, Any]:
    """The statement of a resource policy that denies requests without TLS."""
    return statement(
        [actions],
        resources,
        sid="TlsOnly",
        effect="Deny",
        principal="*",
        condition={"Bool": {"aws:SecureTransport": "false"}},
    )


def policy(*statements: Mapping[str, Any]) -> pulumi.Output[str]:
    """A policy document as JSON; statements may contain outputs."""
    return pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": list(statements)})
