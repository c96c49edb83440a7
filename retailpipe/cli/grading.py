"""The commands of an exercise: `retailpipe submit` for students; workbooks, hand-outs and grades for instructors."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from retailpipe.cli.classes import HERE, ClassFolder, read_class
from retailpipe.cli.options import Json, Profile, on_environment
from retailpipe.cli.output import print_json, print_report
from retailpipe.cli.progress import progress_shown
from retailpipe.cli.terminal import say
from retailpipe.environment import Environment
from retailpipe.errors import UsageError

Only = Annotated[
    str | None,
    typer.Option("--only", metavar="NAME,...", help="Only for these students. Default: all students of the roster."),
]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to write to. It is created if needed.")]


@on_environment
def submit(
    environment: Environment,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")] = Path("submission.json"),
    student: Annotated[
        str | None,
        typer.Option(
            "--student",
            metavar="NAME",
            help="Your name in the roster. Default: the name of the stack; locally, that of your workbook.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write the file that a student hands in: figures and digests of each table, and your own models.

    It contains no row of your data. Run it again after every change; do not edit the file.

    \b
    Example: retailpipe submit --out submission.json
    """
    from retailpipe.classroom.grading.submission import submit as write_submission

    evidence = write_submission(environment, out, student=student)
    if json:
        print_json(evidence.document() | {"out": str(out)})
        return
    say(f"wrote {out} for {evidence.student}")
    for name, table in evidence.tables.items():
        say(f"  {name}: {table.problem or f'{table.rows:,} rows'}")
    say(f"  own models: {', '.join(model.name for model in evidence.models) or 'none'}")


def workbooks(folder: Folder, class_folder: ClassFolder = HERE, only: Only = None, json: Json = False) -> None:
    """Write a workbook for each student, with rows and traps of its own.

    The seed of the class file and the student's name decide its content. Repeat it whenever you like.

    \b
    Example: retailpipe class workbooks workbooks
    """
    from retailpipe.classroom.workbooks import write_workbooks

    classroom = read_class(class_folder)
    with progress_shown(quiet=json) as progress:
        report = write_workbooks(classroom, folder, only=_names(only), progress=progress)
    print_report(report, json)


def hand_out(folder: Folder, class_folder: ClassFolder = HERE, only: Only = None, json: Json = False) -> None:
    """Write a folder for each student: a page with the first steps, the settings, and the workbook.

    It contains no secret and nothing of other students. The stacks need not exist yet.

    \b
    Example: retailpipe class hand-out hand-out
    """
    from retailpipe.classroom.hand_out import hand_out as write_hand_outs

    classroom = read_class(class_folder)
    with progress_shown(quiet=json) as progress:
        report = write_hand_outs(classroom, folder, only=_names(only), progress=progress)
    print_report(report, json)


def grade(
    class_folder: ClassFolder = HERE,
    submissions: Annotated[
        Path | None,
        typer.Option(
            "--submissions",
            metavar="FOLDER",
            help="Grade the files of `retailpipe submit` in this folder: STUDENT.json, STUDENT/submission.json, or any "
            ".json file that names its student. Default: grade the students' stacks.",
        ),
    ] = None,
    local: Annotated[
        Path | None,
        typer.Option("--local", metavar="FOLDER", help="Grade the local environments FOLDER/STUDENT."),
    ] = None,
    rubric: Annotated[
        Path | None,
        typer.Option(
            "--rubric", metavar="FILE", help="Default: rubric.toml in the class folder, else the built-in rubric."
        ),
    ] = None,
    print_rubric: Annotated[
        bool, typer.Option("--print-rubric", help="Print the built-in rubric, and grade nothing.")
    ] = False,
    only: Only = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Also write the grades to a CSV file.")
    ] = None,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Grade the students: compare what they loaded and built with what the seeds of their workbooks give.

    What is wrong is explained without the figures of the solution. The grades are kept in grades.json of the class
    folder, for `class status`. Exit code 1: not every student could be graded.

    \b
    Example: retailpipe class grade --submissions submissions --csv grades.csv
    """
    from retailpipe.classroom.grading.grader import grade as grade_class
    from retailpipe.classroom.grading.grades import write_csv
    from retailpipe.classroom.grading.grades_file import write_grades
    from retailpipe.classroom.grading.rubric import default_text

    if print_rubric:
        say(default_text(), nl=False)
        return
    if submissions is not None and local is not None:
        raise UsageError("--submissions and --local contradict each other", hint="Pass only one of these options.")
    classroom = read_class(class_folder)
    with progress_shown(quiet=json) as progress:
        report = grade_class(
            classroom,
            submissions=submissions,
            local=local,
            profile=profile,
            rubric=rubric,
            only=_names(only),
            progress=progress,
        )
    if csv is not None:
        write_csv(report, csv)
    print_report(report, json)
    write_grades(classroom.folder, report.as_dict())
    sys.exit(0 if report.ok else 1)


def _names(only: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in (only or "").split(","))))


def register(app: typer.Typer, class_app: typer.Typer) -> None:
    """Add the commands to the program and to its group `class`."""
    app.command()(submit)
    class_app.command()(workbooks)
    class_app.command("hand-out")(hand_out)
    class_app.command()(grade)
