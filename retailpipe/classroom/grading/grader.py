"""Grade the students of a class: compare what they have loaded and built with what their workbooks give.

The evidence comes from submissions, from the students' stacks, or from environments on this machine. What cannot be
read of one student never stops the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retailpipe.classroom.grading.diagnosis import alike_days, explain, matches
from retailpipe.classroom.grading.digests import BRONZE, Day
from retailpipe.classroom.grading.evidence import Evidence
from retailpipe.classroom.grading.exercise import checked_seed, exercise_of
from retailpipe.classroom.grading.expected import Expected
from retailpipe.classroom.grading.grades import GradeReport, PointGrade, StudentGrade
from retailpipe.classroom.grading.rubric import FILE, OWN_MODELS, TESTS, Point, Rubric
from retailpipe.classroom.grading.submission import SUBMISSION, collect
from retailpipe.counts import counted
from retailpipe.environment import Environment
from retailpipe.errors import ClassError, RetailpipeError
from retailpipe.folders import PASSFILE
from retailpipe.progress import NoProgress, Progress

if TYPE_CHECKING:
    from retailpipe.classroom.definition import Classroom
    from retailpipe.classroom.roster import Student

_STACKS_AT_ONCE = 6
_NO_SUBMISSION = "no submission"
_NOT_COUNTED = "not counted: bronze does not hold the student's workbook"


def grade(
    classroom: Classroom,
    *,
    submissions: Path | None = None,
    local: Path | None = None,
    profile: str | None = None,
    rubric: Path | None = None,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> GradeReport:
    """Grade the students of a class.

    submissions: a folder with submissions: STUDENT.json, STUDENT/submission.json, or any .json file whose content names
        the student. local: a folder with an environment for each student. Default: the students' stacks.
    profile: the AWS profile for the stacks.
    rubric: default: rubric.toml in the class folder if it exists, else the one of the package.
    only: grade only these students.

    Raises ClassError if the rubric or a name is wrong, or if a folder does not exist.
    """
    progress = progress or NoProgress()
    students = classroom.chosen(only)
    checked_seed(classroom.file)  # before the stacks are read
    own = classroom.folder / FILE
    grader = _Grader(classroom, Rubric.read(rubric or (own if own.exists() else None)))
    progress.step("grading", unit="students", total=len(students))
    grades: list[StudentGrade] = []
    unmatched: list[str] = []
    if submissions is not None:
        files, unmatched = _files(_folder(submissions), [student.name for student in classroom.students])
        for student in students:
            grades.append(grader.of_submission(student, files.get(student.name, [])))
            progress.advance(1)
    elif local is not None:
        for student in students:
            grades.append(grader.of_local(student, _folder(local) / student.name))
            progress.advance(1)
    else:
        with ThreadPoolExecutor(_STACKS_AT_ONCE) as pool:
            waiting = [pool.submit(_of_stack, classroom, student, profile) for student in students]
            for student, found in zip(students, waiting, strict=True):
                grades.append(grader.of_found(student, found.result()))
                progress.advance(1)
    return GradeReport(classroom.file.course, grader.rubric.out_of, grades, unmatched)


@dataclass(frozen=True)
class _Found:
    """What was read of a student. is_graded: whether an error is the student's."""

    source: str
    evidence: Evidence | None = None
    problem: str = ""
    is_graded: bool = True


class _Grader:
    def __init__(self, classroom: Classroom, rubric: Rubric) -> None:
        self._classroom = classroom
        self.rubric = rubric
        self._of_others: dict[str, tuple[str, Mapping[str, Day]]] = {}

    def of_submission(self, student: Student, files: Sequence[Path]) -> StudentGrade:
        if not files:
            return self.of_found(student, _Found("", problem=_NO_SUBMISSION))
        if len(files) > 1:
            names = ", ".join(map(str, files))
            return self.of_found(student, _Found("", problem=f"several submissions: {names}; delete all but one"))
        source = str(files[0])
        try:
            evidence = Evidence.read(files[0])
        except ClassError as error:
            return self.of_found(student, _Found(source, problem=f"{error}. {error.hint}"))
        if evidence.student != student.name:
            problem = (
                f"{source} is the submission of {evidence.student}, not of {student.name}. Ask {student.name} for the "
                "file of `retailpipe submit`."
            )
            return self.of_found(student, _Found(source, problem=problem))
        return self.of_found(student, _Found(source, evidence))

    def of_local(self, student: Student, folder: Path) -> StudentGrade:
        return self.of_found(student, _of_local(student, folder))

    def of_found(self, student: Student, found: _Found) -> StudentGrade:
        points: list[PointGrade] = []
        if found.evidence:
            points = self._points(student, found.evidence)
        elif found.is_graded:
            points = [PointGrade(point.name, 0, point.score, ()) for point in self.rubric.points]
        return StudentGrade(
            student.name,
            student.email,
            student.others,
            found.source,
            found.is_graded,
            sum(point.score for point in points),
            self.rubric.out_of,
            points,
            found.problem,
        )

    def _points(self, student: Student, evidence: Evidence) -> list[PointGrade]:
        expected = self._expected(student.name)
        has_bronze = matches(evidence, expected, BRONZE)
        points: list[PointGrade] = []
        for point in self.rubric.points:
            explanations = self._explanations(student, evidence, expected, point, has_bronze)
            score = 0 if explanations else point.score
            points.append(PointGrade(point.name, score, point.score, tuple(explanations)))
        return points

    def _explanations(
        self, student: Student, evidence: Evidence, expected: Expected, point: Point, has_bronze: bool
    ) -> Sequence[str]:
        """Why a point is not earned; nothing if it is."""
        if point.needs_bronze and not has_bronze:
            if point.table and matches(evidence, expected, point.table):
                return [f"{_NOT_COUNTED}, so {point.table} was not built from it"]
            return [_NOT_COUNTED]
        if point.kind == TESTS:
            return _tests(evidence)
        if point.kind == OWN_MODELS:
            return _own_models(evidence, point.least)
        if matches(evidence, expected, point.table):
            return []
        return explain(evidence, expected, point.table, lambda found: self._owner(found, student.name))

    def _expected(self, name: str) -> Expected:
        return Expected(exercise_of(self._classroom.file, name))

    def _owner(self, evidence: Evidence, student: str) -> str | None:
        """The other student whose workbook is loaded."""
        best, most = None, 0
        for other in (each.name for each in self._classroom.students if each.name != student):
            if other not in self._of_others:
                expected = self._expected(other)
                self._of_others[other] = expected.digest(BRONZE).whole, expected.days
            whole, days = self._of_others[other]
            if whole == evidence.tables[BRONZE].digest:
                return other
            if (alike := alike_days(evidence.days, days)) > most:
                best, most = other, alike
        return best


