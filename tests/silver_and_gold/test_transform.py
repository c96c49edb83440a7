"""transform: what a build creates and reports, how it fails, and that it leaves the process unchanged."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

import retailpipe
from retailpipe import BuildReport, Environment
from retailpipe.builds import transform
from retailpipe.errors import ContractError, NothingLoaded, UsageError, WarehouseError
from retailpipe.local.server import EmbeddedServer
from retailpipe.models import project_folder
from retailpipe.progress import NoProgress
from retailpipe.sample import write_sample
from tests.conftest import Workbook
from tests.support.servers import as_superuser, execute

PASSWORD = "s3cret p@ss/w%rd'"


def count(environment: Environment, table: str) -> int:
    return retailpipe.query(environment, f"select count(*) as n from {table}").to_pylist()[0]["n"]


@pytest.fixture(scope="module")
def loaded(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """An environment with a loaded workbook. Its database user is not a superuser; the URL contains its password."""
    url, folder = server.start(), tmp_path_factory.mktemp("transform")
    doubled = PASSWORD.replace("'", "''")
    execute(as_superuser(url), f"create role pupil login password '{doubled}'", "create database lessons owner pupil")
    address = url.partition("@")[2].partition("/")[0]
    environment = Environment.local(
        folder / "a folder", database_url=f"postgresql://pupil:{quote(PASSWORD, safe='')}@{address}/lessons"
    )
    write_sample(folder / "book.xlsx", rows=500)
    retailpipe.ingest(environment, folder / "book.xlsx")
    yield environment
    execute(as_superuser(url), "drop database lessons with (force)", "drop role pupil")


@pytest.fixture(scope="module")
def report(loaded: Environment) -> BuildReport:
    """The report of a complete build; after it silver and gold exist in the environment."""
    return retailpipe.transform(loaded)


@pytest.fixture
def built(loaded: Environment, report: BuildReport) -> Environment:
    assert report.ok
    return loaded


class Steps(NoProgress):
    """Records the progress that it receives."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int | None]] = []
        self.advanced = 0

    def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
        del unit
        self.steps.append((name, total))

    def advance(self, amount: int = 1) -> None:
        self.advanced += amount


def test_a_build_counts_its_models_and_tests(report: BuildReport) -> None:
    assert report.ok
    models = list((project_folder() / "models").rglob("*.sql"))
    assert (report.models, report.failures, report.skipped) == (len(models), (), 0)
    assert report.tests > len(models)
    assert str(report).startswith(f"{len(models)} models built, {report.tests} tests passed in ")


def test_a_build_creates_the_tables_of_silver_and_gold(built: Environment) -> None:
    found = retailpipe.query(
        built,
        "select schemaname || '.' || tablename as name from pg_tables where schemaname like 'public_%'",
    )

    assert set(found.column("name").to_pylist()) >= {
        "public_silver.dim_date",
        "public_silver.dim_product",
        "public_silver.dim_customer",
        "public_silver.fact_sales_daily",
        "public_silver.fact_returns_daily",
        "public_gold.monthly_sales_summary",
        "public_gold.top_products",
        "public_gold.country_performance",
        "public_gold.customer_lifetime_value",
    }


def test_no_file_of_dbt_contains_the_password(built: Environment) -> None:
    files = [file for file in (built.folder / "dbt").rglob("*") if file.is_file()]

    assert files
    for file in files:
        content = file.read_bytes()
        assert PASSWORD.encode() not in content, file
        assert quote(PASSWORD, safe="").encode() not in content, file


def test_dbt_writes_the_log_that_hints_name(built: Environment) -> None:
    log = (built.folder / "dbt" / "logs" / "dbt.log").read_text()

    assert "dim_product" in log


