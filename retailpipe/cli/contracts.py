"""The commands `retailpipe contract ...`, which draft and check the contract of a workbook of one's own."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from retailpipe.cli.invocation import as_typed
from retailpipe.cli.options import Json
from retailpipe.cli.output import print_json, print_report
from retailpipe.cli.terminal import say
from retailpipe.contract import Contract
from retailpipe.drafting import draft_contract, write_draft
from retailpipe.trial import check_contract

app = typer.Typer(help="Draft and check contracts for your own workbooks.", no_args_is_help=True, rich_markup_mode=None)


@app.command("init")
def init(
    file: Annotated[Path, typer.Argument(help="The workbook, an .xlsx or .csv file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the contract to this file. Default: print it."),
    ] = None,
    sheet: Annotated[
        str | None,
        typer.Option(
            "--sheet", metavar="NAME", help="Draft it for this sheet. Default: all sheets with the same header."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
    json: Json = False,
) -> None:
    """Draft a contract from a workbook.

    It finds the header, the columns, their types and rows such as totals. Comments in the contract show what is
    doubtful. Nothing is loaded.

    \b
    Example: retailpipe contract init sales.xlsx --out contracts/sales.toml
    """
    draft = draft_contract(file, sheet=sheet, name=out.stem if out else None)
    if out:
        write_draft(draft, out, overwrite=force)
    if json:
        print_json(draft.as_dict() | {"out": str(out) if out else None})
    elif out:
        say(f"drafted contract {draft.name} for {draft.file}: {out}")
        say(as_typed(f"check it with `retailpipe contract check {shlex.quote(str(out))} {shlex.quote(str(file))}`"))
    else:
        say(draft.text, nl=False)


@app.command("check")
def check(
    contract: Annotated[Path, typer.Argument(help="The contract, a .toml file.")],
    file: Annotated[Path, typer.Argument(metavar="WORKBOOK", help="The workbook, an .xlsx or .csv file.")],
    json: Json = False,
) -> None:
    """Show what a load of a workbook under a contract would refuse.

    It reads the whole workbook. It needs no database and changes nothing. The exit code is 0 if the workbook would
    load, else 1.

    \b
    Example: retailpipe contract check contracts/sales.toml sales.xlsx
    """
    report = check_contract(Contract.from_file(contract), file)
    print_report(report, json)
    if not report.ok:
        raise typer.Exit(1)
