"""The grain of a table, as the yml of its model declares it."""

from __future__ import annotations

from typing import Any

import pytest

from retailpipe import TransformError
from retailpipe.grain import Grain, grain_of, words

GRAIN = {"grain": {"shop": "shop"}}


def grain(declared: object) -> Grain:
    return grain_of(declared, "totals", "public_own", "totals", "models/totals.yml", "bronze.sales")


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (GRAIN | {"columns": {"revenue": {"total": "amount"}}}, "column revenue of trace must have one of sum, count"),
        (GRAIN | {"columns": {"revenue": {"sum": "a", "min": "b"}}}, "it has sum, min"),
        (GRAIN | {"columns": {"revenue": {"sum": "a", "order": "b"}}}, "it has sum, order"),
        (GRAIN | {"columns": {"revenue": "sum"}}, "revenue must be a mapping; it is 'sum'"),
        (GRAIN | {"columns": {"revenue": {"sum": None}}}, "sum in revenue must be a text; it is None"),
        ({"grain": {"shop": "$1"}}, r"shop in grain must not contain \$ before a digit"),
        ({"grain": {"shop": "a\0"}}, "or a NUL character"),
        ({"grain": "shop"}, "grain must be a mapping"),
        ({"columns": {}}, "trace needs grain"),
        (GRAIN | {"filter": "x"}, "unknown key 'filter'"),
        ([], "trace must be a mapping"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_model(declared: Any, message: str) -> None:
    with pytest.raises(TransformError, match=message) as error:
        grain(declared)
    assert str(error.value).startswith("models/totals.yml: model totals: ")


def test_the_names_in_an_expression_are_those_of_columns() -> None:
    assert words("coalesce(Amount, 0)::integer * \"Odd name\" || 'text of ''sql''' || round (price)") == [
        "amount",
        "Odd name",
        "price",
    ]


def test_a_computed_column_follows_from_measures_also_through_others() -> None:
    columns = {"a": {"sum": "x"}, "b": {"sum": "y"}, "c": {"computed": "d + 1"}, "d": {"computed": "b - a + c"}}

    assert grain(GRAIN | {"columns": columns}).parts("c") == ["b", "a"]


def test_an_expression_names_columns_also_through_columns_of_rows() -> None:
    declared = GRAIN | {"row_columns": {"used": "count(*) over (partition by code)", "code": "lower(code)"}}

    assert "code" in grain(declared).of("used desc")
    assert "used" not in grain(declared).of("used desc")
