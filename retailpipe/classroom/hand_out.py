"""Write for each student a folder to hand out: a page with the first steps, the settings, and the workbook.

Nothing in it is secret or about another student. The names of a stack follow from the roster, so the folders can be
written before the stacks exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retailpipe.classroom.grading.submission import SUBMISSION, write_privately
from retailpipe.classroom.workbooks import write_workbook
from retailpipe.counts import counted
from retailpipe.errors import StoreError
from retailpipe.names import Names
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import Report

if TYPE_CHECKING:
    from retailpipe.classroom.definition import Classroom
    from retailpipe.classroom.roster import Student

PAGE, SETTINGS = "README.md", "settings.env"


@dataclass(frozen=True)
class HandOut(Report):
    """What a student gets: the folder, and the settings of the student's stack."""

    student: str
    email: str
    folder: str
    settings: Mapping[str, str]


@dataclass(frozen=True)
class HandOutReport(Report):
    """What was written for each student, in the order of the roster."""

    folder: str
    students: Sequence[HandOut]

    def __str__(self) -> str:
        return f"{counted(len(self.students), 'folder')} to hand out in {self.folder}, one for each student"


def hand_out(
    classroom: Classroom, folder: Path, *, only: Sequence[str] = (), progress: Progress | None = None
) -> HandOutReport:
    """Write a folder for each student below a folder. Safe to repeat: files of an earlier call are replaced.

    only: write those of these students.

    Raises ClassError if a name is not in the roster or the class file wants too few rows, StoreError if a file cannot
    be written.
    """
    progress = progress or NoProgress()
    students = classroom.chosen(only)
    progress.step("writing hand-outs", unit="students", total=len(students))
    written: list[HandOut] = []
    for student in students:
        settings = settings_of(classroom, student)
        own = folder / student.name
        try:
            own.mkdir(parents=True, exist_ok=True)
            own.chmod(0o700)
            write_workbook(classroom, student, own / f"{student.name}.xlsx")
            lines = [f"{name}={value}" for name, value in settings.items()]
            write_privately(
                own / SETTINGS, "\n".join(["# Settings of your stack; none of them is secret.", *lines, ""])
            )
            write_privately(own / PAGE, page(classroom, student))
        except OSError as error:
            raise StoreError(f"cannot write into {own}: {error.strerror}", hint="Choose another folder.") from error
        written.append(HandOut(student.name, student.email, str(own), settings))
        progress.advance(1)
    return HandOutReport(str(folder), written)


def settings_of(classroom: Classroom, student: Student) -> dict[str, str]:
    """The environment variables that select a student's stack, and the parameter with its outputs."""
    names = Names(classroom.file.project, student.name)
    return {
        "RETAILPIPE_STACK": f"{names.project}/{names.stack}",
        "AWS_REGION": classroom.file.region,
        "RETAILPIPE_OUTPUTS_PARAMETER": names.parameter,
    }


def page(classroom: Classroom, student: Student) -> str:
    """The page of a student, in Markdown."""
    file = classroom.file
    settings = settings_of(classroom, student)
    stack, names = settings["RETAILPIPE_STACK"], Names(file.project, student.name)
    workbook = f"{student.name}.xlsx"
    access = (
        f"Your IAM user is `{student.iam_user}`; its policy `{names.of('student')}` allows you what is listed here."
        if student.iam_user
        else "Your instructor tells you how to sign in to AWS."
    )
    networks = classroom.settings_of(student).allowed_cidrs
    reachable = (
        f"Your database accepts connections from {', '.join(networks)}." if networks else "Your database is in a VPC."
    )
    return f"""# {_line(file.course)}: {student.name}

## What is yours

| what | name |
|---|---|
| stack | `{stack}` |
| region | `{file.region}` |
| database | `{names.of("database")}` |
| bucket | begins with `{names.prefix}-` |
| outputs of the stack | SSM parameter `{names.parameter}` |
| workbook | `{workbook}`, in this folder: no other student has the same |

{access} {reachable} Nobody but you and your instructor can use your database and your bucket. No file in this folder
contains a password: the commands fetch it from AWS when they need it.

## How to begin

Install retailpipe with its AWS commands (`retailpipe[aws]`), sign in to AWS, and select your stack:

```sh
set -a; . ./{SETTINGS}; set +a
retailpipe check
retailpipe run {workbook}
```

`settings.env` sets `RETAILPIPE_STACK`, so every command works on your stack. On Windows, add `--stack {stack}` and
`--region {file.region}` to each command instead.

## Commands

| command | what it does |
|---|---|
| `retailpipe run {workbook}` | uploads and loads your workbook, builds silver and gold, verifies them |
| `retailpipe status` | shows what is loaded |
| `retailpipe rejects` | lists the rows that break the contract, each with its cell and the reason |
| `retailpipe transform` | builds silver, gold and the models in your folder `models/` |
| `retailpipe verify` | compares bronze, silver and gold |
| `retailpipe query "select ..."` | runs a query |
| `retailpipe forget FILE` | undoes a load |
| `retailpipe submit --student {student.name}` | writes `{SUBMISSION}`, which you hand in |

Without AWS, the same commands work in a folder of your machine: add `--local FOLDER` and leave out `settings.env`.

## Until when

Hand in by **{file.expires_on.isoformat()}**. At the end of that day (23:59:59 UTC) your database is deleted, with all
that is in it: keep your models, and this folder, on your machine.
"""


def _line(text: str) -> str:
    """A text of the class file as one line of Markdown."""
    return " ".join(text.split()).replace("`", "'").replace("<", "&lt;")
