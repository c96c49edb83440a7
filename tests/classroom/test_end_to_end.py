"""Five students with environments of their own: workbooks, mistakes, submissions, grades; and the commands for it."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.grading.grader import grade
from retailpipe.classroom.workbooks import write_workbooks
from tests.classroom.conftest import CLASS_FILE, NAMES, Warehouse, add_own_model, write_class, write_workbook_of
from tests.conftest import Program, remove_servers
from tests.support.servers import folder_for_servers
from tests.support.stacks import HandMade

SCORES = {"anna": 100, "ben": 0, "chloe": 10, "david": 0, "eve": 0}


@pytest.fixture(scope="module")
def lesson() -> Iterator[tuple[Classroom, Path]]:
    """The class, and the folder with the environments of its students.

    anna did everything right; ben loaded eve's workbook; chloe rounded the prices and built nothing; david loaded his
    workbook twice; eve did nothing.
    """
    with folder_for_servers() as home:
        yield _lesson(home)
        remove_servers(home / "students")


def _lesson(home: Path) -> tuple[Classroom, Path]:
    classroom = write_class(home / "class")
    write_workbooks(classroom, home / "workbooks")
    students = home / "students"
    environments = {name: Environment.embedded(students / name) for name in NAMES if name != "eve"}
    books = {name: home / "workbooks" / f"{name}.xlsx" for name in NAMES}
    add_own_model(environments["anna"])
    assert retailpipe.run(environments["anna"], books["anna"]).ok
    retailpipe.ingest(environments["ben"], books["eve"])
    retailpipe.ingest(environments["chloe"], books["chloe"])
    rounding = Warehouse(environments["chloe"], environments["chloe"].warehouse.uri)
    rounding.execute("update bronze.raw_transactions set unit_price = round(unit_price, 2)")
    retailpipe.ingest(environments["david"], books["david"])
    books["david"].rename(books["david"].with_name("copy.xlsx"))
    retailpipe.ingest(environments["david"], books["david"].with_name("copy.xlsx"), allow_duplicate=True)
    for environment in environments.values():
        assert environment.server
        environment.server.stop()
    return classroom, students


def test_environments_on_this_machine_are_graded_and_left_as_they_were(lesson: tuple[Classroom, Path]) -> None:
    classroom, students = lesson

    report = grade(classroom, local=students)

    assert {student.student: student.score for student in report.students} == SCORES
    assert report.ok
    text = str(report)
    assert "another student: eve" in text
    assert "prices were rounded" in text
    assert "loaded twice, as input/david.xlsx and input/copy.xlsx" in text
    assert "eve: 0 of 100: there is no environment with a database in" in text
    assert not (students / "eve").exists()
    server = Environment.embedded(students / "anna").server
    assert server
    assert not server.is_running


def test_submissions_are_written_and_graded_by_the_commands(
    lesson: tuple[Classroom, Path], tmp_path: Path, program: Program
) -> None:
    classroom, students = lesson
    (tmp_path / "submissions").mkdir()

    for name in ("anna", "ben"):
        done = program("submit", "--student", name, "--out", f"submissions/{name}.json", "--local", students / name)
        assert done.returncode == 0, done.stderr
    assert "own models: " in done.stdout
    assert stat.S_IMODE((tmp_path / "submissions" / "anna.json").stat().st_mode) == 0o600
    options = ["--class", classroom.folder, "--submissions", "submissions"]
    done = program("class", "grade", *options, "--csv", "grades.csv", "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {each["student"]: each["score"] for each in found["students"]} == SCORES | {"chloe": 0}
    assert stat.S_IMODE((tmp_path / "grades.csv").stat().st_mode) == 0o600
    with (tmp_path / "grades.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["student"], row["matriculation"], row["score"]) for row in rows[:2]] == [
        ("anna", "4711", "100"),
        ("ben", "4712", "0"),
    ]
    assert "another student: eve" in rows[1]["remarks"]


def test_the_commands_write_workbooks_and_hand_outs_and_print_the_rubric(
    classroom: Classroom, tmp_path: Path, program: Program
) -> None:
    done = program("class", "workbooks", "books", "--class", classroom.folder, "--only", "anna, ben")
    assert (done.returncode, done.stdout) == (0, "2 workbooks in books: 2 written\n"), done.stderr
    done = program("class", "hand-out", "out", "--class", classroom.folder, "--only", "eve", "--json")
    assert json.loads(done.stdout)["students"][0]["student"] == "eve", done.stderr
    assert (tmp_path / "books" / "ben.xlsx").is_file()
    assert (tmp_path / "out" / "eve" / "README.md").is_file()

    done = program("class", "grade", "--print-rubric")
    assert done.stdout.startswith("# What a student gets points for.")
    done = program("class", "grade", "--submissions", ".", "--local", ".")
    assert done.returncode == 2
    assert "contradict" in done.stderr


def test_stacks_are_graded_and_a_stack_that_is_missing_is_not(made: HandMade, tmp_path: Path, program: Program) -> None:
    classroom = write_class(
        tmp_path / "class", ("dev", "ghost"), CLASS_FILE.replace("eu-central-1", made.outputs["region"])
    )
    environment = Environment.from_stack("dev")
    retailpipe.ingest(environment, write_workbook_of("dev", tmp_path))
    assert environment.stack
    environment.stack.aws.close()

    report = grade(classroom)

    dev, ghost = report.students
    assert (dev.source, dev.score, dev.is_graded) == ("retailpipe/dev", 30, True)
    assert (ghost.score, ghost.is_graded, ghost.points) == (0, False, [])
    assert "ghost" in ghost.problem
    assert not report.ok
    assert report.csv().splitlines()[2].startswith("ghost,ghost@example.com,4712,,100,,")
