"""`class init`: draft the class file and the roster of a new class."""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from retailpipe.classroom.class_file import DEFAULT_ROWS, FILE, ROSTER, VERSION
from retailpipe.classroom.definition import CLASS_DEFAULTS
from retailpipe.classroom.roster import COLUMNS
from retailpipe.errors import ClassError
from retailpipe.names import PROJECT
from retailpipe.prices import HOURS, WEEKDAY_HOURS, Setup, monthly_cost
from retailpipe.reports import Report
from retailpipe.settings import Settings

GITIGNORE = ".gitignore"
_DAYS = 122
_STUDENTS = 30
_REGION = "eu-central-1"
_EXAMPLE = ("anna-mueller", "anna.mueller@example.com", "", "203.0.113.7/32")

_IGNORED = f"""\
# What the commands write stays out of the repository: state, outputs, workbooks, submissions, grades.
/*
!/{GITIGNORE}
!/{FILE}
# Delete the next line if the names and email addresses of the students must stay out too.
!/{ROSTER}
"""

_CLASS_FILE = """\
# A class: one stack for each student of {roster}. docs/class.md explains all keys.
version = {version}

course = {course}
# Part of every name on AWS. Classes in the same account and region need different projects.
project = "{project}"
region = "{region}"
# The AWS account of the class, twelve digits: commands refuse the credentials of another account.
# account = "123456789012"

# At the end of this day, in UTC, AWS deletes the databases. A notice comes two days before.
expires_on = {expires_on}

# In USD: `retailpipe class plan` refuses a class whose worst month costs more. With the settings below, a student costs
# {worst:.2f} a month in the worst case, and about {expected:.2f} if the database runs eight hours on weekdays;
# this is enough for {students} students.
max_monthly_cost = {max_monthly_cost}

# How many stacks are deployed in parallel. Default: as many as the free memory allows.
# stacks_at_once = 4

# The settings of every stack: docs/settings.md. These are the defaults of a class.
[settings]
{settings}
# notifyEmails = ["you@example.com"] # who is told of the budget, and two days before the class expires
# nightlyStopTimeZone = "Europe/Berlin"
# databaseClass = "db.t4g.micro"
# databaseMaxStorage = 40
# allowedCidrs = ["203.0.113.0/24"] # of students without a value in the roster, such as the network of the school

# Other settings for one student, by the student's name in the roster:
# [students.{student}]
# databaseClass = "db.t4g.small"

# The workbooks of `retailpipe class workbooks`. Keep the seed to yourself: it gives the solutions.
[workbooks]
seed = {seed}
rows = {rows}

# Where Pulumi keeps the state of the stacks. Default: a folder of the class, for rehearsals.
# [state]
# url = "s3://BUCKET"
# secrets_provider = "awskms://alias/NAME"
"""


@dataclass(frozen=True)
class ClassDraft(Report):
    """A class folder that was drafted.

    files: what was written. kept: a file that existed and was not changed, .gitignore; None if there was none.
    """

    folder: Path
    files: tuple[Path, ...]
    kept: Path | None

    def __str__(self) -> str:
        return f"drafted the class in {self.folder}: {', '.join(file.name for file in self.files)}"


def draft_class(folder: Path, *, today: date | None = None) -> ClassDraft:
    """Write a class file, a roster and a .gitignore into a folder, which is created if it is missing.

    today: from which the date of expiry is counted; default: the current date.
    Raises ClassError, before anything is written, if the folder has a class file or a roster; nothing is overwritten.
    """
    folder = folder.absolute()
    texts = {FILE: class_file_text(folder.name, today or date.today()), ROSTER: _roster_text(), GITIGNORE: _IGNORED}
    if existing := [name for name in (FILE, ROSTER) if os.path.lexists(folder / name)]:
        raise ClassError(
            f"{folder} already has {' and '.join(existing)}; nothing was written",
            hint="Choose another folder, or check the class there with `retailpipe class plan`.",
        )
    kept = folder / GITIGNORE if os.path.lexists(folder / GITIGNORE) else None
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            if kept != folder / name:
                _write(folder / name, text)
                written.append(folder / name)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise ClassError(
            f"cannot write the class into {folder}: {error.strerror}", hint="Check the name and its rights."
        ) from error
    return ClassDraft(folder, tuple(written), kept)


def class_file_text(course: str, today: date) -> str:
    """The text of a class file with sensible values. course: the name of the course."""
    setup, settings = Setup(alarms=0, dashboards=0), _default_settings()
    worst = monthly_cost(Setup(database_storage=settings.database_max_storage, hours=HOURS, alarms=0, dashboards=0))
    expected = monthly_cost(Setup(database_storage=setup.database_storage, hours=WEEKDAY_HOURS, alarms=0, dashboards=0))
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or _REGION
    return _CLASS_FILE.format(
        roster=ROSTER,
        version=VERSION,
        course=json.dumps(" ".join(re.findall(r"\w+", course)) or "Data pipelines", ensure_ascii=False),
        project=PROJECT,
        region=region if re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region) else _REGION,
        expires_on=today + timedelta(days=_DAYS),
        worst=worst.running,
        expected=expected.running,
        students=_STUDENTS,
        max_monthly_cost=-(-int(worst.running * _STUDENTS + 1) // 10) * 10,
        settings="\n".join(f"{name} = {_toml_value(text)}" for name, text in CLASS_DEFAULTS.items()),
        student=_EXAMPLE[0],
        seed=secrets.randbits(62) + 1,
        rows=DEFAULT_ROWS,
    )


def _default_settings() -> Settings:
    return Settings.read({**CLASS_DEFAULTS, "allowedCidrs": _EXAMPLE[3]})


def _toml_value(text: str) -> str:
    return text if text in ("true", "false") or text.isdecimal() else json.dumps(text)


def _roster_text() -> str:
    return f"{','.join(COLUMNS)}\n{','.join(_EXAMPLE)}\n"


def _write(path: Path, text: str) -> None:
    """Write a new file; only you can read the roster and the class file, which has the seed of the solutions."""
    mode = 0o600 if path.name in (ROSTER, FILE) else 0o644
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
