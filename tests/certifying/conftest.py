"""A contract with every type, and an environment with one workbook that is loaded under it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from retailpipe import Certification, Environment, certify, ingest
from tests.conftest import Prepared
from tests.support.workbooks import book_of

CONTRACT = """
name = "shop"
table = "shop_rows"
files = ["shop*", "second*"]
max_rejects = 100
max_overlap = "100%"

[[columns]]
header = "Receipt"
name = "receipt"
type = "string"
required = true
max_length = 20

[[columns]]
header = "Pieces"
name = "pieces"
type = "int32"
required = true

[[columns]]
header = "Price"
name = "price"
type = "decimal128(38, 18)"
minimum = 0
maximum = 1000

[[columns]]
header = "Sold at"
name = "sold_at"
type = "timestamp[us]"
formats = ["%d.%m.%Y %H:%M"]

[[columns]]
header = "Due"
name = "due"
type = "date32"
optional = true

[[columns]]
header = "Stock"
name = "stock"
type = "int64"
optional = true
"""
HEADERS = ("Receipt", "Pieces", "Price", "Sold at", "Note", "Due", "Stock")
ROWS: tuple[tuple[Any, ...], ...] = (
    ("R1", 3, 2.55, datetime(2024, 1, 2, 9, 30), "a note", date(2024, 2, 1), 10),
    (1002, 1, 0.001, datetime(2024, 1, 2), None, None, None),
    ("R3", "12", "7.5", "02.01.2024 10:15", "x", None, -5),
    (),
    ("R4", 2.5, 1, datetime(2024, 1, 3), "not whole", None, 1),  # rejected
    ("R5", 4, 1000.01, datetime(2024, 1, 3), None, None, 2),  # rejected
    (" R6 ", 5, 0, datetime(2024, 1, 4, 23, 59, 59), None, date(2024, 3, 1), 3),
)


@pytest.fixture
def shop(built_environment: Environment) -> Environment:
    """An environment whose workbooks shop*.xlsx and second*.xlsx follow the contract."""
    (built_environment.folder / "contracts" / "shop.toml").write_text(CONTRACT)
    return built_environment


@pytest.fixture(scope="session")
def certified_folder(built_without_loads: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment with the certificate of shop.xlsx; its database is gone."""
    folder = tmp_path_factory.mktemp("certified")
    with built_without_loads.copied(folder / "environment") as environment:
        (environment.folder / "contracts" / "shop.toml").write_text(CONTRACT)
        load(environment, folder / "shop.xlsx", ROWS)
        assert certified(environment).ok
    return folder / "environment"


@pytest.fixture
def offline(certified_folder: Path, tmp_path: Path) -> Environment:
    """A copy of this environment, which cannot reach a database."""
    shutil.copytree(certified_folder, tmp_path / "offline")
    return Environment.local(tmp_path / "offline", database_url="postgresql://nobody@127.0.0.1:9/none")


@pytest.fixture
def loaded(shop: Environment, tmp_path: Path) -> Environment:
    """The environment `shop` with ROWS loaded as shop.xlsx."""
    load(shop, tmp_path / "shop.xlsx", ROWS)
    return shop


def load(environment: Environment, path: Path, rows: Sequence[Sequence[Any]], *, replace: bool = False) -> None:
    ingest(environment, book_of(path, {"Sales": [HEADERS, *rows]}), replace=replace)


def certified(environment: Environment, source: str = "shop.xlsx") -> Certification:
    """Certify one workbook."""
    [report] = certify(environment, source)
    return report


def change(environment: Environment, statement: str) -> None:
    """Change the database by hand."""
    with environment.warehouse.connect() as connection:
        connection.execute(statement)
        connection.commit()
