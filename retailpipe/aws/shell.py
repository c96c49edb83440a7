"""Environment variables for the course's shell scripts."""

from __future__ import annotations

import errno
import os
import shlex
import tempfile
from pathlib import Path

from retailpipe.aws.rds import RdsDatabase
from retailpipe.aws.stack import Stack
from retailpipe.errors import StoreError

ENV_FILE = "aws_config.env"
"""The course's name for the file with these variables."""


def env(stack: Stack, *, with_password: bool = False) -> dict[str, str]:
    """Return the variables by name, in the order of the course.

    with_password: add AWS_RDS_PASSWORD with its current value. RDS changes the password every week.
    Raises AwsError.
    """
    outputs = stack.outputs
    user, password = RdsDatabase(stack).login()
    variables = {
        "AWS_REGION": outputs.region,
        "AWS_DEFAULT_REGION": outputs.region,
        "PROJECT_NAME": outputs.project,
        "STACK_NAME": outputs.stack,
        "AWS_S3_BUCKET": outputs.bucket,
        "AWS_RDS_HOST": outputs.database_host,
        "AWS_RDS_PORT": str(outputs.database_port),
        "AWS_RDS_DATABASE": outputs.database_name,
        "AWS_RDS_USER": user,
        "AWS_SNS_TOPIC": outputs.topic_arn,
    }
    return variables | ({"AWS_RDS_PASSWORD": password} if with_password else {})


def as_shell(variables: dict[str, str]) -> str:
    """Return `export` lines for a POSIX shell: `source FILE`, or `eval "$(...)"`."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def write_env(variables: dict[str, str], path: Path) -> None:
    """Write the lines into a file that only its owner can read.

    An existing file is replaced in one step. Raises StoreError.
    """
    temporary: Path | None = None
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}-")  # mode 0600
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(as_shell(variables))
        temporary.replace(path)
    except BaseException as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        hint = "Choose a file in a writable folder."
        raise StoreError(f"cannot write {path}: {error.strerror}", hint=hint) from error
