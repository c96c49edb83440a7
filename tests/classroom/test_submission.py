"""Submissions: what a student writes, and what a hostile one cannot do."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.grading.digests import BRONZE, Day, self_digest
from retailpipe.classroom.grading.evidence import MAX_BYTES, Evidence, TableEvidence
from retailpipe.classroom.grading.grader import grade
from retailpipe.classroom.grading.grades import GradeReport, StudentGrade
from retailpipe.classroom.grading.rubric import Rubric
from retailpipe.classroom.grading.submission import collect, submit
from retailpipe.errors import ClassError, StoreError
from tests.classroom.conftest import OWN_MODEL, Warehouse

EMPTY = Evidence("anna", "2026-11-29T08:00:00+00:00", {}, [], [], {}, {}, [], False, [], "nothing is loaded")
N = Rubric.read().out_of


def written(file: Path, document: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def signed(document: dict[str, Any]) -> dict[str, Any]:
    """A document with the digest of its content, as a student who knows the format could write it."""
    return {**document, "digest": self_digest(document)}


@pytest.fixture
def folder(classroom: Classroom) -> Path:
    return classroom.folder / "submissions"


def of(report: GradeReport, name: str) -> StudentGrade:
    return next(student for student in report.students if student.student == name)


def test_a_submission_can_be_read_again_and_is_private(solved: Warehouse, tmp_path: Path) -> None:
    evidence = submit(solved.environment, tmp_path / "submission.json")

    assert Evidence.read(tmp_path / "submission.json") == evidence
    assert stat.S_IMODE((tmp_path / "submission.json").stat().st_mode) == 0o600
    assert list(tmp_path.glob(".*.json")) == []


def test_a_submission_has_the_loads_the_rejects_the_versions_and_the_own_models(solved: Warehouse) -> None:
    evidence = collect(solved.environment)

    (load,) = evidence.loads
    (row,) = retailpipe.query(solved.environment, "select content_hash from bronze.loads").to_pylist()
    assert (load.source, load.content_hash) == ("input/anna.xlsx", row["content_hash"])
    assert load.rows_read == load.rows_loaded + load.rows_rejected
    assert sum(reject.rows for reject in evidence.rejects) == load.rows_rejected
    assert set(evidence.versions) == {"retailpipe", "python", "dbt", "postgresql"}
    (model,) = evidence.models
    assert (model.name, model.relation, model.sql) == ("customer_revenue", "public_own.customer_revenue", OWN_MODEL)
    assert model.rows > 0
    assert evidence.tables[BRONZE].sums["quantity"] == str(
        retailpipe.query(solved.environment, "select sum(quantity) as q from bronze.raw_transactions")["q"][0].as_py()
    )


def test_a_submission_contains_no_row_of_the_data(solved: Warehouse, tmp_path: Path) -> None:
    submit(solved.environment, tmp_path / "s.json")

    assert "LANTERN" not in (tmp_path / "s.json").read_text()


def test_two_warehouses_with_the_same_rows_in_another_order_have_the_same_digests(solved: Warehouse) -> None:
    before = collect(solved.environment)
    solved.execute(
        "create table bronze.sorted as select * from bronze.raw_transactions order by random()",
        "truncate bronze.raw_transactions",
        "insert into bronze.raw_transactions select * from bronze.sorted",
    )

    after = collect(solved.environment)

    assert (after.tables, after.days) == (before.tables, before.days)


def test_the_student_must_be_known(environment: Environment, tmp_path: Path) -> None:
    with pytest.raises(ClassError, match="name of the student") as caught:
        submit(environment, tmp_path / "s.json")

    assert "--student NAME" in caught.value.hint
    assert not (tmp_path / "s.json").exists()


def test_a_file_that_cannot_be_written_is_named(environment: Environment, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"missing/s\.json"):
        submit(environment, tmp_path / "missing" / "s.json", student="anna")


def test_a_table_that_cannot_be_read_does_not_stop_the_others(solved: Warehouse) -> None:
    solved.execute(
        "drop table public_gold.top_products",
        "create view public_gold.top_products as select 1 / 0 as rank, 'a'::text as stock_code",
        "drop table public_silver.dim_date",
        "create view public_silver.dim_date as select n as date_id from generate_series(1, 3200000) as n",
        "alter table public_gold.country_performance add column hostile json default '{}'",
        "alter table public_silver.dim_customer alter country type text[] using array[country]",
    )

    evidence = collect(solved.environment)

    assert "division by zero" in evidence.tables["public_gold.top_products"].problem
    assert "more than" in evidence.tables["public_silver.dim_date"].problem
    assert evidence.tables["public_gold.country_performance"].problem == ""
    assert evidence.tables["public_silver.dim_customer"].rows > 0
    assert evidence.tables[BRONZE].rows > 0


def test_a_submission_that_was_edited_gets_nothing(classroom: Classroom, solved: Warehouse, folder: Path) -> None:
    folder.mkdir()
    submit(solved.environment, folder / "anna.json")
    document = json.loads((folder / "anna.json").read_text())
    document["tables"][BRONZE]["rows"] += 1
    written(folder / "anna.json", document)

    found = of(grade(classroom, submissions=folder), "anna")

    assert (found.score, found.is_graded) == (0, True)
    assert "anna.json was edited" in found.problem
    assert "`retailpipe submit`" in found.problem


def test_another_students_submission_gets_nothing(classroom: Classroom, solved: Warehouse, folder: Path) -> None:
    folder.mkdir()
    submit(solved.environment, folder / "ben.json")

    found = of(grade(classroom, submissions=folder), "ben")

    assert (found.score, found.out_of) == (0, N)
    assert "ben.json is the submission of anna, not of ben" in found.problem


def test_another_version_of_the_format_is_told(classroom: Classroom, folder: Path) -> None:
    written(folder / "anna.json", signed({**EMPTY.document(), "version": 2}))

    found = of(grade(classroom, submissions=folder), "anna")

    assert found.score == 0
    assert "has format version '2'; this retailpipe reads version 1" in found.problem


def test_a_student_without_a_submission_gets_nothing(classroom: Classroom, folder: Path) -> None:
    folder.mkdir()

    report = grade(classroom, submissions=folder)

    assert [(student.score, student.problem) for student in report.students] == [(0, "no submission")] * 5
    assert report.ok


def test_submissions_are_found_by_file_by_folder_and_by_the_name_inside(classroom: Classroom, folder: Path) -> None:
    for student, file in (("anna", "anna.json"), ("ben", "ben/submission.json"), ("chloe", "upload (3).json")):
        written(folder / file, signed({**EMPTY.document(), "student": student}))

    report = grade(classroom, submissions=folder)

    assert [Path(student.source).name for student in report.students] == [
        "anna.json",
        "submission.json",
        "upload (3).json",
        "",
        "",
    ]
    assert (report.unmatched, of(report, "ben").problem) == ([], "")


def test_nobody_can_replace_the_submission_of_another_student(classroom: Classroom, folder: Path) -> None:
    written(folder / "anna.json", EMPTY.document())
    written(folder / "zz.json", EMPTY.document())
    written(folder / "mallory.json", signed({**EMPTY.document(), "student": "mallory"}))

    report = grade(classroom, submissions=folder)

    assert of(report, "anna").source.endswith("anna.json")
    assert "'mallory', who is not in the roster" in report.unmatched[0]
    assert "another submission of anna" in report.unmatched[1]


def test_two_submissions_of_a_student_are_not_chosen_between(classroom: Classroom, folder: Path) -> None:
    written(folder / "anna.json", EMPTY.document())
    written(folder / "anna" / "submission.json", EMPTY.document())

    assert "delete all but one" in of(grade(classroom, submissions=folder), "anna").problem


def _day(day: str, rows: object) -> dict[str, Any]:
    """A submission with one day of bronze, and a digest that is right."""
    table = TableEvidence(3, "x", dict.fromkeys(("invoice_no", "stock_code"), "x"), {}, "").as_dict()
    columns = dict.fromkeys(
        ("invoice_no", "stock_code", "description", "quantity", "invoice_date", "unit_price", "customer_id", "country"),
        "x",
    )
    days = {day: {"rows": rows, "columns": {}}}
    return signed({**EMPTY.document(), "days": days, "tables": {BRONZE: {**table, "columns": columns}}})


HOSTILE: dict[str, Callable[[], object]] = {
    "nested": lambda: "[" * 200_000 + "]" * 200_000,
    "nested objects": lambda: '{"a":' * 100_000 + "1" + "}" * 100_000,
    "nested in a submission": lambda: json.dumps(EMPTY.document())[:-1] + ', "x": ' + "[" * 900 + "]" * 900 + "}",
    "not json": lambda: "hello",
    "empty": lambda: "",
    "a list": lambda: [1, 2],
    "a number": lambda: "1e999",
    "digits": lambda: '{"format": ' + "9" * 100_000 + "}",
    "only a format": lambda: {"format": "retailpipe-submission"},
    "only a version": lambda: signed({"format": "retailpipe-submission", "version": 1}),
    "not a number": lambda: '{"format": "retailpipe-submission", "version": NaN}',
    "true as version": lambda: signed({**EMPTY.document(), "version": True}),
    "tables as list": lambda: signed({**EMPTY.document(), "tables": []}),
    "rows as text": lambda: _day("2024-05-01", "3"),
    "rows as float": lambda: _day("2024-05-01", 3.5),
    "negative rows": lambda: _day("2024-05-01", -3),
    "huge rows": lambda: _day("2024-05-01", 10**17),
    "rows without end": lambda: _day("2024-05-01", 10**30),
    "an impossible day": lambda: _day("2024-13-99", 3),
    "a day of words": lambda: _day("tomorrow", 3),
    "control characters": lambda: signed({**EMPTY.document(), "unverified": "\x1b[2J"}),
    "half a surrogate": lambda: signed({**EMPTY.document(), "unverified": "\ud800"}),
    "a student of control characters": lambda: signed({**EMPTY.document(), "student": "\x1b]0;x\x07"}),
    "student is null": lambda: signed({**EMPTY.document(), "student": None}),
    "models of numbers": lambda: signed({**EMPTY.document(), "models": [1, None, {}]}),
    "flag as text": lambda: signed({**EMPTY.document(), "is_built": "yes"}),
    "too many": lambda: signed({**EMPTY.document(), "broken": ["x"] * 100_001}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_submission_gets_nothing_and_the_others_are_graded(
    classroom: Classroom, folder: Path, name: str
) -> None:
    written(folder / "anna.json", HOSTILE[name]())
    written(folder / "anything else.json", HOSTILE[name]())
    written(folder / "ben.json", signed({**EMPTY.document(), "student": "ben"}))

    report = grade(classroom, submissions=folder)

    assert of(report, "anna").score == 0
    assert of(report, "anna").problem or of(report, "anna").points[0].explanations
    assert of(report, "ben").problem == ""
    str(report).encode()
    report.csv().encode()
    json.dumps(report.as_dict())


def test_files_that_are_not_submissions_of_text_get_nothing(classroom: Classroom, folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "anna.json")
    (folder / "ben.json").write_bytes(b"\xff\xfe\x00")
    (folder / "chloe.json").symlink_to("/dev/zero")
    (folder / "david.json").mkdir()
    with (folder / "eve.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)

    report = grade(classroom, submissions=folder)

    assert [student.score for student in report.students] == [0] * 5
    problems = [student.problem for student in report.students]
    for problem, expected in zip(
        problems,
        ("is not a file", "is not valid JSON", "is not a file", "david.json", "bytes; a submission"),
        strict=True,
    ):
        assert expected in problem


def test_a_folder_that_does_not_exist_is_told(classroom: Classroom, tmp_path: Path) -> None:
    with pytest.raises(ClassError, match="is not a folder"):
        grade(classroom, submissions=tmp_path / "missing")
    with pytest.raises(ClassError, match="no student 'mallory'"):
        grade(classroom, submissions=tmp_path, only=["mallory"])


def test_the_grades_as_csv_have_the_other_columns_of_the_roster_and_no_formula(
    classroom: Classroom, folder: Path
) -> None:
    written(folder / "anna.json", signed({**EMPTY.document(), "days": {"2024-01-01": Day(1, {}).__dict__}}))
    (classroom.folder / "students.csv").write_text("student,email,note\nanna,anna@example.com,=1+1\n")

    header, row = grade(Classroom.read(classroom.folder), submissions=folder).csv().splitlines()

    assert header.startswith("student,email,note,score,out_of,bronze complete,rejects right,")
    assert row.startswith("anna,anna@example.com,'=1+1,0,100,0,0,")
