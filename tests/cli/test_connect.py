"""Runs the commands and the Python programs of docs/connect.md exactly as they are written there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.sample import write_sample
from tests.support.forked import programs

PAGE = Path(__file__).resolve().parents[2] / "docs" / "connect.md"


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [content for name, content in found if name == language]


@pytest.fixture(scope="module")
def user_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the environment `shop`, in which silver and gold are built."""
    folder = tmp_path_factory.mktemp("a user")
    write_sample(folder / "book.xlsx", rows=1_000)
    environment = Environment.local(folder / "shop")
    assert retailpipe.run(environment, folder / "book.xlsx").ok
    yield folder
    assert environment.server
    environment.server.destroy()


def run(command: list[str], folder: Path) -> str:
    env = os.environ | {"PATH": os.pathsep.join([str(programs()), os.environ["PATH"]])}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.nightly
def test_the_commands_succeed(user_folder: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 4

    printed = [run(["bash", "-c", line], user_folder) for line in lines]

    assert "//retailpipe@" in printed[0]
    assert "//retailpipe_reader@" in printed[1]
    assert [line.partition(":")[0] for line in printed[2].splitlines()] == [
        line.partition(":")[0] for line in blocks("")[0].splitlines()
    ]
    sheet = openpyxl.load_workbook(user_folder / "sales.xlsx").active
    assert sheet.max_row == 13  # a header and twelve months
    assert {type(cell.value) for cell in sheet["A"][1:]} == {int}


@pytest.mark.nightly
def test_the_python_programs_succeed_in_one_session(user_folder: Path) -> None:
    programs = blocks("python")
    assert [library for library in ("to_pandas", "polars", "duckdb", "adbc") if library not in "".join(programs)] == []

    printed = run([sys.executable, "-W", "error", "-c", "\n".join(programs)], user_folder)

    assert printed.count("2024") == 3  # pandas, polars and DuckDB print the sum of the only year
    assert "rank" in printed
