"""Every connection uses UTF-8, whatever the environment, the URL, the role or the database sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.errors import LoadError
from retailpipe.local.server import EmbeddedServer
from tests.conftest import Program, Workbook
from tests.support.servers import as_superuser, run_sql
from tests.support.workbooks import book_of, contract_of

CAFE = (536365, "85123A", "CAFÉ €", 6, datetime(2010, 12, 1, 8, 26), 2.55, 17850, "Österreich")
PLAIN = (536365, "85123A", "CAFÉ", 6, datetime(2010, 12, 1, 8, 26), 2.55, 17850, "Österreich")


def set_database_and_role(database_url: str) -> None:
    name = run_sql(database_url, "select current_database()")
    run_sql(database_url, f"alter database {name} set client_encoding = 'LATIN1'")
    run_sql(database_url, f"alter role current_user in database {name} set client_encoding = 'LATIN1'")


def no_setting(database_url: str) -> None:
    del database_url


@pytest.fixture(params=["LATIN1", "WIN1252"])
def other_encoding(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[str]:
    """The URL of a database with an encoding other than UTF-8."""
    name = f"in_{request.param.lower()}"
    url = server.start()
    execute_outside_transaction(
        as_superuser(url),
        f"create database {name} encoding '{request.param}' locale 'C' template template0 owner retailpipe",
    )
    yield url.replace("/retailpipe?", f"/{name}?")
    execute_outside_transaction(as_superuser(url), f"drop database {name} with (force)")


def execute_outside_transaction(url: str, sql: str) -> None:
    """Execute a statement that PostgreSQL does not allow in a transaction."""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize(
    ("variables", "addition", "setting"),
    [
        ({"PGCLIENTENCODING": "LATIN1", "PGOPTIONS": "-c client_encoding=LATIN1"}, "", no_setting),
        ({}, "&client_encoding=LATIN1&options=-c%20client_encoding%3DLATIN1", no_setting),
        ({}, "", set_database_and_role),
    ],
)
def test_texts_are_stored_and_queried_unchanged(
    database_url: str,
    program: Program,
    make_workbook: Workbook,
    variables: dict[str, str],
    addition: str,
    setting: Callable[[str], None],
) -> None:
    setting(database_url)
    url = f"{database_url}{addition}"
    workbook = make_workbook([CAFE])
    env = {**variables, "RETAILPIPE_DATABASE_URL": url}
    done = program("run", workbook, "--local", "shop", env=env)
    sql = "select chr(233) || country as text from public_silver.fact_sales_daily"
    asked = program("query", sql, "--format", "csv", "--local", "shop", env=env)

    assert done.returncode == 0, done.stderr
    stored = run_sql(database_url, "select encode(convert_to(description, 'UTF8'), 'hex') from bronze.raw_transactions")
    assert bytes.fromhex(stored).decode() == "CAFÉ €"
    assert "éÖsterreich" in asked.stdout


def test_a_database_of_another_encoding_stores_the_texts_that_it_can_encode(
    tmp_path: Path, other_encoding: str, make_workbook: Workbook
) -> None:
    environment = Environment.local(tmp_path / "shop", database_url=other_encoding)

    retailpipe.run(environment, make_workbook([PLAIN]))

    found = retailpipe.query(environment, "select description, country from bronze.raw_transactions").to_pylist()
    assert found == [{"description": "CAFÉ", "country": "Österreich"}]


def test_a_text_that_the_database_cannot_encode_is_refused_with_its_cell(
    tmp_path: Path, other_encoding: str, make_workbook: Workbook
) -> None:
    environment = Environment.local(tmp_path / "shop", database_url=other_encoding)
    greek = (*PLAIN[:2], "Ωμέγα", *PLAIN[3:])
    rows = [PLAIN] * 20_000 + [greek]

    with pytest.raises(LoadError) as caught:
        retailpipe.ingest(environment, make_workbook(rows))

    assert "book.xlsx, sheet 'Online Retail', cell C20002: " in str(caught.value)
    assert "encoding" in caught.value.hint
    assert retailpipe.query(environment, "select count(*) as loads from bronze.loads").to_pylist() == [{"loads": 0}]


def test_a_text_that_the_database_cannot_encode_is_refused_with_its_sheet(tmp_path: Path, other_encoding: str) -> None:
    environment = Environment.local(tmp_path / "shop", database_url=other_encoding)
    contract = contract_of(tmp_path, {"header": "Code", "type": "string"}, sheet="all")
    sheets = {"North": [["Code"], ["a"], ["b"]], "South": [["Note", "Code"], ["x", "c"], ["y", "Ωμέγα"]]}

    with pytest.raises(LoadError) as caught:
        retailpipe.ingest(environment, book_of(tmp_path / "book.xlsx", sheets), contract=contract)

    assert "book.xlsx, sheet 'South', cell B3: " in str(caught.value)
