"""The commands `retailpipe local ...`, which manage the embedded PostgreSQL, and `environments`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retailpipe import listing
from retailpipe.cli.help import Commands
from retailpipe.cli.invocation import as_typed, remember_environment
from retailpipe.cli.options import Json, Local, creation_announced
from retailpipe.cli.output import print_environments, print_json, print_servers
from retailpipe.cli.progress import progress_shown
from retailpipe.cli.terminal import confirm, say
from retailpipe.dbt_docs import DOCS_NAME
from retailpipe.environment import Environment
from retailpipe.errors import ServerError, UsageError
from retailpipe.html_report import REPORT_NAME

if TYPE_CHECKING:
    from retailpipe.local.remains import Remains
    from retailpipe.local.server import EmbeddedServer

app = typer.Typer(cls=Commands, help="Manage the embedded PostgreSQL.", no_args_is_help=True, rich_markup_mode=None)


def environments(json: Json = False) -> None:
    """List the environments of this machine: server, workbooks, last load (UTC), size on disk, folder.

    The list starts no server. It contains the environments that your user has used, except folders that were deleted.

    \b
    Example: retailpipe environments
    """
    found = listing.environments()
    print_json([report.as_dict() for report in found]) if json else print_environments(found)


@app.command()
def start(local: Local = None, json: Json = False) -> None:
    """Start the server; create the database if there is none.

    The server runs until `retailpipe local stop`. Other commands start it when they need it.

    \b
    Example: retailpipe local start
    """
    environment = _environment(local)
    server = _server(environment)
    with creation_announced(environment):
        url = server.start()
    print_json({"url": url, "log": str(server.log)}) if json else say(f"{url}\nlog: {server.log}")


@app.command()
def stop(
    local: Local = None,
    every: Annotated[bool, typer.Option("--all", help="Stop the servers of all your environments.")] = False,
    json: Json = False,
) -> None:
    """Stop the server; keep the database.

    \b
    Example: retailpipe local stop
    """
    if every:
        _refuse(local, "--all")
        _stop_all(json)
        return
    environment = _environment(local)
    server = _server(environment)
    stopped = server.stop()
    if json:
        print_json({"stopped": stopped})
    elif stopped or server.has_database:
        say("stopped" if stopped else "was not running")
    else:
        say(f"there is no database in {environment.folder}")


@app.command()
def url(
    local: Local = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Use the role that can only read.")] = False,
    parts: Annotated[
        bool, typer.Option("--parts", help="Print host, port, database, user and password file, one per line.")
    ] = False,
    json: Json = False,
) -> None:
    """Print the database URL; start the server if needed.

    psql and other programs accept it. It contains the path of the password file, not the password.

    \b
    Example: psql "$(retailpipe local url --read-only)"
    """
    environment = _environment(local)
    server = _server(environment)
    with creation_announced(environment):
        address = server.start()
    if read_only:
        address = _readers_url(server, address)
    if parts:
        values = _parts(server, address)
        print_json(values) if json else say("\n".join(f"{name}: {value}" for name, value in values.items()))
    else:
        print_json({"url": address}) if json else say(address)


@app.command("list")
def list_servers(json: Json = False) -> None:
    """List the embedded servers: state, port, process, size on disk, folder; and data that no environment uses.

    \b
    Example: retailpipe local list
    """
    servers = [report for report in listing.environments() if report.is_embedded]
    left = listing.remains()
    if json:
        names = ("folder", "port", "pid", "size")
        shown = [{"state": each.server} | {name: getattr(each, name) for name in names} for each in servers]
        print_json({"servers": shown, "remains": [each.as_dict() for each in left]})
    else:
        print_servers(servers, left)


@app.command()
def destroy(
    local: Local = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    remains: Annotated[
        bool,
        typer.Option("--remains", help="Delete only data that no environment uses any more. Only root has such data."),
    ] = False,
    json: Json = False,
) -> None:
    """Delete the database with everything loaded and built. The workbooks in the store are kept.

    \b
    Example: retailpipe local destroy --yes
    """
    if remains:
        _refuse(local, "--remains")
        _destroy_remains(yes, json)
        return
    environment = _environment(local)
    server = _server(environment)
    _confirm(f"Delete the database in {environment.folder} with all its tables?", yes)
    existed = server.destroy()
    older = [each for each in listing.remains() if each.folder == str(environment.folder.resolve())]
    for each in _deleted(older):
        say(f"kept {each.data}: {each.kept}" if each.kept else f"deleted {each.data}", err=True)
    if not existed:
        print_json({"destroyed": None}) if json else say(f"there is no database in {environment.folder}")
        return
    if json:
        print_json({"destroyed": str(environment.folder)})
        return
    pages = [str(page) for name in (REPORT_NAME, DOCS_NAME) if (page := environment.folder / name).exists()]
    kept = " and ".join([f"the workbooks in {environment.folder / 'input'}", *pages])
    say(f"deleted the database in {environment.folder}; kept {kept}")


def _stop_all(json: bool) -> None:
    stopped, errors = listing.stop_all()
    if json:
        print_json({"stopped": stopped, "errors": [str(error) for error in errors]})
    else:
        for folder in stopped:
            say(f"stopped {folder}")
        if not stopped and not errors:
            say("no server was running")
    for error in errors:
        say(f"error: {error}\nhint: {as_typed(error.hint)}", err=True)
    if errors:
        raise typer.Exit(1)


def _destroy_remains(yes: bool, json: bool) -> None:
    left = listing.remains()
    deletable = [each for each in left if not each.kept]
    if deletable:
        for each in deletable:
            say(f"{each.data}: the data of {each.folder}, which does not use them any more", err=True)
        _confirm("Search this machine for environments that use these data, and delete the data that none uses?", yes)
    results = _deleted(left)
    deleted = [each for each in results if not each.kept]
    kept = [each for each in results if each.kept]
    if json:
        print_json({"destroyed": [each.data for each in deleted], "kept": [each.as_dict() for each in kept]})
        return
    for each in deleted:
        say(f"deleted {each.data}")
    for each in kept:
        say(f"kept {each.data}: {each.kept}")
    if any(each.pid for each in kept):
        say(as_typed("stop the servers that use them with `retailpipe local stop --all`"))
    if not results:
        say("no data to delete were found")


def _deleted(remains: "list[Remains]") -> "list[Remains]":
    """Delete the remains that can be deleted, and return all."""
    from retailpipe.local.remains import delete_remains, finish_deletions

    finish_deletions()
    if not remains:
        return []
    with progress_shown() as progress:
        return delete_remains(remains, progress=progress)


def _confirm(question: str, yes: bool) -> None:
    """Ask for confirmation unless `yes`. Raises UsageError without a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for confirmation: the standard input is not a terminal",
            hint="Add --yes to delete the database without confirmation.",
        )
    confirm(question)


def _refuse(local: Path | None, option: str) -> None:
    if local is not None:
        raise UsageError(f"{option} is for all environments, and --local for one", hint="Pass only one of them.")


def _readers_url(server: "EmbeddedServer", address: str) -> str:
    if not server.has_reader:
        raise ServerError(
            "this database was created by an earlier version and has no role that can only read",
            hint="Run `retailpipe local destroy` and load again.",
        )
    return server.readers_url(address)


def _parts(server: "EmbeddedServer", address: str) -> dict[str, str | int]:
    from urllib.parse import urlsplit

    split = urlsplit(address)
    return {
        "host": split.hostname or "",
        "port": split.port or 0,
        "database": split.path.removeprefix("/"),
        "user": split.username or "",
        "passfile": str(server.passfile),
    }


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
