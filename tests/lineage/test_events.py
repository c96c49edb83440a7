"""The events of a whole run, of failures and of interrupts, checked with the classes of openlineage-python."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from retailpipe import (
    Environment,
    RunReport,
    SheetError,
    SomeNotLoaded,
    TooManyRejects,
    WorkbookError,
    ingest,
    run,
    transform,
    verify,
)
from retailpipe.lineage.emitter import flush
from retailpipe.models import relations
from retailpipe.progress import NoProgress
from retailpipe.sample import write_sample
from tests.conftest import ROW, Prepared, Program, Workbook
from tests.support.lineage_endpoint import PATH, Received, receiving
from tests.support.openlineage import check, events_of
from tests.support.workbooks import keep_contract_of_notes

Event = dict[str, Any]


@dataclass
class Whole:
    """A run of the whole pipeline: its report, its events, and what the database says afterwards."""

    folder: Path
    report: RunReport
    events: list[Event]
    sent: Received
    rows: dict[str, int]
    nothing_new: int

    def of(self, job: str) -> list[Event]:
        return [event for event in self.events if event["job"]["name"] == job]

    def complete(self, job: str) -> Event:
        return self.of(job)[-1]


@pytest.fixture(scope="module")
def whole(built_without_loads: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A run with a new workbook, and one with nothing new."""
    place = tmp_path_factory.mktemp("whole")
    write_sample(place / "sales.xlsx", rows=500, seed=1)
    with (
        pytest.MonkeyPatch.context() as variables,
        receiving() as sent,
        built_without_loads.copied(place / "shop") as environment,
    ):
        (environment.folder / "lineage.jsonl").unlink(missing_ok=True)
        variables.setenv("OPENLINEAGE_URL", sent.address)
        variables.setenv("OPENLINEAGE_API_KEY", "a secret key")
        report = run(environment, place / "sales.xlsx")
        events = events_of(environment.folder)
        run(environment)
        flush()
        counts = ", ".join(f'(select count(*) from {name}) as "{name}"' for name in relations())
        with environment.warehouse.connect() as connection:
            [rows] = connection.rows(f"select {counts}")
        nothing_new = len(events_of(environment.folder)) - len(events)
    return Whole(environment.folder, report, events, sent, dict(zip(relations(), rows, strict=True)), nothing_new)


def columns(dataset: Event) -> dict[str, str]:
    return {each["name"]: each.get("type", "") for each in dataset["facets"]["schema"]["fields"]}


def origins(dataset: Event, column: str) -> dict[str, list[str]]:
    """The columns that a column follows from, with the ways in which it does."""
    fields = dataset["facets"]["columnLineage"]["fields"][column]["inputFields"]
    return {each["field"]: [way["subtype"] for way in each["transformations"]] for each in fields}


def test_each_job_starts_and_then_completes(whole: Whole) -> None:
    jobs = ["ingest.input/sales.xlsx", "transform", "verify"]

    assert whole.report.ok
    assert [(event["job"]["name"], event["eventType"]) for event in whole.events] == [
        (job, state) for job in jobs for state in ("START", "COMPLETE")
    ]
    for job in jobs:
        start, complete = whole.of(job)
        assert start["run"]["runId"] == complete["run"]["runId"]
        assert start["run"]["runId"][14] == "7"
        assert start["eventTime"] <= complete["eventTime"]
        assert start["job"]["namespace"] == f"retailpipe:{whole.folder}"
    assert len({event["run"]["runId"] for event in whole.events}) == len(jobs)


def test_run_with_nothing_new_emits_nothing(whole: Whole) -> None:
    assert whole.nothing_new == 0


def test_endpoint_gets_the_same_events_with_the_key(whole: Whole) -> None:
    assert whole.sent.events == whole.events
    assert {*whole.sent.paths} == {PATH}
    assert {headers["Authorization"] for headers in whole.sent.headers} == {"Bearer a secret key"}
    assert "a secret key" not in (whole.folder / "lineage.jsonl").read_text()


