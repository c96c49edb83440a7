"""The command `trace`, and what it prints."""

import shlex
import sys
from typing import Annotated

import typer

from retailpipe import tracing
from retailpipe.cli.options import Json, on_environment
from retailpipe.cli.output import print_json, say_table, say_text
from retailpipe.cli.queries import Form, FormOption, RowsFile, chosen_form, document
from retailpipe.cli.tables import shown
from retailpipe.cli.terminal import say
from retailpipe.counts import counted
from retailpipe.environment import Environment
from retailpipe.errors import UsageError
from retailpipe.tracing import CellTrace, Trace

_ROWS_SHOWN = 20
_WORKBOOKS_SHOWN = 5


@on_environment
def trace(
    environment: Environment,
    table: Annotated[
        str | None,
        typer.Argument(
            metavar="TABLE", help="A table of silver or gold, or of a model of your own.", show_default=False
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COLUMN=VALUE...", help="Values that only this row of the table has.", show_default=False
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", metavar="NAME", help="Trace only this figure. Default: all.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="GROUP", help="Group the rows: day, invoice or workbook.")
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option("--cell", metavar="CELL", help="Show where a cell went, such as 'sales.xlsx!F17'."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="List at most this many rows. Default: 20 in a table, all in other formats."
        ),
    ] = None,
    form: FormOption = None,
    out: RowsFile = None,
    json: Json = False,
) -> None:
    """Show which cells of which workbooks a figure comes from, or where a cell went.

    The rows of bronze must give every figure to the last digit; otherwise the command fails and says why. The rows that
    add the most come first.

    \b
    Example: retailpipe trace monthly_sales_summary year=2011 month=11 --column revenue
             retailpipe trace top_products stock_code=85123A --by day
             retailpipe trace --cell 'online_retail.xlsx!F17'
    """
    chosen = chosen_form(form, out, json)
    if cell is not None:
        if table or column or by:
            raise UsageError("--cell is not for a table", hint="Give a table with its key, or --cell.")
        if out is not None or chosen not in (Form.table, Form.json):
            raise UsageError("--cell is shown as text or JSON", hint="Leave out --out, or use --format json.")
        found = tracing.trace_cell(environment, cell)
        print_json(found.as_dict()) if chosen == Form.json else _print_cell(found)
        return
    if table is None:
        raise UsageError(
            "which figure?", hint="Give a table and its key, such as `retailpipe trace top_products rank=1`."
        )
    if chosen == Form.xlsx and out is None and sys.stdout.isatty():
        raise UsageError("a workbook cannot be shown on a terminal", hint="Add --out FILE.")
    if limit is None and chosen == Form.table:
        limit = _ROWS_SHOWN
    result = tracing.trace(environment, table, _values(key or ()), column=column, by=by, limit=limit)
    if out is None and chosen == Form.table:
        _print_trace(result)
    elif out is None and chosen == Form.json:
        print_json(result.as_dict())
    elif out is None and chosen == Form.csv:
        say(document(result.rows, chosen).decode(errors="backslashreplace"), nl=False)
    elif out is None:
        sys.stdout.buffer.write(document(result.rows, chosen))
    else:
        from retailpipe.files import write_file

        write_file(out, document(result.rows, chosen))
        say(f"wrote {counted(result.rows.num_rows, 'row')} to {out}", err=True)


def _values(key: "list[str] | tuple[()]") -> dict[str, str]:
    """Parse COLUMN=VALUE arguments. Raises UsageError if one has another form, or a column is given twice."""
    values: dict[str, str] = {}
    for argument in key:
        name, equals, value = argument.partition("=")
        if not equals or not name:
            raise UsageError(f"{argument!r} is not of the form COLUMN=VALUE", hint="Write it as in year=2011.")
        if name in values:
            raise UsageError(f"{name} is given twice", hint="Give each column once.")
        values[name] = value
    return values


def _print_trace(found: Trace) -> None:
    from retailpipe.spreadsheet import rows_of

    say(f"{found.table} {_key(found.key)}")
    rows = [[each.column, each.figure, each.rows, each.how] for each in found.figures]
    say_table(["column", "figure", "rows", "from"], rows, indent=2)
    if found.listed:
        values = list(rows_of(found.rows))
        whole = shlex.join(["trace", found.table, *(f"{name}={value or ''}" for name, value in found.key.items())])
        say(f"\n{' and '.join(found.listed)}{f' by {found.by}' if found.by else ''}, the biggest first:")
        say_table(found.rows.column_names, values, indent=2, spare=["sheet", "row"], complete=f"{whole} --json")
        what = "group" if found.by else "row"
        is_all = len(values) == found.total
        say(f"({counted(found.total, what) if is_all else f'{len(values):,} of {counted(found.total, what)}'})")
    for workbook in found.workbooks[:_WORKBOOKS_SHOWN]:
        say_text(str(workbook), indent=4)
    if (more := len(found.workbooks) - _WORKBOOKS_SHOWN) > 0:
        say(f"and {counted(more, 'more workbook')}")
    for note in found.notes:
        say_text(note, indent=4)
    say("the rows of bronze give every figure exactly")


def _print_cell(found: CellTrace) -> None:
    say_text(found.explanation, indent=4)
    if found.row:
        say_table(["column", "value"], [[name, value] for name, value in found.row.items()], indent=2)
    if found.figures:
        say("\nIt is part of:")
        rows = [[e.table, _key(e.key), e.column, e.figure, e.adds, e.role] for e in found.figures]
        say_table(["table", "row", "column", "figure", "adds", "as"], rows, indent=2)
    say_text(str(found.workbook), indent=4)


def _key(key: "dict[str, str | None]") -> str:
    return " ".join(f"{name}={shown(value)}" for name, value in key.items())


def register(app: typer.Typer) -> None:
    """Add this command to the program."""
    app.command()(trace)
