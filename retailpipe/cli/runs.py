"""The commands `retailpipe workers ...`: the workers of an AWS stack, and the runs on them."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from retailpipe.cli.help import Commands
from retailpipe.cli.options import Json, Quiet, on_stack, stack_of
from retailpipe.cli.output import print_report, print_result
from retailpipe.cli.progress import progress_shown
from retailpipe.cli.terminal import say
from retailpipe.environment import Environment

app = typer.Typer(
    cls=Commands,
    help="Publish what the workers of an AWS stack install; see and stop a run on them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("publish")
@on_stack
def publish(
    environment: Environment,
    wheels: Annotated[
        Path | None,
        typer.Option(
            "--wheels",
            metavar="DIR",
            help="Publish the wheels in this folder. Default: those that uv.lock of this checkout names.",
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Put the packages that workers install into the bucket, with their hashes.

    Repeat it after each update of retailpipe. Only wheels that are not in the bucket yet are uploaded.

    \b
    Example: retailpipe workers publish --stack dev
    """
    from retailpipe.fargate.locked import collect_wheels
    from retailpipe.fargate.packages import publish as publish_wheels

    stack = stack_of(environment)
    with progress_shown(quiet=quiet) as progress, tempfile.TemporaryDirectory() as name:
        folder = wheels or Path(name)
        if not wheels:
            collect_wheels(Path(__file__).resolve().parents[2], folder, progress=progress)
        report = publish_wheels(stack, folder, progress=progress)
    print_result(report.as_dict(), lambda: say(str(report)), json=json, quiet=quiet)


@app.command("status")
@on_stack
def status(environment: Environment, json: Json = False) -> None:
    """Show how far the newest run is, or how it ended.

    \b
    Example: retailpipe workers status --stack dev
    """
    from retailpipe.fargate.following import newest_run
    from retailpipe.fargate.following import status as status_of

    stack = stack_of(environment)
    print_report(status_of(stack, newest_run(stack)), json)


@app.command("stop")
@on_stack
def stop(environment: Environment, json: Json = False) -> None:
    """Stop the newest run. What is loaded stays, and no workbook is half loaded.

    \b
    Example: retailpipe workers stop --stack dev
    """
    from retailpipe.fargate.following import newest_run
    from retailpipe.fargate.following import stop as stop_run

    stack = stack_of(environment)
    print_report(stop_run(stack, newest_run(stack)), json)
