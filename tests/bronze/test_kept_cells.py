"""The cells of rejected rows are kept with their types."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta

import pytest

from retailpipe.bronze.kept_cells import cells_of, kept, kept_changes
from retailpipe.workbook.cells import NOT_CALCULATED, Cell, ErrorCell


@pytest.mark.parametrize(
    "cell",
    [
        *("a text", "1.50", "a\0b", " ", 0.1 + 0.2, 1e300, -5e-324, -0.0, 1e15, True, False),
        *(date(2024, 2, 29), datetime(2024, 2, 29), datetime(2024, 2, 29, 1, 2, 3, 4), time(1, 2), time(1, 2, 3, 4)),
        *(timedelta(hours=30, minutes=1), -timedelta(seconds=5), ErrorCell("#N/A"), NOT_CALCULATED),
    ],
)
def test_cell_is_the_same_after_it_was_kept(cell: Cell) -> None:
    (back,) = cells_of(json.loads(json.dumps(kept({27: cell})))).values()

    assert (type(back), back) == (type(cell), cell)
    assert "\0" not in json.dumps(kept({27: cell}))


def test_blank_cells_are_kept_only_as_changes() -> None:
    assert kept({0: "", 27: "x"}) == {"AB": ["text", "x"]}
    assert cells_of(kept_changes({0: "", 27: "x"})) == {0: "", 27: "x"}
