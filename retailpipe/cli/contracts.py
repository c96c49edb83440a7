"""The commands `retailpipe contract ...`, which draft, check and exchange the contracts of users' own workbooks."""

from pathlib import Path
from typing import Annotated

import typer

from retailpipe.bindings import FOLDER, named_contract
from retailpipe.cli.invocation import as_typed
from retailpipe.cli.options import Json, Local, open_environment
from retailpipe.cli.output import print_json, print_report
from retailpipe.cli.terminal import say
from retailpipe.contract import Contract
from retailpipe.drafting import draft_contract, write_contract
from retailpipe.errors import SheetError, UsageError
from retailpipe.hints import file_argument
from retailpipe.odcs import export_odcs, import_odcs
from retailpipe.paths import exists
from retailpipe.trial import check_contract

app = typer.Typer(
    help="Draft, check and exchange contracts for your own workbooks.", no_args_is_help=True, rich_markup_mode=None
)
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file of --out or --save.")]
Save = Annotated[
    bool,
    typer.Option(
        "--save",
        help="Write the contract into `contracts/` of the environment, where `run` and `ingest` find it by the names "
        "of workbooks.",
    ),
]


@app.command("init")
def init(
    file: Annotated[Path, typer.Argument(help="The workbook, an .xlsx or .csv file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the contract to this file. Default: print it."),
    ] = None,
    save: Save = False,
    local: Local = None,
    sheet: Annotated[
        str | None,
        typer.Option(
            "--sheet",
            metavar="NAME",
            help="Draft the contract for this sheet. Default: all sheets with the same header.",
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Draft a contract from a workbook.

    It finds the header, the columns, their types and rows such as totals. Comments in the contract show what is
    doubtful. Nothing is loaded.

    \b
    Example: retailpipe contract init sales.xlsx --save
    """
    _check_one_target(out, save)
    draft = draft_contract(file, sheet=sheet, name=out.stem if out else None)
    out = _written(draft.text, draft.name, out, save, local, force)
    if json:
        print_json(draft.as_dict() | {"out": str(out) if out else None})
    elif out:
        say(f"drafted contract {draft.name} for {draft.file}: {out}")
        say(as_typed(f"check it with `retailpipe contract check {file_argument(out)} {file_argument(file)}`"))
    else:
        say(draft.text, nl=False)


@app.command("check")
def check(
    contract: Annotated[
        Path,
        typer.Argument(
            help="The contract: a .toml file, the name of one in `contracts/` of the environment, or `online_retail`, "
            "which is built in.",
        ),
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
    try:
        report = check_contract(_chosen(contract, local), file)
    except SheetError as error:
        error.hint = error.hint.replace(" with --contract", "")  # it is an argument of this command, not an option
        raise
    print_report(report, json)
    if not report.ok:
        raise typer.Exit(1)


@app.command("export")
def export(
    contract: Annotated[
        Path | None,
        typer.Argument(
            help="The contract: a .toml file, or the name of one in `contracts/` of the environment. Default: "
            "`online_retail`, which is built in.",
        ),
    ] = None,
    odcs: Annotated[
        bool, typer.Option("--odcs", help="Write the Open Data Contract Standard, version 3. It is the only format.")
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the YAML to this file. Default: print it."),
    ] = None,
    local: Local = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
) -> None:
    """Write a contract for other tools: the columns and rules of its table, and the tables of silver and gold.

    \b
    Example: retailpipe contract export --odcs --out online_retail.odcs.yaml
    """
    text = export_odcs(_chosen(contract, local) if contract else Contract.default())
    if out:
        write_contract(text, out, overwrite=force)
        say(f"wrote {out}")
    else:
        say(text, nl=False)


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="A YAML or JSON file in the Open Data Contract Standard (ODCS), version 3.")
    ],
    table: Annotated[
        str | None,
        typer.Option("--table", metavar="NAME", help="Read this table of the file. Default: the only one."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the contract to this file. Default: print it."),
    ] = None,
    save: Save = False,
    local: Local = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Read a contract that another tool wrote, and list what contracts have no key for.

    \b
    Example: retailpipe contract import sales.odcs.yaml --save
    """
    _check_one_target(out, save)
    imported = import_odcs(file, table=table)
    out = _written(imported.text, imported.name, out, save, local, force)
    if json:
        print_json(imported.as_dict() | {"out": str(out) if out else None})
        return
    if out:
        say(f"read contract {imported.name} from table {imported.table} of {imported.file}: {out}")
    else:
        say(imported.text, nl=False)
    for each in imported.left_out:
        say(f"left out: {each}", err=True)


def _chosen(contract: Path, local: Path | None) -> Contract:
    """The contract of an argument: a file, or the name of one in the environment."""
    is_file = exists(contract) or contract.name != str(contract)
    return Contract.from_file(contract) if is_file else named_contract(contract, open_environment(local).folder)


def _check_one_target(out: Path | None, save: bool) -> None:
    if out and save:
        raise UsageError("--out and --save write the contract to different files", hint="Pass only one of them.")


def _written(text: str, name: str, out: Path | None, save: bool, local: Path | None, force: bool) -> Path | None:
    """Write a contract to the file of --out or --save, and return that file; None if there is none."""
    target = open_environment(local).folder / FOLDER / f"{name}.toml" if save else out
    if target:
        write_contract(text, target, overwrite=force)
    return target