def test_load_names_workbook_table_and_rows(whole: Whole) -> None:
    [load] = whole.report.loads
    event = whole.complete("ingest.input/sales.xlsx")

    [book] = event["inputs"]
    assert (book["namespace"], book["name"]) == ("file", f"{whole.folder}/input/sales.xlsx")
    assert book["facets"]["version"]["datasetVersion"] == load.content_hash
    assert list(columns(book))[:2] == ["InvoiceNo", "StockCode"]
    statistics = book["inputFacets"]["inputStatistics"]
    assert statistics["rowCount"] == load.rows_read
    assert statistics["size"] == (whole.folder / "input" / "sales.xlsx").stat().st_size
    table, rejected = event["outputs"]
    assert table["namespace"].startswith("postgres://127.0.0.1:")
    assert table["name"] == "one_test.bronze.raw_transactions"
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == load.rows_loaded
    assert columns(table)["unit_price"] == "numeric"
    assert origins(table, "unit_price") == {"UnitPrice": ["IDENTITY"]}
    assert rejected["name"] == "one_test.bronze.rejected_rows"
    assert rejected["outputFacets"]["outputStatistics"]["rowCount"] == load.rows_rejected > 0
    assert event["run"]["facets"]["retailpipe_load"]["loadId"] == load.load_id


def test_build_names_all_tables_with_columns_and_rows(whole: Whole) -> None:
    event = whole.complete("transform")

    assert [each["name"] for each in event["inputs"]] == ["one_test.bronze.loads", "one_test.bronze.raw_transactions"]
    outputs = {each["name"].removeprefix("one_test."): each for each in event["outputs"]}
    assert sorted(outputs) == relations()
    assert columns(outputs["public_gold.monthly_sales_summary"])["revenue"] == "numeric"
    written = {
        name: each["outputFacets"]["outputStatistics"]["rowCount"]
        for name, each in outputs.items()
        if "outputStatistics" in each["outputFacets"]
    }
    assert {*outputs} - {*written} == {"public_silver.stg_transactions"}  # a view
    assert written == {name: whole.rows[name] for name in written}
    sizes = {name for name in written if "size" in outputs[name]["outputFacets"]["outputStatistics"]}
    incremental = {f"public_silver.{name}" for name in ("fact_returns_daily", "fact_sales_daily", "int_invoices")}
    assert {*written} - sizes == incremental
    assert event["run"]["facets"]["processing_engine"]["name"] == "dbt"


def test_columns_of_gold_follow_from_columns_of_bronze(whole: Whole) -> None:
    outputs = {each["name"].rpartition(".")[2]: each for each in whole.complete("transform")["outputs"]}

    months = outputs["monthly_sales_summary"]
    assert origins(months, "revenue") == {"quantity": ["AGGREGATION", "FILTER"], "unit_price": ["AGGREGATION"]}
    assert origins(months, "year") == {"invoice_date": ["TRANSFORMATION"]}
    assert origins(outputs["stg_transactions"], "invoiced_at") == {"invoice_date": ["IDENTITY"]}
    assert origins(outputs["top_products"], "category")["stock_code"] == ["TRANSFORMATION", "JOIN"]
    grouped = months["facets"]["columnLineage"]["dataset"]
    assert [(each["field"], each["transformations"][0]["subtype"]) for each in grouped] == [
        ("invoice_date", "GROUP_BY")
    ]
    sources = {
        field["name"]
        for output in outputs.values()
        for column in output["facets"].get("columnLineage", {"fields": {}})["fields"].values()
        for field in column["inputFields"]
    }
    assert sources == {each["name"] for each in whole.complete("transform")["inputs"]}
    written_by_hand = {"service_codes"}
    assert {name for name, each in outputs.items() if "columnLineage" not in each["facets"]} == written_by_hand
    assert [
        (name, column)
        for name in outputs.keys() - written_by_hand
        for column in columns(outputs[name])
        if column not in outputs[name]["facets"]["columnLineage"]["fields"]
    ] == []


