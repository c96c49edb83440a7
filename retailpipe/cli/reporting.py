"""The commands `report` and `docs`, and what `run --report` does too."""

import json as json_module
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from retailpipe.cli.invocation import as_typed
from retailpipe.cli.json_text import say_json
from retailpipe.cli.options import Json, Quiet, on_environment
from retailpipe.cli.output import print_report, print_result
from retailpipe.cli.progress import progress_shown
from retailpipe.cli.terminal import say
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError, UsageError
from retailpipe.reports import ReportFile


@on_environment
def report(
    environment: Environment,
    open_: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the report to this file; overwrite it if it exists. Default: report.html in the environment's "
            "folder.",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="FILE",
            help="Also draw the latest full month as a PNG picture; overwrite the file if it exists.",
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Write the report again after each load and build, until Ctrl-C; the page in the browser reloads "
            "itself.",
        ),
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write what the warehouse says as one HTML file: whether it is right, sales, rejected rows, loads.

    The file needs no network and no other file. docs/report.md describes its parts. With --watch and --json, it prints
    one JSON document per line. On an AWS stack, it fetches the report that the last build published, if that is up to
    date.

    The exit code says whether the report was written, not what it says: for that, use `retailpipe verify`.

    \b
    Example: retailpipe report --open
    """
    if watch and picture:
        raise UsageError("--watch does not draw pictures", hint="Leave out --watch or --picture.")
    if watch:
        _watch(environment, out, open_=open_, quiet=quiet, json=json)
        return
    written = None
    if environment.stack and not out and not picture:
        from retailpipe.publishing import fetch_report

        written = fetch_report(environment)
    written = written or write(environment, out, picture=picture, quiet=quiet)
    print_result(written.as_dict(), partial(print_report, written, json=False), json=json, quiet=quiet)
    if open_:
        open_page(Path(written.path))


@on_environment
def docs(
    environment: Environment,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the page to this file; overwrite it if it exists. Default: docs.html in the environment's "
            "folder, where the report has a link to it.",
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write dbt's documentation as one HTML file: every model and column, the code, the lineage.

    Your own models are included. The file needs no network and no other file.

    \b
    Example: retailpipe docs --open
    """
    from retailpipe.dbt_docs import write_docs

    with progress_shown(quiet=quiet) as progress:
        written = write_docs(environment, out, progress=progress)
    print_result(written.as_dict(), lambda: say(str(written)), json=json, quiet=quiet)
    if open_:
        open_page(Path(written.path))


def require() -> None:
    """Raise UsageError if the packages of the extra `report` are not installed: before `run` works for minutes."""
    from retailpipe.html_report.charts import require

    require()


def write(
    environment: Environment, out: Path | None = None, *, picture: Path | None = None, quiet: bool = False
) -> ReportFile:
    """Write the report, with a progress bar."""
    from retailpipe.html_report import write_report

    with progress_shown(quiet=quiet) as progress:
        return write_report(environment, out, picture=picture, progress=progress)


@dataclass(frozen=True)
class AfterRun:
    """What was done for `run --report`. An error does not hide the result of the run.

    document: what `--json` adds. lines: what a person reads.
    """

    document: dict[str, object]
    lines: tuple[str, ...]
    ok: bool


NOTHING = AfterRun({}, (), ok=True)
"""Without `--report`."""


def after_run(environment: Environment, build: int | None, *, quiet: bool) -> AfterRun:
    """Write the report of a run; on a stack, also publish it. build: the number of the build."""
    try:
        written = write(environment, quiet=quiet)
    except RetailpipeError as error:
        hint = as_typed(error.hint)
        problem = {"type": type(error).__name__, "message": str(error), "hint": hint}
        lines = (f"error: {error}", f"hint: {hint}")
        return AfterRun({"report": {"ok": False, "error": problem}}, lines, ok=False)
    if not environment.stack:
        return AfterRun({"report": written.as_dict()}, (str(written),), ok=True)
    from retailpipe.publishing import publish_reports

    published = publish_reports(environment, build)
    document: dict[str, object] = {"report": written.as_dict(), "published": published.as_dict()}
    return AfterRun(document, (str(written), str(published)), ok=True)


def after_failure(environment: Environment, *, quiet: bool) -> None:
    """Write the report of a run that failed, so that no older report says that all is well."""
    with suppress(RetailpipeError):  # the failure of the run is what the user must read
        written = write(environment, quiet=quiet)
        if not quiet:
            say(str(written), err=True)


def open_page(file: Path) -> None:
    """Open a file in the user's browser; say so if there is none."""
    import webbrowser

    if not webbrowser.open(file.as_uri()):
        say(f"no browser was found; open {file} yourself", err=True)


def _watch(environment: Environment, out: Path | None, *, open_: bool, quiet: bool, json: bool) -> None:
    from retailpipe.html_report import watch_report

    with closing(watch_report(environment, out)) as reports:
        for number, written in enumerate(reports):
            if json:
                say_json(json_module.dumps(written.as_dict(), ensure_ascii=False))
            elif not quiet:
                say(str(written))
            if open_ and number == 0:
                open_page(Path(written.path))


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(report)
    app.command()(docs)
