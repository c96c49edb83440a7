"""From which columns of bronze the columns of models follow: the cases that our own models do not have."""

from __future__ import annotations

from typing import Any

import pytest

from retailpipe.grain import Grain, grain_of
from retailpipe.lineage.columns import Columns, Origins

KNOWN = {"bronze.sales": ["shop", "sold_on", "amount", "load_id", "source_row"]}


def columns(**traces: dict[str, Any]) -> Columns:
    """Models by their names, with what `trace` in their yml declares."""
    grains: dict[str, Grain] = {
        name: grain_of(trace, name, "public_own", name, f"{name}.yml", "bronze.sales") for name, trace in traces.items()
    }
    return Columns(grains, KNOWN)


def shown(origins: Origins) -> dict[str, list[str]]:
    return {column: sorted(each.subtype for each in found) for (_, column), found in origins.items()}


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"sum": "amount"}, {"amount": ["AGGREGATION"]}),
        ({"sum": "amount", "where": "sold_on > '2011-01-01'"}, {"amount": ["AGGREGATION"], "sold_on": ["FILTER"]}),
        ({"count": "*"}, {}),
        ({"pick": "amount"}, {"amount": ["IDENTITY"]}),
        ({"pick": "-amount"}, {"amount": ["TRANSFORMATION"]}),
        ({"pick": "amount", "order": "sold_on desc"}, {"amount": ["AGGREGATION"], "sold_on": ["SORT"]}),
        ({"sum": "case when shop = 'amount' then 1 end"}, {"shop": ["AGGREGATION"]}),
        ({"sum": "price"}, {}),
    ],
)
def test_measure_follows_from_the_columns_that_it_names(
    declared: dict[str, str], expected: dict[str, list[str]]
) -> None:
    found = columns(totals={"grain": {"shop": "shop"}, "columns": {"figure": declared}}).of("totals", "figure")

    assert shown(found) == expected


def test_the_strongest_of_several_steps_counts() -> None:
    found = columns(
        cleaned={
            "grain": {"load_id": "load_id", "source_row": "source_row"},
            "columns": {"money": {"sum": "amount"}, "branch": {"pick": "trim(shop)"}},
        },
        totals={
            "rows": "cleaned",
            "grain": {"branch": "branch"},
            "columns": {"most": {"max": "money"}, "share": {"computed": "most / sum(most) over ()"}},
        },
    )

    assert shown(found.of("cleaned", "money")) == {"amount": ["IDENTITY"]}  # one row for each row of bronze
    assert shown(found.of("totals", "branch")) == {"shop": ["TRANSFORMATION"]}
    assert shown(found.of("totals", "share")) == {"amount": ["AGGREGATION"]}
    assert shown(found.of_rows("cleaned")) == {}
    assert shown(found.of_rows("totals")) == {"shop": ["GROUP_BY"]}


def test_declaration_that_follows_from_itself_ends() -> None:
    found = columns(
        one={"rows": "two", "grain": {"key": "key"}, "columns": {"a": {"computed": "b"}, "b": {"computed": "a + 1"}}},
        two={"rows": "one", "grain": {"key": "key"}, "columns": {"c": {"from": "one", "by": "key"}}},
    )

    assert [found.of("one", "a"), found.of("one", "key"), found.of("two", "c"), found.of_rows("one")] == [{}] * 4


def test_columns_that_follow_from_two_others_each_are_found_once() -> None:
    """A hundred of them have 10^20 paths."""
    declared = {f"c{number}": {"computed": f"c{number - 1} + c{number - 2}"} for number in range(2, 100)}
    declared |= {"c0": {"sum": "amount"}, "c1": {"sum": "amount"}}

    found = columns(totals={"grain": {"shop": "shop"}, "columns": declared}).of("totals", "c99")

    assert shown(found) == {"amount": ["AGGREGATION"]}


def test_column_that_is_looked_up_does_not_change_the_one_that_it_is_taken_from() -> None:
    found = columns(
        shops={"grain": {"shop": "shop"}, "columns": {"first_day": {"min": "sold_on"}}},
        totals={"grain": {"shop": "shop"}, "columns": {"first_day": {"from": "shops", "by": "shop"}}},
    )

    assert shown(found.of("totals", "first_day")) == {"shop": ["JOIN"], "sold_on": ["AGGREGATION"]}
    assert shown(found.of("shops", "first_day")) == {"sold_on": ["AGGREGATION"]}


def test_unknown_model_and_rows_that_are_written_in_a_file_follow_from_nothing() -> None:
    found = columns(written={"written_in": "models/written.sql"})

    assert [found.of("written", "code"), found.of_rows("written"), found.of("missing", "code")] == [{}] * 3