def test_invariants_are_assertions_with_exact_figures(whole: Whole) -> None:
    assert whole.report.verification
    invariants = {each.name: each for each in whole.report.verification.invariants}
    inputs = {each["name"].removeprefix("one_test."): each for each in whole.complete("verify")["inputs"]}

    assertions = [each for one in inputs.values() for each in one["inputFacets"]["dataQualityAssertions"]["assertions"]]
    assert {each["name"] for each in assertions} == set(invariants)
    assert len(assertions) == len(invariants)
    assert all(each["success"] for each in assertions)
    tables = whole.report.verification.tables
    assert {name: each["inputFacets"]["inputStatistics"]["rowCount"] for name, each in inputs.items()} == {
        name: tables[name] for name in inputs
    }
    months = inputs["public_gold.monthly_sales_summary"]["inputFacets"]["retailpipe_exactFigures"]["figures"]
    revenue = next(each for each in months if each["name"].startswith("revenue"))
    assert revenue["actual"] == invariants[revenue["name"]].actual
    assert "." in revenue["actual"]


def test_refused_workbook_fails_without_the_values_of_its_cells(
    environment: Environment, make_workbook: Workbook
) -> None:
    book = make_workbook([(*ROW[:3], "a secret", *ROW[4:])] * 40, name="bad.xlsx")

    with pytest.raises(TooManyRejects, match="a secret"):
        ingest(environment, book)

    start, fail = events_of(environment.folder)
    assert (start["eventType"], fail["eventType"]) == ("START", "FAIL")
    assert "break the contract" in fail["run"]["facets"]["errorMessage"]["message"]
    assert "a secret" not in json.dumps(fail)
    assert fail["inputs"][0]["name"].endswith("input/bad.xlsx")


def test_workbook_without_a_header_fails_without_the_values_of_its_first_row(
    environment: Environment, make_workbook: Workbook
) -> None:
    book = make_workbook([], headers=["a secret", *ROW[1:]], name="bad.xlsx")

    with pytest.raises(SheetError, match="a secret"):
        ingest(environment, book)

    fail = events_of(environment.folder)[-1]
    assert "column 'InvoiceNo' is missing" in fail["run"]["facets"]["errorMessage"]["message"]
    assert "a secret" not in json.dumps(fail)


def test_file_that_is_not_a_workbook_has_both_events(environment: Environment, tmp_path: Path) -> None:
    book = tmp_path / "\x1b[31mred.xlsx"
    book.write_bytes(b"no workbook")

    with pytest.raises(WorkbookError, match="does not begin like a zip file"):
        ingest(environment, book)

    assert [event["eventType"] for event in events_of(environment.folder)] == ["START", "FAIL"]
    assert b"\x1b" not in (environment.folder / "lineage.jsonl").read_bytes()


class Interrupting(NoProgress):
    """Is interrupted as soon as rows are loaded."""

    def advance(self, amount: int = 1) -> None:
        raise KeyboardInterrupt


def test_interrupted_load_is_aborted(environment: Environment, make_workbook: Workbook) -> None:
    with pytest.raises(KeyboardInterrupt):
        ingest(environment, make_workbook(), progress=Interrupting())

    assert [event["eventType"] for event in events_of(environment.folder)] == ["START", "ABORT"]


def test_dry_run_and_unchanged_workbook_emit_nothing(
    built_environment: Environment, notes: Callable[..., Path]
) -> None:
    before = len(events_of(built_environment.folder))

    ingest(built_environment, notes(), dry_run=True)
    assert len(events_of(built_environment.folder)) == before

    ingest(built_environment, notes())
    ingest(built_environment, notes())
    assert len(events_of(built_environment.folder)) == before + 2


