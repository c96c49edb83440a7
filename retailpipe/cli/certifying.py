"""The command `certify`."""

from pathlib import Path
from typing import Annotated

import typer

from retailpipe.certifying import CertificateCheck, Certification, check_certificate
from retailpipe.certifying import certify as certify_environment
from retailpipe.cli.invocation import as_typed
from retailpipe.cli.options import ContractFile, Json, Quiet, on_environment, open_contract
from retailpipe.cli.output import print_result, say_text
from retailpipe.cli.progress import progress_shown
from retailpipe.cli.terminal import say
from retailpipe.environment import Environment
from retailpipe.errors import UsageError


@on_environment
def certify(
    environment: Environment,
    source: Annotated[
        str | None,
        typer.Argument(
            help="A loaded workbook, such as input/sales.xlsx. Default: all. With --check: the workbook's file."
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option("--check", metavar="FILE", help="Check the certificate in this file; certify nothing."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="With --check: the public key, as a PEM file. Default: the keys of the environment's certificates.",
        ),
    ] = None,
    warehouse: Annotated[
        bool, typer.Option("--warehouse", help="With --check: also compare the certificate with the rows in bronze.")
    ] = False,
    kms: Annotated[
        str | None,
        typer.Option(
            "--kms",
            metavar="KEY",
            help="On a stack: sign with this KMS key (ID, ARN or alias), not with the key in the environment's folder.",
        ),
    ] = None,
    contract: ContractFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Read workbooks again with another reader, and prove by a signed certificate that nothing was lost.

    Each cell must be in bronze, in the quarantine, in a column that the contract leaves out, or blank. If anything
    differs, the first cells are listed and nothing is signed. docs/certify.md says what a certificate proves.

    \b
    Example: retailpipe certify input/online_retail.xlsx
    Example: retailpipe certify --check CERTIFICATE online_retail.xlsx
    """
    if check:
        if kms or contract:
            option = "--kms" if kms else "--contract"
            raise UsageError(f"{option} is for certifying, not for --check", hint=f"Leave out {option}.")
        found = check_certificate(environment, check, key=key, workbook=source, warehouse=warehouse)
        print_result(found.as_dict(), lambda: _print_check(found), json=json, quiet=quiet, ok=found.ok)
        raise typer.Exit(0 if found.ok else 1)
    if key or warehouse:
        option = "--key" if key else "--warehouse"
        raise UsageError(f"{option} needs a certificate to check", hint="Add --check FILE.")
    with progress_shown(quiet=quiet) as progress:
        reports = certify_environment(
            environment,
            source,
            contract=open_contract(contract, environment),
            kms_key=kms,
            progress=progress,
        )
    ok = all(report.ok for report in reports)
    print_result([report.as_dict() for report in reports], lambda: _print(reports), json=json, quiet=quiet, ok=ok)
    raise typer.Exit(0 if ok else 1)


def _print(reports: list[Certification]) -> None:
    for report in reports:
        say(str(report))
        for difference in report.differences:
            say_text(f"  {difference}", indent=4)
        if report.different > len(report.differences):
            say(f"  and {report.different - len(report.differences):,} more")
        if report.certificate:
            say(f"  certificate: {report.certificate}")
            say(f"  signed with key {report.key}")
    broken = reports[0].verification.broken if reports else ()
    for invariant in broken:
        say_text(f"  {invariant.name}: {invariant.expected} is not {invariant.actual}", indent=4)
    if broken:
        say(as_typed("  see all invariants with `retailpipe verify`"))


def _print_check(found: CertificateCheck) -> None:
    if found.ok:
        say(str(found))
        return
    say(f"{found.file}: WRONG")
    for problem in found.problems:
        say_text(f"  {problem}", indent=4)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(certify)
