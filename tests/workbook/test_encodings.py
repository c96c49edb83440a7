"""Every connection uses UTF-8, whatever the environment, the URL, the role or the database sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.builds import dbt
from retailpipe.errors import LoadError
from retailpipe.local.server import EmbeddedServer
from retailpipe.sample import HEADERS
from tests.conftest import Program, Workbook, new_database, parsed_once
from tests.support.nightly import most_nightly
from tests.support.servers import run_sql
from tests.support.workbooks import book_of, contract_of

CAFE = (536365, "85123A", "CAFÉ €", 6, datetime(2010, 12, 1, 8, 26), 2.55, 17850, "Österreich")
PLAIN = (536365, "85123A", "CAFÉ", 6, datetime(2010, 12, 1, 8, 26), 2.55, 17850, "Österreich")


def set_database_and_role(database_url: str) -> None:
    name = run_sql(database_url, "select current_database()")
    run_sql(database_url, f"alter database {name} set client_encoding = 'LATIN1'")
    run_sql(database_url, f"alter role current_user in database {name} set client_encoding = 'LATIN1'")


def no_setting(database_url: str) -> None:
    del database_url


@contextmanager
def environment_at(url: str, tmp_path: Path, parsed: Path) -> Iterator[Environment]:
    with parsed_once(Environment.local(tmp_path / "shop", database_url=url), parsed / "local") as environment:
        yield environment


@pytest.fixture(params=["LATIN1", "WIN1252"])
def other_encoding(
    request: pytest.FixtureRequest, server: EmbeddedServer, tmp_path: Path, parsed: Path
) -> Iterator[Environment]:
    """An environment whose database has an encoding other than UTF-8."""
    options = f"encoding '{request.param}' locale 'C' template template0"
    with new_database(server, options) as url, environment_at(url, tmp_path, parsed) as environment:
        yield environment


@pytest.fixture(scope="module")
def long_book_with_greek(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workbook of several blocks. The description in its last row, 12,002, is in Greek."""
    rows = [PLAIN] * 12_000 + [(*PLAIN[:2], "Ωμέγα", *PLAIN[3:])]
    return book_of(tmp_path_factory.mktemp("greek") / "book.xlsx", {"Online Retail": [HEADERS, *rows]})


def countries(environment: Environment) -> list[str]:
    """The countries in silver, which dbt wrote through its own connection."""
    return retailpipe.query(environment, "select country from public_silver.fact_sales_daily").column(0).to_pylist()


@pytest.mark.parametrize(
    ("variables", "addition", "setting"),
    most_nightly(
        [
            ({"PGCLIENTENCODING": "LATIN1", "PGOPTIONS": "-c client_encoding=LATIN1"}, "", no_setting),
            ({}, "&client_encoding=LATIN1&options=-c%20client_encoding%3DLATIN1", no_setting),
            ({}, "", set_database_and_role),
        ],
        daily={2},
    ),
)
def test_texts_are_stored_and_queried_unchanged(
    database_url: str,
    tmp_path: Path,
    parsed: Path,
    make_workbook: Workbook,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    addition: str,
    setting: Callable[[str], None],
) -> None:
    setting(database_url)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with environment_at(f"{database_url}{addition}", tmp_path, parsed) as environment:
        done = retailpipe.run(environment, make_workbook([CAFE]))
        built = countries(environment)
        written = retailpipe.query(environment, "select chr(233) || 'é' as text").to_pylist()

    assert done.ok, done
    stored = run_sql(database_url, "select encode(convert_to(description, 'UTF8'), 'hex') from bronze.raw_transactions")
    assert bytes.fromhex(stored).decode() == "CAFÉ €"
    assert built == ["Österreich"]
    assert written == [{"text": "éé"}]


def test_the_command_shows_texts_unchanged(
    database_url: str, program: Program, environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(environment, make_workbook([CAFE]))
    settings = {"PGCLIENTENCODING": "LATIN1", "PGOPTIONS": "-c client_encoding=LATIN1"}
    sql = "select chr(233) || country as text from bronze.raw_transactions"
    where = ("--local", environment.folder, "--database-url", database_url)

    shown = program("query", sql, "--format", "csv", *where, env=settings)

    assert "éÖsterreich" in shown.stdout


@pytest.mark.nightly
def test_a_database_of_another_encoding_stores_the_texts_that_it_can_encode(
    other_encoding: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(other_encoding, make_workbook([PLAIN]))

    assert dbt(other_encoding, ["--quiet", "run", "--select", "+fact_sales_daily"]) == 0

    assert countries(other_encoding) == ["Österreich"]
    found = retailpipe.query(other_encoding, "select description, country from bronze.raw_transactions").to_pylist()
    assert found == [{"description": "CAFÉ", "country": "Österreich"}]


def test_a_text_that_the_database_cannot_encode_is_refused_with_its_cell(
    other_encoding: Environment, long_book_with_greek: Path
) -> None:
    with pytest.raises(LoadError) as caught:
        retailpipe.ingest(other_encoding, long_book_with_greek)

    assert "book.xlsx, sheet 'Online Retail', cell C12002: " in str(caught.value)
    assert "encoding" in caught.value.hint
    loads = retailpipe.query(other_encoding, "select count(*) as loads from bronze.loads").to_pylist()
    assert loads == [{"loads": 0}]


def test_a_text_that_the_database_cannot_encode_is_refused_with_its_sheet(
    tmp_path: Path, other_encoding: Environment
) -> None:
    contract = contract_of(tmp_path, {"header": "Code", "type": "string"}, sheet="all")
    sheets = {"North": [["Code"], ["a"], ["b"]], "South": [["Note", "Code"], ["x", "c"], ["y", "Ωμέγα"]]}

    with pytest.raises(LoadError) as caught:
        retailpipe.ingest(other_encoding, book_of(tmp_path / "book.xlsx", sheets), contract=contract)

    assert "book.xlsx, sheet 'South', cell B3: " in str(caught.value)
