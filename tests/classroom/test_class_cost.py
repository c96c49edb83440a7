"""The monthly cost of a class: the worst case, what lowers it, and the cost as expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from retailpipe import UnknownPrice
from retailpipe.classroom.costs import ClassCost, class_cost
from tests.support.classes import read_class

STUDENTS = [f"s{n}" for n in range(30)]
SINGLE = "[settings]\nalarms = true\ndashboard = true\ndatabaseMaxStorage = 0\n"
"""What a stack has without a class; its storage does not grow."""


def worst_of(cost: ClassCost) -> dict[str, float]:
    return {part.part: part.worst for part in cost.parts}


def lower(cost: ClassCost, part: str) -> str:
    return next(each.lower for each in cost.parts if each.part == part)


def test_thirty_default_stacks_cost_more_than_thirty_times_one(tmp_path: Path) -> None:
    cost = class_cost(read_class(tmp_path, STUDENTS, settings=SINGLE))

    parts = worst_of(cost)
    assert parts["alarms"] == pytest.approx((30 * 6 - 10) * 0.1)
    assert parts["dashboards"] == pytest.approx((30 - 3) * 3)
    assert cost.worst == pytest.approx(638.9)
    assert cost.worst == pytest.approx(sum(parts.values()))


def test_storage_is_counted_as_grown_to_its_limit(tmp_path: Path) -> None:
    cost = class_cost(read_class(tmp_path, STUDENTS))

    assert worst_of(cost)["storage"] == pytest.approx(30 * 40 * 0.115)
    assert lower(cost, "storage") == "`databaseMaxStorage = 0` (the storage does not grow) saves 69.00"


def test_a_student_with_the_defaults_costs_six_dollars_a_month(tmp_path: Path) -> None:
    cost = class_cost(read_class(tmp_path, STUDENTS))

    assert {each.expected for each in cost.students} == {6.33}
    assert {each.worst for each in cost.students} == {20.33}
    assert cost.expected == pytest.approx(30 * 6.33)
    assert "eight hours on weekdays (173 hours)" in cost.expected_about


def test_without_a_nightly_stop_the_databases_are_expected_to_run_all_day(tmp_path: Path) -> None:
    settings = '[settings]\nnightlyStop = ""\n[students.anna]\nnightlyStop = "20:00"\n'

    cost = class_cost(read_class(tmp_path, settings=settings))

    assert [each.expected for each in cost.students] == [6.33, 18.03]
    assert cost.expected_about.startswith("1 of 2 databases run eight hours on weekdays")


def test_alarms_of_others_use_up_what_is_free(tmp_path: Path) -> None:
    classroom = read_class(tmp_path, ["anna"], settings=SINGLE)

    assert "alarms" in worst_of(class_cost(classroom))
    for others, alarms in ((0, 0), (4, 0), (7, 0.3), (10, 0.6), (500, 0.6)):
        assert worst_of(class_cost(classroom, other_alarms=others))["alarms"] == pytest.approx(alarms)
    assert worst_of(class_cost(classroom, other_dashboards=3))["dashboards"] == 3


def test_the_key_of_the_state_costs_a_dollar(tmp_path: Path) -> None:
    state = '[state]\nurl = "s3://bucket"\nsecrets_provider = "awskms://alias/class"\n'

    assert worst_of(class_cost(read_class(tmp_path, settings=state)))["key"] == 1


def test_a_class_that_can_cost_too_much_is_refused_with_what_would_lower_it(tmp_path: Path) -> None:
    settings = (
        '[settings]\nalarms = true\ndashboard = true\ndatabaseClass = "db.t4g.small"\ndatabaseStorage = 30\n'
        "databaseMaxStorage = 50\n"
    )

    cost = class_cost(read_class(tmp_path, STUDENTS, settings=settings, limit=300))

    assert cost.is_too_high
    lines = cost.refusal.split("\n")
    assert lines[0] == "a month of the class can cost 1,092.80 USD, which is more than max_monthly_cost, 300"
    for line in (
        '    lower it: `databaseClass = "db.t4g.micro"` saves 350.40',
        "    lower it: `databaseMaxStorage = 0` (the storage does not grow) saves 69.00; "
        "`databaseStorage = 20` saves 34.50",
        "    lower it: `alarms = false` saves 17.00",
        "    lower it: `dashboard = false` saves 81.00",
    ):
        assert line in lines
    assert lines[-1] == "  or raise max_monthly_cost to 1,093, or take students off the roster"


def test_what_the_refusal_says_is_true(tmp_path: Path) -> None:
    expensive = '[settings]\nalarms = true\ndashboard = true\ndatabaseClass = "db.t4g.small"\n'
    cheap = "[settings]\nalarms = false\ndashboard = false\ndatabaseMaxStorage = 0\n"

    before = class_cost(read_class(tmp_path, STUDENTS, settings=expensive)).worst
    after = class_cost(read_class(tmp_path, STUDENTS, settings=cheap)).worst

    assert before - after == pytest.approx(350.4 + 69 + 17 + 81)


def test_the_cap_itself_is_allowed(tmp_path: Path) -> None:
    cost = class_cost(read_class(tmp_path, ["anna"], limit=21))

    assert cost.worst == 20.33
    assert cost.refusal == ""
    assert class_cost(read_class(tmp_path, ["anna"], limit=20)).is_too_high


def test_a_database_class_without_a_price_is_told_with_its_line(tmp_path: Path) -> None:
    settings = '[students.ben]\ndatabaseClass = "db.r8g.large"\n'

    with pytest.raises(UnknownPrice, match=r"class\.toml, line 8: the price of db\.r8g\.large is unknown") as caught:
        class_cost(read_class(tmp_path, settings=settings))

    assert "db.t4g.micro" in caught.value.hint
