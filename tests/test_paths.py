"""Names that no file can have, as sources, contracts and outputs: errors of this library, with what to do next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.bindings import named_contract
from retailpipe.corrections.target import check_new_workbook
from retailpipe.demo import demo
from retailpipe.drafting import draft_contract, write_contract
from retailpipe.errors import ContractError, RetailpipeError, SourceNotFound, StoreError, UsageError
from retailpipe.files import write_file
from retailpipe.sources import Keys

LONG = "long" * 75
NAMES = pytest.mark.parametrize("name", [f"{LONG}.xlsx", "nul\0.xlsx"], ids=["long", "NUL"])


@NAMES
@pytest.mark.parametrize(
    "load",
    [
        retailpipe.ingest,
        lambda environment, name: retailpipe.ingest(environment, name, dry_run=True),
        retailpipe.run,
        retailpipe.upload,
        lambda environment, name: demo(environment, workbook=Path(name)),
        lambda _, name: draft_contract(name),
    ],
    ids=["ingest", "dry run", "run", "upload", "demo", "draft"],
)
def test_a_source_with_such_a_name_is_not_found(
    environment: Environment, load: Callable[[Environment, str], object], name: str
) -> None:
    with pytest.raises(SourceNotFound) as caught:
        load(environment, name)

    assert caught.value.hint
    assert Keys(environment.store).size_of(name) == 0


@NAMES
@pytest.mark.parametrize("place", ["", "./"])
def test_a_contract_with_such_a_name_is_not_found(tmp_path: Path, name: str, place: str) -> None:
    with pytest.raises(ContractError) as caught:
        named_contract(place + name, tmp_path)

    assert caught.value.hint


@NAMES
@pytest.mark.parametrize(
    ("write", "error"),
    [
        (lambda path: write_file(check_new_workbook(path, force=False), b"x"), UsageError),
        (lambda path: write_file(path, b"x"), UsageError),
        (lambda path: write_contract("x", path), StoreError),
    ],
    ids=["workbook", "file", "contract"],
)
def test_a_file_with_such_a_name_cannot_be_written(
    tmp_path: Path, name: str, write: Callable[[Path], object], error: type[RetailpipeError]
) -> None:
    with pytest.raises(error, match="cannot write") as caught:
        write(tmp_path / name)

    assert caught.value.hint


@pytest.mark.parametrize("name", ["n" * 250 + ".xlsx", "\u20ac" * 80 + ".xlsx"])
@pytest.mark.parametrize("write", [lambda path: write_file(path, b"x"), lambda path: write_contract("x", path)])
def test_a_name_as_long_as_file_systems_allow_can_be_written(
    tmp_path: Path, name: str, write: Callable[[Path], object]
) -> None:
    """The file is written under a temporary name first, which must not be too long either."""
    write(tmp_path / name)

    assert (tmp_path / name).read_bytes() == b"x"
