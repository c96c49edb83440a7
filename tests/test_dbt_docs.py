"""dbt's documentation as one file: complete, safe to open, and no hindrance to builds."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from psycopg2.extensions import parse_dsn
from typer.testing import CliRunner

import retailpipe
from retailpipe import DocsFile, Environment
from retailpipe.builds import is_built
from retailpipe.cli.app import app
from retailpipe.errors import NothingLoaded, TransformError
from retailpipe.local.server import EmbeddedServer
from retailpipe.models import project_folder
from retailpipe.sample import write_sample
from tests.support.browser import chromium
from tests.support.servers import as_superuser, execute, password_of

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
CONTRACT = """
name = "branches"
table = "branch_sales"
files = "branches*"

[[columns]]
header = "Branch {{ env_var('HOME') }}"
name = "branch"
type = "string"

[[columns]]
header = "Amount"
name = "amount"
type = "decimal128(18, 3)"
"""
YML = f"""
models:
  - name: branches
    description: {json.dumps(HOSTILE)}
    columns:
      - {{name: branch, description: The branch.}}
      - {{name: amount, description: The amount.}}
"""
COLUMNS = """
select table_schema || '.' || table_name as relation, column_name
from information_schema.columns
where
    table_schema in ('public_silver', 'public_gold', 'public_own')
    or table_schema = 'bronze' and table_name in ('raw_transactions', 'branch_sales', 'loads', 'rejected_rows')
"""


@pytest.fixture(scope="module")
def shop(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """An environment with our tables, a contract and a model of the user, all built."""
    folder, url = tmp_path_factory.mktemp("docs"), server.start()
    execute(as_superuser(url), "create database docs owner retailpipe")
    shop = Environment.local(folder / "a shop", database_url=url.replace("/retailpipe?", "/docs?"))
    for name, text in {
        "contracts/branches.toml": CONTRACT,
        "models/branches.sql": "select branch, amount from {{ source('bronze', 'branch_sales') }}",
        "models/branches.yml": YML,
    }.items():
        (shop.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (shop.folder / name).write_text(text)
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (("Branch {{ env_var('HOME') }}", "Amount"), ("North", 10.5)):
        book.active.append(row)
    book.save(folder / "branches.xlsx")
    write_sample(folder / "sample.xlsx", rows=300, seed=1)
    retailpipe.ingest(shop, folder / "branches.xlsx", folder / "sample.xlsx")
    assert retailpipe.run(shop).ok
    yield shop
    execute(as_superuser(url), "drop database docs with (force)")


@pytest.fixture(scope="module")
def written(shop: Environment) -> DocsFile:
    return retailpipe.write_docs(shop)


@pytest.fixture(scope="module")
def page(written: DocsFile) -> str:
    return Path(written.path).read_text(encoding="utf-8")


def inside(page: str, name: str) -> dict[str, Any]:
    """A document that the page's program contains: manifest or catalog."""
    start = re.search(rf"\b{name}:(?={{)", page)
    assert start
    return json.JSONDecoder().raw_decode(page[start.end() :])[0]


def test_the_docs_are_one_file_in_the_folder_of_the_environment(shop: Environment, written: DocsFile) -> None:
    file = shop.folder / "docs.html"

    assert written == DocsFile(str(file), file.stat().st_size)
    assert 1_500_000 < written.bytes < 4_000_000


def test_every_column_in_the_database_has_a_description(shop: Environment, page: str) -> None:
    manifest, catalog = inside(page, "manifest"), inside(page, "catalog")
    described: dict[str, set[str]] = {}
    for part in ("nodes", "sources"):
        for name, entry in catalog[part].items():
            node = manifest[part][name]
            assert node["description"], name
            relation = f"{entry['metadata']['schema']}.{entry['metadata']['name']}"
            found = {column for column in entry["columns"] if node["columns"].get(column, {}).get("description")}
            described[relation] = described.get(relation, found) & found

    expected: dict[str, set[str]] = {}
    for row in retailpipe.query(shop, COLUMNS).to_pylist():
        expected.setdefault(row["relation"], set()).add(row["column_name"])
    assert {"public_own.branches", "bronze.branch_sales", "public_gold.top_products"} <= expected.keys()
    assert described == expected


