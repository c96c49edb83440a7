"""The commands for an AWS stack, except those of its database and its schedule.

Each command imports its module of `retailpipe.aws` when it runs, so that boto3 is imported only if it is needed.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retailpipe.cli import database, schedule
from retailpipe.cli.invocation import as_typed, remember_environment
from retailpipe.cli.json_text import say_json
from retailpipe.cli.options import Json, Profile, Region, StackName, Yes, on_stack, stack_of
from retailpipe.cli.output import print_json, say_table
from retailpipe.cli.progress import progress_shown
from retailpipe.cli.terminal import say
from retailpipe.environment import Environment
from retailpipe.errors import UsageError
from retailpipe.hints import file_argument

if TYPE_CHECKING:
    from retailpipe.aws.cleanup import Remains


@on_stack
def env(
    environment: Environment,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write",
            metavar="FILE",
            help="Write the variables to this file instead of printing them; only you can read it.",
        ),
    ] = None,
    with_password: Annotated[
        bool, typer.Option("--with-password", help="Include AWS_RDS_PASSWORD, which RDS changes every week.")
    ] = False,
    json: Json = False,
) -> None:
    """Print the names and addresses of the stack's resources as shell variables.

    \b
    Example: retailpipe env --stack dev --write aws_config.env
    """
    from retailpipe.aws import shell

    variables = shell.env(stack_of(environment), with_password=with_password)
    if write:
        shell.write_env(variables, write)
        print_json({"written": str(write)}) if json else say(
            f"wrote {write}; use it with: source {file_argument(write)}"
        )
        return
    print_json(variables) if json else say(shell.as_shell(variables), nl=False)


@on_stack
def logs(
    environment: Environment,
    source: Annotated[str, typer.Argument(help="The log: notify-upload, check-bucket, database or workers.")],
    follow: Annotated[bool, typer.Option("--follow", help="Print new lines as they arrive, until Ctrl-C.")] = False,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Start this long ago, such as 90s, 1h or 2d.")
    ] = "1h",
    json: Json = False,
) -> None:
    """Show the logs of the Lambdas or the database.

    With --json, it prints one JSON document per line.

    \b
    Example: retailpipe logs notify-upload --stack dev --since 2h
    """
    import json as json_module

    from retailpipe.aws.logs import logs as logs_of
    from retailpipe.durations import parse_duration

    for line in logs_of(stack_of(environment), source, since=parse_duration(since), follow=follow):
        say_json(json_module.dumps(line.as_dict(), ensure_ascii=False)) if json else say(str(line))


@on_stack
def subscribe(
    environment: Environment,
    email: Annotated[str | None, typer.Argument(help="The email address. Default: list the subscriptions.")] = None,
    json: Json = False,
) -> None:
    """Subscribe an email address to the stack's notices, or list the subscriptions.

    AWS sends an email with a link; the subscription starts when the link is opened.

    \b
    Example: retailpipe subscribe me@example.com --stack dev
    """
    from retailpipe.aws import notices

    stack = stack_of(environment)
    found = notices.subscribe(stack, email) if email else notices.subscriptions(stack)
    print_json([each.as_dict() for each in found]) if json else say("\n".join(map(str, found)) or "no subscriptions")


@on_stack
def cost(
    environment: Environment,
    hours: Annotated[
        float | None,
        typer.Option(metavar="N", min=0, max=744, help="Hours per month that the database runs. Default: all hours."),
    ] = None,
    json: Json = False,
) -> None:
    """Show the monthly cost of the stack in USD.

    It is computed from the stack's current settings and a price list, not from the AWS bill.

    \b
    Example: retailpipe cost --stack dev --hours 173
    """
    from retailpipe.aws.costs import cost as cost_of

    found = cost_of(stack_of(environment), hours=hours)
    if json:
        print_json(found.as_dict())
        return
    rows = [[item.item, f"{item.running:.2f}", f"{item.stopped:.2f}", item.about] for item in found.items]
    rows.append(["total", f"{found.running:.2f}", f"{found.stopped:.2f}", "USD per month"])
    say_table(["item", "running", "stopped", "for"], rows)
    say(f"prices of {found.region}, as of {found.as_of}; prices differ in other regions")


def cleanup(
    stack: StackName = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted; delete nothing.")] = False,
    yes: Yes = False,
    profile: Profile = None,
    region: Region = None,
    json: Json = False,
) -> None:
    """Delete a stack and everything in it: workbooks with all versions, the database, logs, local files.

    It asks for the stack's name first. Deleted data cannot be restored.

    \b
    Example: retailpipe cleanup --stack dev --dry-run
    """
    from retailpipe.aws.cleanup import Cleanup
    from retailpipe.aws.session import Aws

    name = stack or os.environ.get("RETAILPIPE_STACK")
    if not name:
        raise UsageError("this command needs an AWS stack", hint="Add --stack NAME, or set RETAILPIPE_STACK.")
    chosen = {"--stack": name, "--profile": profile, "--region": region}
    remember_environment([word for option, value in chosen.items() if value for word in (option, value)])
    cleaner = Cleanup(name, Aws(profile, region))
    cleaner.check()
    remains = cleaner.remains()
    if remains.nothing or dry_run:
        if json:
            print_json(remains.as_dict())
        elif remains.nothing:
            say(f"nothing is left of stack {name}")
        else:
            say("\n  ".join(["would be deleted:", *remains.lines()]) + _kept_resources_note(remains))
        return
    say("\n  ".join(["will be permanently deleted:", *remains.lines()]) + _kept_resources_note(remains), err=True)
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for confirmation: the standard input is not a terminal",
            hint="Add --yes to delete the stack without confirmation.",
        )
    if not yes and typer.prompt("Type the stack's name to delete it", err=True) != name:
        raise UsageError("the name does not match; nothing was deleted", hint=f"To delete the stack, type {name}.")
    with progress_shown() as progress:
        left = cleaner.remove(progress)
    if json:
        print_json(left.as_dict())
    else:
        incomplete = f"stack {name} was not deleted completely"
        say(f"nothing is left of stack {name}" if left.nothing else f"{incomplete}{_kept_resources_note(left)}")
    if not left.nothing:
        raise typer.Exit(1)


def _kept_resources_note(remains: "Remains") -> str:
    """Return the note about AWS resources that `cleanup` cannot delete from here; empty if there are none."""
    if not remains.deployed or remains.by_pulumi:
        return ""
    return as_typed(
        "\nThe AWS resources are kept, because the pulumi command or the Pulumi project was not found here. In the "
        f"folder that you deployed from, run `pulumi destroy --stack {remains.stack}`. Then run `retailpipe cleanup` "
        "again to delete the logs."
    )


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for function in (env, logs, subscribe):
        app.command()(function)
    app.add_typer(schedule.app, name="schedule")
    app.add_typer(database.app, name="db")
    for function in (cost, cleanup):
        app.command()(function)
