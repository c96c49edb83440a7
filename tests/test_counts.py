"""Counts with their nouns."""

from __future__ import annotations

import pytest

from retailpipe.counts import counted, noun


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1200, "1,200 rows"), (-1, "-1 rows")]
)
def test_a_count_has_the_form_of_its_noun(number: int, shown: str) -> None:
    assert counted(number, "row") == shown


def test_a_plural_without_s_is_passed() -> None:
    assert counted(2, "workbook is", "workbooks are") == "2 workbooks are"
    assert noun(1, "does", "do") == "does"
    assert noun(1.5, "hour") == "hours"