def test_headers_of_workbooks_are_described_as_they_are(page: str) -> None:
    source = inside(page, "manifest")["sources"]["source.retailpipe_bronze.bronze.branch_sales"]

    assert "env_var('HOME')" in source["columns"]["branch"]["description"]
    assert "{{" in source["columns"]["branch"]["description"]


def test_the_compiled_code_and_the_lineage_are_there(page: str) -> None:
    manifest = inside(page, "manifest")

    assert '"bronze"."branch_sales"' in manifest["nodes"]["model.own.branches"]["compiled_code"]
    assert manifest["parent_map"]["model.own.branches"] == ["source.retailpipe_bronze.bronze.branch_sales"]


def test_a_browser_runs_the_program_of_the_page_and_nothing_else(page: str) -> None:
    [script] = re.findall(r"<script defer[^>]*>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)

    assert page.count("</script>") == 1
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe-inline" not in policy.replace("style-src 'unsafe-inline'", "")
    assert inside(page, "manifest")["nodes"]["model.own.branches"]["description"] == HOSTILE
    assert inside(page, "manifest")["metadata"]["send_anonymous_usage_stats"] is False


def test_in_a_browser_scripts_of_descriptions_do_not_run_and_nothing_is_loaded(written: DocsFile) -> None:
    loaded: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        page.on("pageerror", lambda error: pytest.fail(str(error)))
        page.on("requestfinished", lambda request: loaded.append(request.url))
        page.goto(f"{Path(written.path).as_uri()}#!/model/model.own.branches")
        page.get_by_text("The branch.").first.wait_for()

    assert loaded == [Path(written.path).as_uri()]


def test_the_page_has_no_path_and_no_password_of_this_machine(shop: Environment, page: str) -> None:
    parts = parse_dsn(shop.warehouse.uri)

    assert str(shop.folder) not in page
    assert str(project_folder()) not in page
    assert password_of(Path(str(parts["passfile"])), str(parts["user"])) not in page


def test_builds_do_not_notice_the_docs(shop: Environment) -> None:
    target = shop.folder / "dbt" / "target"
    before = {file: file.stat().st_mtime_ns for file in target.rglob("*")}

    retailpipe.write_docs(shop)

    assert {file: file.stat().st_mtime_ns for file in target.rglob("*")} == before
    assert is_built(shop)
    assert retailpipe.run(shop).build.up_to_date


def test_the_report_has_a_link_to_docs_that_are_beside_it(shop: Environment, written: DocsFile, tmp_path: Path) -> None:
    beside, alone = retailpipe.write_report(shop), retailpipe.write_report(shop, tmp_path / "report.html")

    assert 'href="docs.html"' in Path(beside.path).read_text()
    assert "docs.html" not in Path(alone.path).read_text()


@pytest.mark.nightly
def test_the_command_writes_the_file_that_is_asked_for(shop: Environment, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    arguments = ["docs", "--local", str(shop.folder), "--database-url", shop.warehouse.uri, "--out", str(file)]

    done = CliRunner().invoke(app, [*arguments, "--json", "--quiet"])

    assert json.loads(done.stdout) == {"path": str(file), "bytes": file.stat().st_size}


def test_a_model_that_dbt_cannot_compile_is_named(shop: Environment) -> None:
    model, threads = shop.folder / "models" / "broken.sql", {*threading.enumerate()}
    model.write_text("select {{ no_such_macro() }}")
    try:
        with pytest.raises(TransformError, match="no_such_macro"):
            retailpipe.write_docs(shop)
    finally:
        model.unlink()
    assert {*threading.enumerate()} - threads == set()  # a thread of another test may end meanwhile


def test_an_empty_warehouse_says_what_to_do(environment: Environment) -> None:
    with pytest.raises(NothingLoaded) as raised:
        retailpipe.write_docs(environment)

    assert "`retailpipe run FILE`" in raised.value.hint
    assert not (environment.folder / "docs.html").exists()
