"""check: each point fails if its problem exists, with a hint that solves it, and every point is always checked."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Contract, Environment
from retailpipe.bronze.schema import MIGRATIONS
from retailpipe.local.server import EmbeddedServer
from retailpipe.pipeline import init, upload
from retailpipe.reports import CheckPoint
from retailpipe.sample import write_sample
from tests.conftest import Workbook
from tests.support.servers import as_superuser, execute

POINTS = [
    "store",
    "database",
    "connection",
    "schemas",
    "ingestion complete",
    "transformation fresh",
    "layers agree",
]


@pytest.fixture(scope="module")
def template(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The name of a database with a small workbook, loaded and built, and the path of that workbook."""
    url, name = server.start(), "check_template"
    folder = tmp_path_factory.mktemp("check")
    book = folder / "book.xlsx"
    write_sample(book, rows=200)
    execute(as_superuser(url), f"create database {name} owner retailpipe")
    environment = Environment.local(folder / "environment", database_url=url.replace("/retailpipe?", f"/{name}?"))
    assert retailpipe.run(environment, book).ok
    yield name, book
    execute(as_superuser(url), f"drop database {name} with (force)")


@pytest.fixture
def built(server: EmbeddedServer, template: tuple[str, Path], tmp_path: Path) -> Iterator[Environment]:
    """An environment with its own copy of that database and workbook, in which every point passes."""
    url, name = server.start(), "check_copy"
    execute(as_superuser(url), f"create database {name} template {template[0]} owner retailpipe")
    environment = Environment.local(tmp_path / "environment", database_url=url.replace("/retailpipe?", f"/{name}?"))
    environment.store.upload(template[1])
    yield environment
    execute(as_superuser(url), f"drop database {name} with (force)")


def failed(environment: Environment) -> dict[str, CheckPoint]:
    """The failed points by name. Asserts that each has a detail and a hint."""
    report = retailpipe.check(environment)
    assert [point.name for point in report.points] == POINTS
    found = {point.name: point for point in report.points if not point.ok}
    assert report.ok == (not found)
    for point in found.values():
        assert point.detail, point
        assert point.hint, point
    return found


def test_every_point_passes_after_a_run(built: Environment) -> None:
    assert failed(built) == {}


def test_an_empty_environment_fails_with_the_next_command_at_each_point(
    environment: Environment,
) -> None:
    found = failed(environment)

    assert set(found) >= {"store", "schemas", "transformation fresh", "layers agree"}
    assert "`retailpipe upload FILE`" in found["store"].hint
    assert "`retailpipe init`" in found["schemas"].hint
    assert "`retailpipe transform`" in found["transformation fresh"].hint
    assert "`retailpipe run FILE`" in found["layers agree"].hint


def test_missing_silver_and_gold_fail_at_the_schemas(environment: Environment) -> None:
    init(environment)

    found = failed(environment)

    assert "`retailpipe transform`" in found["schemas"].hint
    assert "`retailpipe transform`" in found["transformation fresh"].hint


def test_an_unreachable_server_fails_at_the_connection(tmp_path: Path, make_workbook: Workbook) -> None:
    environment = Environment.local(tmp_path / "environment", database_url="postgresql://nobody@127.0.0.1:1/nowhere")
    upload(environment, make_workbook())

    found = failed(environment)

    assert set(found) == set(POINTS) - {"store", "database"}
    assert "server is running" in found["connection"].hint


def test_an_embedded_server_that_cannot_start_fails_at_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETAILPIPE_PG_BIN", str(tmp_path))

    found = failed(Environment.local(tmp_path / "environment"))

    assert set(found) == set(POINTS)
    assert "RETAILPIPE_PG_BIN" in found["database"].detail


def test_an_empty_store_fails_at_the_store(built: Environment) -> None:
    for stored in built.store.workbooks():
        (built.folder / stored.key).unlink()

    found = failed(built)

    assert set(found) == {"store", "ingestion complete"}
    assert "input/book.xlsx" in found["ingestion complete"].detail
    assert "`retailpipe forget input/book.xlsx`" in found["ingestion complete"].hint


def test_a_workbook_that_is_not_loaded_fails_at_the_ingestion(built: Environment, make_workbook: Workbook) -> None:
    upload(built, make_workbook(name="new.xlsx"))

    found = failed(built)

    assert set(found) == {"ingestion complete"}
    assert "input/new.xlsx" in found["ingestion complete"].detail
    assert "`retailpipe ingest`" in found["ingestion complete"].hint


def test_a_load_after_the_last_build_fails_at_the_transformation(built: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(built, make_workbook(name="new.xlsx"))

    found = failed(built)

    assert set(found) == {"transformation fresh", "layers agree"}
    assert "`retailpipe transform`" in found["transformation fresh"].hint


def test_layers_that_differ_fail_at_the_layers(built: Environment) -> None:
    execute(built.warehouse.uri, "update public_gold.monthly_sales_summary set revenue = 0 where month = 3")

    found = failed(built)

    assert set(found) == {"layers agree"}
    assert "revenue: silver = gold by month" in found["layers agree"].detail
    assert "`retailpipe verify`" in found["layers agree"].hint


def test_a_schema_of_a_newer_version_fails_at_the_schemas(built: Environment) -> None:
    execute(built.warehouse.uri, f"insert into bronze.migrations (version) values ({len(MIGRATIONS) + 1})")

    assert "newer" in failed(built)["schemas"].hint


def test_a_schema_bronze_of_another_program_fails_at_every_point_that_needs_it(
    environment: Environment, make_workbook: Workbook
) -> None:
    upload(environment, make_workbook())
    execute(environment.warehouse.uri, "create schema bronze", "create table bronze.loads (id integer)")

    found = failed(environment)

    assert set(found) == {"schemas", "ingestion complete", "transformation fresh", "layers agree"}


def test_a_workbook_loaded_under_another_contract_counts_as_loaded(
    built: Environment, make_workbook: Workbook, tmp_path: Path
) -> None:
    text = (resources.files("retailpipe") / "contracts" / "online_retail.toml").read_text()
    (tmp_path / "own.toml").write_text(text.replace("maximum = 10000", "maximum = 20000"))
    own = Contract.from_file(tmp_path / "own.toml")
    retailpipe.ingest(built, make_workbook(name="own.xlsx"), contract=own)

    assert "ingestion complete" not in failed(built)


def test_a_symbolic_link_in_the_store_counts_as_a_workbook(built: Environment, make_workbook: Workbook) -> None:
    (built.folder / "input" / "linked.xlsx").symlink_to(make_workbook(name="elsewhere.xlsx"))

    found = failed(built)

    assert set(found) == {"ingestion complete"}
    assert "input/linked.xlsx" in found["ingestion complete"].detail
