"""Runs the commands and the Python program of README.md exactly as they are written there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from retailpipe.local.binaries import Account, Binaries
from retailpipe.sample import write_sample
from tests.support.forked import command, programs

ROOT = Path(__file__).resolve().parents[2]


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language in README.md."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def user_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name contains a space, with a generated workbook under the name that the README uses."""
    folder = tmp_path_factory.mktemp("new user")
    write_sample(folder / "online_retail.xlsx", rows=5_000)
    return folder


def run(command: list[str], user_folder: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RETAILPIPE_", "PG"))}
    psql = Binaries.find(Account.current()).folder  # for machines without psql
    env = kept | {
        "PATH": os.pathsep.join([str(programs()), kept["PATH"], str(psql)]),
        "RETAILPIPE_HOME": str(user_folder / "environment"),
    }
    return subprocess.run(command, cwd=user_folder, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_the_commands_succeed_in_their_order(user_folder: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith(("retailpipe", "psql"))]
    assert len(lines) > 12

    try:
        for line in lines:
            done = run(["bash", "-c", line], user_folder)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    finally:
        run([*command(), "local", "destroy", "--yes"], user_folder)


def test_the_python_program_prints_monthly_sales(user_folder: Path) -> None:
    [program] = blocks("python")

    try:
        done = run([sys.executable, "-c", program], user_folder)
    finally:
        run([*command(), "local", "destroy", "--yes", "--local", "shop"], user_folder)

    assert done.returncode == 0, done.stderr
    first, *months = done.stdout.splitlines()
    assert first.startswith("input/online_retail.xlsx: loaded as load 1")
    assert len(months) == 12
    assert re.fullmatch(r"2024-01 +\d+ invoices +[\d,]+\.\d\d", months[0])


def test_each_make_target_in_the_readme_exists() -> None:
    targets = {line.split()[1] for block in blocks("sh") for line in block.splitlines() if line.startswith("make ")}
    assert {"demo", "test"} <= targets

    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_links_in_the_docs_point_to_existing_files() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
