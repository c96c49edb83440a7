"""The commands that load workbooks, and undo loads."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from retailpipe import pipeline
from retailpipe.cli.corrections import Corrects, ReplayOf, correct_or_replay
from retailpipe.cli.invocation import as_typed
from retailpipe.cli.options import (
    AllowDuplicate,
    ContractFile,
    Json,
    Quiet,
    Replace,
    SkipFailed,
    Yes,
    on_environment,
    open_contract,
)
from retailpipe.cli.output import (
    print_forgotten,
    print_json,
    print_loads,
    print_result,
    print_run,
)
from retailpipe.cli.progress import progress_shown
from retailpipe.cli.terminal import confirm, say
from retailpipe.cli.workers import (
    AtOnce,
    Jobs,
    Workers,
    count_of,
    executor_of,
    load_on_stack,
)
from retailpipe.environment import Environment
from retailpipe.reports import SomeNotLoaded
from retailpipe.undo import forget as forget_workbook
from retailpipe.undo import restore as restore_workbook


@on_environment
def upload(
    environment: Environment,
    file: Annotated[Path, typer.Argument(help="The workbook, an .xlsx or .csv file.")],
    replace: Replace = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Copy a workbook into the store.

    The store is the folder `input/` of the environment, or the bucket of an AWS stack.

    \b
    Example: retailpipe upload online_retail.xlsx
    """
    replace = replace or confirm_replacements(environment, file)
    with progress_shown(quiet=quiet) as progress:
        stored = pipeline.upload(environment, file, replace=replace, progress=progress)
    print_result(stored.as_dict(), lambda: say(f"uploaded {stored}"), json=json, quiet=quiet)


@on_environment
def ingest(
    environment: Environment,
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Files, or workbooks in the store. Default: all workbooks that are not loaded yet."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be loaded and rejected; change nothing.")
    ] = False,
    contract: ContractFile = None,
    allow_duplicate: AllowDuplicate = False,
    replace: Replace = False,
    skip_failed: SkipFailed = False,
    jobs: Jobs = None,
    workers: Workers = None,
    at_once: AtOnce = None,
    corrects: Corrects = None,
    replay: ReplayOf = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Load workbooks from the store into bronze.

    Each workbook is loaded in its own transaction; several are loaded at once. A file is uploaded to the store first.

    With --corrects or --replay, rejected rows of a loaded workbook are judged again: docs/corrections.md.

    \b
    Example: retailpipe ingest input/online_retail.xlsx
    """
    if corrects is not None or replay is not None:
        others = {"--dry-run": dry_run, "--allow-duplicate": allow_duplicate, "--replace": replace}
        others |= {"--skip-failed": skip_failed}
        others |= {"--jobs": jobs is not None, "--workers": workers is not None, "--at-once": at_once is not None}
        correct_or_replay(environment, sources or [], corrects, replay, others, contract, quiet, json)
        return
    if not dry_run:
        replace = replace or confirm_replacements(environment, *(sources or []))
    on_stack = 0 if dry_run else count_of(workers, jobs)
    address = None if count_of(workers) else workers
    with (
        executor_of(environment, jobs, address) as executor,
        progress_shown(quiet=quiet) as progress,
    ):
        try:
            if on_stack:
                reports = load_on_stack(
                    environment,
                    sources or [],
                    on_stack,
                    contract=contract,
                    allow_duplicate=allow_duplicate,
                    replace=replace,
                    at_once=at_once,
                    progress=progress,
                    quiet=quiet,
                )
            else:
                reports = pipeline.ingest(
                    environment,
                    *(sources or []),
                    contract=open_contract(contract, environment),
                    allow_duplicate=allow_duplicate,
                    dry_run=dry_run,
                    replace=replace,
                    executor=executor,
                    at_once=at_once,
                    progress=progress,
                )
        except SomeNotLoaded as error:
            if error.reports and not (json or quiet):
                print_loads(error.reports)
            if not skip_failed or error.is_outage:
                raise
            for failure in error.failures:
                say(f"warning: not loaded: {failure}. {as_typed(failure.hint)}", err=True)
            if json:
                print_json([report.as_dict() for report in error.reports])
            return
    print_result([report.as_dict() for report in reports], lambda: print_loads(reports), json=json, quiet=quiet)


@on_environment
def forget(
    environment: Environment,
    source: Annotated[str, typer.Argument(help="A workbook, such as input/sales.xlsx.")],
    keep_workbook: Annotated[
        bool,
        typer.Option(
            "--keep-workbook",
            help="Keep the workbook in the store; `retailpipe ingest` loads it again only if you name it.",
        ),
    ] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Undo the load of a workbook: delete its rows and the workbook, and rebuild silver and gold.

    On a terminal, it asks first. `retailpipe restore` brings the workbook back.

    \b
    Example: retailpipe forget input/online_retail.xlsx
    """
    if not yes and _is_terminal():
        confirm(f"Delete all rows of {source}{'' if keep_workbook else ' and the workbook'}?")
    with progress_shown() as progress:
        report = forget_workbook(environment, source, keep_workbook=keep_workbook, progress=progress)
    print_json(report.as_dict()) if json else print_forgotten(report)
    if not report.ok:
        raise typer.Exit(1)


@on_environment
def restore(
    environment: Environment,
    source: Annotated[str, typer.Argument(help="A workbook, such as input/sales.xlsx.")],
    contract: ContractFile = None,
    json: Json = False,
) -> None:
    """Bring back the last replaced or forgotten version of a workbook; load, build and verify.

    The current workbook of that name becomes the earlier version, so a second `restore` undoes the first. If the
    current workbook was refused, `restore` brings back the one whose rows are loaded.

    \b
    Example: retailpipe restore input/online_retail.xlsx
    """
    chosen = open_contract(contract, environment)
    with progress_shown() as progress:
        report = restore_workbook(environment, source, contract=chosen, progress=progress)
    print_json(report.as_dict()) if json else print_run(report)
    if not report.ok:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for function in (upload, ingest, forget, restore):
        app.command()(function)


def confirm_replacements(environment: Environment, *sources: str | Path | None) -> bool:
    """On a terminal, ask whether files may replace workbooks with other content; return whether they may.

    Elsewhere nothing is asked, and the library refuses the replacement.
    """
    if not _is_terminal():
        return False
    found = pipeline.replacements(environment, *(source for source in sources if source))
    if found:
        lines = "".join(f"\n  {each}" for each in found)
        confirm(f"The store has other content under the same name:{lines}\nReplace it?")
    return bool(found)


def _is_terminal() -> bool:
    """Whether a person can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()
