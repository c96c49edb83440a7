"""The commands that change nothing: `status`, `rejects` and `query`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retailpipe import queries
from retailpipe.cli.corrections import AnnotateFile, WriteFile, write_rejects
from retailpipe.cli.options import ContractFile, Json, on_environment, open_contract
from retailpipe.cli.output import LOADS_SHOWN, print_json, print_rejects, print_status, print_table, table_document
from retailpipe.cli.terminal import say
from retailpipe.counts import counted
from retailpipe.environment import Environment
from retailpipe.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa


class Form(StrEnum):
    """The output format of `query` and `trace`."""

    table = "table"
    csv = "csv"
    json = "json"
    xlsx = "xlsx"


FormOption = Annotated[
    Form | None,
    typer.Option(
        "--format",
        help="The output format. Default: from the ending of FILE, else table. --json means --format json.",
    ),
]
RowsFile = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the rows to this file; overwrite it if it exists."),
]


@on_environment
def status(environment: Environment, contract: ContractFile = None, json: Json = False) -> None:
    """Show what is loaded and which workbooks are not loaded yet.

    It prints the newest 30 loads, and the first 10 names of each list. --json prints all.

    \b
    Example: retailpipe status
    """
    report = queries.status(
        environment, contract=open_contract(contract, environment), newest=None if json else LOADS_SHOWN
    )
    print_json(report.as_dict()) if json else print_status(report)


@on_environment
def rejects(
    environment: Environment,
    source: Annotated[
        str | None, typer.Argument(help="A workbook in the store, such as input/sales.xlsx. Default: all.")
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Print at most this many rows.")] = None,
    write: WriteFile = None,
    annotate: AnnotateFile = None,
    contract: ContractFile = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --write or --annotate.")] = False,
    json: Json = False,
) -> None:
    """List the rejected rows, each with its cell, the reason and a hint; or write them for the author of the data.

    A row is rejected if a value breaks the contract. The other rows of the workbook are loaded.

    \b
    Example: retailpipe rejects input/online_retail.xlsx --write rejects.xlsx
    """
    if write or annotate:
        if limit:
            raise UsageError(
                "--limit is for the list; --write and --annotate write all rows", hint="Leave out --limit."
            )
        write_rejects(environment, source, write, annotate, contract, force, json)
        return
    if contract or force:
        raise UsageError("--contract and --force are for --write and --annotate", hint="Add --write FILE.xlsx.")
    found, total = queries.counted_rejects(environment, source=source, limit=limit)
    print_table(found, "json") if json else print_rejects(found, total)


@on_environment
def query(
    environment: Environment,
    sql: Annotated[str, typer.Argument(help="One SELECT statement.")],
    form: FormOption = None,
    out: RowsFile = None,
    json: Json = False,
) -> None:
    """Run one SELECT on the database and print the rows.

    The transaction is read-only. On the embedded PostgreSQL the query runs as a role that can only read; on any other
    server it runs with the rights of the connection's user.

    In a workbook (xlsx), numbers with more than 15 digits are text, and times with a time zone are in UTC.

    \b
    Example: retailpipe query "select * from public_gold.monthly_sales_summary" --out sales.xlsx
    """
    chosen = chosen_form(form, out, json)
    if chosen == Form.xlsx and out is None and sys.stdout.isatty():
        raise UsageError("a workbook cannot be shown on a terminal", hint="Add --out FILE.")
    table = queries.query(environment, sql)
    if out is not None:
        from retailpipe.files import write_file

        write_file(out, document(table, chosen))
        say(f"wrote {counted(table.num_rows, 'row')} to {out}", err=True)
    elif chosen == Form.xlsx:
        sys.stdout.buffer.write(document(table, chosen))
    else:
        print_table(table, chosen.value)


def chosen_form(form: Form | None, out: Path | None, json: bool) -> Form:
    """Return the format that the options select. Raises UsageError if they select none, or two."""
    if json and form == Form.xlsx:
        raise UsageError("--json and --format xlsx select different formats", hint="Pass only one of them.")
    if json:
        return Form.json
    if form or out is None:
        return form or Form.table
    forms = {"": Form.table, ".csv": Form.csv, ".json": Form.json, ".txt": Form.table, ".xlsx": Form.xlsx}
    if out.suffix.lower() not in forms:
        raise UsageError(
            f"cannot tell the format of {out} from its name",
            hint="End the name in .csv, .json, .txt or .xlsx, or add --format.",
        )
    return forms[out.suffix.lower()]


def document(table: "pa.Table", form: Form) -> bytes:
    """Return the rows as the content of a file."""
    if form == Form.xlsx:
        from retailpipe.spreadsheet import spreadsheet

        return spreadsheet(table)
    return table_document(table, form.value).encode(errors="backslashreplace")


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for function in (status, rejects, query):
        app.command()(function)
