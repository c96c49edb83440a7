"""Runs "Your first model" of docs/models.md exactly as it is written there, with the workbook that it describes."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import openpyxl
import pytest

from tests.support.forked import programs

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.nightly
def test_the_first_model_of_the_docs_is_built_and_verified(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8").partition("### Your first model")[2]
    [contract] = re.findall(r"^```toml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    [commands] = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "branches.toml").write_text(contract)
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (("Branch", "Amount"), ("North", 10.5), ("South", 20.25), ("North", 1)):
        book.active.append(row)
    book.save(tmp_path / "branches.xlsx")
    path = os.pathsep.join([str(programs()), os.environ["PATH"]])

    def run(command: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PATH": path}
        return subprocess.run(
            ["bash", "-ec", command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False
        )

    try:
        done = run(commands)
    finally:
        run("retailpipe local destroy --yes --local shop")

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    first, _, second = done.stdout.partition("no new workbooks")
    assert "no model reads bronze.branch_sales; to write one, see docs/models.md" in first
    assert "verified: all 35 invariants hold" in second
    assert "own: branch_totals 2" in second
    assert re.search(r"North +2 +11.50\n *South +1 +20.25\n", second), second
