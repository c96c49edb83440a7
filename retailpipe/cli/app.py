"""All commands, in the groups of the help.

The modules of commands do without postponed annotations: typer would compile each of them at every start.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from retailpipe.cli import aws, questions, server, steps
from retailpipe.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUPS: "Mapping[str, tuple[str, ...]]" = {
    "Begin": ("demo", "run", "init"),
    "Load and build": ("upload", "ingest", "transform", "dbt", "watch"),
    "Look": ("status", "rejects", "query"),
    "Prove": ("verify", "check"),
    "The database on this machine": ("local",),
    "A stack on AWS": ("env", "logs", "subscribe", "schedule", "db", "cost", "cleanup"),
}
"""The commands by what a person wants."""


class _Groups(TyperGroup):
    """A help that lists the commands by group."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, self.commands))
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), self.commands[name].get_short_help_str(200)) for name in names])


app = typer.Typer(
    cls=_Groups,
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
