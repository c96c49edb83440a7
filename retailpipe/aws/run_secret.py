"""The secret of a run on workers: the certificate and key with which its tasks know each other."""

from __future__ import annotations

from retailpipe.aws.session import Aws, aws_errors
from retailpipe.errors import AwsError


def create_secret(aws: Aws, name: str, pem: str, tags: dict[str, str]) -> None:
    """Create the secret of a run. Raises AwsError."""
    with aws_errors(f"create the secret {name}"):
        aws.client("secretsmanager").create_secret(
            Name=name,
            Description="Certificate of a run on workers; deleted when the run ends",
            SecretString=pem,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )


def read_secret(aws: Aws, name: str) -> str:
    """Return the certificate and key of a run, in PEM. Raises AwsError."""
    with aws_errors(f"read the secret {name}"):
        text: str = aws.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    return text


def delete_secret(aws: Aws, name: str) -> None:
    """Delete the secret of a run at once; it may be deleted already. Raises AwsError."""
    try:
        with aws_errors(f"delete the secret {name}"):
            aws.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    except AwsError as error:
        if error.code != "ResourceNotFoundException":
            raise
