"""The classroom stack: what the stacks of all students of a class share."""

from __future__ import annotations

from typing import Any

import pulumi

from retailpipe.classroom_settings import ClassroomSettings
from retailpipe.infra.budget import Budget
from retailpipe.infra.component import Component, Deployment
from retailpipe.infra.network import Network
from retailpipe.infra.notifications import notice_topic
from retailpipe.names import Names
from retailpipe.outputs import CLASSROOM, VERSION


class Classroom(pulumi.ComponentResource):
    """The network, the budget and the topic of a class. AWS's quotas do not allow a network for each student.

    The network contains only subnets and routes. Everything that holds data or gives access is in the students' stacks:
    database, security group, secret, bucket, roles and policies.

    name: the component's name in the program.
    outputs: the values of ClassroomOutputs by name; the program exports them. `vpc_id` and `subnet_ids` are the
    students' settings `existingVpcId` and `existingSubnetIds`.
    Raises SettingsError, before any resource is declared, if AWS does not accept the names.
    """

    def __init__(self, name: str, settings: ClassroomSettings, *, opts: pulumi.ResourceOptions | None = None) -> None:
        names = Names(pulumi.get_project(), pulumi.get_stack())
        super().__init__("retailpipe:aws:Classroom", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        deployment = Deployment.of(names, settings.for_components(), self)
        network = Network(f"{name}-network", deployment, child)
        notices = ClassNotices(f"{name}-notices", deployment, child)
        if settings.monthly_budget:
            # All stacks of the class, and no stacks of other projects, have this tag.
            Budget(
                f"{name}-budget",
                deployment,
                tag="Project",
                value=names.project,
                topic=notices.topic,
                topic_policy=notices.topic_policy,
                opts=child,
            )
        self.outputs: dict[str, pulumi.Input[Any]] = {
            "version": VERSION,
            "kind": CLASSROOM,
            "project": names.project,
            "stack": names.stack,
            "account_id": deployment.account_id,
            "region": deployment.region,
            "vpc_id": network.vpc_id,
            "subnet_ids": network.database_subnet_ids,
            "topic_arn": notices.topic.arn,
        }
        self.register_outputs(self.outputs)


class ClassNotices(Component):
    """The topic of a class, which receives the notices of its budget. topic_policy: allows budgets to publish."""

    def __init__(self, name: str, deployment: Deployment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ClassNotices", name, deployment, opts)
        self.topic, self.topic_policy = notice_topic(self)
        self.register_outputs({"topic_arn": self.topic.arn})
