"""When the report is written: after a run that failed too, again and again, and never half."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment, UsageError
from retailpipe.html_report import report_file, watch_report
from tests.conftest import Program
from tests.html_report.reading import Page
from tests.silver_and_gold.test_own_models import workbook


def refreshes(file: Path) -> bool:
    """Whether a browser loads the page again by itself."""
    page = Page.of(file.read_text(encoding="utf-8"))
    return any(meta.get("http-equiv") == "refresh" for meta in page.named("meta"))


def run(program: Program, environment: Environment, *arguments: str | Path) -> tuple[int, dict[str, object]]:
    """Run `run --report --json`; return the exit code and the document."""
    done = program(
        *("run", *arguments, "--report", "--json", "--local", environment.folder),
        env={"RETAILPIPE_DATABASE_URL": environment.warehouse.uri},
    )
    return done.returncode, json.loads(done.stdout)


@pytest.mark.nightly
def test_watch_writes_the_report_after_each_build_and_each_load(branches: Environment, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    written = watch_report(branches, file, poll_seconds=0.05)

    next(written)
    file.write_text("replaced by the next build")
    assert retailpipe.transform(branches).ok
    next(written)
    assert refreshes(file)
    retailpipe.ingest(branches, workbook(tmp_path, "branches-2.xlsx", ("East", 7)))
    assert any("out of date" in problem for problem in next(written).problems)
    written.close()

    assert not refreshes(file)
    retailpipe.forget(branches, "branches-2.xlsx")


def test_a_run_that_fails_writes_a_report_that_says_so(branches: Environment, program: Program, tmp_path: Path) -> None:
    report_file(branches).write_text("the report of an earlier run")

    book = tmp_path / "branches-3.xlsx"
    book.write_bytes(b"not a workbook")

    code, document = run(program, branches, book)

    assert (code, document["ok"]) == (1, False)
    page = Page.of(report_file(branches).read_text(encoding="utf-8"))
    assert "A workbook was refused" in page.text
    (branches.folder / "input" / "branches-3.xlsx").unlink()


def test_a_report_that_cannot_be_written_does_not_hide_the_run(branches: Environment, program: Program) -> None:
    report_file(branches).unlink(missing_ok=True)
    report_file(branches).mkdir()

    code, document = run(program, branches)

    report_file(branches).rmdir()
    assert code == 1
    assert document["ok"]
    report = document["report"]
    assert isinstance(report, dict)
    assert report["error"]["message"].startswith(f"cannot write {report_file(branches)}")


@pytest.mark.parametrize("option", ["out", "picture"])
def test_a_missing_folder_is_told_before_the_work_with_the_command_that_creates_it(
    branches: Environment, tmp_path: Path, option: str
) -> None:
    folder = tmp_path / "no such folder"
    report = tmp_path / "report.html"

    with pytest.raises(UsageError, match=r"the folder .*no such folder does not exist") as caught:
        retailpipe.write_report(branches, **{"out": report, option: folder / "report.png"})

    assert re.fullmatch(r"Create it: `mkdir -p '.*no such folder'`\.", caught.value.hint)
    assert not report.exists()
