"""The README's commands and its program, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from retailpipe.local.binaries import Account, Binaries
from retailpipe.sample import write_sample

ROOT = Path(__file__).resolve().parents[2]


def blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a blank in its name, holding the workbook the README speaks of (a sample of it)."""
    folder = tmp_path_factory.mktemp("new comer")
    write_sample(folder / "online_retail.xlsx", rows=5_000)
    return folder


def run(command: list[str], newcomer: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RETAILPIPE_", "PG"))}
    psql = Binaries.find(Account.current()).folder  # for machines that have no other
    env = kept | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"], str(psql)]),
        "RETAILPIPE_HOME": str(newcomer / "environment"),
    }
    return subprocess.run(command, cwd=newcomer, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_the_commands_work_one_after_the_other(newcomer: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith(("retailpipe", "psql"))]
    assert len(lines) > 12

    try:
        for line in lines:
            done = run(["bash", "-c", line], newcomer)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    finally:
        run(["retailpipe", "local", "destroy", "--yes"], newcomer)


def test_the_program_prints_monthly_sales(newcomer: Path) -> None:
    [program] = blocks("python")

    try:
        done = run([sys.executable, "-c", program], newcomer)
    finally:
        run(["retailpipe", "local", "destroy", "--yes", "--local", "shop"], newcomer)

    assert done.returncode == 0, done.stderr
    first, *months = done.stdout.splitlines()
    assert first.startswith("input/online_retail.xlsx: loaded as load 1")
    assert len(months) == 12
    assert re.fullmatch(r"2024-01 +\d+ invoices +[\d,]+\.\d\d", months[0])


def test_each_make_target_it_names_exists() -> None:
    targets = {line.split()[1] for block in blocks("sh") for line in block.splitlines() if line.startswith("make ")}
    assert {"demo", "test"} <= targets

    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_its_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
