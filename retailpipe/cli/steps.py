"""The commands of the pipeline: the whole of it, the builds, and the checks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from retailpipe import pipeline, queries
from retailpipe.builds import dbt as run_dbt
from retailpipe.builds import transform as transform_environment
from retailpipe.checks import check as check_environment
from retailpipe.cli import reporting
from retailpipe.cli.invocation import command, program, remember_environment
from retailpipe.cli.loading import confirm_replacements
from retailpipe.cli.options import (
    AllowDuplicate,
    ContractFile,
    Json,
    Quiet,
    Replace,
    SkipFailed,
    creation_announced,
    folder_named,
    on_environment,
    open_contract,
)
from retailpipe.cli.output import (
    print_build,
    print_check,
    print_json,
    print_result,
    print_run,
    print_table,
    print_verification,
)
from retailpipe.cli.progress import progress_shown
from retailpipe.cli.terminal import say
from retailpipe.cli.workers import (
    AtOnce,
    Jobs,
    Workers,
    count_of,
    executor_of,
    load_before_run,
    with_loads,
)
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError
from retailpipe.invariants import verify as verify_environment
from retailpipe.reports import LoadReport, RunReport

_MONTHS = """
select year, month, invoices, customers, quantity, revenue
from public_gold.monthly_sales_summary
order by year, month
"""


def demo(
    rows: Annotated[
        int, typer.Option(metavar="N", help="Number of rows of the generated workbook, without the header.")
    ] = 25_000,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Generate other rows: each number stands for another workbook.")
    ] = 1,
    workbook: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Use this workbook instead of a generated one.")
    ] = None,
    local: Annotated[
        Path | None,
        typer.Option(
            "--local",
            parser=folder_named,
            metavar="DIR",
            help="The demo's folder. Default: `demo`, or `demo-NAME` with --workbook, in the default folder of "
            "environments.",
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Run the whole pipeline on this machine with a generated workbook.

    The demo uses its own environment. It does not touch your data.

    \b
    Example: retailpipe demo --rows 100000
    """
    from retailpipe.demo import demo as run_demo
    from retailpipe.demo import demo_folder

    folder = local or demo_folder(workbook)
    remember_environment(["--local", str(folder)])
    environment = Environment.embedded(folder)
    with creation_announced(environment, quiet=quiet), progress_shown(quiet=quiet) as progress:
        report = run_demo(environment, rows=rows, seed=seed, workbook=workbook, progress=progress)
    document = report.as_dict() | {"folder": str(environment.folder)}
    print_result(document, lambda: _print_demo(report, environment), json=json, quiet=quiet, ok=report.ok)
    _exit(report.ok)


def _print_demo(report: RunReport, environment: Environment) -> None:
    print_run(report)
    say("")
    print_table(queries.query(environment, _MONTHS), "table")
    say("\nNext commands to try:")
    for line in (
        command("verify"),
        command("rejects"),
        command('query "select * from public_gold.top_products order by rank limit 10"'),
        f"{program()} demo --workbook FILE",
        command("local stop"),
    ):
        say(f"  {line}")
    say(f"database URL for psql: {environment.server.url() if environment.server else ''}")


