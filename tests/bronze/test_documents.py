"""Rows are sent to PostgreSQL as JSON."""

from __future__ import annotations

import json

from retailpipe.bronze.documents import json_arrays


def test_many_rows_are_several_arrays_that_postgresql_can_take() -> None:
    rows = [{"row": number, "text": "\0" + "x" * 1_000_000} for number in range(70)]

    arrays = [*json_arrays(rows)]

    assert [len(array) < 40_000_000 for array in arrays] == [True, True, True]
    found = [row for array in arrays for row in json.loads(array)]
    assert [row["row"] for row in found] == [*range(70)]
    assert found[0]["text"].startswith("\u2400x")
    assert [*json_arrays([])] == []
