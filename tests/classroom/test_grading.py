"""Grades: the solution gets every point, an empty warehouse none, and each typical mistake costs what it should."""

from __future__ import annotations

from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.grading.diagnosis import explain
from retailpipe.classroom.grading.digests import BRONZE, REJECTED
from retailpipe.classroom.grading.exercise import Exercise, seed_of
from retailpipe.classroom.grading.expected import Expected
from retailpipe.classroom.grading.grader import grade
from retailpipe.classroom.grading.grades import StudentGrade
from retailpipe.classroom.grading.rubric import Rubric
from retailpipe.classroom.grading.submission import collect, submit
from tests.classroom.conftest import ROWS, SEED, Warehouse, write_class, write_workbook_of

N = Rubric.read().out_of
ALL = {point.name for point in Rubric.read().points}
WITHOUT_BRONZE = ALL - {"rejects right", "own models"}
"""What a student loses whose bronze is wrong."""


def graded(classroom: Classroom, environment: Environment, student: str = "anna") -> StudentGrade:
    """Grade an environment by way of a submission."""
    folder = classroom.folder / "submissions"
    folder.mkdir(exist_ok=True)
    submit(environment, folder / f"{student}.json", student=student)
    (found,) = grade(classroom, submissions=folder, only=[student]).students
    assert found.score == sum(point.score for point in found.points)
    return found


def lost(found: StudentGrade) -> set[str]:
    """The points that a student lost. Each has an explanation, and no point that was earned has one."""
    assert all(bool(point.explanations) == (point.score == 0) for point in found.points)
    return {point.name for point in found.points if point.score < point.out_of}


def why(found: StudentGrade, point: str) -> str:
    return "; ".join(next(each.explanations for each in found.points if each.name == point))


def test_the_solution_gets_every_point(classroom: Classroom, solved: Warehouse) -> None:
    found = graded(classroom, solved.environment)

    assert (found.score, found.out_of, found.problem, lost(found)) == (N, N, "", set())


def test_an_empty_warehouse_gets_nothing(classroom: Classroom, environment: Environment) -> None:
    found = graded(classroom, environment)

    assert (found.score, lost(found)) == (0, ALL)
    assert why(found, "bronze complete") == (
        "bronze.raw_transactions does not exist: load the workbook with `retailpipe run`"
    )


def test_a_schema_without_rows_gets_nothing(classroom: Classroom, environment: Environment) -> None:
    retailpipe.init(environment)

    found = graded(classroom, environment)

    assert (found.score, lost(found)) == (0, ALL)
    assert "is empty" in why(found, "bronze complete")


def test_a_workbook_that_is_only_loaded_gets_the_points_of_bronze(
    classroom: Classroom, environment: Environment, tmp_path: Path
) -> None:
    retailpipe.ingest(environment, write_workbook_of("anna", tmp_path))

    found = graded(classroom, environment)

    assert lost(found) == ALL - {"bronze complete", "rejects right"}
    assert "run `retailpipe transform`" in why(found, "top_products")


def test_a_workbook_that_is_loaded_twice_loses_bronze_and_what_follows(
    classroom: Classroom, solved: Warehouse, tmp_path: Path
) -> None:
    write_workbook_of("anna", tmp_path).rename(tmp_path / "again.xlsx")
    retailpipe.ingest(solved.environment, tmp_path / "again.xlsx", allow_duplicate=True)

    found = graded(classroom, solved.environment)

    assert lost(found) == ALL - {"own models"}
    assert why(found, "bronze complete") == (
        "each row is there twice: the workbook was loaded twice, as input/anna.xlsx and input/again.xlsx; undo one "
        "with `retailpipe forget input/again.xlsx`"
    )
    assert "loaded twice" in why(found, "rejects right")


@pytest.mark.parametrize(
    ("change", "explanation"),
    [
        ("stock_code = btrim(stock_code, E' \\t\\u00a0')", "column stock_code was trimmed"),
        ("stock_code = ltrim(stock_code, '0')", "column stock_code has lost the zeros at its start"),
        ("stock_code = left(stock_code, 5)", "column stock_code was cut to five characters"),
        ("stock_code = regexp_replace(stock_code, '\\D', '', 'g')", "column stock_code was cut: letters belong to"),
        ("stock_code = upper(stock_code)", "column stock_code was changed to upper case"),
        ("unit_price = round(unit_price, 2)", "prices were rounded"),
        ("quantity = abs(quantity)", "returns became sales"),
        ("invoice_date = date_trunc('day', invoice_date)", "column invoice_date has lost the time of the day"),
        ("customer_id = coalesce(customer_id, '')", "empty texts where the workbook has blank cells"),
        ("country = 'France' where source_row = 17", "column country has other values than the workbook, on 1 day"),
    ],
)
def test_values_of_bronze_that_were_changed_are_explained(
    classroom: Classroom, solved: Warehouse, change: str, explanation: str
) -> None:
    solved.execute(f"update bronze.raw_transactions set {change}")

    found = graded(classroom, solved.environment)

    assert lost(found) == WITHOUT_BRONZE
    assert explanation in why(found, "bronze complete")


