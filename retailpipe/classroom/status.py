"""`class status`: how far each student is, and what the stacks have cost, without opening a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from retailpipe.aws.activity import Activity, activity
from retailpipe.aws.billing import Bill, Billing
from retailpipe.aws.databases import DatabaseInstance, database_instances
from retailpipe.aws.deployed import DeployedStack, deployed_stacks
from retailpipe.aws.session import Aws, is_credentials_error
from retailpipe.classroom.account import checked_account
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.grading.grades_file import read_grades
from retailpipe.classroom.roster import CLASSROOM, Student
from retailpipe.classroom.spent import CostFrom, cost_about, cost_so_far, first_day
from retailpipe.counts import counted
from retailpipe.errors import AwsError
from retailpipe.names import Names
from retailpipe.prices import Prices
from retailpipe.reports import Report
from retailpipe.threads import in_parallel

_THREADS = 16
_STATES = {"available": "running"}


@dataclass(frozen=True)
class StudentStatus(Report):
    """The state of one student's stack.

    stack: whether it is deployed.
    database: running, stopped, or another status of RDS; `gone` if the stack exists without it; empty without both.
    uploads: workbooks in the bucket. loads: those that are loaded. rows_rejected: by these loads. None: unknown.
    last_activity: the last upload or load, in UTC.
    grade: such as "12 of 15"; empty if the student is not graded.
    cost: so far, in USD; None if it is unknown. cost_from: where it is from.
    problem: what could not be read, and why; empty if all could be.
    """

    student: str
    stack: Literal["deployed", "missing"]
    database: str
    uploads: int | None
    loads: int | None
    rows_rejected: int | None
    last_activity: datetime | None
    grade: str
    cost: float | None
    cost_from: CostFrom
    expires_on: date | None
    problem: str = ""


@dataclass(frozen=True)
class ClassStatus(Report):
    """The state of a class. at: when it was read, in UTC. cost_about: what the costs are, and what they are not.

    not_in_roster: stacks of the project that no student of the roster has.
    """

    course: str
    region: str
    at: datetime
    rows: tuple[StudentStatus, ...]
    cost: float
    cost_about: str
    not_in_roster: tuple[str, ...]

    def __str__(self) -> str:
        counts = Counter(row.database for row in self.rows if row.database)
        databases = ", ".join(f"{count} {state}" for state, count in counts.most_common()) or "none"
        graded = sum(bool(row.grade) for row in self.rows)
        deployed = sum(row.stack == "deployed" for row in self.rows)
        return (
            f"{counted(len(self.rows), 'student')}: {deployed} deployed, databases: {databases}, {graded} graded, "
            f"{self.cost:,.2f} USD so far"
        )


def status(
    classroom: Classroom, aws: Aws, *, billing: Billing | None = None, now: datetime | None = None
) -> ClassStatus:
    """Read the state of a class.

    aws: clients for the region of the class file.
    billing: keeps the answer of Cost Explorer from one call to the next.
    now: default: the current time.
    Raises AwsError if the credentials are missing, expired or of another account, or a list cannot be read. What cannot
    be read of one student is in the student's row.
    """
    file, now = classroom.file, now or datetime.now(UTC)
    checked_account(file, aws)
    found = deployed_stacks(file.project, aws)
    identifiers = {student.name: _identifier(classroom, student, found) for student in classroom.students}
    instances = database_instances({*identifiers.values()}, aws)
    stacks = sum(student.name in found for student in classroom.students)
    since = first_day(instances.values(), stacks, now)
    bill = Bill({})
    if found or instances:
        pipelines = {Names(file.project, student.name).prefix for student in classroom.students}
        bill = (billing or Billing(aws)).bill(pipelines, since, now.date())
    grades, prices = read_grades(classroom.folder), Prices.known()

    def row_of(student: Student) -> StudentStatus:
        stack, instance = found.get(student.name), instances.get(identifiers[student.name])
        work, problem = _activity(stack, aws)
        cost, cost_from = cost_so_far(
            Names(file.project, student.name).prefix, bool(stack), instance, bill, prices, now
        )
        return StudentStatus(
            student=student.name,
            stack="deployed" if stack else "missing",
            database=_state(stack, instance),
            uploads=work and work.uploads,
            loads=work and work.loads,
            rows_rejected=work and work.rows_rejected,
            last_activity=work and work.last,
            grade=grades.get(student.name, ""),
            cost=cost,
            cost_from=cost_from,
            expires_on=_expiry(classroom, stack, instance),
            problem=problem,
        )

    rows = tuple(in_parallel(row_of, classroom.students, _THREADS))
    return ClassStatus(
        course=file.course,
        region=file.region,
        at=now,
        rows=rows,
        cost=round(sum(row.cost or 0 for row in rows), 2),
        cost_about=cost_about(bill, since, prices, is_known=any(row.cost_from for row in rows)),
        not_in_roster=tuple(sorted(found.keys() - identifiers.keys() - {CLASSROOM})),
    )


def _identifier(classroom: Classroom, student: Student, found: Mapping[str, DeployedStack]) -> str:
    """The name of a student's database: it may exist without outputs, if a deployment was interrupted."""
    stack = found.get(student.name)
    if stack and stack.outputs:
        return stack.outputs.database_instance
    return Names(classroom.file.project, student.name).of("database")


def _state(stack: DeployedStack | None, instance: DatabaseInstance | None) -> str:
    if instance:
        return _STATES.get(instance.status, instance.status)
    return "gone" if stack else ""


def _activity(stack: DeployedStack | None, aws: Aws) -> tuple[Activity | None, str]:
    """The activity of a stack, and why it is unknown or incomplete."""
    if not stack or not stack.outputs:
        return None, stack.problem if stack else ""
    try:
        work = activity(stack.outputs, aws)
    except AwsError as error:
        if is_credentials_error(error):
            raise
        return None, str(error)
    return work, "" if work.is_complete else "the bucket has too many objects: the counts are too low"


def _expiry(classroom: Classroom, stack: DeployedStack | None, instance: DatabaseInstance | None) -> date | None:
    """The date of the database's tag, which is that of its last deployment; else that of the class file."""
    if not stack and not instance:
        return None
    try:
        return date.fromisoformat(instance.tags.get("ExpiresOn", "")) if instance else classroom.file.expires_on
    except ValueError:
        return classroom.file.expires_on
