"""Replacing, restoring and forgetting workbooks, on a laptop and on a stack."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.errors import (
    DuplicateContent,
    NothingLoaded,
    ReplacementNeeded,
    SourceNotFound,
    StoreError,
    TooManyRejects,
)
from retailpipe.store import FolderStore
from retailpipe.versions import Versions
from tests.conftest import Program, Workbook
from tests.support.nightly import most_nightly
from tests.support.stacks import HandMade
from tests.support.terminals import on_a_terminal
from tests.support.workbooks import contract_of, line


def rows(environment: Environment, sql: str) -> list[dict[str, Any]]:
    return retailpipe.query(environment, sql).to_pylist()


def quantities(environment: Environment) -> list[int]:
    return [row["quantity"] for row in rows(environment, "select quantity from bronze.raw_transactions order by 1")]


def quantities_in_gold(environment: Environment) -> int | None:
    """The sum of all quantities in gold; None if gold is empty."""
    return rows(environment, "select sum(quantity)::int as n from public_gold.monthly_sales_summary")[0]["n"]


def statuses(environment: Environment) -> list[tuple[str, str]]:
    return [(load["source"], load["status"]) for load in retailpipe.status(environment).loads]


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.nightly)])
def anywhere(request: pytest.FixtureRequest) -> Environment:
    """An environment with its store in a folder, and one with its store in a bucket."""
    name = {"folder": "environment", "bucket": "on_aws"}[request.param]
    return request.getfixturevalue(name)


# Replacing


def test_other_content_under_the_same_name_needs_replace(anywhere: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(anywhere, make_workbook([line(quantity=1), line(quantity=2)]))

    with pytest.raises(ReplacementNeeded) as caught:
        retailpipe.ingest(anywhere, make_workbook([line(quantity=3)]))

    assert "input/book.xlsx" in str(caught.value)
    assert "2 rows loaded 20" in str(caught.value)
    assert "--replace" in caught.value.hint
    assert quantities(anywhere) == [1, 2]


def test_a_replacement_reports_what_it_replaces(anywhere: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(anywhere, make_workbook([line(quantity=1), line(quantity=2)]))
    book = make_workbook([line(quantity=3)])

    (planned,) = retailpipe.ingest(anywhere, book, dry_run=True)
    (report,) = retailpipe.ingest(anywhere, book, replace=True)

    assert planned.replaces is not None
    assert (planned.status, planned.replaces.load_id, planned.replaces.rows_loaded) == ("would replace", 1, 2)
    assert report.replaces == planned.replaces
    assert f"; replaces 2 rows of {report.replaces.loaded_at:%Y-%m-%d} with 1" in str(report)
    assert quantities(anywhere) == [3]


def test_the_same_content_needs_no_replace(anywhere: Environment, make_workbook: Workbook) -> None:
    book = make_workbook()
    first = anywhere.store.upload(book)

    assert anywhere.store.upload(book) == first
    assert retailpipe.replacements(anywhere, book) == []


def test_replacements_lists_what_an_upload_would_replace(anywhere: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(anywhere, make_workbook([line(quantity=1)], name="a.xlsx"))
    anywhere.store.upload(make_workbook([line(quantity=2)], name="b.xlsx"))
    a, b = make_workbook([line(quantity=3)], name="a.xlsx"), make_workbook([line(quantity=4)], name="b.xlsx")

    found = retailpipe.replacements(anywhere, a, b, make_workbook(name="new.xlsx"))

    assert [(each.key, each.load and each.load.rows_loaded) for each in found] == [
        ("input/a.xlsx", 1),
        ("input/b.xlsx", None),
    ]


def test_a_file_that_is_edited_in_the_store_is_loaded_without_replace(
    environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(environment, make_workbook([line(quantity=1)]))
    edited = make_workbook([line(quantity=2)])
    (environment.folder / "input" / "book.xlsx").write_bytes(edited.read_bytes())

    (report,) = retailpipe.ingest(environment)

    assert report.status == "replaced"
    assert quantities(environment) == [2]


# Restoring


def test_restore_brings_the_replaced_workbook_back(anywhere: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(anywhere, make_workbook([line(quantity=1)]))
    retailpipe.ingest(anywhere, make_workbook([line(quantity=2)]), replace=True)

    report = retailpipe.restore(anywhere, "book.xlsx")

    assert report.ok
    assert report.loads[0].status == "replaced"
    assert (quantities(anywhere), quantities_in_gold(anywhere)) == ([1], 1)
    assert retailpipe.restore(anywhere, "input/book.xlsx").ok
    assert (quantities(anywhere), quantities_in_gold(anywhere)) == ([2], 2)


def test_a_workbook_without_an_earlier_version_cannot_be_restored(
    anywhere: Environment, make_workbook: Workbook
) -> None:
    anywhere.store.upload(make_workbook())

    for source in ("book.xlsx", "missing.xlsx", "../book.xlsx"):
        with pytest.raises(SourceNotFound, match="no earlier version"):
            retailpipe.restore(anywhere, source)


def test_a_refused_replacement_says_so_and_restore_brings_the_loaded_workbook_back(
    anywhere: Environment, make_workbook: Workbook
) -> None:
    """Also if it was replaced twice: the newest earlier version is then a refused one too."""
    retailpipe.ingest(anywhere, make_workbook([line(quantity=1), line(quantity=2)]))
    bad = [line(price=-1)] * 11
    with pytest.raises(TooManyRejects):
        retailpipe.ingest(anywhere, make_workbook(bad), replace=True)

    with pytest.raises(TooManyRejects) as caught:
        retailpipe.ingest(anywhere, make_workbook([*bad, line(price=-2)]), replace=True)
    refused = retailpipe.status(anywhere)
    report = retailpipe.restore(anywhere, "book.xlsx")

    assert "2 rows of its earlier content stay loaded (load 1)" in str(caught.value)
    assert "`retailpipe restore input/book.xlsx`" in caught.value.hint
    assert [each.source for each in refused.refusals] == list(refused.waiting) == ["input/book.xlsx"]
    assert [(each.status, each.load_id) for each in report.loads] == [("unchanged", 1)]
    assert retailpipe.status(anywhere).refusals == ()
    assert quantities(anywhere) == [1, 2]


def test_a_replacement_refused_as_a_duplicate_is_not_to_be_forgotten(
    environment: Environment, make_workbook: Workbook
) -> None:
    """`forget` would also delete the rows of the earlier content."""
    retailpipe.ingest(environment, make_workbook([line(quantity=1)]))
    retailpipe.ingest(environment, make_workbook([line(quantity=2)], name="other.xlsx"))

    with pytest.raises(DuplicateContent) as caught:
        retailpipe.ingest(environment, make_workbook([line(quantity=2)]), replace=True)

    assert "forget" not in caught.value.hint
    assert "`retailpipe restore input/book.xlsx`" in caught.value.hint


def test_a_restored_workbook_is_loaded_under_a_contract_that_is_passed(
    built_environment: Environment, make_workbook: Workbook, tmp_path: Path
) -> None:
    own = contract_of(tmp_path, {"header": "Code", "type": "string"})
    retailpipe.ingest(built_environment, make_workbook([("a",)], headers=("Code",)), contract=own)
    retailpipe.ingest(built_environment, make_workbook([("b",)], headers=("Code",)), contract=own, replace=True)

    report = retailpipe.restore(built_environment, "book.xlsx", contract=own)

    assert report.loads[0].status == "replaced"
    assert rows(built_environment, "select code from bronze.shop_rows") == [{"code": "a"}]


def test_the_oldest_version_can_be_restored(store: FolderStore, folder: Path, book: Path) -> None:
    contents = [f"content {number}" for number in range(4)]
    for content in contents:
        book.write_text(content)
        store.upload(book, replace=True)

    store.restore("input/book.xlsx", content_hash=hashlib.sha256(b"content 0").hexdigest())

    kept = sorted((folder / "replaced" / "input" / "book.xlsx").iterdir())
    assert (folder / "input" / "book.xlsx").read_text() == "content 0"
    assert [file.read_text() for file in kept] == contents[1:]


def test_a_folder_keeps_the_last_three_versions(store: FolderStore, folder: Path, book: Path) -> None:
    for number in range(6):
        book.write_text(f"content {number}")
        store.upload(book, replace=True)

    kept = sorted((folder / "replaced" / "input" / "book.xlsx").iterdir())

    assert [file.read_text() for file in kept] == ["content 2", "content 3", "content 4"]
    store.restore("input/book.xlsx")
    assert (folder / "input" / "book.xlsx").read_text() == "content 4"
    store.restore("input/book.xlsx")
    assert (folder / "input" / "book.xlsx").read_text() == "content 5"


def test_an_upload_that_is_killed_before_it_replaces_can_be_repeated(
    store: FolderStore, folder: Path, book: Path
) -> None:
    """The old content is kept first. After a kill at that moment, its copy is not taken for an earlier version."""
    store.upload(book)
    kept = folder / "replaced" / "input" / "book.xlsx"
    kept.mkdir(parents=True)
    (kept / "20260101T000000.000000Z.xlsx").write_bytes(book.read_bytes())

    with pytest.raises(SourceNotFound, match="no earlier version"):
        store.restore("input/book.xlsx")


def test_uploads_that_are_killed_push_no_earlier_version_out(store: FolderStore, folder: Path, book: Path) -> None:
    """Each of them keeps the old content, and ends before it replaces it."""
    store.upload(book)
    book.write_bytes(b"second content")
    store.upload(book, replace=True)
    file = folder / "input" / "book.xlsx"

    for _ in range(4):
        Versions(file, folder / "replaced" / "input" / "book.xlsx").keep()
    store.restore("input/book.xlsx")

    assert file.read_bytes() == b"first content"
    kept = sorted((folder / "replaced" / "input" / "book.xlsx").iterdir())
    assert [version.read_bytes() for version in kept] == [b"second content"]


# Forgetting


@pytest.mark.parametrize("anywhere", most_nightly(["folder", "bucket"], {0}), indirect=True)
def test_forget_deletes_the_rows_the_rejects_and_the_workbook_and_restore_undoes_it(
    anywhere: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(anywhere, make_workbook([line(quantity=1)], name="stays.xlsx"))
    retailpipe.ingest(anywhere, make_workbook([line(quantity=2), line(price=-1)], name="goes.xlsx"))

    report = retailpipe.forget(anywhere, "goes.xlsx")

    assert report.ok
    assert (report.forgotten.rows, report.forgotten.rejects, report.forgotten.workbook) == (1, 1, "removed")
    assert quantities(anywhere) == [1]
    assert rows(anywhere, "select count(*) as n from bronze.rejected_rows") == [{"n": 0}]
    assert rows(anywhere, "select count(*) as n from bronze.etags where source like '%goes%'") == [{"n": 0}]
    assert statuses(anywhere) == [("input/goes.xlsx", "forgotten"), ("input/stays.xlsx", "loaded")]
    assert [stored.key for stored in anywhere.store.workbooks()] == ["input/stays.xlsx"]
    assert quantities_in_gold(anywhere) == 1
    assert retailpipe.check(anywhere).ok or anywhere.stack  # a hand-made stack has no Lambdas
    assert retailpipe.ingest(anywhere) == []

    assert retailpipe.restore(anywhere, "input/goes.xlsx").ok
    assert (quantities(anywhere), quantities_in_gold(anywhere)) == ([1, 2], 3)


@pytest.mark.nightly
def test_after_the_last_workbook_silver_and_gold_are_empty_until_it_is_restored(
    environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.run(environment, make_workbook([line(quantity=1)]))

    report = retailpipe.forget(environment, "book.xlsx")

    assert (report.ok, report.build) == (True, None)
    assert rows(environment, "select count(*) as n from public_gold.top_products") == [{"n": 0}]
    with pytest.raises(NothingLoaded, match="nothing is loaded"):
        retailpipe.verify(environment)
    assert retailpipe.restore(environment, "input/book.xlsx").ok
    assert (quantities(environment), quantities_in_gold(environment)) == ([1], 1)


def test_a_kept_workbook_is_loaded_again_only_if_it_is_named(anywhere: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(anywhere, make_workbook([line(quantity=2)]))

    report = retailpipe.forget(anywhere, "book.xlsx", keep_workbook=True)
    retailpipe.ingest(anywhere, make_workbook([line(quantity=1)], name="other.xlsx"))

    assert report.forgotten.workbook == "kept"
    assert retailpipe.ingest(anywhere) == []
    found = retailpipe.status(anywhere)
    assert (found.kept, found.waiting) == (("input/book.xlsx",), ())
    (loaded,) = retailpipe.ingest(anywhere, "input/book.xlsx")
    assert loaded.status == "loaded"
    assert retailpipe.status(anywhere).kept == ()
    assert quantities(anywhere) == [1, 2]


def test_a_kept_workbook_stays_forgotten_in_a_schema_of_an_earlier_version(
    environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(environment, make_workbook())
    retailpipe.forget(environment, "book.xlsx", keep_workbook=True)
    with environment.warehouse.connect() as connection:
        connection.execute("drop table bronze.refusals")
        connection.execute("delete from bronze.migrations where version = (select max(version) from bronze.migrations)")
        connection.commit()

    assert retailpipe.status(environment).kept == ("input/book.xlsx",)
    assert retailpipe.ingest(environment) == []


def test_a_kept_workbook_that_changes_is_loaded(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook([line(quantity=1)]))
    retailpipe.forget(environment, "book.xlsx", keep_workbook=True)

    environment.store.upload(make_workbook([line(quantity=2)]), replace=True)

    assert retailpipe.status(environment).waiting == ("input/book.xlsx",)
    assert [report.status for report in retailpipe.ingest(environment)] == ["loaded"]


def test_a_workbook_that_was_deleted_by_hand_is_reported_and_can_be_forgotten(
    environment: Environment, make_workbook: Workbook
) -> None:
    retailpipe.ingest(environment, make_workbook())
    (environment.folder / "input" / "book.xlsx").unlink()

    points = {point.name: point for point in retailpipe.check(environment).points}

    assert retailpipe.status(environment).removed == ("input/book.xlsx",)
    assert "`retailpipe forget input/book.xlsx`" in points["ingestion complete"].hint
    assert retailpipe.forget(environment, "book.xlsx").forgotten.workbook == "missing"
    assert retailpipe.status(environment).removed == ()


def test_a_workbook_that_is_not_loaded_can_be_forgotten(environment: Environment, make_workbook: Workbook) -> None:
    environment.store.upload(make_workbook([line(price=-1)] * 20))

    report = retailpipe.forget(environment, "book.xlsx")

    assert (report.forgotten.load_id, report.forgotten.workbook) == (None, "removed")
    assert environment.store.workbooks() == []
    with pytest.raises(SourceNotFound, match="neither loaded nor in"):
        retailpipe.forget(environment, "book.xlsx")


def test_rows_stay_if_the_workbook_cannot_be_removed(
    environment: Environment, make_workbook: Workbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    retailpipe.ingest(environment, make_workbook([line(quantity=7)]))
    (environment.folder / "replaced").write_text("a file is where the folder must be")

    with pytest.raises(StoreError, match=r"cannot remove .*book\.xlsx"):
        retailpipe.forget(environment, "book.xlsx")

    assert quantities(environment) == [7]
    assert [stored.key for stored in environment.store.workbooks()] == ["input/book.xlsx"]


def test_forget_deletes_the_receipts(on_aws: Environment, made: HandMade, make_workbook: Workbook) -> None:
    retailpipe.ingest(on_aws, make_workbook([line(quantity=1)], name="a b.xlsx"))
    s3, bucket = made.client("s3"), made.outputs["bucket"]
    assert s3.list_objects_v2(Bucket=bucket, Prefix="receipts/")["KeyCount"] == 1

    retailpipe.forget(on_aws, "a b.xlsx")

    assert s3.list_objects_v2(Bucket=bucket, Prefix="receipts/")["KeyCount"] == 0


# The command line


def test_the_commands_undo_and_redo(
    program: Program, built_environment: Environment, notes: Callable[..., Path]
) -> None:
    book = notes(2)
    where = ("--local", built_environment.folder, "--database-url", built_environment.warehouse.uri)
    assert program("ingest", book, *where).returncode == 0
    notes(3)

    refused = program("ingest", book, *where)
    replaced = program("ingest", book, "--replace", *where)
    restored = program("restore", "notes.xlsx", *where)
    forgotten = program("forget", "notes.xlsx", *where)
    empty = program("verify", *where)

    assert refused.returncode == 1
    assert "2 rows loaded" in refused.stderr
    assert "--replace" in refused.stderr
    assert "replaces 2 rows of" in replaced.stdout
    assert (restored.returncode, "verified" in restored.stdout) == (0, True)
    assert "forgot load 3 (2 rows, 0 rejected rows); workbook removed" in forgotten.stdout
    assert (empty.returncode, "nothing is loaded" in empty.stderr) == (1, True)


def test_a_run_without_workbooks_fails(
    program: Program, environment: Environment, database_url: str, make_workbook: Workbook
) -> None:
    where = ("--local", environment.folder, "--database-url", database_url)

    empty = program("run", *where)
    refused = program("run", make_workbook([line(price=-1)] * 20), *where)
    again = program("run", *where)

    assert (empty.returncode, refused.returncode, again.returncode) == (1, 1, 1)
    assert "nothing is loaded" in empty.stderr
    assert "20 rows break the contract" in again.stderr
    assert "verified" not in empty.stdout + refused.stdout + again.stdout


def test_skip_failed_loads_the_others_and_succeeds(
    program: Program, environment: Environment, database_url: str, make_workbook: Workbook
) -> None:
    environment.store.upload(make_workbook([line(price=-1)] * 20, name="bad.xlsx"))
    environment.store.upload(make_workbook([line(quantity=5)], name="good.xlsx"))
    where = ("--local", str(environment.folder), "--database-url", database_url)

    done = program("ingest", "--skip-failed", *where)
    listed = program("status", *where)
    failed = program("ingest", *where)
    run = program("run", "--skip-failed", *where)

    assert (done.returncode, failed.returncode, run.returncode) == (0, 1, 0)
    assert "warning: not loaded: input/bad.xlsx" in done.stderr
    assert "not loaded yet: input/bad.xlsx" in listed.stdout
    assert "not loaded: input/bad.xlsx" in run.stdout
    assert quantities(environment) == [5]


def test_a_terminal_asks_before_it_replaces_or_forgets(
    environment: Environment, database_url: str, make_workbook: Workbook, tmp_path: Path
) -> None:
    retailpipe.ingest(environment, make_workbook([line(quantity=1), line(quantity=2)]))
    book = make_workbook([line(quantity=3)])
    where = ("--local", environment.folder, "--database-url", database_url)

    asked, refused = on_a_terminal(["ingest", book, *where], tmp_path, 200, answer="n\n")
    kept = quantities(environment)
    _, replaced = on_a_terminal(["ingest", book, *where], tmp_path, 200, answer="y\n")
    new = quantities(environment)
    _, cancelled = on_a_terminal(["forget", "book.xlsx", *where], tmp_path, 200, answer="n\n")

    assert "input/book.xlsx" in asked
    assert "2 rows loaded" in asked
    assert (refused, kept, replaced, new, cancelled) == (1, [1, 2], 0, [3], 1)
    assert quantities(environment) == [3]
