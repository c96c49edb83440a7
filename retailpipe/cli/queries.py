"""The commands that change nothing: `status`, `rejects` and `query`."""

from enum import StrEnum
from typing import Annotated

import typer

from retailpipe import queries
from retailpipe.cli.options import ContractFile, Json, on_environment, open_contract
from retailpipe.cli.output import print_json, print_rejects, print_status, print_table
from retailpipe.environment import Environment


class Form(StrEnum):
    """The output format of `query`."""

    table = "table"
    csv = "csv"
    json = "json"


@on_environment
def status(environment: Environment, contract: ContractFile = None, json: Json = False) -> None:
    """Show what is loaded and which workbooks are not loaded yet.

    \b
    Example: retailpipe status
    """
    report = queries.status(environment, contract=open_contract(contract))
    print_json(report.as_dict()) if json else print_status(report)


@on_environment
def rejects(
    environment: Environment,
    source: Annotated[
        str | None, typer.Argument(help="A workbook in the store, such as input/sales.xlsx. Default: all.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Print at most this many rows.")] = None,
    json: Json = False,
) -> None:
    """List the rejected rows, each with its cell, the reason and a hint.

    A row is rejected if a value breaks the contract. The other rows of the workbook are loaded.

    \b
    Example: retailpipe rejects input/online_retail.xlsx --limit 20
    """
    found, total = queries.counted_rejects(environment, source=source, limit=limit)
    print_table(found, "json") if json else print_rejects(found, total)


@on_environment
def query(
    environment: Environment,
    sql: Annotated[str, typer.Argument(help="One SELECT statement.")],
    form: Annotated[Form, typer.Option("--format", help="The output format. --json means --format json.")] = Form.table,
    json: Json = False,
) -> None:
    """Run one SELECT on the database and print the rows.

    The transaction is read-only. On the embedded PostgreSQL the query runs as a role that can only read; on any other
    server it runs with the rights of the connection's user.

    \b
    Example: retailpipe query "select * from public_gold.monthly_sales_summary" --format csv
    """
    print_table(queries.query(environment, sql), "json" if json else form.value)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for function in (status, rejects, query):
        app.command()(function)