@on_environment
def run(
    environment: Environment,
    source: Annotated[
        str | None,
        typer.Argument(help="A file, or a workbook in the store. Default: all workbooks that are not loaded yet."),
    ] = None,
    contract: ContractFile = None,
    allow_duplicate: AllowDuplicate = False,
    replace: Replace = False,
    skip_failed: SkipFailed = False,
    jobs: Jobs = None,
    workers: Workers = None,
    at_once: AtOnce = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Then write the HTML report, as `retailpipe report` does; on an AWS stack, also publish it in the "
            "bucket.",
        ),
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Run the whole pipeline: upload, ingest, transform, verify.

    Silver and gold are not rebuilt if they are already up to date.

    \b
    Example: retailpipe run online_retail.xlsx
    """
    if report:
        reporting.require()
    replace = replace or confirm_replacements(environment, source)
    on_stack = count_of(workers, jobs)
    loads: Sequence[LoadReport] = ()
    try:
        with (
            executor_of(environment, jobs, None if on_stack else workers) as executor,
            progress_shown(quiet=quiet) as progress,
        ):
            if on_stack:
                loads = load_before_run(
                    environment,
                    [source] if source else [],
                    on_stack,
                    contract=contract,
                    allow_duplicate=allow_duplicate,
                    replace=replace,
                    at_once=at_once,
                    progress=progress,
                    quiet=quiet,
                )
            done = pipeline.run(
                environment,
                source,
                contract=open_contract(contract, environment),
                allow_duplicate=allow_duplicate,
                replace=replace,
                skip_failed=skip_failed,
                executor=executor,
                at_once=at_once,
                progress=progress,
            )
    except RetailpipeError:
        if report:
            reporting.after_failure(environment, quiet=quiet)
        raise
    done = with_loads(done, loads)
    after = reporting.after_run(environment, done.build.number, quiet=quiet) if report else reporting.NOTHING
    all_well = done.ok and not done.failures and after.ok
    print_result(
        done.as_dict() | after.document,
        lambda: _print_run(done, after, problems_only=quiet),
        json=json,
        quiet=quiet,
        ok=all_well,
    )
    _exit(done.ok and after.ok)


def _print_run(done: RunReport, after: reporting.AfterRun, *, problems_only: bool) -> None:
    print_run(done, problems_only=problems_only)
    for line in () if problems_only and after.ok else after.lines:
        say(line)


@on_environment
def init(environment: Environment, contract: ContractFile = None, json: Json = False) -> None:
    """Create schema bronze, or migrate it to the current version.

    It is safe to repeat. You do not have to run it: `retailpipe ingest` and `retailpipe run` do the same if needed.

    \b
    Example: retailpipe init
    """
    with progress_shown(quiet=json) as progress:
        number = pipeline.init(environment, contract=open_contract(contract, environment), progress=progress)
    print_json({"schema": "bronze", "number": number}) if json else say(f"schema bronze is at version {number}")


@on_environment
def transform(
    environment: Environment,
    select: Annotated[
        str | None,
        typer.Option(
            metavar="MODELS", help="The models to build, in dbt's selection syntax, such as fact_sales_daily+."
        ),
    ] = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Rebuild incremental models from scratch.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Build silver and gold from bronze and test them (dbt build).

    \b
    Example: retailpipe transform --select +monthly_sales_summary
    """
    with progress_shown(quiet=quiet) as progress:
        report = transform_environment(environment, select=select, full_refresh=full_refresh, progress=progress)
    print_result(report.as_dict(), lambda: print_build(report), json=json, quiet=quiet, ok=report.ok)
    _exit(report.ok)


@on_environment
def dbt(environment: Environment, context: typer.Context) -> None:
    """Run any dbt command on this environment.

    Put options of retailpipe before the dbt command.

    \b
    Example: retailpipe dbt test --select dim_product
    """
    if not context.args:
        raise typer.BadParameter("the dbt command is missing; for example: retailpipe dbt debug")
    raise typer.Exit(run_dbt(environment, context.args))


@on_environment
def verify(environment: Environment, quiet: Quiet = False, json: Json = False) -> None:
    """Count the rows of every table and compare bronze, silver and gold with each other.

    \b
    Example: retailpipe verify
    """
    report = verify_environment(environment)
    print_result(report.as_dict(), lambda: print_verification(report), json=json, quiet=quiet, ok=report.ok)
    _exit(report.ok)


@on_environment
def check(environment: Environment, quiet: Quiet = False, json: Json = False) -> None:
    """Check every part of the environment and show how to fix what fails.

    \b
    Example: retailpipe check
    """
    report = check_environment(environment)
    print_result(report.as_dict(), lambda: print_check(report), json=json, quiet=quiet, ok=report.ok)
    _exit(report.ok)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for function in (demo, run, init, transform):
        app.command()(function)
    app.command(
        options_metavar="[OPTIONS] DBT_COMMAND [DBT_OPTIONS]...",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(dbt)
    for function in (verify, check):
        app.command()(function)


def _exit(ok: bool) -> None:
    if not ok:
        raise typer.Exit(1)
