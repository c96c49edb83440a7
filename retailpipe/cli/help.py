"""How the help lists commands."""

from typing import Any

from typer.core import TyperGroup


class Commands(TyperGroup):
    """Lists the subcommands in the help, each with its whole first sentence: on narrow terminals, click cuts them."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(200)) for name, each in self.commands.items()])
