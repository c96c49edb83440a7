"""What the report reads of the user's models: rows, counts and the points of charts, from views of odd values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from retailpipe import Environment
from retailpipe.bronze.build_record import OwnModel
from retailpipe.html_report import own_figures, own_tables
from retailpipe.html_report.facts import OwnTable
from tests.html_report.reading import Page
from tests.html_report.test_page import loaded, shown
from tests.html_report.test_report import normal, rows
from tests.support.nightly import most_nightly

CHART = {"kind": "line", "x": "x", "y": "y"}
ReadView = Callable[..., OwnTable]


@pytest.fixture
def read_view(branches: Environment) -> Iterator[ReadView]:
    """A function that makes a view of a query, and reads it as the report reads a model with a chart."""
    made: list[str] = []

    def execute(sql: str) -> None:
        with branches.warehouse.connect() as connection:
            connection.execute(sql)
            connection.commit()

    def read(query: str, chart: object = CHART, kind: str = "view", seconds: int = 60) -> OwnTable:
        execute(f"create {kind} public_own.odd as {query}")
        made.append(f"drop {kind} public_own.odd")
        model = OwnModel("odd", "public_own", "odd", (), {}, chart=chart)
        [table] = own_tables.own_tables(branches, [model], query_seconds=seconds)
        execute(made.pop())
        return table

    yield read
    for statement in made:
        execute(statement)


def page_of(*tables: OwnTable, models: int = 1) -> Page:
    return shown(replace(loaded(), own_tables=tables, own_models=models))


def sentence(table: OwnTable) -> str:
    assert table.series
    return own_figures.sentence(table, table.series).replace("\u2068", "").replace("\u2069", "")


def test_own_models_are_tables_and_charts_if_their_yml_says_so(shop: Environment, page: Page) -> None:
    by_country = rows(shop, "select country, revenue from public_own.by_country limit 10")

    assert [normal(row) for row in page.tables["Rows of by_country"]] == by_country
    assert "Revenue <b>by</b> country" in page.text
    drawn = [attributes["id"] for attributes in page.named("figure") if str(attributes["id"]).startswith("chart-")]
    assert len(drawn) == 3


def test_a_wrong_chart_of_a_model_is_explained_on_the_page(page: Page) -> None:
    assert "The chart of no_such_column is not drawn: it has no column two." in page.text
    assert "The chart of no_number is not drawn: column letter does not hold numbers." in page.text
    assert "The chart of no_form is not drawn: write it as chart: {kind: bar or line, x: COLUMN" in page.text
    assert page.tables["Rows of no_form"] == [["1"]]


def test_rows_without_a_value_are_counted_and_not_drawn(read_view: ReadView) -> None:
    table = read_view("select n as x, case when n < 4 then n * 1.5 end as y from generate_series(1, 5) as n")

    assert table.total == 5
    assert sentence(table) == (
        "y by x, 3 rows of odd: the highest is 4.50 (3), the lowest 1.50 (1). 2 rows have no value that can be drawn."
    )


@pytest.mark.parametrize(
    ("x", "drawn"),
    [
        ("'NaN'::float8, 1, 'Infinity'", "1"),
        ("'NaN'::numeric, '-Infinity', 1.50", "1.50"),
        ("1e300::numeric * 10, 7, null", "7"),
        ("(-2147483648)::integer, null, null", "-2147483648"),
        ("'infinity'::date, '2024-02-29', '0044-03-15 BC'", "2024-02-29"),
        ("'-infinity'::timestamp, '2024-02-29 12:00', '20240-01-01'", "2024-02-29 12:00:00"),
        ("'infinity'::timestamptz, '2024-02-29 12:00+02', null", "2024-02-29 10:00:00+00"),
    ],
)
@pytest.mark.parametrize("kind", most_nightly(["line", "bar"], {0}))
def test_what_has_no_place_on_an_axis_is_not_drawn(read_view: ReadView, x: str, drawn: str, kind: str) -> None:
    table = read_view(f"select unnest(array[{x}]) as x, 3 as y", {**CHART, "kind": kind})

    assert table.series
    assert (table.series.points, table.series.total) == (((drawn, Decimal(3)),), 1)
    assert f"1 row of odd: the highest is 3.00 ({drawn})" in sentence(table)
    assert f"the highest is 3.00 (\u2068{drawn}\u2069)" in page_of(table).text


def test_points_are_in_the_order_of_numbers_not_of_their_texts(read_view: ReadView) -> None:
    query = "select 'shop ' || n as x, n as y from generate_series(8, 30) as n"

    bars = read_view(query, {**CHART, "kind": "bar"})
    line = read_view("select n as x, n as y from generate_series(8, 11) as n")

    assert bars.series
    assert [label for label, _ in bars.series.points] == [f"shop {n}" for n in range(30, 10, -1)]
    assert "the first 20 of 23 rows of odd" in sentence(bars)
    assert line.series
    assert [label for label, _ in line.series.points] == ["8", "9", "10", "11"]


def test_numbers_keep_all_digits_and_long_texts_end_in_an_ellipsis(read_view: ReadView) -> None:
    number, text = "7" * 250, "a" * 250

    table = read_view(f"select {number} as x, 0.1::float8 + 0.2::float8 as y, '{text}' as z", chart=None)

    assert table.rows == ((number, "0.30000000000000004", "a" * 199 + "\N{HORIZONTAL ELLIPSIS}"),)
    assert page_of(table).tables["Rows of odd"] == [list(table.rows[0])]


@pytest.mark.parametrize("kind", ["view", "table"])
def test_rows_and_columns_that_are_left_out_are_counted(read_view: ReadView, kind: str) -> None:
    columns = ", ".join(f"n as column_{number}" for number in range(13))

    table = read_view(f"select {columns} from generate_series(1, 30) as n", chart=None, kind=kind)

    page = page_of(table, models=15)
    assert "10 of 30 rows, 10 of 13 columns. All: " in page.text
    assert "1 of 15 models." in page.text


def test_an_empty_view_has_no_rows(read_view: ReadView) -> None:
    table = read_view("select 1 as x, 2 as y where false")

    assert (table.rows, table.total) == ((), 0)
    assert table.problem == "The chart of odd is not drawn: there are no values."


def test_a_view_that_takes_too_long_is_a_problem(read_view: ReadView) -> None:
    table = read_view("select 1 as x, 2 as y from pg_sleep(600)", seconds=1)

    assert table.problem.startswith("The table cannot be read: the database cancelled a statement: ")
    assert table.problem in page_of(table).text


def test_rows_are_shown_if_only_the_chart_fails(read_view: ReadView) -> None:
    table = read_view("select '{}'::json as x, 2 as y")

    assert table.rows == (("{}", "2"),)
    assert table.problem.startswith("The chart of odd is not drawn: ")
