"""The user's models: they are built, tested and verified together with ours, and their mistakes do not affect ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import pytest
from psycopg2.extensions import parse_dsn

import retailpipe
from retailpipe import BuildReport, Contract, Environment
from retailpipe.bronze import build_record
from retailpipe.builds import dbt, is_built, transform
from retailpipe.dbt_runner import WarmUp
from retailpipe.errors import TransformError
from retailpipe.local.server import EmbeddedServer
from retailpipe.models import generated_project, own_models, project_folder, project_hash
from retailpipe.reports import CheckPoint
from tests.conftest import Program
from tests.support.nightly import most_nightly
from tests.support.servers import as_superuser, execute, password_of

CONTRACT = """
name = "branches"
table = "branch_sales"

[[columns]]
header = "Branch"
name = "branch"
type = "string"

[[columns]]
header = "Amount"
name = "amount"
type = "decimal128(18, 3)"
"""
BRANCHES = "select branch, amount, load_id, source_row from {{ source('bronze', 'branch_sales') }}"
TOTALS = """
select branch, sum(amount) as revenue from {{ ref('branches') }} group by branch
"""
YML = """
models:
  - name: branches
    description: One row per row of bronze.
    config: {meta: {rows_of: bronze.branch_sales}}
  - name: branch_totals
    config: {meta: {sum_of: {revenue: bronze.branch_sales.amount}}}
    columns:
      - {name: branch, data_tests: [unique, not_null]}
