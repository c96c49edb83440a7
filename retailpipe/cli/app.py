"""Assemble the commands into one program, and group them in the help.

The modules with commands do not use `from __future__ import annotations`: typer would have to compile each annotation
at every start.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from retailpipe.cli import (
    aws,
    certifying,
    classes,
    contracts,
    grading,
    loading,
    queries,
    reporting,
    runs,
    server,
    steps,
    tracing,
    watching,
)
from retailpipe.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUPS: "Mapping[str, tuple[str, ...]]" = {
    "Get started": ("demo", "run", "init"),
    "Load and build": ("upload", "ingest", "transform", "dbt", "watch"),
    "Undo": ("forget", "restore"),
    "Inspect": ("status", "rejects", "query", "trace", "report", "docs", "environments"),
    "Verify": ("verify", "certify", "check"),
    "Contracts": ("contract",),
    "Embedded PostgreSQL": ("local",),
    "AWS stack": ("env", "logs", "subscribe", "schedule", "db", "cost", "workers", "cleanup"),
    "Class": ("class", "submit"),
}
"""The commands in the order and groups of `retailpipe --help`. Every command must be in exactly one group."""


class _Groups(TyperGroup):
    """Lists the commands by group in the help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, self.commands))
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), self.commands[name].get_short_help_str(200)) for name in names])


_HELP = "Load an Excel workbook of retail transactions into PostgreSQL: bronze, then silver and gold with dbt."

app = typer.Typer(
    cls=_Groups,
    name="retailpipe",
    help=_HELP,
    epilog="Start with: retailpipe demo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(requested: bool) -> None:
    if requested:
        import retailpipe

        say(f"retailpipe {retailpipe.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Define the options of the program itself."""


steps.register(app)
loading.register(app)
certifying.register(app)
queries.register(app)
tracing.register(app)
reporting.register(app)
watching.register(app)
app.add_typer(contracts.app, name="contract")
app.command()(server.environments)
app.add_typer(server.app, name="local")
aws.register(app)
app.add_typer(runs.app, name="workers")
app.add_typer(classes.app, name="class")
grading.register(app, classes.app)
