"""An environment: a store for the workbooks and a warehouse for their rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retailpipe.errors import UsageError
from retailpipe.store import FolderStore, Store
from retailpipe.warehouse import Warehouse

if TYPE_CHECKING:
    from retailpipe.aws.stack import Stack
    from retailpipe.local.server import EmbeddedServer


@dataclass(frozen=True)
class Environment:
    """Where a pipeline runs.

    folder: holds what belongs to this environment on this machine, dbt's files among them.
    server: the embedded PostgreSQL; None where the warehouse is a server of somebody else's.
    stack: the deployed stack, where this is one on AWS.
    """

    folder: Path
    store: Store
    warehouse: Warehouse
    server: EmbeddedServer | None = None
    stack: Stack | None = None

    @classmethod
    def local(cls, folder: str | Path | None = None, *, database_url: str | None = None) -> Environment:
        """An environment in a folder of this machine: workbooks under `input/`, an embedded PostgreSQL beside them.

        folder: made when needed. Default: RETAILPIPE_HOME, or else a folder of the user's data directory.
        database_url: a libpq URI of a PostgreSQL that is there already, used in place of the embedded one. Default:
            RETAILPIPE_DATABASE_URL.

        Nothing is started or made until it is needed. Raises UsageError if the folder is a file, or the URL is none.
        """
        folder = expanded(folder or default_folder()).absolute()
        try:
            if folder.exists() and not folder.is_dir():
                raise UsageError(f"{folder} is a file, not a folder", hint="Name a folder with --local.")
        except OSError as error:
            raise UsageError(
                f"{folder} cannot be used: {error.strerror}", hint="Name a folder with --local."
            ) from error
        database_url = database_url or os.environ.get("RETAILPIPE_DATABASE_URL")
        if database_url:
            return cls(folder, FolderStore(folder), Warehouse.at(database_url))
        return cls.embedded(folder)

    @classmethod
    def from_stack(cls, name: str, *, profile: str | None = None, region: str | None = None) -> Environment:
        """The environment of a stack on AWS: STACK, or PROJECT/STACK where the project is not retailpipe.

        What the stack exports is asked of the pulumi command, where it is on PATH and the folder we are in belongs to
        the project, otherwise of the SSM parameter. Credentials and region come by boto3's usual chain.

        profile, region: in place of those that the chain would find.

        Raises StackNotFound, AwsError, OutputsError. The database is not asked yet.
        """
        from retailpipe.aws.session import Aws
        from retailpipe.aws.stack import Stack

        return cls._on_aws(Stack.named(name, Aws(profile, region)))

    @classmethod
    def from_outputs(
        cls, outputs: str | Path | Mapping[str, Any], *, profile: str | None = None, region: str | None = None
    ) -> Environment:
        """The environment of a stack whose outputs were kept: a mapping, or a file of JSON.

        Raises OutputsError, AwsError.
        """
        from retailpipe.aws.session import Aws
        from retailpipe.aws.stack import Stack

        kept = outputs if isinstance(outputs, Mapping) else Path(outputs)
        return cls._on_aws(Stack.of_outputs(kept, Aws(profile, region)))

    @classmethod
    def _on_aws(cls, stack: Stack) -> Environment:
        from retailpipe.aws.rds import RdsDatabase
        from retailpipe.aws.stack import stack_folder
        from retailpipe.aws.store import BucketStore

        folder = stack_folder(stack.outputs.project, stack.outputs.stack)
        return cls(folder, BucketStore(stack, folder), RdsDatabase(stack).warehouse(), stack=stack)

    @classmethod
    def embedded(cls, folder: Path) -> Environment:
        """The environment in a folder with its embedded PostgreSQL, whatever RETAILPIPE_DATABASE_URL says."""
        from retailpipe.local.server import EmbeddedServer

        server = EmbeddedServer(folder.absolute())
        remedy = f"`retailpipe local start`; the server's log is {server.log}."
        warehouse = Warehouse(server.start, remedy=remedy, isolated=True, readers_uri=server.readers_url)
        return cls(folder.absolute(), FolderStore(folder.absolute()), warehouse, server)


def expanded(path: str | Path) -> Path:
    """A path with the `~` that it begins with as the shell takes it: as it stands where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def default_folder() -> Path:
    """RETAILPIPE_HOME, or else the folder of the user's data directory."""
    if given := os.environ.get("RETAILPIPE_HOME"):
        return Path(given)
    from platformdirs import user_data_path

    return user_data_path("retailpipe", appauthor=False)
