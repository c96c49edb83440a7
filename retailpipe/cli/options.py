"""The options that commands share, and the environment that they select.

A decorator (`on_environment`, `on_stack`) replaces a command's `environment` parameter with the options that select the
environment.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retailpipe.cli.invocation import program, remember_environment
from retailpipe.cli.terminal import say
from retailpipe.contract import Contract
from retailpipe.environment import Environment, stack_options
from retailpipe.errors import UsageError
from retailpipe.warehouse import normal_url, without_password

if TYPE_CHECKING:
    from retailpipe.aws.stack import Stack


def folder_named(text: str) -> Path:
    """Return the folder that --local names. Raises UsageError if the name is empty: Path("") is the current folder."""
    if not text:
        raise UsageError("--local is empty", hint="Give a folder: --local DIR.")
    return Path(text)


Local = Annotated[
    Path | None,
    typer.Option(
        "--local",
        parser=folder_named,
        metavar="DIR",
        help="The environment's folder. Default: RETAILPIPE_HOME, else a folder in your data directory.",
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="Use this PostgreSQL server instead of the embedded one. Default: RETAILPIPE_DATABASE_URL. "
        "Put the password in PGPASSWORD or a passfile: other users can see the command line.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text.")]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        help="For cron: print nothing if all is well; print failures and warnings to standard error. "
        "With --json, only hide the progress.",
    ),
]
ContractFile = Annotated[
    Path | None,
    typer.Option(
        "--contract",
        metavar="FILE",
        help="A contract file, or the name of one in `contracts/` of the environment. Default: the one there whose "
        "`files` matches the workbook's name, else `online_retail`, which is built in.",
    ),
]
AllowDuplicate = Annotated[
    bool,
    typer.Option(
        "--allow-duplicate", help="Load a workbook even if its content or its rows are already loaded from another one."
    ),
]


StackName = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="The AWS stack: STACK, PROJECT/STACK, or PROJECT/STACK/PIPELINE if it has several pipelines. "
        "Default: RETAILPIPE_STACK.",
    ),
]
OutputsFile = Annotated[
    Path | None,
    typer.Option("--outputs", metavar="FILE", help="A JSON file with the stack's outputs, instead of --stack."),
]
Profile = Annotated[str | None, typer.Option("--profile", metavar="NAME", help="The AWS profile.")]
Region = Annotated[str | None, typer.Option("--region", metavar="NAME", help="The AWS region.")]
Replace = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="Replace a workbook of the same name that has other content; `retailpipe restore` brings it back. "
        "Without this option, the command asks on a terminal, and refuses elsewhere.",
    ),
]
SkipFailed = Annotated[
    bool,
    typer.Option(
        "--skip-failed",
        help="Warn about workbooks that cannot be loaded, and exit with 0 if there is no other failure.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]

_ENVIRONMENT_OPTIONS: dict[str, Any] = {
    "local": Local,
    "database_url": DatabaseUrl,
    "stack": StackName,
    "outputs": OutputsFile,
    "profile": Profile,
    "region": Region,
}
_LAST = ("quiet", "json")
"""The options that the help shows after those of the environment."""
_STACK_OPTIONS = ("stack", "outputs", "profile", "region")


def on_environment(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select an environment to a command, and pass the environment to it."""
    return _with_options(function, _ENVIRONMENT_OPTIONS, "environment", open_environment)