def test_a_selection_builds_only_the_selected_models_and_prints_nothing(
    built: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    progress = Steps()

    report = transform(built, select="dim_date", progress=progress)

    assert (report.ok, report.models) == (True, 1)
    assert report.tests >= 1
    assert ("building models", 1 + report.tests) in progress.steps
    assert progress.advanced == 1 + report.tests
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("full_refresh", [False, True])
def test_a_selection_that_matches_nothing_raises_usage_error(built: Environment, full_refresh: bool) -> None:
    with pytest.raises(UsageError, match="dim_dates") as caught:
        transform(built, select="dim_dates", full_refresh=full_refresh)

    assert "`retailpipe dbt ls`" in caught.value.hint


def test_environment_variables_of_the_caller_are_neither_used_nor_changed(
    built: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell may have variables set for another dbt project."""
    monkeypatch.setenv("AWS_RDS_HOST", "db.example.com")
    monkeypatch.setenv("AWS_RDS_PASSWORD", "another")
    monkeypatch.setenv("DBT_TARGET_PATH", "elsewhere")
    monkeypatch.setenv("DBT_TARGET", "aws")
    monkeypatch.setenv("PGUSER", "another")
    before = dict(os.environ)

    report = transform(built, select="built_loads")

    assert report.ok
    assert dict(os.environ) == before


def test_settings_are_restored_after_a_failure(built: Environment) -> None:
    before = dict(os.environ)

    with pytest.raises(UsageError):
        transform(built, select="tag:nothing")

    assert dict(os.environ) == before


def test_a_full_refresh_creates_the_same_rows_as_a_build(built: Environment) -> None:
    figures = "select * from public_silver.fact_sales_daily order by date_id, stock_code, country"
    before = retailpipe.query(built, figures)

    report = transform(built, select="fact_sales_daily", full_refresh=True)

    assert report.ok
    assert retailpipe.query(built, figures).equals(before)


def test_a_failing_test_shows_the_failing_rows(built: Environment) -> None:
    """A row of bronze is duplicated outside retailpipe."""
    twice = "select * from bronze.raw_transactions where source_row = 10"
    execute(built.warehouse.uri, f"insert into bronze.raw_transactions {twice}")

    report = transform(built, select="each_row_comes_once")

    execute(
        built.warehouse.uri,
        "delete from bronze.raw_transactions where ctid in "
        "(select max(ctid) from bronze.raw_transactions where source_row = 10)",
    )
    assert not report.ok
    (failure,) = report.failures
    assert (failure.kind, failure.status) == ("test", "fail")
    assert failure.name == "each_row_comes_once"
    assert failure.message
    (row,) = failure.rows
    assert row["transactions"] == row["source_rows"] + 1
    assert report.as_dict()["failures"][0]["rows"][0]["load_id"] == row["load_id"]
    assert "1 failed" in str(report)


BROKEN_KEYS = [
    # A statement that breaks a table, and the rule that the table's test then reports.
    ("insert into public_silver.dim_product select * from public_silver.dim_product limit 1", "unique: stock_code"),
    ("insert into public_silver.dim_customer select * from public_silver.dim_customer limit 1", "unique: customer_id"),
    ("update public_silver.dim_date set date_id = null", "not null: date_id"),
    ("insert into public_silver.int_loaded_days (date_id) values (null)", "not null: date_id"),
    (
        "insert into public_silver.fact_sales_daily select * from public_silver.fact_sales_daily limit 1",
        "unique: date_id, stock_code, country",
    ),
    ("update public_silver.fact_sales_daily set stock_code = 'none'", "stock_code is in dim_product"),
    ("insert into public_silver.fact_returns_daily (date_id) values (1)", "not null: date_id, stock_code, country"),
    ("insert into public_silver.fact_returns_daily (date_id) values (1)", "date_id is in dim_date"),
    ("update public_silver.int_invoices set customer_id = 'none'", "customer_id is in dim_customer"),
    (
        "insert into public_silver.int_invoices select * from public_silver.int_invoices limit 1",
        "unique: invoice_no, invoice_day, customer_id, country",
    ),
    ("insert into public_silver.service_codes select * from public_silver.service_codes limit 1", "unique: stock_code"),
    ("update public_gold.monthly_sales_summary set month = 1, year = 2010", "unique: year, month"),
    ("update public_gold.top_products set stock_code = 'none'", "unique: stock_code"),
    ("update public_gold.top_products set stock_code = 'none'", "stock_code is in dim_product"),
    ("update public_gold.customer_lifetime_value set customer_id = 'none'", "customer_id is in dim_customer"),
    (
        "insert into public_gold.country_performance select * from public_gold.country_performance limit 1",
        "unique: country",
    ),
]


@pytest.mark.parametrize(
    "broken_keys", [BROKEN_KEYS[:3], pytest.param(BROKEN_KEYS, marks=pytest.mark.nightly)], ids=["some", "all"]
)
def test_the_keys_test_reports_the_broken_rule_and_the_values(
    built: Environment, broken_keys: list[tuple[str, str]]
) -> None:
    reported: dict[str, list[dict[str, str]]] = {}
    for statement, _ in broken_keys:
        if statement not in reported:
            execute(built.warehouse.uri, statement)
            table = statement.split(".")[1].split()[0]
            # One table at a time, because dbt skips the tests of tables that depend on a failed one.
            report = transform(built, select=f"test_name:keys,{table}")
            reported[statement] = [row for failure in report.failures for row in failure.rows]
    assert transform(built, full_refresh=True).ok

    for statement, rule in broken_keys:
        assert rule in [row["rule"] for row in reported[statement]], statement
    assert reported[broken_keys[0][0]][0]["broken_by"].startswith('{"rows": 2, "stock_code": "')


def test_a_failed_model_is_reported_with_the_message_of_the_database(built: Environment) -> None:
    """PostgreSQL can store this date, but its YYYYMMDD number is too large for an integer."""
    execute(
        built.warehouse.uri,
        "insert into bronze.raw_transactions select invoice_no, stock_code, description, quantity, "
        "'294276-01-01', unit_price, customer_id, country, load_id, 1 from bronze.raw_transactions limit 1",
    )

    report = transform(built, select="int_loaded_days+")

    execute(built.warehouse.uri, "delete from bronze.raw_transactions where source_row = 1")
    assert not report.ok
    failure = next(failure for failure in report.failures if failure.name == "int_loaded_days")
    assert (failure.kind, failure.status, failure.rows) == ("model", "error", ())
    assert "2942760101" in failure.message
    assert "out of range" in failure.message
    assert report.skipped > 0


def test_a_build_of_an_empty_warehouse_succeeds(environment: Environment) -> None:
    report = transform(environment)

    assert report.ok
    assert count(environment, "public_silver.dim_date") == 0
    assert count(environment, "public_gold.monthly_sales_summary") == 0
    with pytest.raises(NothingLoaded):
        retailpipe.verify(environment)


def test_a_build_waits_for_a_running_load(environment: Environment, make_workbook: Workbook) -> None:
    loading, go_on = threading.Event(), threading.Event()

    class Load(NoProgress):
        def advance(self, amount: int = 1) -> None:
            del amount
            loading.set()
            assert go_on.wait(60)

    class Build(NoProgress):
        def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
            del unit, total
            steps.append(name)
            if name == "waiting for another load or build":
                go_on.set()

    steps: list[str] = []
    load = threading.Thread(target=retailpipe.ingest, args=(environment, make_workbook()), kwargs={"progress": Load()})
    load.start()
    assert loading.wait(60)

    try:
        report = transform(environment, select="built_loads", progress=Build())
    finally:
        go_on.set()
        load.join(60)

    assert report.ok
    assert steps[0] == "waiting for another load or build"
    assert count(environment, "public_silver.built_loads") == 1


def test_a_raw_table_with_other_columns_is_refused(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())
    execute(environment.warehouse.uri, "alter table bronze.raw_transactions rename country to land")

    with pytest.raises(ContractError, match="country is missing; land is not in the contract"):
        transform(environment)


def test_an_unreachable_server_raises_a_clear_error(tmp_path: Path) -> None:
    environment = Environment.local(
        tmp_path / "environment", database_url=f"postgresql://pupil:{quote(PASSWORD, safe='')}@127.0.0.1:1/nowhere"
    )

    with pytest.raises(WarehouseError, match=r"127\.0\.0\.1") as caught:
        transform(environment)

    assert caught.value.hint
    assert PASSWORD not in str(caught.value)
