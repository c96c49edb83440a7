"""The commands that only look: the ledger, the quarantine, and any question in SQL."""

from enum import StrEnum
from typing import Annotated

import typer

from retailpipe import queries
from retailpipe.cli.options import ContractFile, Json, on_environment, open_contract
from retailpipe.cli.output import print_json, print_status, print_table
from retailpipe.environment import Environment


class Form(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"


@on_environment
def status(environment: Environment, contract: ContractFile = None, json: Json = False) -> None:
    """What is loaded, and which workbooks wait.

    \b
    Example: retailpipe status
    """
    report = queries.status(environment, contract=open_contract(contract))
    print_json(report.as_dict()) if json else print_status(report)


@on_environment
def rejects(
    environment: Environment,
    source: Annotated[str | None, typer.Argument(help="A key of the store. Default: all sources.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Print at most so many.")] = None,
    json: Json = False,
) -> None:
    """The rows that broke the contract, each with its cell and the reason.

    \b
    Example: retailpipe rejects input/online_retail.xlsx --limit 20
    """
    found = queries.rejects(environment, source=source, limit=limit)
    if json:
        print_table(found, "json")
    else:
        print_table(found.select(["source", "sheet", "cell", "column_name", "raw_value", "code", "message"]), "table")


@on_environment
def query(
    environment: Environment,
    sql: Annotated[str, typer.Argument(help="One SELECT.")],
    form: Annotated[Form, typer.Option("--format", help="How to print the rows.")] = Form.table,
    json: Json = False,
) -> None:
    """Ask the warehouse one SELECT.

    It is asked in a transaction that cannot write: on the embedded server by a role that can only read, elsewhere with
    the rights of the connection's user.

    \b
    Example: retailpipe query "select * from public_gold.monthly_sales_summary" --format csv
    """
    print_table(queries.query(environment, sql), "json" if json else form.value)


def register(app: typer.Typer) -> None:
    for function in (status, rejects, query):
        app.command()(function)
