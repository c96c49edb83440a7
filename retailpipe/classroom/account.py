"""Check that the credentials are of the account of the class."""

from __future__ import annotations

from retailpipe.aws.deployed import account_of
from retailpipe.aws.session import Aws
from retailpipe.classroom.class_file import ClassFile
from retailpipe.errors import AwsError


def checked_account(file: ClassFile, aws: Aws) -> str:
    """Return the account of the credentials. Raises AwsError if it is not the account of the class file."""
    account = account_of(aws)
    if file.account and account != file.account:
        raise AwsError(
            f"{file.file}: the class is in account {file.account}, but the credentials belong to {account}",
            hint="Use the credentials of the class's account: --profile NAME.",
        )
    return account
