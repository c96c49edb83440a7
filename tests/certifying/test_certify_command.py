"""The command `certify`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retailpipe import Environment
from tests.certifying.conftest import change
from tests.conftest import Program


@pytest.fixture
def options(loaded: Environment) -> tuple[str, ...]:
    """The options that select the environment `loaded`."""
    return loaded.options


def test_certificate_is_made_and_checked(program: Program, options: tuple[str, ...]) -> None:
    made = program("certify", *options)
    assert made.returncode == 0, made.stderr
    assert "input/shop.xlsx: certified: 6 rows of the workbook = 4 in bronze + 2 in the quarantine" in made.stdout
    lines = dict(line.strip().split(" ", 1) for line in made.stdout.splitlines()[1:])
    file, key = lines["certificate:"], lines["signed"].removeprefix("with key ")

    checked = program("certify", "--check", file, "shop.xlsx", "--warehouse", *options)

    assert checked.returncode == 0, checked.stdout
    assert f"signed with key {key}; agrees with shop.xlsx and the warehouse" in checked.stdout
    Path(file).write_text(Path(file).read_text().replace('"sig": "', '"sig": "AAAA'))
    edited = program("certify", "--check", file, "--json", *options)
    assert edited.returncode == 1
    assert json.loads(edited.stdout)["problems"] == ["its signature is wrong: it was changed, or another key signed it"]


def test_differences_are_listed_with_their_cells(
    program: Program, loaded: Environment, options: tuple[str, ...]
) -> None:
    change(loaded, "update bronze.shop_rows set price = 2.56 where source_row = 2")

    failed = program("certify", "--quiet", *options)

    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "input/shop.xlsx: NOT certified: 1 difference" in failed.stderr
    place = "input/shop.xlsx, sheet 'Sales', cell C2"
    assert f"{place}: the workbook has '2.55', bronze has '2.56' in price" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--warehouse",), "--warehouse needs a certificate to check"),
        (("--check", "x.json", "--kms", "k"), "--kms is for certifying, not for --check"),
    ],
)
def test_options_that_do_not_fit_are_refused(program: Program, arguments: tuple[str, ...], words: str) -> None:
    refused = program("certify", *arguments, "--local", "none")

    assert refused.returncode == 2
    assert words in refused.stderr
