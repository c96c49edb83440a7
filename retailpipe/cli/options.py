"""The options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from retailpipe.cli.invocation import remember_environment
from retailpipe.contract import Contract
from retailpipe.environment import Environment

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


def open_environment(local: Path | None, database_url: str | None) -> Environment:
    """The environment that the options choose."""
    chosen = ["--local", str(local)] if local else []
    environment = Environment.local(local, database_url=database_url)
    if database_url:
        from psycopg2.extensions import make_dsn, parse_dsn

        parts = parse_dsn(database_url)
        if parts.pop("password", None) is not None:
            typer.echo("warning: other users of this machine can see a password on the command line", err=True)
            database_url = "postgresql:///?" + urlencode(parse_dsn(make_dsn(**parts)))
        chosen += ["--database-url", database_url]
    remember_environment(chosen)
    return environment


def open_contract(file: Path | None) -> Contract | None:
    """The contract that the option chooses; None if it was not given."""
    return Contract.from_file(file) if file else None
