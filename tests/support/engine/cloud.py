"""What a rehearsal has created, in a folder: a file for each resource. It finds duplicates, and what nobody deleted.

As on AWS, the names of some kinds of resources must be unique. A second request for a resource of another kind changes
the first, except in EC2, where it would create a second one: here it fails.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

_SLOW = 0.3
"""Seconds that the creation of a resource with a unique name takes after it exists, so that a kill can fall between."""
_NAMES = {
    "aws:cloudwatch/logGroup:LogGroup": "name",
    "aws:iam/role:Role": "name",
    "aws:rds/instance:Instance": "identifier",
    "aws:rds/parameterGroup:ParameterGroup": "name",
    "aws:rds/subnetGroup:SubnetGroup": "name",
    "aws:s3/bucket:Bucket": "bucket",
    "aws:ssm/parameter:Parameter": "name",
    "aws:lambda/function:Function": "name",
}


class AlreadyExists(Exception):
    """A resource of that kind and name exists."""


class Cloud:
    """The resources in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, kind: str, inputs: dict[str, Any], other_id: str) -> str:
        """Create a resource, and return its ID: its name if that must be unique. Raises AlreadyExists."""
        identifier = str(inputs[_NAMES[kind]]) if kind in _NAMES else other_id
        # The file gets its name when it is complete, because the provider may be killed at any moment.
        partial = self.folder.with_name(f"{os.getpid()}-{threading.get_ident()}.partial")
        partial.write_text(json.dumps(inputs))
        if kind in _NAMES or kind.startswith("aws:ec2/"):
            try:
                self._file(kind, identifier).hardlink_to(partial)
            except FileExistsError:
                raise AlreadyExists(f"{kind} {identifier} already exists") from None
            finally:
                partial.unlink()
        else:
            partial.replace(self._file(kind, identifier))
        if kind in _NAMES:
            time.sleep(_SLOW)
        return identifier

    def read(self, kind: str, identifier: str) -> dict[str, Any] | None:
        """The properties of a resource; None if it does not exist."""
        file = self._file(kind, identifier)
        return json.loads(file.read_text()) if file.exists() else None

    def delete(self, kind: str, identifier: str) -> None:
        self._file(kind, identifier).unlink()

    def all(self) -> set[tuple[str, str]]:
        """The kind and the ID of each resource, as `quote` writes them."""
        return {(kind, name) for kind, _, name in (file.name.partition("@") for file in self.folder.iterdir())}

    def _file(self, kind: str, identifier: str) -> Path:
        return self.folder / f"{quote(kind, safe='')}@{quote(identifier, safe='')}"
