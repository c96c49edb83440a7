"""The commands `retailpipe contract ...`, which draft and check the contracts of users' own workbooks."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from retailpipe.bindings import FOLDER, named_contract
from retailpipe.cli.invocation import as_typed
from retailpipe.cli.options import Json, Local, open_environment
from retailpipe.cli.output import print_json, print_report
from retailpipe.cli.terminal import say
from retailpipe.contract import Contract
from retailpipe.drafting import draft_contract, write_draft
from retailpipe.errors import UsageError
from retailpipe.trial import check_contract

app = typer.Typer(help="Draft and check contracts for your own workbooks.", no_args_is_help=True, rich_markup_mode=None)


@app.command("init")
def init(
    file: Annotated[Path, typer.Argument(help="The workbook, an .xlsx or .csv file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the contract to this file. Default: print it."),
    ] = None,
    save: Annotated[
        bool,
        typer.Option(
            "--save",
            help="Write the contract into `contracts/` of the environment, where `run` and `ingest` find it by the "
            "names of workbooks.",
        ),
    ] = False,
    local: Local = None,
    sheet: Annotated[
        str | None,
        typer.Option(
            "--sheet",
            metavar="NAME",
            help="Draft the contract for this sheet. Default: all sheets with the same header.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out or --save.")] = False,
    json: Json = False,
) -> None:
    """Draft a contract from a workbook.

    It finds the header, the columns, their types and rows such as totals. Comments in the contract show what is
    doubtful. Nothing is loaded.

    \b
    Example: retailpipe contract init sales.xlsx --save
    """
    if out and save:
        raise UsageError("--out and --save write the contract to different files", hint="Pass only one of them.")
    draft = draft_contract(file, sheet=sheet, name=out.stem if out else None)
    if save:
        out = open_environment(local).folder / FOLDER / f"{draft.name}.toml"
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
    contract: Annotated[
        Path, typer.Argument(help="The contract: a .toml file, or the name of one in `contracts/` of the environment.")
    ],
    file: Annotated[Path, typer.Argument(metavar="WORKBOOK", help="The workbook, an .xlsx or .csv file.")],
    local: Local = None,
    json: Json = False,
) -> None:
    """Check a workbook against a contract without loading it.

    It reads the whole workbook and shows which rows would be rejected, and why. It needs no database and changes
    nothing. The exit code is 0 if the workbook would load, else 1.

    \b
    Example: retailpipe contract check contracts/sales.toml sales.xlsx
    """
    is_file = contract.exists() or contract.name != str(contract)
    chosen = Contract.from_file(contract) if is_file else named_contract(contract, open_environment(local).folder)
    report = check_contract(chosen, file)
    print_report(report, json)
    if not report.ok:
        raise typer.Exit(1)