def rows_of(prefix: str, days: range | None = None) -> int:
    """How many rows of a month, or of some of its days, anna's workbook has."""
    lines = Exercise.generate(seed_of(SEED, "anna"), ROWS).lines
    found = [line for line in lines if f"{line.invoice_date:%Y-%m}" == prefix]
    return sum(days is None or line.invoice_date.day in days for line in found)


def test_a_month_that_is_missing_is_named(classroom: Classroom, solved: Warehouse) -> None:
    solved.execute(
        "delete from bronze.raw_transactions where invoice_date >= '2024-05-01' and invoice_date < '2024-06-01'"
    )

    found = graded(classroom, solved.environment)

    assert lost(found) == WITHOUT_BRONZE
    rows = rows_of("2024-05")
    assert why(found, "bronze complete") == f"2024-05 lacks all its {rows} rows: the month was never loaded"


def test_days_that_are_missing_are_named_and_a_day_that_is_incomplete(classroom: Classroom, solved: Warehouse) -> None:
    days = sorted({line.invoice_date.date() for line in Exercise.generate(seed_of(SEED, "anna"), ROWS).lines})
    of_month = [day for day in days if f"{day:%Y-%m}" == "2024-07"]
    gone, half = of_month[1:3], of_month[-1]
    solved.execute(
        f"delete from bronze.raw_transactions where invoice_date::date in ('{gone[0]}', '{gone[1]}')",
        "delete from bronze.raw_transactions where ctid in "
        f"(select ctid from bronze.raw_transactions where invoice_date::date = '{half}' limit 1)",
    )

    text = why(graded(classroom, solved.environment), "bronze complete")

    lacking = sum(rows_of("2024-07", range(day.day, day.day + 1)) for day in gone) + 1
    assert text.startswith(f"2024-07 lacks {lacking} rows: the days {gone[0].day} ")
    assert f"were never loaded, and the day {half.day} is incomplete" in text


def test_rows_that_the_workbook_does_not_have_are_counted(classroom: Classroom, solved: Warehouse) -> None:
    solved.execute(
        "insert into bronze.raw_transactions select * from bronze.raw_transactions where source_row in (50, 51)",
        "update bronze.raw_transactions set invoice_date = '1999-12-31' where source_row = 50",
    )

    text = why(graded(classroom, solved.environment), "bronze complete")

    assert "1999-12 has 2 rows too many, on the day 31" in text


def test_another_students_workbook_is_recognized(
    classroom: Classroom, environment: Environment, tmp_path: Path
) -> None:
    retailpipe.ingest(environment, write_workbook_of("ben", tmp_path))

    found = graded(classroom, environment)

    assert lost(found) == ALL
    assert why(found, "bronze complete") == "this is the workbook of another student: ben"


def test_a_part_of_another_students_workbook_is_recognized(
    classroom: Classroom, environment: Environment, tmp_path: Path
) -> None:
    retailpipe.ingest(environment, write_workbook_of("eve", tmp_path))
    Warehouse(environment, environment.warehouse.uri).execute(
        "update bronze.raw_transactions set unit_price = 1 where invoice_date > '2024-03-01'"
    )

    assert why(graded(classroom, environment), "bronze complete").endswith("another student: eve")


def test_a_workbook_of_another_seed_is_recognized(
    classroom: Classroom, environment: Environment, tmp_path: Path
) -> None:
    retailpipe.ingest(environment, write_workbook_of("anna", tmp_path, seed=SEED + 1))

    found = graded(classroom, environment)

    assert why(found, "bronze complete").startswith("this is the workbook of another seed")


def test_right_gold_does_not_count_without_bronze(classroom: Classroom, solved: Warehouse) -> None:
    solved.execute("delete from bronze.raw_transactions")

    found = graded(classroom, solved.environment)

    assert lost(found) == WITHOUT_BRONZE
    assert "so public_gold.top_products was not built from it" in why(found, "top_products")


FACTS = """
    insert into public_silver.fact_sales_daily
    select date_id, stock_code, country, count(distinct invoice_no), sum(quantity), sum(revenue),
        count(distinct customer_id), '1'
    from public_silver.stg_transactions where {0} group by date_id, stock_code, country
"""


@pytest.mark.parametrize(
    ("condition", "explanation"),
    [
        ("quantity <> 0", "returns are counted as sales"),
        ("true", "returns are counted as sales"),
        ("invoice_no not like 'C%'", "by the letter C of the invoice"),
        ("quantity > 0 and customer_id is not null", "rows without a customer are missing"),
        ("quantity > 0 and unit_price > 0", "rows without a price are missing"),
    ],
)
def test_a_wrong_fact_loses_its_point_and_that_of_the_tests(
    classroom: Classroom, solved: Warehouse, condition: str, explanation: str
) -> None:
    solved.execute("truncate public_silver.fact_sales_daily", FACTS.format(condition))

    found = graded(classroom, solved.environment)

    assert {"fact_sales_daily"} <= lost(found) <= {"fact_sales_daily", "tests"}
    assert explanation in why(found, "fact_sales_daily")