"""
ROWS_OF = "rows of bronze.branch_sales = rows of public_own.branches"
SUM_OF = "sum of bronze.branch_sales.amount = sum of public_own.branch_totals.revenue"


def write(environment: Environment, files: dict[str, str]) -> None:
    folder = environment.folder / "models"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def workbook(folder: Path, name: str, *rows: tuple[str, float]) -> Path:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (("Branch", "Amount"), *rows):
        book.active.append(row)
    book.save(folder / name)
    return folder / name


def relations(environment: Environment) -> list[str]:
    sql = "select table_name::text as name from information_schema.tables where table_schema = 'public_own' order by 1"
    return retailpipe.query(environment, sql).column("name").to_pylist()


def point(environment: Environment) -> CheckPoint:
    points = retailpipe.check(environment).points
    return next(point for point in points if point.name == "transformation fresh")


MODELS = {"branches.sql": BRANCHES, "more/branch_totals.sql": TOTALS, "branches.yml": YML}


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    path = tmp_path_factory.mktemp("contract") / "branches.toml"
    path.write_text(CONTRACT)
    return Contract.from_file(path)


@pytest.fixture(scope="module")
def shop(server: EmbeddedServer, contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """An environment with a workbook in bronze.branch_sales; the tests of this module build it in their order."""
    url, name, folder = server.start(), "own_models", tmp_path_factory.mktemp("own models")
    execute(as_superuser(url), f"create database {name} owner retailpipe")
    shop = Environment.local(folder / "a shop", database_url=url.replace("/retailpipe?", f"/{name}?"))
    book = workbook(folder, "branches.xlsx", ("North", 10.5), ("South", 20.125), ("North", 1))
    retailpipe.ingest(shop, book, contract=contract)
    yield shop
    execute(as_superuser(url), f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def without(shop: Environment) -> BuildReport:
    """The report of a build without models of the user."""
    return retailpipe.run(shop).build


@pytest.fixture(scope="module")
def report(shop: Environment, without: BuildReport) -> BuildReport:
    """The report of the first build with models of the user."""
    assert without.ok
    write(shop, MODELS)
    return retailpipe.run(shop).build


@pytest.fixture
def built(shop: Environment, report: BuildReport) -> Iterator[Environment]:
    """The environment with its models built. A test may change them: afterwards they are as before."""
    assert report.ok
    yield shop
    write(shop, MODELS)


@pytest.mark.nightly
def test_a_table_that_no_model_reads_is_reported(shop: Environment, without: BuildReport, program: Program) -> None:
    again = retailpipe.run(shop).build
    printed = program("run", "--local", shop.folder, "--database-url", shop.warehouse.uri)

    assert without.ok
    assert without.as_dict()["tables_read"] == ["bronze.raw_transactions"]
    assert without.as_dict()["tables_unread"] == ["bronze.branch_sales"]
    assert (again.up_to_date, again.tables_unread) == (True, ("bronze.branch_sales",))
    assert "no model reads bronze.branch_sales; to write one, see docs/models.md" in printed.stdout
    assert "no model reads bronze.branch_sales" in point(shop).detail
    assert point(shop).ok


def test_own_models_are_built_and_tested_with_ours(
    shop: Environment, without: BuildReport, report: BuildReport
) -> None:
    assert report.ok
    assert (report.models, report.tests) == (without.models + 2, without.tests + 2)
    assert report.tables_read == ("bronze.branch_sales", "bronze.raw_transactions")
    assert report.tables_unread == report.leftovers == ()
    assert relations(shop) == ["branch_totals", "branches"]
    comment = "select obj_description('public_own.branches'::regclass) as text"
    assert retailpipe.query(shop, comment).to_pylist() == [{"text": "One row per row of bronze."}]


def test_own_models_are_verified(built: Environment) -> None:
    verification = retailpipe.verify(built)

    figures = {each.name: (each.ok, each.expected, each.actual) for each in verification.invariants}
    assert figures[ROWS_OF] == (True, "3", "3")
    assert figures[SUM_OF] == (True, "31.625", "31.625")
    assert verification.ok
    assert verification.tables["public_own.branches"] == 3


def test_unchanged_own_models_are_up_to_date(built: Environment) -> None:
    assert retailpipe.run(built).build.up_to_date
    assert point(built).ok


def test_a_missing_table_of_an_own_model_makes_it_out_of_date(built: Environment) -> None:
    execute(built.warehouse.uri, "alter table public_own.branch_totals rename to renamed")

    assert not is_built(built)

    execute(built.warehouse.uri, "alter table public_own.renamed rename to branch_totals")
    assert is_built(built)


def test_a_load_into_a_table_that_an_own_model_reads_makes_it_out_of_date(
    built: Environment, contract: Contract, tmp_path: Path
) -> None:
    retailpipe.ingest(built, workbook(tmp_path, "more.xlsx", ("West", 0.001)), contract=contract)
    outdated, broken = point(built), [each.name for each in retailpipe.verify(built).invariants if not each.ok]

    report = retailpipe.run(built)

    assert not outdated.ok
    assert "`retailpipe transform`" in outdated.hint
    assert set(broken) == {ROWS_OF, SUM_OF}
    assert not report.build.up_to_date
    assert report.ok
    assert point(built).ok


def test_a_load_into_a_table_that_no_model_reads_changes_nothing(built: Environment, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(CONTRACT.replace("branch_sales", "other_sales"))
    other = Contract.from_file(tmp_path / "other.toml")
    retailpipe.ingest(built, workbook(tmp_path, "other.xlsx", ("West", 7)), contract=other)

    build = retailpipe.run(built).build

    assert build.up_to_date
    assert build.tables_unread == ("bronze.other_sales",)


@pytest.mark.nightly
def test_a_changed_own_model_is_built_again(built: Environment) -> None:
    write(built, MODELS | {"branches.sql": f"{BRANCHES} where branch <> 'North'"})
    outdated = point(built)

    report = retailpipe.run(built)

    assert not outdated.ok
    assert not report.build.up_to_date
    assert report.verification
    assert {each.name for each in report.verification.invariants if not each.ok} == {ROWS_OF, SUM_OF}
    assert not report.ok


BROKEN = [
    # The file, its text, and what the report says: the file, the line, and the reason.
    ("a.sql", "select 1 as x\nfrom {{ ref('branches' }}", ["models/a.sql", "line 2", "unexpected '}'"]),
    ("a.sql", "select 1 as x\nfrom {{ ref('nothing') }}", ["models/a.sql", "line 2", "'nothing' which was not found"]),
    (
        "a.sql",
        "select 1 as x\nfrom {{ source('bronze', 'nothing') }}",
        ["models/a.sql", "line 2", "'bronze.nothing' which was not found", "load a workbook into this table"],
    ),
    ("a.sql", "{{ config(schema='gold', alias='top_products') }} select 1 as x", ["models/a.sql", "public_gold"]),
    ("a.sql", "select 1 as x from {{ ref('a') }}", ["cycle", "model.own.a"]),
    ("a.yml", "models:\n  - name: branches\n   config: {}", ["a.yml", "line 3"]),
    ("a.yml", "models:\n  - name: branch", ["models/a.yml", "'branch'"]),
    ("branches.yml", YML.replace("rows_of: bronze.", "rows_of: "), ["branches.yml", "rows_of", "bronze.TABLE"]),
    ("branches.yml", YML.replace("{revenue: bronze", "{revenue: 12}, x: {y: bronze"), ["branches.yml", "sum_of", "12"]),
]


@pytest.mark.parametrize(("name", "text", "said"), most_nightly(BROKEN, {4}))
def test_own_models_that_dbt_cannot_read_are_reported_and_ours_are_built(
    built: Environment, name: str, text: str, said: list[str]
) -> None:
    write(built, MODELS | {name: text})

    report = transform(built, select="dim_date")

    assert not report.ok
    assert report.models == 1
    [failure] = report.failures
    for part in said:
        assert part in failure.message, failure.message
    assert "\x1b" not in failure.message
    assert "their tables are unchanged" in failure.message
    assert relations(built) == ["branch_totals", "branches"]


def test_a_broken_own_model_keeps_nothing_of_ours_from_being_up_to_date(built: Environment) -> None:
    """Ours are recorded as built, so the next build need not be a full refresh. The others are not."""
    write(built, MODELS | {"a.sql": "select 1 as x\nform nowhere"})

    report = retailpipe.run(built).build

    with built.warehouse.connect() as connection:
        record = build_record.built(connection, project_hash(), project_hash(own_models(built)))
    assert not report.ok
    assert (record.ours, record.all) == (True, False)
    [failure] = report.failures
    assert (failure.name, failure.kind) == ("a", "model")
    assert 'syntax error at or near "form"' in failure.message
    assert "models/a.sql" in failure.message
    assert report.skipped == 0
    assert not point(built).ok


@pytest.mark.nightly
def test_a_failing_test_of_an_own_model_shows_its_rows(built: Environment) -> None:
    only_one = "{accepted_values: {arguments: {values: [1]}}}"
    write(built, MODELS | {"branches.yml": f"{YML}      - {{name: revenue, data_tests: [{only_one}]}}"})

    report = transform(built, select="branch_totals")

    [failure] = report.failures
    assert failure.kind == "test"
    assert {"value_field": 20.125, "n_records": 1} in [
        {"value_field": float(row["value_field"]), "n_records": row["n_records"]} for row in failure.rows
    ]


def test_invariants_name_tables_and_columns_that_are_missing_or_hostile(built: Environment) -> None:
    """The names are data: the quote ends no identifier. A column that is not a number has no sum."""
    hostile = 'x"), 0); drop schema bronze; --'
    yml = f"""
