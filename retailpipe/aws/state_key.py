"""The KMS key that encrypts the secrets in Pulumi's state, and the state's bucket.

The key is created before its alias. A key with our tags and without the alias is used, so that no second key is created
if a call was interrupted in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from retailpipe.aws.session import Aws, aws_errors
from retailpipe.aws.state_names import StateNames
from retailpipe.errors import AwsError


class StateKey:
    """The key of the state. arn: empty until it exists."""

    def __init__(self, names: StateNames, aws: Aws) -> None:
        self._names = names
        self._aws = aws
        self._kms = aws.client("kms")
        self._has_alias = False
        self.arn = ""

    def check(self) -> None:
        """Look for the key. Raise AwsError if the alias is of another key, or the key cannot be used."""
        alias = self._names.alias
        try:
            with aws_errors(f"look for the key {alias} in {self._names.region}"):
                found = self._kms.describe_key(KeyId=alias)["KeyMetadata"]
        except AwsError as error:
            if error.code != "NotFoundException":
                raise
            self.arn = self._without_alias()
            return
        self._has_alias, self.arn = True, found["Arn"]
        if not self._names.tags.items() <= self._tags().items():
            raise AwsError(
                f"the alias {alias} in {self._names.region} is of the key {found['KeyId']}, whose tags do not say that "
                f"it is for Pulumi's state of project {self._names.project}; nothing was changed",
                hint="Choose another `project` in the class file.",
            )
        if found["KeyState"] != "Enabled":
            cancel = self._aws.command("kms", "cancel-key-deletion", "--key-id", found["KeyId"])
            enable = self._aws.command("kms", "enable-key", "--key-id", found["KeyId"])
            steps = f"`{cancel}`, then `{enable}`" if found["KeyState"] == "PendingDeletion" else f"`{enable}`"
            raise AwsError(
                f"the key {alias} in {self._names.region} cannot be used: it is {found['KeyState']}",
                hint=f"Enable it again: {steps}.",
            )

    def complete(self) -> list[str]:
        """Create the key if it is missing, its alias and its rotation. Return what was done."""
        alias, done = self._names.alias, list[str]()
        if not self.arn:
            tags = [{"TagKey": key, "TagValue": value} for key, value in self._names.tags.items()]
            with aws_errors(f"create the key {alias} in {self._names.region}"):
                about = f"Pulumi's state of project {self._names.project}"
                self.arn = self._kms.create_key(Description=about, Tags=tags)["KeyMetadata"]["Arn"]
            done.append(f"created the key {self.arn}")
        if not self._has_alias:
            with aws_errors(f"create the alias {alias}"):
                self._kms.create_alias(AliasName=alias, TargetKeyId=self.arn)
            done.append(f"created the alias {alias}")
        with aws_errors(f"enable the rotation of the key {alias}"):
            if not self._kms.get_key_rotation_status(KeyId=self.arn)["KeyRotationEnabled"]:
                self._kms.enable_key_rotation(KeyId=self.arn)
                done.append(f"enabled the yearly rotation of the key {alias}")
        return done

    def _without_alias(self) -> str:
        """The ARN of an enabled key with the tags of the state; empty if there is none.

        There is one if a call was interrupted between the creation of the key and that of the alias.
        """
        filters = [{"Key": key, "Values": [value]} for key, value in self._names.tags.items()]
        with aws_errors(f"look for a key of project {self._names.project} in {self._names.region}"):
            pages = self._aws.client("resourcegroupstaggingapi").get_paginator("get_resources")
            arns: Sequence[str] = sorted(
                each["ResourceARN"]
                for page in pages.paginate(TagFilters=filters, ResourceTypeFilters=["kms:key"])
                for each in page["ResourceTagMappingList"]
            )
        for arn in arns:
            with aws_errors(f"describe the key {arn}"):
                if self._kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Enabled":
                    return arn
        return ""

    def _tags(self) -> Mapping[str, str]:
        with aws_errors(f"read the tags of the key {self._names.alias}"):
            pages = self._kms.get_paginator("list_resource_tags").paginate(KeyId=self.arn)
            return {tag["TagKey"]: tag["TagValue"] for page in pages for tag in page["Tags"]}
