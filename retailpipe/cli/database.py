"""The commands `retailpipe db ...`, which manage the database of an AWS stack."""

from typing import Annotated

import typer

from retailpipe.cli.help import Commands
from retailpipe.cli.options import Json, on_stack, stack_of
from retailpipe.cli.output import print_json, print_report
from retailpipe.cli.terminal import say
from retailpipe.environment import Environment

app = typer.Typer(cls=Commands, help="Manage the database of the stack.", no_args_is_help=True, rich_markup_mode=None)


@app.command("status")
@on_stack
def status(environment: Environment, json: Json = False) -> None:
    """Show the state of the database in RDS.

    \b
    Example: retailpipe db status --stack dev
    """
    from retailpipe.aws import instance

    print_report(instance.database_status(stack_of(environment)), json)


@app.command("start")
@on_stack
def start(environment: Environment, json: Json = False) -> None:
    """Start the database.

    It takes a few minutes; `retailpipe db status` shows when the database is available.

    \b
    Example: retailpipe db start --stack dev
    """
    from retailpipe.aws import instance

    print_report(instance.start_database(stack_of(environment)), json)


@app.command("stop")
@on_stack
def stop(environment: Environment, json: Json = False) -> None:
    """Stop the database to save money.

    A stopped database costs only its storage and its secret. AWS starts it again after seven days.

    \b
    Example: retailpipe db stop --stack dev
    """
    from retailpipe.aws import instance

    print_report(instance.stop_database(stack_of(environment)), json)


@app.command(
    "psql",
    options_metavar="[OPTIONS] [-- PSQL_OPTIONS...]",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
@on_stack
def psql(context: typer.Context, environment: Environment) -> None:
    """Open psql on the database.

    Put options of retailpipe before `--`, options of psql after it.

    \b
    Example: retailpipe db psql --stack dev -- -c "select count(*) from bronze.raw_transactions"
    """
    from retailpipe.aws import instance

    raise typer.Exit(instance.psql(stack_of(environment), context.args))


@app.command("rotate-password")
@on_stack
def rotate_password(environment: Environment, json: Json = False) -> None:
    """Change the database password now.

    RDS creates a new password and stores it in the stack's secret. Commands read it when they connect.

    \b
    Example: retailpipe db rotate-password --stack dev
    """
    from retailpipe.aws import instance

    stack = stack_of(environment)
    instance.rotate_password(stack)
    print_json({"rotating": stack.outputs.database_instance}) if json else say(
        "RDS is changing the password; the new one is available in about a minute"
    )


@app.command("allow")
@on_stack
def allow(
    environment: Environment,
    address: Annotated[
        str | None,
        typer.Option(
            "--address", metavar="ADDRESS", help="An IP address or a network. Default: the address of this machine."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the change; do not make it.")] = False,
    json: Json = False,
) -> None:
    """Allow an IP address to connect to the database.

    It adds the address to the setting `allowedCidrs`. Run `pulumi up` to apply the setting.

    \b
    Example: retailpipe db allow --stack dev
    """
    from retailpipe.aws import instance

    allowed = instance.allow(stack_of(environment), address, dry_run=dry_run)
    if json:
        print_json(allowed.as_dict() | {"changed": allowed.changed})
        return
    say(str(allowed))
    if allowed.changed and not dry_run:
        say("apply the change with: pulumi up")
