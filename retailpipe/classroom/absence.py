"""The proof that nothing is left of the stacks of a class, or the list of what is, with the commands that remove it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retailpipe.aws.inventory import Resource, inventory
from retailpipe.aws.kinds import Place
from retailpipe.aws.session import Aws
from retailpipe.classroom.account import checked_account
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.roster import CLASSROOM
from retailpipe.counts import counted
from retailpipe.reports import Report


@dataclass(frozen=True)
class AbsenceReport(Report):
    """What is left of some stacks.

    stacks: those that were looked for. remains: what is left, in the order in which it can be removed.
    unread: lists of AWS that could not be read, each with the reason: without them, nothing is proved.
    """

    project: str
    account: str
    region: str
    stacks: tuple[str, ...]
    remains: tuple[Resource, ...]
    unread: tuple[str, ...]

    @property
    def is_proved(self) -> bool:
        """Whether nothing is left, and all lists could be read."""
        return not self.remains and not self.unread

    def __str__(self) -> str:
        stacks = counted(len(self.stacks), "stack")
        if self.remains:
            return f"{counted(len(self.remains), 'resource')} left of {stacks}"
        if self.unread:
            lists = counted(len(self.unread), "list")
            return f"nothing was found of {stacks}, but {lists} of AWS could not be read"
        return f"nothing is left of {stacks} of project {self.project} in account {self.account}, {self.region}"


def absence(classroom: Classroom, aws: Aws, stacks: Sequence[str] | None = None) -> AbsenceReport:
    """Look for everything that belongs to some stacks of a class, by name and by tag.

    stacks: names of students, and "classroom"; None: all students of the roster and the classroom stack.
    aws: clients for the region of the class file.
    Raises AwsError if the credentials are missing, expired or of another account.
    """
    account = checked_account(classroom.file, aws)
    if stacks is None:
        stacks = [*(student.name for student in classroom.students), CLASSROOM]
    found = inventory(stacks, Place(aws, classroom.file.project, account))
    return AbsenceReport(
        project=classroom.file.project,
        account=account,
        region=classroom.file.region,
        stacks=tuple(stacks),
        remains=tuple(each for stack in stacks for each in found.resources[stack]),
        unread=tuple(found.unread),
    )
