"""All commands, in the order of the help.

The modules of commands do without postponed annotations: typer would compile each of them at every start.
"""

from typing import Annotated

import typer

from retailpipe.cli import aws, questions, server, steps
from retailpipe.cli.terminal import say

app = typer.Typer(
    name="retailpipe",
    help="An Excel workbook of retail transactions into PostgreSQL: bronze, then silver and gold with dbt.",
    epilog="Begin with: retailpipe demo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        import retailpipe

        say(f"retailpipe {retailpipe.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """An Excel workbook of retail transactions into PostgreSQL: bronze, then silver and gold with dbt."""


steps.register(app)
questions.register(app)
app.add_typer(server.app, name="local")
aws.register(app)
