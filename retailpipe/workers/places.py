"""A place: what a worker needs to open an environment by itself. It holds names and addresses, and no password."""

from __future__ import annotations

import functools
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from retailpipe.environment import Environment
from retailpipe.errors import UsageError, WorkersError
from retailpipe.store import FolderStore
from retailpipe.warehouse import normal_url, without_password


@dataclass(frozen=True)
class Place:
    """Where an environment is. Exactly one of three: an embedded server, a database URL, the outputs of a stack.

    folder: of a local environment.
    host: the machine with the embedded server; empty for other environments.
    database_url: without a password.
    outputs: of the stack, as JSON; empty for a local environment. profile: the AWS profile.
    """

    folder: str
    host: str = ""
    database_url: str = ""
    outputs: str = ""
    profile: str | None = None

    @classmethod
    def of(cls, environment: Environment) -> Place:
        """The place of an environment. Starts no server, and opens no connection.

        Raises UsageError if a worker could not open the environment: its URL holds a password, or its parts were put
        together by hand.
        """
        if environment.stack:
            outputs = json.dumps(environment.stack.outputs.as_dict())
            return cls(str(environment.folder), outputs=outputs, profile=environment.stack.aws.profile)
        if not isinstance(environment.store, FolderStore) or environment.store.address != str(environment.folder):
            raise UsageError(
                f"workers cannot open the environment of {environment.folder}: its store is not the folder",
                hint="Open it with Environment.local, from_stack or from_outputs, or load without workers.",
            )
        if environment.server:
            return cls(str(environment.folder), host=platform.node())
        url = environment.warehouse.uri
        if url != normal_url(os.environ.get("RETAILPIPE_DATABASE_URL", "")) and without_password(url) != url:
            raise UsageError(
                "the database URL holds a password, and passwords are not sent to workers",
                hint="Remove it from the URL, and set PGPASSWORD or a passfile where the workers run.",
            )
        return cls(str(environment.folder), database_url=without_password(url))

    def environment(self) -> Environment:
        """The environment, opened once in each process. Raises UsageError, WorkersError, AwsError, OutputsError."""
        return _opened(self)


@functools.lru_cache(maxsize=4)
def _opened(place: Place) -> Environment:
    if place.outputs:
        return Environment.from_outputs(json.loads(place.outputs), profile=place.profile)
    if place.host:
        if place.host != platform.node():
            raise WorkersError(
                f"worker on {platform.node()}: the embedded server of {place.folder} is on {place.host}, and serves "
                "only that machine",
                hint="Use a server that all workers reach, with `--database-url`, or use `--jobs`.",
            )
        return Environment.embedded(Path(place.folder))
    own = os.environ.get("RETAILPIPE_DATABASE_URL", "")
    url = own if own and without_password(own) == place.database_url else place.database_url
    return Environment.local(place.folder, database_url=url)