def on_stack(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select an AWS stack to a command, and pass its environment to it."""
    options = {name: _ENVIRONMENT_OPTIONS[name] for name in _STACK_OPTIONS}
    return _with_options(function, options, "environment", open_stack)


def _with_options(
    function: Callable[..., None], options: dict[str, Any], name: str, opened: Callable[..., Environment]
) -> Callable[..., None]:
    signature = inspect.signature(function, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.name not in (name, *_LAST)]
    last = [parameter for parameter in signature.parameters.values() if parameter.name in _LAST]
    added = [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for n, kind in options.items()
    ]
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *added, *last)]

    @functools.wraps(function)
    def command(**values: Any) -> None:
        environment = opened(**{option: values.pop(option) for option in options})
        with creation_announced(environment, quiet=bool(values.get("quiet"))):
            function(**{name: environment}, **values)

    command.__signature__ = signature.replace(parameters=keywords)  # pyright: ignore[reportAttributeAccessIssue] - typer reads it
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in keywords}
    return command


@contextmanager
def creation_announced(environment: Environment, *, quiet: bool = False) -> Generator[None]:
    """Print to standard error if the `with` block creates a local environment, so that users notice a mistyped --local.

    quiet: print nothing.
    """
    existed = environment.stack is not None or environment.folder.exists()
    try:
        yield
    finally:
        server_created = environment.server is not None and environment.server.created
        if not quiet and (server_created or (not existed and environment.folder.exists())):
            from retailpipe.listing import folders

            others = set(folders()) - {environment.folder.resolve()}
            more = f"; list all with `{program()} environments`" if others else ""
            say(f"created a new environment in {environment.folder}{more}", err=True)


def open_environment(
    local: Path | None = None,
    database_url: str | None = None,
    stack: str | None = None,
    outputs: Path | None = None,
    profile: str | None = None,
    region: str | None = None,
) -> Environment:
    """Return the environment that the options select, else RETAILPIPE_STACK, else the local one.

    Raises UsageError if the options contradict each other.
    """
    given = {"--local": local, "--database-url": database_url, "--stack": stack, "--outputs": outputs}
    named = [option for option, value in given.items() if value is not None]
    if len(named) > 1 and named != ["--local", "--database-url"]:
        raise UsageError(f"{' and '.join(named)} select different environments", hint="Pass only one of these options.")
    if stack == "":
        raise UsageError("--stack is empty", hint="Give the name of the stack: --stack NAME.")
    if not named:
        stack = os.environ.get("RETAILPIPE_STACK") or None
    if stack or outputs:
        return _open_stack(stack, outputs, profile, region)
    if profile or region:
        raise UsageError("--profile and --region need an AWS stack", hint="Add --stack NAME.")
    return _open_local(local, database_url)


def open_stack(
    stack: str | None = None, outputs: Path | None = None, profile: str | None = None, region: str | None = None
) -> Environment:
    """Return the AWS environment that the options or RETAILPIPE_STACK select. Raises UsageError if there is none."""
    if not (stack or outputs or os.environ.get("RETAILPIPE_STACK")):
        raise UsageError("this command needs an AWS stack", hint="Add --stack NAME, or set RETAILPIPE_STACK.")
    return open_environment(stack=stack, outputs=outputs, profile=profile, region=region)


def stack_of(environment: Environment) -> Stack:
    """Return the stack of an environment. Raises UsageError if the environment is local."""
    if environment.stack is None:
        raise UsageError("this command needs an AWS stack", hint="Add --stack NAME.")
    return environment.stack


def _open_stack(stack: str | None, outputs: Path | None, profile: str | None, region: str | None) -> Environment:
    remember_environment([*stack_options(stack, outputs, profile, region)])
    if outputs:
        return Environment.from_outputs(outputs, profile=profile, region=region)
    return Environment.from_stack(str(stack), profile=profile, region=region)


def _open_local(local: Path | None, database_url: str | None) -> Environment:
    chosen = ["--local", str(local)] if local else []
    environment = Environment.local(local, database_url=database_url)
    if database_url:
        kept = without_password(database_url)  # hints repeat this URL
        if kept != normal_url(database_url):
            warning = "warning: other users of this machine can see a password on the command line"
            say(f"{warning}; put it in PGPASSWORD or a passfile", err=True)
        chosen += ["--database-url", kept]
    remember_environment(chosen)
    return environment


def open_contract(name: Path | None, environment: Environment) -> Contract | None:
    """Return the contract in a file, or of that name in the environment; None if none is given."""
    from retailpipe.bindings import named_contract

    return named_contract(name, environment.folder) if name else None
