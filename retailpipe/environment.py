"""An environment: a store for the workbooks and a warehouse for their rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retailpipe.errors import UsageError
from retailpipe.folders import DATA, check_name
from retailpipe.store import FolderStore, Store
from retailpipe.warehouse import Warehouse, without_password

if TYPE_CHECKING:
    from retailpipe.aws.stack import Stack
    from retailpipe.local.server import EmbeddedServer


@dataclass(frozen=True)
class Environment:
    """Where a pipeline runs.

    folder: holds the environment's files on this machine, including those of dbt.
    server: the embedded PostgreSQL; None if the warehouse is another server.
    stack: the deployed stack; None for a local environment.
    options: the options that select this environment on the command line, without a password.
    """

    folder: Path
    store: Store
    warehouse: Warehouse
    server: EmbeddedServer | None = None
    stack: Stack | None = None
    options: tuple[str, ...] = ()

    @classmethod
    def local(cls, folder: str | Path | None = None, *, database_url: str | None = None) -> Environment:
        """Return an environment in a local folder: workbooks under `input/`, and an embedded PostgreSQL.

        folder: created when needed. Default: RETAILPIPE_HOME, otherwise a folder in the user's data directory.
        database_url: the libpq URI of an existing PostgreSQL, used instead of the embedded one. Default:
            RETAILPIPE_DATABASE_URL.

        Nothing is created or started until it is needed. Raises UsageError if the folder is a file or cannot be used,
        if its path is not UTF-8 or has a line break, or if the URL is not valid.
        """
        folder = expanded(folder or default_folder()).absolute()
        try:
            if folder.exists() and not folder.is_dir():
                raise UsageError(f"{folder} is a file, not a folder", hint="Pass a folder with --local.")
        except OSError as error:
            raise UsageError(
                f"cannot use folder {folder}: {error.strerror}", hint="Pass another folder with --local."
            ) from error
        _check_name(folder)
        database_url = database_url or os.environ.get("RETAILPIPE_DATABASE_URL")
        if database_url:
            warehouse = Warehouse.at(database_url)
            options = (*_folder_options(folder), "--database-url", without_password(database_url))
            return cls(folder, FolderStore(folder), warehouse, options=options)
        return cls.embedded(folder)

    @classmethod
    def from_stack(cls, name: str, *, profile: str | None = None, region: str | None = None) -> Environment:
        """The environment of a deployed stack: STACK, or PROJECT/STACK if the project is not named retailpipe.

        A stack with several pipelines needs PROJECT/STACK/PIPELINE.

        The stack's outputs come from the pulumi command if it is on PATH and the current folder belongs to the project,
        otherwise from the SSM parameter. Credentials and region come from boto3's default chain.

        profile, region: override those of the default chain.

        Raises StackNotFound, AwsError, OutputsError. Does not connect to the database.
        """
        from retailpipe.aws.session import Aws
        from retailpipe.aws.stack import Stack

        stack = Stack.named(name, Aws(profile, region))
        # With the project, the options are valid in any folder.
        full_name = name if "/" in name else f"{stack.outputs.project}/{name}"
        return cls._on_aws(stack, stack_options(full_name, None, profile, region))

    @classmethod
    def from_outputs(
        cls, outputs: str | Path | Mapping[str, Any], *, profile: str | None = None, region: str | None = None
    ) -> Environment:
        """The environment of a stack whose outputs were saved: a mapping, or a JSON file.

        Raises OutputsError, AwsError.
        """
        from retailpipe.aws.session import Aws
        from retailpipe.aws.stack import Stack

        saved = outputs if isinstance(outputs, Mapping) else Path(outputs)
        stack = Stack.of_outputs(saved, Aws(profile, region))
        file = None if isinstance(saved, Mapping) else expanded(saved).absolute()
        options = stack_options(f"{stack.outputs.project}/{stack.outputs.stack}", file, profile, region)
        return cls._on_aws(stack, options)

    @classmethod
    def _on_aws(cls, stack: Stack, options: tuple[str, ...]) -> Environment:
        from retailpipe.aws.rds import RdsDatabase
        from retailpipe.aws.stack import stack_folder
        from retailpipe.aws.store import BucketStore

        folder = stack_folder(stack.outputs.project, stack.outputs.stack)
        return cls(folder, BucketStore(stack, folder), RdsDatabase(stack).warehouse(), stack=stack, options=options)

    @classmethod
    def embedded(cls, folder: Path) -> Environment:
        """The environment in a folder with its embedded PostgreSQL; RETAILPIPE_DATABASE_URL is ignored.

        Raises UsageError if the path of the folder is not UTF-8 or has a line break.
        """
        from retailpipe.local.server import EmbeddedServer

        _check_name(folder)
        server = EmbeddedServer(folder.absolute())
        remedy = f"Run `retailpipe local start`. The server's log is {server.log}."
        warehouse = Warehouse(
            server.start,
            remedy=remedy,
            isolated=True,
            readers_uri=server.readers_url,
            should_retry=server.should_retry,
            explain=server.explain,
        )
        folder = folder.absolute()
        return cls(folder, FolderStore(folder), warehouse, server, options=_folder_options(folder))


def _check_name(folder: Path) -> None:
    """Do `check_name`, unless the folder has data of an earlier version: they can still be stopped and destroyed."""
    if not os.path.lexists(folder / DATA):
        check_name(folder)


def stack_options(stack: str | None, outputs: Path | None, profile: str | None, region: str | None) -> tuple[str, ...]:
    """The options that select a stack on the command line: its name, or the file with its outputs."""
    chosen = ["--outputs", str(outputs)] if outputs else ["--stack", str(stack)]
    for option, value in (("--profile", profile), ("--region", region)):
        chosen += [option, value] if value else []
    return tuple(chosen)


def _folder_options(folder: Path) -> tuple[str, ...]:
    """The options that select a folder; none for the default."""
    return () if folder == expanded(default_folder()).absolute() else ("--local", str(folder))


def expanded(path: str | Path) -> Path:
    """Expand a leading `~` as the shell does; if there is no such user, return the path unchanged."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def default_folder() -> Path:
    """Return RETAILPIPE_HOME, or the folder `retailpipe` in the user's data directory if the variable is not set."""
    if given := os.environ.get("RETAILPIPE_HOME"):
        return Path(given)
    from platformdirs import user_data_path

    return user_data_path("retailpipe", appauthor=False)