@pytest.mark.parametrize(
    ("statement", "point", "explanation"),
    [
        (
            "update public_gold.monthly_sales_summary set revenue = round(revenue)",
            "monthly_sales_summary",
            "column revenue was rounded: sums of money are exact",
        ),
        ("delete from public_gold.top_products where rank = 3", "top_products", "1 row too few"),
        (
            "update public_gold.country_performance set customers = customers + 1",
            "country_performance",
            "column customers has other values",
        ),
        (
            "alter table public_gold.customer_lifetime_value drop column recency_days",
            "customer_lifetime_value",
            "column recency_days is missing",
        ),
        ("drop table public_silver.dim_date", "dim_date", "does not exist: run `retailpipe transform`"),
        ("alter table public_silver.dim_product alter description type bytea using null", "dim_product", "description"),
        (
            "alter table public_silver.dim_customer rename column country to c",
            "dim_customer",
            "column country is missing",
        ),
    ],
)
def test_a_wrong_table_of_silver_or_gold_loses_its_point(
    classroom: Classroom, solved: Warehouse, statement: str, point: str, explanation: str
) -> None:
    solved.execute(statement)

    found = graded(classroom, solved.environment)

    assert {point} <= lost(found) <= {point, "tests"}
    assert explanation in why(found, point)


def test_wrong_rejects_lose_their_point_alone(classroom: Classroom, solved: Warehouse) -> None:
    solved.execute("update bronze.rejected_rows set raw_value = 'x' where code = 'not_a_date'")
    assert lost(graded(classroom, solved.environment)) == {"rejects right"}

    solved.execute("delete from bronze.rejected_rows where code = 'not_a_date'")
    found = graded(classroom, solved.environment)

    assert "rejects right" in lost(found)
    assert "missing that" in why(found, "rejects right")
    assert "not_a_date in invoice_date" in why(found, "rejects right")


def test_no_own_model_loses_that_point_alone(classroom: Classroom, solved: Warehouse) -> None:
    solved.execute("delete from bronze.own_models")

    found = graded(classroom, solved.environment)

    assert lost(found) == {"own models"}
    assert why(found, "own models") == "0 own models built with rows; 1 needed"


def test_a_build_that_is_older_than_the_loads_loses_the_tests(classroom: Classroom, solved: Warehouse) -> None:
    solved.execute("update bronze.builds set load_ids = '{99}'")

    found = graded(classroom, solved.environment)

    assert lost(found) == {"tests"}


def test_explanations_contain_no_figure_of_the_solution(solved: Warehouse) -> None:
    expected = Expected(Exercise.generate(seed_of(SEED, "anna"), ROWS))
    solved.execute(
        "update public_gold.monthly_sales_summary set revenue = 1, quantity = 2, net_revenue = 3, customers = 4",
        "update bronze.rejected_rows set raw_value = ''",
    )
    evidence = collect(solved.environment, "anna")

    texts = [
        line
        for table in ("public_gold.monthly_sales_summary", REJECTED, BRONZE)
        for line in explain(evidence, expected, table, lambda found: None)
    ]

    secret = [*expected.columns("public_gold.monthly_sales_summary")["revenue"]]
    secret += [fault.raw_value for fault in expected.exercise.faults.values() if len(fault.raw_value) > 2]
    assert texts
    assert [value for value in secret if any(str(value) in text for text in texts)] == []


def test_a_rubric_in_the_class_folder_is_used(classroom: Classroom, solved: Warehouse) -> None:
    (classroom.folder / "rubric.toml").write_text(
        'version = 1\n[[points]]\nname = "loaded"\nkind = "table"\ntable = "bronze.raw_transactions"\nscore = 3\n'
        '[[points]]\nname = "two models"\nkind = "own_models"\nleast = 2\nscore = 4\n'
    )

    found = graded(classroom, solved.environment)

    assert [(point.name, point.score, point.out_of) for point in found.points] == [
        ("loaded", 3, 3),
        ("two models", 0, 4),
    ]


def test_a_class_of_another_seed_or_size_gives_no_points(tmp_path: Path, solved: Warehouse) -> None:
    text = (
        'version = 1\ncourse = "x"\nregion = "eu-central-1"\nexpires_on = 2027-03-31\nmax_monthly_cost = 3\n'
        '[settings]\nallowedCidrs = "203.0.113.0/24"\n[workbooks]\nseed = 3\n'
    )

    found = graded(write_class(tmp_path / "other", text=text), solved.environment)

    assert lost(found) == ALL - {"own models"}
    assert "workbook of another seed" in why(found, "bronze complete")
