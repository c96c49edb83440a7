"""The warehouse: PostgreSQL on RDS.

RDS manages the master password. The database accepts connections only over TLS and only from `allowedCidrs`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from retailpipe.infra.component import Component, Deployment

DATABASE = "retailpipe"
USER = "retailpipe"
PORT = 5432


class Database(Component):
    """The database instance, its security group, parameters and log group.

    secret_arn: the ARN of the secret in which RDS keeps the master password.
    ready: resources that must exist before the instance, such as the route to the internet.
    """

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        vpc_id: pulumi.Input[str],
        subnet_ids: Sequence[pulumi.Input[str]],
        ready: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("Database", name, deployment, opts)
        settings = deployment.settings
        self.identifier = deployment.names.of("database")
        self.arn = deployment.arn("rds", f"db:{self.identifier}")
        self.security_group = aws.ec2.SecurityGroup(
            f"{name}-access",
            name=deployment.names.of("database"),
            description="PostgreSQL from allowedCidrs",
            vpc_id=vpc_id,
            tags=deployment.tags("database"),
            opts=self.child(),
        )
        for cidr in settings.allowed_cidrs:
            network = ipaddress.ip_network(cidr)
            aws.vpc.SecurityGroupIngressRule(
                f"{name}-from-{cidr}",
                security_group_id=self.security_group.id,
                ip_protocol="tcp",
                from_port=PORT,
                to_port=PORT,
                cidr_ipv4=cidr if network.version == 4 else None,
                cidr_ipv6=cidr if network.version == 6 else None,
                tags=deployment.tags("allowed"),
                opts=self.child(),
            )
        subnets = aws.rds.SubnetGroup(
            f"{name}-subnets",
            name=deployment.names.of("database"),
            subnet_ids=list(subnet_ids),
            tags=deployment.tags("database"),
            opts=self.child(),
        )
        parameters = aws.rds.ParameterGroup(
            f"{name}-parameters",
            name=deployment.names.of("postgres17"),
            family="postgres17",
            parameters=[
                {"name": "rds.force_ssl", "value": "1"},
                {"name": "log_connections", "value": "1"},
                {"name": "log_min_duration_statement", "value": "10000"},
            ],
            tags=deployment.tags("postgres17"),
            opts=self.child(),
        )
        # The log group must exist before the instance, which depends on it. Otherwise RDS creates the group itself: it
        # then never expires, and `pulumi up` fails because the name already exists.
        logs = aws.cloudwatch.LogGroup(
            f"{name}-log",
            name=deployment.names.database_log_group(),
            retention_in_days=settings.log_retention_days,
            tags=deployment.tags("log"),
            opts=self.child(),
        )
        self.instance = aws.rds.Instance(
            f"{name}-instance",
            identifier=self.identifier,
            engine="postgres",
            engine_version=settings.engine_version,
            instance_class=settings.database_class,
            allocated_storage=settings.database_storage,
            max_allocated_storage=settings.database_max_storage or None,
            storage_type="gp3",
            storage_encrypted=True,
            db_name=DATABASE,
            username=USER,
            port=PORT,
            manage_master_user_password=True,
            # Only because checkov requires it (CKV_AWS_161). Nothing uses it: retailpipe logs in with the master
            # password and grants no user the role rds_iam, and no policy of the stack allows rds-db:connect.
            iam_database_authentication_enabled=True,
            db_subnet_group_name=subnets.name,
            vpc_security_group_ids=[self.security_group.id],
            parameter_group_name=parameters.name,
            publicly_accessible=True,
            # RDS must not upgrade a minor version that the setting names.
            auto_minor_version_upgrade="." not in settings.engine_version,
            enabled_cloudwatch_logs_exports=["postgresql"],
            backup_retention_period=settings.kept_backup_days,
            delete_automated_backups=settings.ephemeral,
            copy_tags_to_snapshot=True,
            skip_final_snapshot=settings.ephemeral,
            final_snapshot_identifier=None if settings.ephemeral else deployment.names.of("last"),
            deletion_protection=not settings.ephemeral,
            apply_immediately=settings.ephemeral,
            tags=deployment.tags("database"),
            opts=self.child(
                depends_on=[logs, *ready],
                protect=not settings.ephemeral,
                # RDS increases the storage automatically, and storage cannot be reduced.
                ignore_changes=["allocatedStorage"],
            ),
        )
        self.secret_arn = self.instance.master_user_secrets.apply(lambda secrets: secrets[0].secret_arn or "")
        self.register_outputs({"identifier": self.identifier})