models:
  - name: branches
    config:
      meta:
        rows_of: [bronze.branch_sales, 'bronze.{hostile}']
        sum_of: {{branch: bronze.branch_sales.amount, amount: 'bronze.branch_sales.{hostile}'}}
  - name: branch_totals
    config: {{meta: {{sum_of: {{revenue: [bronze.branch_sales.amount, bronze.loads.rows_rejected]}}}}}}
"""
    floats = BRANCHES.replace("amount,", "amount::float8 as amount,")
    write(built, MODELS | {"branches.yml": yml, "branches.sql": floats})
    assert transform(built, select="own").ok

    found = {each.name: each for each in retailpipe.verify(built).invariants if "public_own" in each.name}

    actual = [each.actual for each in found.values() if not each.ok]
    assert sorted(actual) == sorted(
        [
            f"bronze.{hostile} is missing",
            "public_own.branches.branch is missing or is not a number",
            f"bronze.branch_sales.{hostile} is missing or is not a number",
        ]
    )
    sums = "sum of bronze.branch_sales.amount + bronze.loads.rows_rejected = sum of public_own.branch_totals.revenue"
    assert found[sums].ok


@pytest.mark.nightly
def test_the_table_of_a_removed_own_model_is_reported_and_kept(built: Environment) -> None:
    kept = {name: text for name, text in MODELS.items() if name == "branches.sql"}
    write(built, kept)

    first, second = retailpipe.run(built).build, retailpipe.run(built).build
    shutil.rmtree(built.folder / "models")
    third, fourth = retailpipe.run(built).build, retailpipe.run(built).build

    assert first.ok
    assert (first.leftovers, second.leftovers) == (("public_own.branch_totals",), ("public_own.branch_totals",))
    assert second.up_to_date
    assert third.ok
    assert not third.up_to_date
    assert third.leftovers == ("public_own.branch_totals", "public_own.branches")
    assert fourth.up_to_date
    assert relations(built) == ["branch_totals", "branches"]
    assert not [each for each in retailpipe.verify(built).invariants if "public_own" in each.name]


@pytest.mark.nightly
def test_own_models_can_be_views_in_gold_read_ours_and_be_incremental(built: Environment) -> None:
    write(
        built,
        {
            "months.sql": "{{ config(schema='gold', materialized='view') }}\n"
            "select year, month, revenue from {{ ref('monthly_sales_summary') }}",
            "months.yml": "models: [{name: months, config: {meta: {sum_of: "
            "{revenue: public_gold.monthly_sales_summary.revenue}}}}]",
            "days.sql": "{{ config(materialized='incremental') }} select {{ retailpipe.trimmed(\"' x '\") }} as x",
        },
    )

    report = retailpipe.run(built)
    shown = retailpipe.query(
        built, "select x, (select count(*) from public_gold.months) as months from public_own.days"
    )

    assert report.ok, report.build
    assert shown.to_pylist() == [{"x": "x", "months": 0}]
    assert retailpipe.run(built).build.up_to_date
    execute(built.warehouse.uri, "drop view public_gold.months")  # `built` has no such model


def test_a_warm_up_parses_own_models_and_notices_a_change(built: Environment) -> None:
    own = own_models(built)
    assert own
    project = generated_project(built, own, ["branch_sales"])
    warm_up = WarmUp(built)
    warm_up.start()

    assert warm_up.manifest(project)
    assert warm_up.manifest() is None
    write(built, MODELS | {"a.sql": "select 1 as x"})
    changed = own_models(built)
    assert changed
    assert warm_up.manifest(generated_project(built, changed, None)) is None


@pytest.mark.nightly
def test_dbt_sees_own_models(built: Environment, capfd: pytest.CaptureFixture[str]) -> None:
    assert dbt(built, ["ls", "--select", "own", "--resource-type", "model", "--quiet"]) == 0
    assert capfd.readouterr().out.split() == ["own.more.branch_totals", "own.branches"]

    assert dbt(built, ["run", "--select", "branch_totals", "--quiet"]) == 0


def test_dbt_refuses_a_file_that_it_cannot_read(built: Environment) -> None:
    write(built, {"notes.txt": "not a model"})

    with pytest.raises(TransformError, match=r"notes\.txt is not a model"):
        dbt(built, ["ls"])


@pytest.mark.nightly
def test_plain_dbt_runs_in_the_generated_project(built: Environment) -> None:
    parts = parse_dsn(built.warehouse.uri)
    settings = {
        "AWS_RDS_HOST": str(parts["host"]),
        "AWS_RDS_PORT": str(parts["port"]),
        "AWS_RDS_DATABASE": str(parts["dbname"]),
        "AWS_RDS_USER": str(parts["user"]),
        "AWS_RDS_PASSWORD": password_of(Path(str(parts["passfile"])), str(parts["user"])),
    }
    own = own_models(built)
    assert own
    folder = generated_project(built, own, ["branch_sales"]).folder

    command = [Path(sys.executable).parent / "dbt", "--no-use-colors", "run", "--select", "own"]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **settings}, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout
    assert "public_own.branch_totals" in done.stdout
    assert not (project_folder() / "target").exists()


@pytest.mark.nightly
def test_forgetting_every_workbook_empties_the_tables_of_own_models(built: Environment) -> None:
    """It is the last test of this module, because it leaves no rows."""
    for load in retailpipe.status(built).loads:
        if load["status"] == "loaded":
            assert retailpipe.forget(built, load["source"]).ok

    rows = retailpipe.query(
        built, "select branch from public_own.branches union all select branch from public_own.branch_totals"
    )
    assert rows.num_rows == 0