def test_disabled_there_is_not_even_a_file(
    environment: Environment, make_workbook: Workbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "True")

    ingest(environment, make_workbook())

    assert not (environment.folder / "lineage.jsonl").exists()


def test_events_of_workers_are_in_the_file_of_the_client_once(
    environment: Environment, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "of the course")
    bad = tmp_path / "bad.xlsx"
    bad.write_bytes(b"no workbook")
    books = [*sorted(samples.iterdir())[:2], bad]

    with ThreadPoolExecutor(2) as executor, pytest.raises(SomeNotLoaded, match="1 of 3 workbooks was not loaded"):
        ingest(environment, *books, executor=executor)

    events = events_of(environment.folder)
    states = {"bad.xlsx": "FAIL"}
    assert sorted((event["job"]["name"], event["eventType"]) for event in events) == sorted(
        (f"ingest.input/{book.name}", state) for book in books for state in ("START", states.get(book.name, "COMPLETE"))
    )
    assert {event["job"]["namespace"] for event in events} == {"of the course"}


def test_broken_invariant_fails_the_verification(built_environment: Environment, notes: Callable[..., Path]) -> None:
    ingest(built_environment, notes(3))
    with built_environment.warehouse.connect() as connection:
        connection.execute("delete from bronze.notes where source_row = 2")
        connection.commit()

    assert not verify(built_environment).ok

    start, fail = events_of(built_environment.folder)[-2:]
    assert (start["eventType"], fail["eventType"]) == ("START", "FAIL")
    message = fail["run"]["facets"]["errorMessage"]["message"]
    assert re.match(r"1 of \d+ invariants does not hold: rows loaded in the ledger = rows in bronze\.notes$", message)
    broken = [
        (one["name"], each["expected"], each["actual"])
        for one in fail["inputs"]
        for each in one["inputFacets"]["dataQualityAssertions"]["assertions"]
        if not each["success"]
    ]
    assert broken == [("one_test.bronze.notes", "3", "2")]


def test_failed_build_names_what_failed_and_what_was_built(built_environment: Environment) -> None:
    models = built_environment.folder / "models"
    models.mkdir()
    (models / "good.sql").write_text("select load_id from {{ source('bronze', 'loads') }}")
    (models / "good.yml").write_text(
        "models: [{name: good, config: {meta: {trace: {rows: bronze.loads, grain: {load_id: load_id}}}}}]"
    )
    (models / "broken.sql").write_text("select 1 / 0 as one")

    assert not transform(built_environment, select="own").ok

    fail = events_of(built_environment.folder)[-1]
    check(fail)
    assert fail["eventType"] == "FAIL"
    assert fail["run"]["facets"]["errorMessage"]["message"] == "1 model or test failed: broken"
    [good] = fail["outputs"]
    assert good["name"] == "one_test.public_own.good"
    assert origins(good, "load_id") == {"load_id": ["IDENTITY"]}


def test_event_in_the_docs_is_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "lineage.md").read_text(encoding="utf-8")

    event = json.loads(text.partition("```json\n")[2].partition("```")[0])

    check(event)


def test_dead_endpoint_is_one_warning_of_the_command(
    environment: Environment, notes: Callable[..., Path], program: Program
) -> None:
    keep_contract_of_notes(environment.folder)
    with socket.socket() as bound:  # nobody listens on its port, and nobody else gets it
        bound.bind(("127.0.0.1", 0))
        variables = {
            "OPENLINEAGE_URL": f"http://127.0.0.1:{bound.getsockname()[1]}",
            "RETAILPIPE_DATABASE_URL": environment.warehouse.uri,
        }
        done = program("ingest", notes(), "--local", environment.folder, env=variables)

    assert done.returncode == 0
    [warning] = [line for line in done.stderr.splitlines() if "OPENLINEAGE_URL" in line]
    assert "it cannot be reached (Connection refused)" in warning
    assert [event["eventType"] for event in events_of(environment.folder)] == ["START", "COMPLETE"]
