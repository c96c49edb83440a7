"""The command `watch`, which waits for workbooks."""

import json as json_module
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from retailpipe.cli.json_text import say_json
from retailpipe.cli.options import Json, Quiet, on_environment
from retailpipe.cli.output import print_handled, unless_quiet
from retailpipe.cli.progress import progress_shown
from retailpipe.cli.terminal import say
from retailpipe.environment import Environment
from retailpipe.keys import INPUT


@on_environment
def watch(
    environment: Environment,
    once: Annotated[bool, typer.Option("--once", help="Stop when all new workbooks are processed.")] = False,
    idle_exit: Annotated[
        str | None,
        typer.Option("--idle-exit", metavar="TIME", help="Stop after this time without a new workbook, such as 10m."),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Load, build and verify each new workbook, until Ctrl-C.

    It watches the folder `input/` of the environment, or the uploads to an AWS stack. With --json, it prints one JSON
    document per line.

    \b
    Example: retailpipe watch --idle-exit 2h
    """
    from retailpipe.durations import parse_duration
    from retailpipe.watch import watch as watch_environment

    idle = parse_duration(idle_exit) if idle_exit else None
    all_well = True
    if not quiet:
        place = environment.store.address
        say(f"watching {place if environment.stack else Path(place) / INPUT}", err=True)
    with progress_shown(quiet=quiet) as progress:
        for handled in watch_environment(environment, once=once, idle_exit=idle, progress=progress):
            progress.end()
            all_well = all_well and handled.ok
            if json:
                say_json(json_module.dumps(handled.as_dict(), ensure_ascii=False))
            else:
                unless_quiet(partial(print_handled, handled, problems_only=quiet), quiet=quiet, ok=handled.ok)
    if not all_well:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(watch)
