"""Workers on AWS: what the tasks of a run need. Nothing here costs money until `retailpipe ingest --workers N` runs.

A run is one scheduler, one client and several workers, each a Fargate task in the public subnets. Each has a public
address, because there is no NAT gateway, but only tasks of the same group can connect to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws

from retailpipe.infra.component import Component, Deployment, statement
from retailpipe.infra.database import PORT, Database
from retailpipe.infra.storage import Storage
from retailpipe.keys import INPUT, RECEIPTS, WORKERS
from retailpipe.names import WORKER_START
from retailpipe.names import WORKERS as PART
from retailpipe.prices import WORKER_GB, WORKER_VCPU

IMAGE = "public.ecr.aws/docker/library/python:3.13-slim"
"""Python for ARM, from a public registry. The packages are published into the bucket: `retailpipe workers publish`."""
DASK_PORTS = (8786, 8787)
"""Of the scheduler and of each worker."""
_HTTPS = 443
_SCRATCH = "/scratch"
"""The only folder that a task can write to."""


class Workers(Component):
    """The cluster, the task definition, its two roles, the security group of the tasks, and their log group.

    task_role_arn, start_role_arn: of the program in a task, and of ECS when it starts a task.
    group_id: the security group. subnet_ids: where the tasks run.
    """

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        storage: Storage,
        database: Database,
        vpc_id: pulumi.Input[str],
        subnet_ids: Sequence[pulumi.Input[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("Workers", name, deployment, opts)
        names = deployment.names
        self.subnet_ids = [*subnet_ids]
        self.group_id = self._security_group(database, vpc_id)
        logs = aws.cloudwatch.LogGroup(
            f"{name}-log",
            name=names.worker_log_group(),
            retention_in_days=deployment.settings.log_retention_days,
            tags=deployment.tags(PART),
            opts=self.child(),
        )
        cluster = aws.ecs.Cluster(
            f"{name}-cluster",
            name=names.of(PART),
            settings=[{"name": "containerInsights", "value": "disabled"}],
            tags=deployment.tags(PART),
            opts=self.child(),
        )
        aws.ecs.ClusterCapacityProviders(
            f"{name}-capacity",
            cluster_name=cluster.name,
            capacity_providers=["FARGATE", "FARGATE_SPOT"],
            opts=self.child(),
        )
        bucket = storage.bucket.arn
        runs = deployment.arn("secretsmanager", f"secret:{names.run_secret('*')}")
        self.start_role_arn, may_start = self.role(
            WORKER_START,
            "ecs-tasks.amazonaws.com",
            statement(["logs:CreateLogStream", "logs:PutLogEvents"], [pulumi.Output.concat(logs.arn, ":*")]),
            condition={"StringEquals": {"aws:SourceAccount": deployment.account_id}},
        )
        self.task_role_arn, may_work = self.role(
            PART,
            "ecs-tasks.amazonaws.com",
            statement(["s3:ListBucket"], [bucket]),
            statement(["s3:GetObject"], [pulumi.Output.concat(bucket, f"/{key}*") for key in (RECEIPTS, WORKERS)]),
            statement(["s3:GetObject", "s3:GetObjectVersion"], [pulumi.Output.concat(bucket, f"/{INPUT}*")]),
            statement(
                ["s3:PutObject"], [pulumi.Output.concat(bucket, f"/{key}*") for key in (RECEIPTS, f"{WORKERS}runs/")]
            ),
            statement(["secretsmanager:GetSecretValue"], [database.secret_arn, runs]),
            statement(["secretsmanager:DeleteSecret"], [runs]),
            condition={"StringEquals": {"aws:SourceAccount": deployment.account_id}},
        )
        aws.ecs.TaskDefinition(
            f"{name}-task",
            family=names.of(PART),
            requires_compatibilities=["FARGATE"],
            network_mode="awsvpc",
            cpu=str(1024 * WORKER_VCPU),
            memory=str(1024 * WORKER_GB),
            runtime_platform={"cpu_architecture": "ARM64", "operating_system_family": "LINUX"},
            execution_role_arn=self.start_role_arn,
            task_role_arn=self.task_role_arn,
            volumes=[{"name": "scratch"}],
            container_definitions=pulumi.Output.json_dumps([self._container(storage)]),
            tags=deployment.tags(PART),
            opts=self.child(depends_on=[logs, *may_start, *may_work]),
        )
        self.register_outputs({"cluster": cluster.name})

    def _container(self, storage: Storage) -> dict[str, Any]:
        """The only container of a task. Each run adds the variables MANIFEST, LIMIT, RUN and ROLE."""
        deployment = self.deployment
        variables: dict[str, pulumi.Input[str]] = {
            "ACCOUNT": deployment.account_id,
            "AWS_REGION": deployment.region,
            "BUCKET": storage.bucket.bucket,
            "HOME": _SCRATCH,
            "TMPDIR": _SCRATCH,
        }
        return {
            "name": PART,
            "image": IMAGE,
            "essential": True,
            "memory": 1024 * WORKER_GB,
            "command": ["python", "-c", Path(__file__).with_name("boot.py").read_text("utf-8")],
            "environment": [{"name": name, "value": value} for name, value in variables.items()],
            "readonlyRootFilesystem": True,
            "mountPoints": [{"sourceVolume": "scratch", "containerPath": _SCRATCH, "readOnly": False}],
            # The first process of a container ignores signals; with an init process, ours is the second.
            "linuxParameters": {"initProcessEnabled": True, "capabilities": {"drop": ["ALL"]}},
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": deployment.names.worker_log_group(),
                    "awslogs-region": deployment.region,
                    "awslogs-stream-prefix": PART,
                },
            },
        }

    def _security_group(self, database: Database, vpc_id: pulumi.Input[str]) -> pulumi.Output[str]:
        """Create the security group of the tasks, its rules, and the rule that lets them into the database."""
        deployment = self.deployment
        group = aws.ec2.SecurityGroup(
            f"{self.name}-access",
            name=deployment.names.of(PART),
            description="Tasks of the workers: Dask between themselves only",
            vpc_id=vpc_id,
            tags=deployment.tags(PART),
            opts=self.child(),
        )
        own, into_database = group.id, database.security_group.id
        self._rule("from-group", own, DASK_PORTS, peer=own, inward=True)
        self._rule("to-group", own, DASK_PORTS, peer=own)
        self._rule("to-aws", own, (_HTTPS, _HTTPS), cidr="0.0.0.0/0")
        self._rule("to-database", own, (PORT, PORT), peer=into_database)
        self._rule("into-database", into_database, (PORT, PORT), peer=own, inward=True)
        return group.id

    def _rule(
        self,
        part: str,
        group: pulumi.Input[str],
        ports: tuple[int, int],
        *,
        peer: pulumi.Input[str] | None = None,
        cidr: str | None = None,
        inward: bool = False,
    ) -> None:
        """Create a rule of a security group: who may connect (`inward`), or where its members may connect to."""
        kind = aws.vpc.SecurityGroupIngressRule if inward else aws.vpc.SecurityGroupEgressRule
        kind(
            f"{self.name}-{part}",
            security_group_id=group,
            ip_protocol="tcp",
            from_port=ports[0],
            to_port=ports[1],
            referenced_security_group_id=peer,
            cidr_ipv4=cidr,
            tags=self.deployment.tags(PART),
            opts=self.child(),
        )
