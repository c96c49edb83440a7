"""The options that commands share."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from retailpipe.cli.invocation import remember_environment
from retailpipe.cli.terminal import say
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import UsageError

Local = Annotated[
    Path | None,
    typer.Option(
        "--local",
        metavar="DIR",
        help="The environment's folder. Default: RETAILPIPE_HOME, else a folder of your data directory.",
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="A PostgreSQL that is there already, in place of the embedded one. Default: RETAILPIPE_DATABASE_URL. "
        "Give its password in PGPASSWORD or a passfile, not here, where other users can see it.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ContractFile = Annotated[
    Path | None,
    typer.Option("--contract", metavar="FILE", help="A contract of your own. Default: the one for Online Retail."),
]
AllowDuplicate = Annotated[
    bool,
    typer.Option("--allow-duplicate", help="Load a content that is loaded under another name already."),
]


StackName = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="A stack on AWS: STACK, or PROJECT/STACK. Default: RETAILPIPE_STACK.",
    ),
]
OutputsFile = Annotated[
    Path | None,
    typer.Option("--outputs", metavar="FILE", help="A stack's outputs, kept as JSON, in place of --stack."),
]
Profile = Annotated[str | None, typer.Option("--profile", metavar="NAME", help="A profile of AWS's own config.")]
Region = Annotated[str | None, typer.Option("--region", metavar="NAME", help="A region of AWS.")]
Replace = Annotated[
    bool,
    typer.Option(
        "--replace", help="Replace another workbook of that name in a stack's bucket, which keeps the old one."
    ),
]

_CHOICES: dict[str, Any] = {
    "local": Local,
    "database_url": DatabaseUrl,
    "stack": StackName,
    "outputs": OutputsFile,
    "profile": Profile,
    "region": Region,
}
_ON_AWS = ("stack", "outputs", "profile", "region")


def on_environment(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command its `environment`, and the options that choose it."""
    return _with_choices(function, _CHOICES, "environment", open_environment)


def on_stack(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command its `environment`, which is one on AWS, and the options that choose it."""
    choices = {name: _CHOICES[name] for name in _ON_AWS}
    return _with_choices(function, choices, "environment", open_stack)


def _with_choices(
    function: Callable[..., None], choices: dict[str, Any], name: str, opened: Callable[..., Environment]
) -> Callable[..., None]:
    signature = inspect.signature(function, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.name not in (name, "json")]
    last = [parameter for parameter in signature.parameters.values() if parameter.name == "json"]
    added = [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for n, kind in choices.items()
    ]
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *added, *last)]

    @functools.wraps(function)
    def command(**values: Any) -> None:
        environment = opened(**{choice: values.pop(choice) for choice in choices})
        function(**{name: environment}, **values)

    command.__signature__ = signature.replace(parameters=keywords)  # pyright: ignore[reportAttributeAccessIssue] - what typer reads
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in keywords}
    return command


def open_environment(
    local: Path | None = None,
    database_url: str | None = None,
    stack: str | None = None,
    outputs: Path | None = None,
    profile: str | None = None,
    region: str | None = None,
) -> Environment:
    """The environment that the options choose; where they name none, RETAILPIPE_STACK does."""
    given = {"--local": local, "--database-url": database_url, "--stack": stack, "--outputs": outputs}
    named = [option for option, value in given.items() if value is not None]
    if len(named) > 1 and named != ["--local", "--database-url"]:
        raise UsageError(f"{' and '.join(named)} name different environments", hint="Give one of them.")
    if stack == "":
        raise UsageError("--stack names no stack", hint="Name it: --stack NAME.")
    if not named:
        stack = os.environ.get("RETAILPIPE_STACK") or None
    if stack or outputs:
        return _open_stack(stack, outputs, profile, region)
    if profile or region:
        raise UsageError("--profile and --region are for a stack on AWS", hint="Name it: --stack NAME.")
    return _open_local(local, database_url)


def open_stack(
    stack: str | None = None, outputs: Path | None = None, profile: str | None = None, region: str | None = None
) -> Environment:
    """The environment on AWS that the options choose, or RETAILPIPE_STACK."""
    if not (stack or outputs or os.environ.get("RETAILPIPE_STACK")):
        raise UsageError("this is about a stack on AWS", hint="Name it: --stack NAME, or set RETAILPIPE_STACK.")
    return open_environment(stack=stack, outputs=outputs, profile=profile, region=region)


def _open_stack(stack: str | None, outputs: Path | None, profile: str | None, region: str | None) -> Environment:
    chosen = ["--outputs", str(outputs)] if outputs else ["--stack", str(stack)]
    for option, value in (("--profile", profile), ("--region", region)):
        chosen += [option, value] if value else []
    remember_environment(chosen)
    if outputs:
        return Environment.from_outputs(outputs, profile=profile, region=region)
    return Environment.from_stack(str(stack), profile=profile, region=region)


def _open_local(local: Path | None, database_url: str | None) -> Environment:
    chosen = ["--local", str(local)] if local else []
    environment = Environment.local(local, database_url=database_url)
    if database_url:
        from psycopg2.extensions import make_dsn, parse_dsn

        parts = parse_dsn(database_url)
        if parts.pop("password", None) is not None:
            say("warning: other users of this machine can see a password on the command line", err=True)
            database_url = "postgresql:///?" + urlencode(parse_dsn(make_dsn(**parts)))
        chosen += ["--database-url", database_url]
    remember_environment(chosen)
    return environment


def open_contract(file: Path | None) -> Contract | None:
    """The contract that the option chooses; None if it was not given."""
    return Contract.from_file(file) if file else None
