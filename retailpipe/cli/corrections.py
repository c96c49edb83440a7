"""The options of `rejects` and `ingest` that send rejected rows to their author and load them corrected."""

from pathlib import Path
from typing import Annotated

import typer

from retailpipe import corrections
from retailpipe.cli.invocation import as_typed
from retailpipe.cli.options import open_contract
from retailpipe.cli.output import print_report, print_result, say_text
from retailpipe.cli.progress import progress_shown
from retailpipe.cli.terminal import say
from retailpipe.environment import Environment
from retailpipe.errors import UsageError
from retailpipe.reports import CorrectionReport

_REJECTS_SHOWN = 3

WriteFile = Annotated[
    Path | None,
    typer.Option(
        "--write",
        metavar="FILE",
        help="Write the rejected rows to an .xlsx file for the author of the data: the bad cells are coloured, with "
        "the reason as a comment. `retailpipe ingest FILE --corrects SOURCE` loads it corrected.",
    ),
]
AnnotateFile = Annotated[
    Path | None,
    typer.Option(
        "--annotate",
        metavar="FILE",
        help="Write the whole workbook with the bad cells marked. It needs the extra `certify`; docs/corrections.md "
        "says what openpyxl cannot keep, such as charts and the results of formulas.",
    ),
]
Corrects = Annotated[
    str | None,
    typer.Option(
        "--corrects",
        metavar="SOURCE",
        help="Load a corrected file of `retailpipe rejects --write` as corrections of this workbook.",
    ),
]
ReplayOf = Annotated[
    str | None,
    typer.Option(
        "--replay",
        metavar="SOURCE",
        help="Judge the rejected rows of this workbook again under its contract as it is now.",
    ),
]


def write_rejects(
    environment: Environment,
    source: str | None,
    write: Path | None,
    annotate: Path | None,
    contract: Path | None,
    force: bool,
    json: bool,
) -> None:
    """Write the file of `--write` or `--annotate`."""
    chosen = open_contract(contract, environment)
    if write and annotate:
        raise UsageError("--write and --annotate write different workbooks", hint="Pass only one of them.")
    if write:
        report = corrections.write_rejects(environment, write, source=source, contract=chosen, force=force)
        print_report(report, json)
    if annotate:
        with progress_shown() as progress:
            report = corrections.annotate_rejects(
                environment, annotate, source=source, contract=chosen, force=force, progress=progress
            )
        print_report(report, json)


def correct_or_replay(
    environment: Environment,
    sources: list[str],
    corrects: str | None,
    replay: str | None,
    others: dict[str, bool],
    contract: Path | None,
    quiet: bool,
    json: bool,
) -> None:
    """Do the work of `ingest --corrects` and `ingest --replay`.

    others: whether the other options of `ingest` were given, by name.
    Raises UsageError if the arguments do not fit.
    """
    option = "--replay" if corrects is None else "--corrects"
    if corrects is not None and replay is not None:
        raise UsageError("--corrects and --replay do different things", hint="Pass only one of them.")
    if given := next((name for name, value in others.items() if value), None):
        raise UsageError(f"{option} and {given} cannot be combined", hint=f"Leave out {given}.")
    if not (corrects or replay):  # such as an unset variable of a shell
        raise UsageError(f"{option} needs a workbook", hint="List the loaded workbooks with `retailpipe status`.")
    chosen = open_contract(contract, environment)
    with progress_shown(quiet=quiet) as progress:
        if corrects:
            if len(sources) != 1:
                hint = f"Pass the file that the author corrected: `retailpipe ingest FILE.xlsx --corrects {corrects}`."
                raise UsageError("--corrects needs one file", hint=hint)
            report = corrections.correct(environment, sources[0], corrects, contract=chosen, progress=progress)
        else:
            if sources:
                raise UsageError("--replay reads no file", hint=f"Leave out {sources[0]}.")
            report = corrections.replay(environment, str(replay), contract=chosen, progress=progress)
    print_result(report.as_dict(), lambda: _print(report), json=json, quiet=quiet)


def _print(report: CorrectionReport) -> None:
    say(str(report))
    for reject in report.rejects[:_REJECTS_SHOWN]:
        say_text(f"  rejected {reject.cell}: {reject.message}", indent=4)
    if report.rows_corrected:
        say(as_typed("build silver and gold with `retailpipe run`"))
