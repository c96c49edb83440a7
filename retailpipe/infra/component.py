"""What the components share: their names, their settings, their tags, and policies as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from retailpipe.infra.settings import Settings
from retailpipe.names import Names


@dataclass(frozen=True)
class Deployment:
    """Where a pipeline is made, and by which settings."""

    names: Names
    settings: Settings
    account_id: str
    region: str
    partition: str

    def arn(self, service: str, resource: str) -> str:
        """The ARN of something in this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"

    def tags(self, part: str) -> dict[str, str]:
        """The tags of a resource. Those without a value are left out: AWS would show them empty."""
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
    """A component: one idea of the house."""

    def __init__(
        self, kind: str, name: str, deployment: Deployment, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(f"retailpipe:aws:{kind}", name, None, opts)
        self.deployment = deployment
        self.name = name

    def role(
        self, part: str, service: str, *rights: Mapping[str, Any], condition: Mapping[str, Any] | None = None
    ) -> tuple[pulumi.Input[str], list[pulumi.Resource]]:
        """The ARN of a role that a service of AWS may take, and what gives it its rights.

        It is `existingRoleArn` where that is set, and nothing is made.
        """
        deployment = self.deployment
        if deployment.settings.existing_role_arn:
            return deployment.settings.existing_role_arn, []
        trusted = statement(["sts:AssumeRole"], [], principal={"Service": service}, condition=condition)
        role = aws.iam.Role(
            f"{self.name}-{part}",
            # Roles are the whole account's, whatever the region.
            name=f"{deployment.names.of(part)}-{deployment.region}",
            assume_role_policy=json.dumps({"Version": "2012-10-17", "Statement": [trusted]}),
            tags=deployment.tags(part),
            opts=self.child(),
        )
        given = aws.iam.RolePolicy(f"{self.name}-{part}", role=role.name, policy=policy(*rights), opts=self.child())
        return role.arn, [given]

    def child(self, **options: Any) -> pulumi.ResourceOptions:
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
    """One statement of a policy; resources may be outputs."""
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
    """The statement of a resource's policy that refuses what does not come over TLS."""
    return statement(
        [actions],
        resources,
        sid="TlsOnly",
        effect="Deny",
        principal="*",
        condition={"Bool": {"aws:SecureTransport": "false"}},
    )


def policy(*statements: Mapping[str, Any]) -> pulumi.Output[str]:
    return pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": list(statements)})
