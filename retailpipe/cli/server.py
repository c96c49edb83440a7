"""The commands `retailpipe local ...`, which manage the embedded PostgreSQL."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retailpipe.cli.help import Commands
from retailpipe.cli.invocation import remember_environment
from retailpipe.cli.options import Json, Local
from retailpipe.cli.output import print_json
from retailpipe.cli.terminal import say
from retailpipe.environment import Environment
from retailpipe.errors import UsageError

if TYPE_CHECKING:
    from retailpipe.local.server import EmbeddedServer

app = typer.Typer(cls=Commands, help="Manage the embedded PostgreSQL.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def start(local: Local = None, json: Json = False) -> None:
    """Start the server; create the database if there is none.

    The server runs until `retailpipe local stop`. Other commands start it when they need it.

    \b
    Example: retailpipe local start
    """
    server = _server(_environment(local))
    url = server.start()
    print_json({"url": url, "log": str(server.log)}) if json else say(f"{url}\nlog: {server.log}")


@app.command()
def stop(local: Local = None, json: Json = False) -> None:
    """Stop the server; keep the database.

    \b
    Example: retailpipe local stop
    """
    stopped = _server(_environment(local)).stop()
    print_json({"stopped": stopped}) if json else say("stopped" if stopped else "was not running")


@app.command()
def url(local: Local = None, json: Json = False) -> None:
    """Print the database URL; start the server if needed.

    psql and other programs accept it. It contains the path of the password file, not the password.

    \b
    Example: psql "$(retailpipe local url)"
    """
    address = _server(_environment(local)).start()
    print_json({"url": address}) if json else say(address)


@app.command()
def destroy(
    local: Local = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    json: Json = False,
) -> None:
    """Delete the database with everything loaded and built. The workbooks in the store are kept.

    \b
    Example: retailpipe local destroy --yes
    """
    environment = _environment(local)
    server = _server(environment)
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for confirmation: the standard input is not a terminal",
            hint="Add --yes to delete the database without confirmation.",
        )
    if not yes:
        typer.confirm(f"Delete the database in {environment.folder} with all its tables?", abort=True, err=True)
    existed = server.destroy()
    if not existed:
        print_json({"destroyed": None}) if json else say(f"there is no database in {environment.folder}")
        return
    print_json({"destroyed": str(environment.folder)}) if json else say(
        f"deleted the database in {environment.folder}; kept the workbooks in {environment.folder / 'input'}"
    )


def _environment(local: Path | None) -> Environment:
    remember_environment(["--local", str(local)] if local else [])
    return Environment.local(local)


def _server(environment: Environment) -> "EmbeddedServer":
    if environment.server is None:
        raise UsageError(
            "RETAILPIPE_DATABASE_URL is set, so the embedded PostgreSQL is not used",
            hint="Unset RETAILPIPE_DATABASE_URL for this command.",
        )
    return environment.server
