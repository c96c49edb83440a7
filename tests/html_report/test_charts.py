"""What is written on the axes of charts, and where points are drawn: read from the SVG."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest

from retailpipe.html_report import calendar_months, charts, figures, sentences
from retailpipe.html_report.drawings import Columns, Drawing, Line, MonthlySales, Ranking, Stack
from retailpipe.html_report.sales_facts import Country, CustomerMonth, Month, Sales, Total
from retailpipe.html_report.ticks import category_labels
from tests.html_report.test_page import one
from tests.support.nightly import most_nightly

SVG = "{http://www.w3.org/2000/svg}"


def drawn(drawing: Drawing, width: int = 840) -> ET.Element:
    return ET.fromstring(charts.svg(drawing, width, 270, labelled_by=""))


def texts(drawing: Drawing, width: int = 840) -> list[str]:
    """The texts of a chart; those of several lines are joined by a space."""
    return [" ".join(text.itertext()) for text in drawn(drawing, width).iter(f"{SVG}text")]


def with_months(*months: tuple[int, int]) -> Sales:
    """Sales of 10.00 and one new customer in each of some months."""
    ten = Decimal(10)
    last = date(*months[-1], 28)
    return replace(
        one(day=last),
        first_date=date(*months[0], 1),
        months=tuple(Month(*month, 1, 1, 1, ten, ten, 0, Decimal(0), ten) for month in months),
        months_total=Total(len(months), ten, Decimal(0), ten),
        customer_months=tuple(CustomerMonth(*month, 1, 0, ten, Decimal(0), Decimal(0)) for month in months),
    )


def figure(sales: Sales, key: str) -> figures.Figure:
    return next(each for each in figures.figures(sales) if each.key == key)


SPARSE = [(2022, 11), (2022, 12), (2023, 2), (2023, 11), (2023, 12), (2024, 2)]


def test_months_without_sales_have_a_place_on_the_axis() -> None:
    months, newcomers = (figure(with_months(*SPARSE), key) for key in ("months", "newcomers"))

    assert isinstance(months.drawing, MonthlySales)
    assert isinstance(newcomers.drawing, Stack)
    assert [int(value) for value in months.drawing.revenue] == [10, 10, 0, 10, *[0] * 8, 10, 10, 0, 10]
    assert [int(value) for value in newcomers.drawing.upper] == [1, 1, 0, 1, *[0] * 8, 1, 1, 0, 1]
    assert months.drawing.ticks == newcomers.drawing.ticks
    assert "There are no sales in January 2023, March 2023 to October 2023, January 2024." in months.sentence
    assert len(months.tables[0].rows) == len(SPARSE)


@pytest.mark.parametrize("width", [316, 840])
def test_every_label_of_a_month_is_in_the_year_written_last(width: int) -> None:
    axis = calendar_months.axis([(2022, 11), (2024, 8)])

    labels = category_labels([(str(month), str(year)) for year, month in axis], width)

    year = ""
    for index, label in labels.items():
        year = label[1] if len(label) > 1 else year
        assert (int(year), int(label[0])) == axis[index]
    assert len({label[1] for label in labels.values() if len(label) > 1}) > 1


def test_labels_of_many_months_are_januaries_that_do_not_run_together() -> None:
    axis = calendar_months.axis([(2019, 11), (2024, 10)])

    labels = category_labels([(str(month), str(year)) for year, month in axis], 316)

    assert [*labels.values()] == [["1", str(year)] for year in range(2020, 2025)]


def test_the_axis_ends_ten_years_after_a_date_that_is_far_away() -> None:
    months = figure(with_months((1900, 1), (2024, 1), (2024, 2)), "months")

    assert isinstance(months.drawing, MonthlySales)
    assert len(months.drawing.revenue) == 120
    assert "The chart begins in March 2014; the table has the months before." in months.sentence
    assert len(months.tables[0].rows) == 3


def test_many_gaps_are_counted() -> None:
    months = [(2020, number) for number in range(1, 12, 2)]

    assert sentences.without_sales(months) == "There are no sales in 5 months between January 2020 and November 2020."


@pytest.mark.parametrize("zone", most_nightly(["UTC", "America/New_York", "Asia/Tokyo"], {1, 2}))
def test_a_date_is_drawn_above_its_label_in_every_time_zone(zone: str) -> None:
    code = (
        "from decimal import Decimal; from retailpipe.html_report import charts, drawings;"
        "line = drawings.Line(('2024-01-01', '2024-01-02', '2024-01-03'), (Decimal(1),) * 3, 'date');"
        "print(charts.svg(line, 300, 100, labelled_by=''))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=True
    )

    svg = ET.fromstring(done.stdout)
    labels = {text.text: text.attrib["transform"] for text in svg.iter(f"{SVG}text") if len(text.text or "") > 3}
    points = [path.attrib["transform"] for path in svg.iter(f"{SVG}path") if "transform" in path.attrib]
    assert [*labels] == ["1 Jan 2024", "2 Jan 2024", "3 Jan 2024"]
    assert [place.partition(",")[0] for place in labels.values()] == [place.partition(",")[0] for place in points]


def test_a_single_date_is_labelled_with_its_day() -> None:
    assert texts(Line(("2024-03-05",), (Decimal(1),), "date")) == ["5 Mar 2024", "0", "1"]


def test_times_are_labelled_as_the_page_writes_them() -> None:
    times = ("2024-03-05 10:00:00", "2024-03-05 16:00:00.5")

    assert texts(Line(times, (Decimal(1),) * 2, "date"))[:3] == ["10:00", "11:00", "12:00"]


@pytest.mark.parametrize(
    ("highest", "labels"),
    [
        ("1", ["0", "1"]),
        ("4", ["0", "1", "2", "3", "4"]),
        ("0.0001", ["0", "0.00002", "0.00004", "0.00006", "0.00008", "0.0001"]),
        ("2500000000", ["0", "500M", "1B", "1.5B", "2B", "2.5B"]),
        (
            "-2500",
            [
                "\N{MINUS SIGN}2.5k",
                "\N{MINUS SIGN}2k",
                "\N{MINUS SIGN}1.5k",
                "\N{MINUS SIGN}1k",
                "\N{MINUS SIGN}500",
                "0",
            ],
        ),
    ],
)
def test_values_are_labelled_as_everywhere_on_the_page(highest: str, labels: list[str]) -> None:
    assert texts(Line(("a",), (Decimal(highest),), "text"))[1:] == labels


def test_customers_have_no_fractions() -> None:
    assert texts(Stack((("Jan",),), (Decimal(0),), (Decimal(1),), (False,))) == ["Jan", "0", "1"]


@pytest.mark.parametrize(("bars", "is_labelled"), [(60, False), (40, True)])
def test_bars_have_labels_only_if_there_is_space_between_them(bars: int, is_labelled: bool) -> None:
    columns = Columns((("a",),) * bars, (Decimal("33.75"),) * bars, ("34",) * bars)

    assert ("34" in texts(columns)) == is_labelled


def test_the_other_countries_are_a_line_without_a_bar() -> None:
    rows = tuple(
        Country(n, f"country {n}", 1, 1, 1, Decimal(20 - n), None, Decimal(0), Decimal(0)) for n in range(1, 16)
    )
    total = Total(299, Decimal(5000), Decimal(0), Decimal(5000))

    drawing = figure(replace(one(), countries=rows, countries_total=total), "countries").drawing

    assert isinstance(drawing, Ranking)
    assert (drawing.names[-1], drawing.values[-1], drawing.texts[-1]) == ("289 other countries", None, "4.9k · 97.1%")
    assert len([*drawn(drawing).iter(f"{SVG}path")]) == 10
    assert {"289 other countries", "4.9k · 97.1%"} <= {*texts(drawing)}
