"""A class: its class file and its roster, validated together before anything is created."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retailpipe.classroom.class_file import FILE, ClassFile
from retailpipe.classroom.roster import CLASSROOM, Student, read_roster
from retailpipe.errors import ClassError, SettingsError
from retailpipe.names import Names
from retailpipe.settings import Settings

CLASS_DEFAULTS: Mapping[str, str] = {
    "alarms": "false",
    "dashboard": "false",
    "monthlyBudget": "0",  # the class has one budget, in the classroom stack
    "nightlyStop": "18:00",
}
"""Settings of a student's stack, where the class file has no others: cheaper than those of a single stack."""

_NOT_IN_TAGS = re.compile(r"[^\w .:/=+@-]")
"""Characters that a tag cannot have, but an email address can, such as the apostrophe."""

_BY_CLASS = {
    "ephemeral": "every stack of a class must be ephemeral: `class down` deletes it",
    "expiresOn": "set `expires_on` for the whole class",
    "existingVpcId": "all stacks of a class use the network of the classroom stack",
    "existingSubnetIds": "all stacks of a class use the network of the classroom stack",
    "workers": "a class has no workers on AWS: all students share the account's limit of Fargate tasks",
    "natGateway": "a class has no NAT gateway: the pipeline does not need one",
    "owner": "the owner of a stack is the student's email address",
    "studentUser": "write the IAM user into the roster, in the column iam_user",
}
"""Settings that a class file may not have, each with the reason or the place where its value comes from."""


@dataclass(frozen=True)
class Classroom:
    """A class.

    folder: the class folder, with the class file, the roster and what the commands write.
    students: in the order of the roster.
    """

    file: ClassFile
    students: Sequence[Student]

    @property
    def folder(self) -> Path:
        return self.file.folder

    @classmethod
    def read(cls, folder: Path) -> Classroom:
        """Read and validate the class file and the roster of a folder.

        Raises ClassError, which lists all mistakes of both files.
        """
        file, in_file = ClassFile.read_with_mistakes(folder / FILE)
        students: Sequence[Student] = ()
        in_roster: Sequence[str] = ()
        try:
            Names(file.project, CLASSROOM)
            students, in_roster = read_roster(file.roster, file.project)
        except SettingsError as error:
            in_roster = [f"{file.file}: {error}"]
        except ClassError as error:
            in_roster = [str(error)]
        classroom = cls(file, students)
        mistakes = [*in_file, *in_roster, *classroom._setting_mistakes()]
        if mistakes:
            raise ClassError("\n".join(mistakes), hint=f"Correct {file.file} and {file.roster}.")
        return classroom

    def student(self, name: str) -> Student:
        """The student of a name. Raises ClassError."""
        for student in self.students:
            if student.name == name:
                return student
        known = ", ".join(each.name for each in self.students)
        raise ClassError(f"the roster {self.file.roster} has no student {name!r}", hint=f"The students are {known}.")

    def chosen(self, names: Collection[str] = ()) -> Sequence[Student]:
        """The students with these names, in the order of the roster; all, if there are none. Raises ClassError."""
        wanted = {self.student(name).name for name in names}
        return [student for student in self.students if not wanted or student.name in wanted]

    def config_of(self, student: Student) -> dict[str, str]:
        """The Pulumi settings of a student's stack, by name, without the network, which the classroom stack has."""
        config = {**CLASS_DEFAULTS, **self.file.settings, **self.file.overrides.get(student.name, {})}
        if student.allowed_cidrs:
            config["allowedCidrs"] = ",".join(student.allowed_cidrs)
        if student.iam_user:
            config["studentUser"] = student.iam_user
        return {
            **config,
            "ephemeral": "true",
            "owner": _NOT_IN_TAGS.sub("_", student.email),
            "expiresOn": self.file.expires_on.isoformat(),
        }

    def shared_config(self) -> dict[str, str]:
        """The Pulumi settings of the classroom stack, by name."""
        return {
            "classroom": "true",
            "monthlyBudget": str(max(1, int(self.file.max_monthly_cost))),
            "expiresOn": self.file.expires_on.isoformat(),
            **{name: text for name, text in self.file.settings.items() if name == "notifyEmails"},
        }

    def settings_of(self, student: Student) -> Settings:
        """The settings of a student's stack, parsed."""
        return Settings.read(self.config_of(student))

    def _setting_mistakes(self) -> list[str]:
        file = self.file
        mistakes = [
            f"{file.place(name, student)}: {name}: {_BY_CLASS[name]}"
            for student, settings in ((None, file.settings), *file.overrides.items())
            for name in settings
            if name in _BY_CLASS
        ]
        names = {student.name for student in self.students}
        mistakes += [
            f"{file.place('', name)}: the roster has no student {name!r}"
            for name in file.overrides
            if names and name not in names
        ]
        found: dict[str, None] = {}  # a mistake in the settings of all students is listed once
        for student in self.students:
            try:
                self.settings_of(student)
            except SettingsError as error:
                for name, reason in error.mistakes.items():
                    found[f"{self._place_of(name, student)}: {reason}"] = None
        return mistakes + list(found)

    def _place_of(self, setting: str, student: Student) -> str:
        """Where the value of a setting comes from: a line of the class file or of the roster."""
        file = self.file
        if setting == "allowedCidrs" and (student.allowed_cidrs or setting not in file.settings):
            return f"{file.roster}, line {student.line}"
        if setting in ("owner", "studentUser"):
            return f"{file.roster}, line {student.line}"
        return file.place(setting, student.name if setting in file.overrides.get(student.name, {}) else None)
