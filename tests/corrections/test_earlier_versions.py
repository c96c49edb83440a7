"""Warehouses that were made before there were corrections work on."""

from __future__ import annotations

from pathlib import Path

import retailpipe
from retailpipe import Environment
from tests.bronze.test_bronze_schema import execute
from tests.certifying.conftest import ROWS, certified
from tests.corrections.conftest import load, mended, rejects_file, rows
from tests.support.schemas import WITHOUT_CORRECTIONS


def test_schema_without_corrections_is_read_and_then_migrated(shop: Environment, tmp_path: Path) -> None:
    execute(shop, *WITHOUT_CORRECTIONS)

    assert retailpipe.verify(shop).ok
    assert len(retailpipe.status(shop).loads) == 1
    assert [row["corrected_by"] for row in retailpipe.rejects(shop).to_pylist()] == [None, None]
    assert retailpipe.trace_cell(shop, "shop.xlsx!C7").went == "rejected"
    assert certified(shop).ok
    assert retailpipe.render_report(shop)

    load(shop, tmp_path / "shop.xlsx", [*ROWS[3:6], ROWS[0]], replace=True)
    file = mended(rejects_file(shop, tmp_path / "rejects.xlsx"), {4: {"Price": 1}})
    assert retailpipe.correct(shop, file, "shop.xlsx").rows_corrected == 1
    assert rows(shop, "select rows_corrected, status from bronze.loads order by load_id") == [
        (0, "replaced"),
        (1, "loaded"),
        (0, "correction"),
    ]
    assert retailpipe.verify(shop).ok
