"""The commands `retailpipe class ...`, with which an instructor runs a class."""

import json as json_module
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retailpipe.classroom.definition import Classroom
from retailpipe.cli.class_output import print_class_status, print_down, print_down_plan, print_plan, print_results
from retailpipe.cli.class_progress import stacks_shown
from retailpipe.cli.help import Commands
from retailpipe.cli.invocation import as_typed, command, remember_environment
from retailpipe.cli.json_text import say_json
from retailpipe.cli.options import Json, Profile, Yes
from retailpipe.cli.output import csv_document, print_json, print_report
from retailpipe.cli.reporting import open_page
from retailpipe.cli.terminal import clear, say
from retailpipe.errors import AwsError, UsageError

if TYPE_CHECKING:
    from retailpipe.aws.session import Aws

app = typer.Typer(
    cls=Commands, help="Run a class: a stack for each student of a roster.", no_args_is_help=True, rich_markup_mode=None
)

ClassFolder = Annotated[
    Path,
    typer.Option(
        "--class",
        metavar="FOLDER",
        show_default=False,
        help="The class folder, with class.toml. Default: the current folder.",
    ),
]
Only = Annotated[
    str | None,
    typer.Option(
        "--only", metavar="NAME,...", help="Only these students, and the classroom stack. Default: all students."
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", metavar="N", min=1, help="How many stacks at once. Default: as many as the memory allows."),
]
HERE = Path()
_SECONDS = 30
"""How long `class status --watch` waits before it reads the status again."""


def read_class(folder: Path, profile: str | None = None) -> Classroom:
    """Read and validate the class, and remember its folder and the AWS profile for the commands in hints."""
    _remember(folder, profile)
    return Classroom.read(folder)


def _remember(folder: Path, profile: str | None = None) -> None:
    """Remember the folder of a class and the AWS profile for the commands in hints."""
    chosen = ["--class", str(folder)] if folder != HERE else []
    remember_environment([*chosen, *(["--profile", profile] if profile else [])])


def aws_of(classroom: Classroom, profile: str | None) -> "Aws":
    """Return AWS clients for the region of the class."""
    from retailpipe.aws.session import Aws

    return Aws(profile, classroom.file.region)


def _names(only: str | None) -> list[str]:
    """The names in a list such as anna,ben."""
    return [name.strip() for name in (only or "").split(",") if name.strip()]


def _check_pulumi() -> None:
    """Raise UsageError if Pulumi's Python package, which is an extra, is not installed."""
    if not find_spec("pulumi"):
        hint = "Install it with the extra infra: pip install 'retailpipe[infra]'."
        raise UsageError("this command needs the Python package pulumi, which is not installed", hint=hint)


# class init


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder; it is created if it is missing.")],
    state: Annotated[
        bool,
        typer.Option(
            "--state", help="For a class that is drafted: create a bucket and a key on AWS for Pulumi's state."
        ),
    ] = False,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Draft the class file and the roster of a new class.

    It writes class.toml, students.csv with an example line, and .gitignore. Nothing is overwritten, and nothing is
    created on AWS.

    With --state, it creates an S3 bucket for Pulumi's state and a KMS key for the secrets in it, and writes both into
    class.toml. Set the region there before. A second run changes nothing.

    \b
    Example: retailpipe class init spring-course
    """
    from retailpipe.classroom.drafting import draft_class

    if state:
        _init_state(folder, profile, json)
        return
    _remember(folder)
    draft = draft_class(folder)
    if json:
        print_report(draft, json)
        return
    say(str(draft))
    if draft.kept:
        say(f"kept {draft.kept}: add the state, the outputs and the grades of this folder to it if they are missing")
    say(f"write the students into {folder / 'students.csv'}, then check the class:")
    say(f"  {command('class plan')}")


def _init_state(folder: Path, profile: str | None, json: bool) -> None:
    from retailpipe.aws.session import Aws
    from retailpipe.classroom.class_file import FILE, ClassFile
    from retailpipe.classroom.state import init_state

    _remember(folder, profile)
    file = ClassFile.read(folder / FILE)  # the roster may still have mistakes
    report = init_state(file, Aws(profile, file.region))
    if json:
        print_report(report, json)
        return
    for done in report.done:
        say(done)
    say(str(report) if report.done else f"nothing to do: {report}")


# class plan


@app.command("plan")
def plan(folder: ClassFolder = HERE, profile: Profile = None, json: Json = False) -> None:
    """Show what would be created for each student, what the class can cost, and whether it fits the account's quotas.

    Nothing is changed. If the pulumi command is on PATH, stacks that exist are compared with their settings. The exit
    code is 1 if the class is refused, such as for its cost.

    \b
    Example: retailpipe class plan --class spring-course
    """
    from retailpipe.classroom.plan import plan as plan_of

    classroom = read_class(folder, profile)
    aws = aws_of(classroom, profile)
    found = plan_of(classroom, aws)
    if found.ok and shutil.which("pulumi") and find_spec("pulumi"):
        from retailpipe.classroom.up import previewed

        with stacks_shown(quiet=json) as show:
            found = previewed(classroom, aws, found, show=show)
    if json:
        print_json(found.as_dict())
    else:
        print_plan(found)
    if not found.ok:
        raise typer.Exit(1)


# class up


@app.command("up")
def up(
    folder: ClassFolder = HERE,
    only: Only = None,
    jobs: Jobs = None,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Deploy the stack that the class shares, then a stack for each student.

    A second call does only what is missing. The failure of one stack stops no other. After Ctrl-C, the running
    deployments stop where the next call can continue; a second Ctrl-C ends them at once. The folder `stacks/logs/` has
    a log for each stack.

    \b
    Example: retailpipe class up --class spring-course --only anna,ben
    """
    _check_pulumi()
    from retailpipe.classroom.up import up as up_of

    classroom, names = read_class(folder, profile), _names(only)
    with stacks_shown(quiet=json, total=1 + len(classroom.chosen(names))) as show:
        found = up_of(classroom, aws_of(classroom, profile), only=names, at_once=jobs, show=show)
    print_json(found.as_dict()) if json else print_results(found)
    if found.interrupted:
        raise typer.Exit(130)
    if not found.ok:
        raise typer.Exit(1)


# class status


@app.command("status")
def status(
    folder: ClassFolder = HERE,
    watch: Annotated[
        bool, typer.Option("--watch", help=f"Show the status again every {_SECONDS} seconds, until Ctrl-C.")
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Show how far each student is, the state of the databases, and what they have cost.

    No database is opened: the figures are from the buckets and from RDS. The costs are from Cost Explorer if the
    account has activated the cost allocation tag `Pipeline`, else estimated. With --watch and --json, it prints one
    JSON document per line.

    \b
    Example: retailpipe class status --class spring-course
    """
    from retailpipe.aws.billing import Billing
    from retailpipe.classroom.status import status as status_of

    if csv and json:
        raise UsageError("--csv and --json exclude each other", hint="Choose one of them.")
    classroom = read_class(folder, profile)
    aws = aws_of(classroom, profile)
    billing = Billing(aws)

    def show() -> None:
        found = status_of(classroom, aws, billing=billing)
        if json:
            say_json(json_module.dumps(found.as_dict(), ensure_ascii=False)) if watch else print_json(found.as_dict())
        elif csv:
            say(csv_document([row.as_dict() for row in found.rows]), nl=False)
        else:
            if watch:
                clear()
            print_class_status(found)

    show()
    while watch:
        time.sleep(_SECONDS)
        try:
            show()
        except AwsError as error:
            if not error.transient:
                raise
            say(f"warning: {error}; {as_typed(error.hint)}", err=True)


# class report


@app.command("report")
def report(
    folder: ClassFolder = HERE,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the page to this file; overwrite it if it exists. Default: class-report.html in the class "
            "folder.",
        ),
    ] = None,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Write the state of the class as one HTML file: progress, grade, cost and expiry of each student.

    The figures are those of `class status` and of the last `class grade`. Only you can read the file: it has the names
    of the students.

    \b
    Example: retailpipe class report --class spring-course --open
    """
    from retailpipe.classroom.report_page import class_report

    classroom = read_class(folder, profile)
    written = class_report(classroom, aws_of(classroom, profile), out)
    print_report(written, json)
    if open_:
        open_page(Path(written.path))


# class down


@app.command("down")
def down(
    folder: ClassFolder = HERE,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="NAME,...", help="Only these students' stacks; also: classroom."),
    ] = None,
    jobs: Jobs = None,
    expired: Annotated[bool, typer.Option("--expired", help="Only stacks whose date of expiry has passed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed; remove nothing.")] = False,
    yes: Yes = False,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Remove the stacks of the class with everything in them, then prove that nothing is left.

    First it shows for each stack what would block the removal and what would stay, each with the command that resolves
    it, and asks for the project's name. Blocked stacks are not removed. The classroom stack is the last one. Pulumi's
    state is kept; the commands that remove it are printed. Deleted data cannot be restored.

    The exit code is 1 if a stack is blocked or failed, or something is left.

    \b
    Example: retailpipe class down --class spring-course --dry-run
    """
    from retailpipe.classroom.down import down as down_of
    from retailpipe.classroom.rehearsal import rehearse_down

    classroom = read_class(folder, profile)
    aws = aws_of(classroom, profile)
    names = _names(only)
    if only is not None and not names:
        raise UsageError("--only has no name", hint="Write names of students: --only anna,ben.")
    plan = rehearse_down(classroom, aws, only=names or None, expired=expired)
    if dry_run or not plan.rows:
        print_json(plan.as_dict()) if json else print_down_plan(plan)
        if any(row.blockers for row in plan.rows):
            raise typer.Exit(1)
        return
    print_down_plan(plan, err=True)
    project = classroom.file.project
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for confirmation: the standard input is not a terminal",
            hint="Add --yes to remove the stacks without confirmation.",
        )
    if not yes and typer.prompt("Type the project's name to remove these stacks", err=True) != project:
        raise UsageError("the name does not match; nothing was removed", hint=f"To remove the stacks, type {project}.")
    _check_pulumi()
    from retailpipe.classroom.removal import destroyer

    with stacks_shown(quiet=json, total=len(plan.removable)) as show:
        destroy = destroyer(classroom, aws, plan.account, at_once=jobs, show=show)
        report = down_of(classroom, aws, plan, destroy)
    print_json(report.as_dict()) if json else print_down(report)
    if not report.ok:
        raise typer.Exit(1)
