"""Runs the commands of docs/own-workbook.md in their order, exactly as written, and checks what the page says."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.declared import TOP
from tests.support.forked import programs
from tests.support.workbooks import german_csv, monthly_workbook, titled_workbook

PAGE = (TOP / "docs" / "own-workbook.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of a language on the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.nightly
def test_three_workbooks_go_from_a_draft_to_a_query(tmp_path: Path, database_url: str) -> None:
    titled_workbook(tmp_path / "coffee_shop.xlsx")
    monthly_workbook(tmp_path / "year_2024.xlsx")
    german_csv(tmp_path / "umsaetze.csv")
    env = os.environ | {
        "PATH": f"{programs()}{os.pathsep}{os.environ['PATH']}",
        "RETAILPIPE_DATABASE_URL": database_url,
        "RETAILPIPE_HOME": str(tmp_path / "environment"),
    }
    *simple, model = blocks("sh")
    lines = [line for block in simple for line in block.splitlines()]
    assert len(lines) == 12

    printed: dict[str, str] = {}
    for line in [*lines, model]:
        done = subprocess.run(["bash", "-ec", line], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        printed[line] = done.stdout

    assert "no model reads bronze.coffee_shop" in printed["retailpipe run coffee_shop.xlsx"]
    assert re.search(r"2024-01 +\d+ +\d+\.\d\d", printed[model])
    checks = [text for line, text in printed.items() if "contract check" in line]
    assert ["40 rows read, 40 accepted, 0 rejected (10 allowed), 2 skipped" in checks[0], len(checks)] == [True, 3]
    queries = [text for line, text in printed.items() if "query" in line]
    assert re.search(r"2024-12 +2520", queries[1])
    assert re.search(r"2024-01-01 +\d+\.\d\d", queries[2])
    drafts = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "environment" / "contracts").iterdir())
    assert [block for block in blocks("toml") if block not in drafts] == []