def _tests(evidence: Evidence) -> Sequence[str]:
    if not evidence.is_built:
        return ["the last build failed, or more was loaded since: run `retailpipe transform`"]
    if evidence.unverified:
        return [f"`retailpipe verify` cannot run: {evidence.unverified}"]
    return [f"`retailpipe verify` finds a difference: {name}" for name in evidence.broken[:3]]


def _own_models(evidence: Evidence, least: int) -> Sequence[str]:
    built = [model for model in evidence.models if model.rows and not model.problem]
    if len(built) >= least:
        return []
    empty = [f"{model.name} {model.problem or 'has no rows'}" for model in evidence.models if model not in built]
    return [f"{counted(len(built), 'own model')} built with rows; {least:,} needed", *empty[:3]]


def _of_local(student: Student, folder: Path) -> _Found:
    """Read the environment in a folder. Its server is stopped again if it did not run before."""
    source = str(folder)
    if not (folder / PASSFILE).exists():
        return _Found(source, problem=f"there is no environment with a database in {folder}")
    environment = Environment.embedded(folder)
    server = environment.server
    try:
        was_running = server is None or server.is_running
        try:
            return _Found(source, collect(environment, student.name))
        finally:
            if server and not was_running:
                server.stop()
    except RetailpipeError as error:
        return _Found(source, problem=f"{error}. {error.hint}".strip(), is_graded=False)
    except Exception as error:  # the student owns the database: it may hold anything
        return _Found(source, problem=f"the database cannot be read ({type(error).__name__}: {error})", is_graded=False)


def _of_stack(classroom: Classroom, student: Student, profile: str | None) -> _Found:
    """Read the warehouse of a student's stack."""
    source = f"{classroom.file.project}/{student.name}"
    try:
        environment = Environment.from_stack(source, profile=profile, region=classroom.file.region)
        try:
            return _Found(source, collect(environment, student.name))
        finally:
            if environment.stack:
                environment.stack.aws.close()
    except RetailpipeError as error:
        return _Found(source, problem=f"{error}. {error.hint}".strip(), is_graded=False)
    except Exception as error:  # the student owns the database: it may hold anything
        return _Found(source, problem=f"the database cannot be read ({type(error).__name__}: {error})", is_graded=False)


def _folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise ClassError(f"{folder} is not a folder", hint="Give the folder with one file or folder for each student.")
    return folder


def _files(folder: Path, names: Sequence[str]) -> tuple[dict[str, list[Path]], list[str]]:
    """The submissions in a folder by student, and those that belong to nobody, with the reason.

    A file or folder with a student's name is that student's. Another file is that of the student whom it names, unless
    that student has one already: so nobody can replace the submission of another.
    """
    found: dict[str, list[Path]] = {}
    rest: list[Path] = []
    for path in _listed(folder):
        owner = path.stem if path.parent == folder else path.parent.name
        if owner in names:
            found.setdefault(owner, []).append(path)
        else:
            rest.append(path)
    named = set(found)
    unmatched: list[str] = []
    for path in rest:
        try:
            owner = Evidence.read(path).student
        except ClassError as error:
            unmatched.append(str(error))
            continue
        if owner not in names:
            unmatched.append(f"{path} is the submission of {owner!r}, who is not in the roster")
        elif owner in named:
            unmatched.append(f"{path} is another submission of {owner}; graded is {found[owner][0]}")
        else:
            found.setdefault(owner, []).append(path)
    return found, unmatched


def _listed(folder: Path) -> Iterable[Path]:
    """The .json files of a folder, and the submission.json of each folder in it. Raises ClassError."""
    try:
        return sorted({*folder.glob("*.json"), *folder.glob(f"*/{SUBMISSION}")})
    except OSError as error:
        raise ClassError(f"cannot read {folder}: {error.strerror}", hint="Check its permissions.") from error
