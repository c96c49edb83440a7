"""The whole pipeline as one Pulumi component, which a program can create once or several times."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws

from retailpipe.infra.access import StudentPolicy
from retailpipe.infra.budget import Budget
from retailpipe.infra.component import Deployment
from retailpipe.infra.database import DATABASE, PORT, Database
from retailpipe.infra.expiry import Expiry
from retailpipe.infra.functions import Functions
from retailpipe.infra.monitoring import Alarms, Dashboard
from retailpipe.infra.network import Network
from retailpipe.infra.nightly import NightlyStop
from retailpipe.infra.notifications import Notifications
from retailpipe.infra.storage import Storage
from retailpipe.infra.workers import Workers
from retailpipe.names import Names
from retailpipe.outputs import VERSION, StackOutputs
from retailpipe.settings import Settings


class RetailPipeline(pulumi.ComponentResource):
    """A pipeline on AWS: network, bucket, database, Lambdas, notices, monitoring.

    name: the component's name in the program.
    settings: the settings, as `Settings.read` or `Settings.of_stack` returns them.
    part: distinguishes several pipelines of one stack; it is a part of each physical name.

    outputs: the values of StackOutputs by name; the program exports them. The SSM parameter holds the same values.
    Raises SettingsError, before any resource is declared, if AWS does not accept the names.
    """

    def __init__(
        self, name: str, settings: Settings, *, part: str = "", opts: pulumi.ResourceOptions | None = None
    ) -> None:
        names = Names(pulumi.get_project(), pulumi.get_stack(), part)
        super().__init__("retailpipe:aws:RetailPipeline", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        deployment = Deployment.of(names, settings, self)
        if settings.disabled_parts:
            pulumi.log.info(f"Not created in this stack: {'; '.join(settings.disabled_parts)}.", self)
        for warning in settings.warnings:
            pulumi.log.warn(warning, self)
        storage = Storage(f"{name}-storage", deployment, child)
        if settings.existing_vpc_id:
            vpc_id, subnet_ids, ready = settings.existing_vpc_id, [*settings.existing_subnet_ids], []
        else:
            network = Network(f"{name}-network", deployment, child)
            vpc_id, subnet_ids, ready = network.vpc_id, network.database_subnet_ids, network.ready
        notifications = Notifications(f"{name}-notifications", deployment, child)
        if last_day := settings.deletes_database_on:
            ready = [*ready, *Expiry(f"{name}-expiry", deployment, notifications, last_day, child).ready]
        database = Database(f"{name}-database", deployment, vpc_id, subnet_ids, ready, child)
        functions = Functions(f"{name}-functions", deployment, storage, notifications, child)
        outputs: dict[str, pulumi.Input[Any]] = {
            "version": VERSION,
            "project": names.project,
            "stack": names.stack,
            "part": names.part,
            "account_id": deployment.account_id,
            "region": deployment.region,
            "parameter": names.parameter,
            "ephemeral": settings.ephemeral,
            "bucket": storage.bucket.bucket,
            "database_instance": database.identifier,
            "database_host": database.instance.address,
            "database_port": PORT,
            "database_name": DATABASE,
            "database_secret_arn": database.secret_arn,
            "topic_arn": notifications.topic.arn,
            "queue_url": notifications.queue.url,
            "dead_letter_queue_url": notifications.dead_letters.url,
            "notify_function": functions.notify_upload.name,
            "check_function": functions.check_bucket.name,
            "schedule_rule": functions.rule.name,
            "nat_gateway": settings.nat_gateway,
            "alarms": 0,
        }
        if settings.nightly_stop:
            NightlyStop(f"{name}-nightly", deployment, database, settings.nightly_stop, child)
        if settings.alarms:
            alarms = Alarms(f"{name}-alarms", deployment, database, functions, notifications, child)
            outputs["alarms"] = alarms.count
        if settings.dashboard:
            outputs["dashboard"] = Dashboard(f"{name}-dashboard", deployment, database, functions, child).dashboard_name
        if settings.monthly_budget:
            Budget(
                f"{name}-budget",
                deployment,
                tag="Pipeline",
                value=names.prefix,
                topic=notifications.topic,
                topic_policy=notifications.topic_policy,
                opts=child,
            )
        workers = None
        if settings.workers:
            workers = Workers(f"{name}-workers", deployment, storage, database, vpc_id, subnet_ids, child)
            outputs |= {
                "workers": settings.workers,
                "worker_spot": settings.worker_spot,
                "worker_hours": settings.worker_hours,
                "worker_group": workers.group_id,
                "worker_subnets": pulumi.Output.all(*workers.subnet_ids).apply(",".join),
            }
        if settings.student_policy and not settings.existing_role_arn:
            student = StudentPolicy(
                f"{name}-student", deployment, storage, database, notifications, functions, workers, child
            )
            outputs["student_policy_arn"] = student.policy.arn
        aws.ssm.Parameter(
            f"{name}-outputs",
            name=names.parameter,
            type="String",
            value=pulumi.Output.all(**outputs).apply(lambda values: StackOutputs.from_mapping(values).as_json()),
            tags=deployment.tags("outputs"),
            opts=child,
        )
        self.outputs = outputs
        self.register_outputs(outputs)
