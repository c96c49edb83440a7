"""A stack on the simulated AWS, created with boto3: the resources that the library uses.

It is much faster than the rehearsal (`make rehearse`), which deploys the real program.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3

from retailpipe.outputs import VERSION, StackOutputs
from tests.support.archives import packed
from tests.support.tls_server import DATABASE, PASSWORD, USER

REGION, ACCOUNT = "eu-central-1", "123456789012"


_SESSION = boto3.Session("test", "test", region_name=REGION)  # shared, because loading the service models is slow


@dataclass
class HandMade:
    """A stack without the Pulumi program. outputs: as the program would export them; tests may change them."""

    endpoint: str
    outputs: dict[str, Any]
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = _SESSION.client(service, endpoint_url=self.endpoint)
        return self.clients[service]

    def publish(self) -> None:
        """Write the current outputs into the SSM parameter."""
        text = StackOutputs.from_mapping(self.outputs).as_json()
        self.client("ssm").put_parameter(Name=self.outputs["parameter"], Value=text, Type="String", Overwrite=True)

    def set_password(self, password: str) -> None:
        secret = json.dumps({"username": USER, "password": password})
        self.client("secretsmanager").put_secret_value(
            SecretId=self.outputs["database_secret_arn"], SecretString=secret
        )

    def close(self) -> None:
        for client in self.clients.values():
            client.close()


def hand_made(endpoint: str, port: int = 1, *, stack: str = "dev", lambdas: bool = False) -> HandMade:
    """Create a stack whose database is on this machine.

    port: of the database. lambdas: whether its Lambdas run; each upload then takes a second longer.
    """
    made = HandMade(endpoint, {})
    prefix = f"retailpipe-{stack}"
    bucket = f"{prefix}-{ACCOUNT}-{REGION}"
    s3, sns, sqs, iam = (made.client(service) for service in ("s3", "sns", "sqs", "iam"))
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    tags = {"Project": "retailpipe", "Stack": stack, "Ephemeral": "true"}
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in tags.items()]})
    topic = sns.create_topic(Name=f"{prefix}-notices")["TopicArn"]
    dead = sqs.create_queue(QueueName=f"{prefix}-dead-letters")["QueueUrl"]
    redrive = {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{prefix}-dead-letters", "maxReceiveCount": 3}
    queue = sqs.create_queue(
        QueueName=f"{prefix}-uploads",
        Attributes={"RedrivePolicy": json.dumps(redrive), "VisibilityTimeout": "300"},
    )["QueueUrl"]
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{prefix}-uploads",
        Attributes={"RawMessageDelivery": "true", "FilterPolicy": json.dumps({"kind": ["upload"]})},
    )
    role = iam.create_role(RoleName=prefix, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    for function in ("notify-upload", "check-bucket"):
        made.client("lambda").create_function(
            FunctionName=f"{prefix}-{function}",
            Runtime="python3.13",
            Role=role,
            Handler="handler.handle",
            Code={"ZipFile": _archive(function) if lambdas else _empty()},
            Environment={"Variables": {"TOPIC_ARN": topic, "STACK": stack, "BUCKET": bucket, "SOURCE_URL": ""}},
        )
        made.client("logs").create_log_group(logGroupName=f"/aws/lambda/{prefix}-{function}")
    notify = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{prefix}-notify-upload"
    made.client("lambda").add_permission(
        FunctionName=f"{prefix}-notify-upload",
        StatementId="from-bucket",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{bucket}",
    )
    made.client("lambda").add_permission(
        FunctionName=f"{prefix}-check-bucket",
        StatementId="from-schedule",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{prefix}-schedule",
    )
    rules = [{"Name": "prefix", "Value": "input/"}]
    configuration = {
        "LambdaFunctionArn": notify,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": rules}},
    }
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [configuration]}
    )
    made.client("events").put_rule(Name=f"{prefix}-schedule", ScheduleExpression="cron(0 2 * * ? *)", State="DISABLED")
    instance = made.client("rds").create_db_instance(
        DBInstanceIdentifier=f"{prefix}-database",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername=USER,
        ManageMasterUserPassword=True,
        PubliclyAccessible=True,
    )["DBInstance"]
    assert instance["DBInstanceIdentifier"] == f"{prefix}-database"
    made.client("logs").create_log_group(logGroupName=f"/aws/rds/instance/{prefix}-database/postgresql")
    secret = made.client("secretsmanager").create_secret(
        Name=f"rds!db-{stack}", SecretString=json.dumps({"username": USER, "password": PASSWORD})
    )["ARN"]
    made.outputs.update(
        version=VERSION,
        project="retailpipe",
        stack=stack,
        part="",
        account_id=ACCOUNT,
        region=REGION,
        parameter=f"/retailpipe/{stack}/outputs",
        ephemeral=True,
        bucket=bucket,
        database_instance=f"{prefix}-database",
        database_host="localhost",
        database_port=port,
        database_name=DATABASE,
        database_secret_arn=secret,
        topic_arn=topic,
        queue_url=queue,
        dead_letter_queue_url=dead,
        notify_function=f"{prefix}-notify-upload",
        check_function=f"{prefix}-check-bucket",
        schedule_rule=f"{prefix}-schedule",
        nat_gateway=False,
        alarms=6,
    )
    made.publish()
    return made


def _archive(function: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return packed(function.replace("-", "_"), Path(folder) / "function.zip").read_bytes()


def _empty() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("handler.py", "")
    return buffer.getvalue()


def variables(endpoint: str, ca: Path | None = None) -> dict[str, str]:
    """The environment variables that make the library use the simulated AWS.

    ca: the certificates of the database, used instead of Amazon's.
    """
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        **({"RETAILPIPE_CA_BUNDLE": str(ca)} if ca else {}),
    }
