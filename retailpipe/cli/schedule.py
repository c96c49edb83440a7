"""The commands `retailpipe schedule ...`, which manage the schedule of an AWS stack."""

import typer

from retailpipe.cli.help import Commands
from retailpipe.cli.options import Json, on_stack, stack_of
from retailpipe.cli.output import print_json, print_report
from retailpipe.cli.terminal import say
from retailpipe.environment import Environment

app = typer.Typer(
    cls=Commands, help="Manage the schedule of the stack's bucket check.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("on")
@on_stack
def on(environment: Environment, json: Json = False) -> None:
    """Enable the schedule.

    \b
    Example: retailpipe schedule on --stack dev
    """
    _switch(environment, on=True, json=json)


@app.command("off")
@on_stack
def off(environment: Environment, json: Json = False) -> None:
    """Disable the schedule.

    \b
    Example: retailpipe schedule off --stack dev
    """
    _switch(environment, on=False, json=json)


@app.command("status")
@on_stack
def status(environment: Environment, json: Json = False) -> None:
    """Show whether the schedule is enabled and when it runs.

    \b
    Example: retailpipe schedule status --stack dev
    """
    from retailpipe.aws import schedule as schedules

    print_report(schedules.schedule(stack_of(environment)), json)


@app.command("run-now")
@on_stack
def run_now(environment: Environment, json: Json = False) -> None:
    """Run the bucket check now and show its result.

    In the result, `pulled` is the workbook that was downloaded from `sourceUrl`, and `waiting` is the number of
    workbooks that are not loaded.

    \b
    Example: retailpipe schedule run-now --stack dev
    """
    from retailpipe.aws import schedule as schedules

    answer = schedules.run_now(stack_of(environment))
    print_json(answer) if json else say(
        "\n".join(f"{name}: {'none' if value is None else value}" for name, value in answer.items())
    )


def _switch(environment: Environment, *, on: bool, json: bool) -> None:
    from retailpipe.aws import schedule as schedules

    print_report(schedules.switch(stack_of(environment), on=on), json)
    if not json:
        say(
            f"to keep this setting after the next `pulumi up`, run: pulumi config set scheduleEnabled {str(on).lower()}"
        )
