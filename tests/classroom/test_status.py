"""`class status` on the simulated AWS: each student's row, what cannot be read, the costs, and what is printed."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import urllib.request
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from retailpipe import AwsError
from retailpipe.aws.billing import Billing
from retailpipe.aws.session import Aws
from retailpipe.classroom.status import ClassStatus, StudentStatus, status
from tests.conftest import Program
from tests.support.aws import recorded_calls, s3_refuses
from tests.support.classes import create_database, deploy, read_class, upload, write_class
from tests.support.stacks import HandMade
from tests.support.terminals import on_a_terminal

NAMES = ["anna", "ben", "cara", "dora", "ed", "finn"]


@pytest.fixture(scope="module")
def deployed(account: HandMade) -> HandMade:
    """The stacks of a class.

    anna works; ben's database is stopped, and his bucket has hostile receipts; cara's database is gone, and so is her
    bucket; dora has no stack; ed has a database whose deployment was interrupted; finn's outputs are unreadable.
    """
    anna, ben, cara = (deploy(account, name) for name in ("anna", "ben", "cara"))
    upload(account, anna["bucket"], "2010.xlsx", rejected=3)
    upload(account, anna["bucket"], "2011.xlsx", rejected=4)
    upload(account, anna["bucket"], "2012.xlsx")
    account.client("s3").put_object(Bucket=anna["bucket"], Key="input/~$2012.xlsx", Body=b"lock file")
    rds = account.client("rds")
    rds.stop_db_instance(DBInstanceIdentifier=ben["database_instance"])
    for name, receipt in {
        "a.csv": b"not JSON", "b.csv": b'{"rows_rejected": -5}', "c.csv": b'{"rows_rejected": true}',
        "d.csv": b"[" * 9000, "e.csv": b'{"rows_rejected": 1e400}',
        "f.csv": b'{"rows_rejected": 7}' + b" " * 20_000, "g.csv": b"[]",
    }.items():  # fmt: skip
        upload(account, ben["bucket"], name, rejected=0)
        key = account.client("s3").list_objects_v2(Bucket=ben["bucket"], Prefix=f"receipts/input/{name}")
        account.client("s3").put_object(Bucket=ben["bucket"], Key=key["Contents"][0]["Key"], Body=receipt)
    rds.delete_db_instance(DBInstanceIdentifier=cara["database_instance"], SkipFinalSnapshot=True)
    account.client("s3").delete_bucket(Bucket=cara["bucket"])
    create_database(account, "retailpipe-ed-database")
    account.client("ssm").put_parameter(Name="/retailpipe/finn/outputs", Value="{}", Type="String")
    deploy(account, "zoe")
    return account


def row(found: ClassStatus, name: str) -> StudentStatus:
    return next(each for each in found.rows if each.student == name)


@pytest.fixture
def found(deployed: HandMade, aws: Aws, tmp_path: Path) -> ClassStatus:
    return status(read_class(tmp_path, NAMES), aws)


def test_uploads_loads_and_rejects_are_counted_from_the_bucket(found: ClassStatus) -> None:
    anna = row(found, "anna")

    assert (anna.stack, anna.database) == ("deployed", "running")
    assert (anna.uploads, anna.loads, anna.rows_rejected) == (3, 2, 7)
    assert anna.last_activity
    assert timedelta(0) <= found.at - anna.last_activity < timedelta(minutes=5)
    assert anna.expires_on == date(2099, 2, 28)  # of the database's tag
    assert anna.problem == ""


def test_hostile_receipts_count_as_loads_without_rejects(found: ClassStatus) -> None:
    ben = row(found, "ben")

    assert (ben.database, ben.uploads, ben.loads, ben.rows_rejected) == ("stopped", 7, 7, 0)


def test_what_is_missing_is_told_in_the_row(found: ClassStatus) -> None:
    cara, dora, ed, finn = (row(found, name) for name in ("cara", "dora", "ed", "finn"))

    assert (cara.stack, cara.database, cara.uploads) == ("deployed", "gone", None)
    assert "cannot list input/ in s3://retailpipe-cara-" in cara.problem
    assert (dora.stack, dora.database, dora.uploads, dora.expires_on, dora.problem) == ("missing", "", None, None, "")
    assert (ed.stack, ed.database) == ("missing", "running")
    assert (finn.stack, finn.problem) == (
        "deployed", "the outputs in /retailpipe/finn/outputs are not from a retailpipe stack: they have no version",
    )  # fmt: skip
    assert found.not_in_roster == ("zoe",)


def test_the_summary_counts(found: ClassStatus) -> None:
    assert str(found).startswith("6 students: 4 deployed, databases: 2 running, 2 gone, 1 stopped, 0 graded, ")


def test_the_report_is_json(found: ClassStatus) -> None:
    document = json.loads(json.dumps(found.as_dict()))

    assert document["rows"][0]["student"] == "anna"
    assert datetime.fromisoformat(document["at"]) == found.at


def test_a_bucket_that_another_account_owns_is_not_read(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    ssm, name = deployed.client("ssm"), "/retailpipe/anna/outputs"
    before = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    ssm.put_parameter(Name=name, Value=before.replace("123456789012", "999999999999"), Type="String", Overwrite=True)

    anna = row(status(read_class(tmp_path, ["anna"]), aws), "anna")

    ssm.put_parameter(Name=name, Value=before, Type="String", Overwrite=True)
    assert anna.uploads is None
    assert "cannot list input/" in anna.problem


def test_a_bucket_with_too_many_objects_says_that_the_counts_are_too_low(
    deployed: HandMade, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retailpipe.aws.activity._MOST_RECEIPTS", 1)

    anna = row(status(read_class(tmp_path, ["anna"]), aws), "anna")

    assert anna.loads == 2
    assert anna.rows_rejected in (3, 4)  # of one of the two receipts
    assert anna.problem == "the bucket has too many objects: the counts are too low"


def test_credentials_of_another_account_are_refused(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    with pytest.raises(AwsError, match="the class is in account 999999999999"):
        status(read_class(tmp_path, keys='account = "999999999999"'), aws)


def test_credentials_that_expire_in_the_middle_stop_the_status(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    with s3_refuses("ExpiredToken", 400, 1), pytest.raises(AwsError, match="the AWS session has expired") as caught:
        status(read_class(tmp_path, NAMES), aws)

    assert "aws sso login" in caught.value.hint


# grades


def test_grades_are_those_that_class_grade_wrote(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    students: list[object] = [
        {"student": "anna", "is_graded": True, "score": 12, "out_of": 15},
        {"student": "ben", "is_graded": False, "score": 0, "out_of": 15},
        {"student": "cara", "is_graded": True, "score": "12", "out_of": None},
        {"student": ["dora"], "is_graded": True, "score": 1, "out_of": 2},
        "ed",
    ]
    (tmp_path / "grades.json").write_text(json.dumps({"students": students}))

    found = status(read_class(tmp_path, NAMES), aws)

    assert [each.grade for each in found.rows] == ["12 of 15", "", "", "", "", ""]


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 10_000, b"\xff\xfe", b"[]", b'{"students": 1}'])
def test_a_damaged_file_of_grades_has_none(deployed: HandMade, aws: Aws, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "grades.json").write_bytes(content)

    assert row(status(read_class(tmp_path, ["anna"]), aws), "anna").grade == ""


# costs


def answer_of_cost_explorer(account: HandMade, *results: dict[str, Any]) -> None:
    """Make Cost Explorer answer the next different questions with these results."""
    request = urllib.request.Request(
        f"{account.endpoint}/moto-api/static/ce/cost-and-usage-results",
        json.dumps({"results": list(results)}).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).close()


def month(**costs: float) -> dict[str, Any]:
    groups = [
        {"Keys": [f"Pipeline${name}"], "Metrics": {"UnblendedCost": {"Amount": str(cost), "Unit": "USD"}}}
        for name, cost in costs.items()
    ]
    return {"TimePeriod": {"Start": "2026-11-01", "End": "2026-12-01"}, "Groups": groups, "Estimated": True}


def test_costs_are_estimated_by_hours_if_the_tag_is_not_active(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    later = datetime.now(UTC) + timedelta(hours=730)

    found = status(read_class(tmp_path, NAMES), aws, now=later)

    anna, cara, dora = (row(found, name) for name in ("anna", "cara", "dora"))
    assert (anna.cost, anna.cost_from) == (pytest.approx(18.03, abs=0.02), "price list")
    assert (cara.cost, cara.cost_from) == (None, "")
    assert dora.cost == 0
    assert "as if each database had run since it was created" in found.cost_about
    assert "has not activated Pipeline as a cost allocation tag" in found.cost_about
    assert found.cost == pytest.approx(3 * 18.03, abs=0.05)


def test_costs_are_from_cost_explorer_if_it_has_them(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    anna, cara = "retailpipe-anna", "retailpipe-cara"
    months = [month(**{anna: 1.25, cara: 4}), month(**{anna: 2.5, "retailpipe-other": 99})]
    answer_of_cost_explorer(deployed, {"ResultsByTime": months})

    found = status(read_class(tmp_path, ["anna", "ben", "cara"]), aws)

    assert [(each.cost, each.cost_from) for each in found.rows] == [(3.75, "bill"), (0, "bill"), (4, "bill")]
    assert found.cost == 7.75
    # cara's database is gone: what it has cost is looked for in the last year.
    assert found.cost_about.startswith(f"costs: from Cost Explorer, since {found.at.date() - timedelta(days=365)}")


def test_cost_explorer_is_asked_once_an_hour_because_each_request_costs_money(aws: Aws) -> None:
    billing = Billing(aws)
    day = date(2026, 11, 29)

    with recorded_calls() as calls:
        first = billing.bill({"retailpipe-anna"}, day, day)
        calls.clear()
        assert billing.bill({"retailpipe-anna"}, day, day) is first
        assert calls == set()
        billing.bill({"retailpipe-anna", "retailpipe-ben"}, day, day)
        assert calls == {("ce", "GetCostAndUsage")}


# the command


def test_the_status_of_thirty_students_only_reads(
    account: HandMade, deployed: HandMade, aws: Aws, tmp_path: Path
) -> None:
    names = [f"s{n}" for n in range(30)]
    for name in names:
        bucket = deploy(account, name)["bucket"]
        for n in range(4):
            upload(account, bucket, f"{n}.xlsx", rejected=1)
    classroom = read_class(tmp_path, names)

    with recorded_calls() as calls:
        found = status(classroom, aws)

    assert {(each.uploads, each.loads, each.rows_rejected) for each in found.rows} == {(4, 4, 4)}
    assert [name for _, name in calls if not name.startswith(("Get", "List", "Describe"))] == []


def test_csv_has_a_line_for_each_student(deployed: HandMade, aws: Aws, program: Program, tmp_path: Path) -> None:
    write_class(tmp_path, NAMES)

    done = program("class", "status", "--csv")

    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    assert done.returncode == 0, done.stderr
    assert [line["student"] for line in lines] == NAMES
    assert (lines[0]["uploads"], lines[0]["rows_rejected"], lines[3]["uploads"]) == ("3", "7", "")


def test_csv_and_json_exclude_each_other(program: Program) -> None:
    done = program("class", "status", "--csv", "--json")

    assert done.returncode == 2
    assert "--csv and --json exclude each other" in done.stderr


@pytest.mark.parametrize("columns", [60, 200])
def test_the_table_fits_the_terminal(deployed: HandMade, aws: Aws, tmp_path: Path, columns: int) -> None:
    write_class(tmp_path, [*NAMES, "maximiliane-anna"])

    shown, code = on_a_terminal(["class", "status"], tmp_path, columns)

    assert code == 0, shown
    assert max(len(line) for line in shown.splitlines() if not line.startswith("the terminal")) <= columns
    assert "--- row" not in shown
    assert all(name in shown for name in NAMES)
    assert ("last activity" in shown.splitlines()[0]) == (columns == 200)


def test_watch_shows_the_status_until_ctrl_c(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    write_class(tmp_path, ["anna"])
    command = [sys.executable, "-m", "retailpipe", "class", "status", "--watch", "--json"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    line = process.stdout.readline()

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)

    assert json.loads(line)["rows"][0]["student"] == "anna"
    assert process.returncode == 130
    assert errors == b"interrupted\n"
