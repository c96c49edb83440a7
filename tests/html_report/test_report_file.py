"""The file with the report: it needs nothing else, and it is where the commands and functions say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment, UsageError
from retailpipe.html_report import report_file
from tests.conftest import Program
from tests.html_report.odd_rows import NAMES, SCRIPT
from tests.html_report.reading import Page


def test_the_file_needs_nothing_else(shop_page: Path, page: Page) -> None:
    html = shop_page.read_text(encoding="utf-8")
    policy = {meta.get("http-equiv"): meta.get("content") for meta in page.named("meta")}

    assert policy["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert "refresh" not in policy
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert [href for anchor in page.named("a") if not (href := anchor["href"] or "").startswith("#")] == []
    assert "url(" not in html
    assert len(html.encode()) < 300_000


def test_text_of_workbooks_is_never_markup(shop_page: Path, page: Page) -> None:
    html = shop_page.read_text(encoding="utf-8")

    assert not {"script", "img", "b", "i"} & {tag for tag, _ in page.tags}
    assert SCRIPT[:40] in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert not {*map(chr, range(32))} - {"\n"} & {*html}
    assert {row[1] for row in page.tables["Countries by revenue"]} >= {NAMES[1], NAMES[2], NAMES[3][:100]}


def test_render_report_shows_a_certificate(branches: Environment) -> None:
    assert (
        "signed by <i>nobody</i>"
        in Page.of(retailpipe.render_report(branches, certificate="signed by <i>nobody</i>")).text
    )


def test_the_report_is_in_the_folder_of_the_environment_unless_a_file_is_given(branches: Environment) -> None:
    written = retailpipe.write_report(branches)

    assert Path(written.path) == report_file(branches) == branches.folder / "report.html"
    assert Path(written.path).stat().st_size == written.bytes
    assert (written.ok, written.problems) == (True, ())


def test_a_picture_of_the_latest_full_month_is_a_png(shop: Environment, tmp_path: Path) -> None:
    written = retailpipe.write_report(shop, tmp_path / "report.html", picture=tmp_path / "month.png")

    assert written.picture == str(tmp_path / "month.png")
    assert (tmp_path / "month.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["month.png", "report.html"]


def test_files_that_cannot_be_written_are_named(shop: Environment, branches: Environment, tmp_path: Path) -> None:
    closed = tmp_path / "a file"
    closed.write_text("kept")

    for out in (tmp_path / "missing" / "report.html", closed / "report.html", tmp_path):
        with pytest.raises(UsageError, match=f"cannot write {out}"):
            retailpipe.write_report(branches, out)
    with pytest.raises(UsageError, match=r"cannot write .*missing/month\.png"):
        retailpipe.write_report(shop, tmp_path / "report.html", picture=tmp_path / "missing" / "month.png")
    with pytest.raises(UsageError, match=r"the picture month\.jpg would be a PNG image"):
        retailpipe.write_report(branches, picture="month.jpg")
    with pytest.raises(UsageError, match="there are no sales to draw"):
        retailpipe.write_report(branches, tmp_path / "report.html", picture=tmp_path / "month.png")
    assert closed.read_text() == "kept"


def test_the_commands_write_the_report_and_say_where(branches: Environment, program: Program, tmp_path: Path) -> None:
    env = {"RETAILPIPE_DATABASE_URL": branches.warehouse.uri}
    local = ["--local", str(branches.folder)]

    text = program("report", *local, "--out", "r.html", env=env)
    document = json.loads(program("report", *local, "--json", env=env).stdout)
    run = json.loads(program("run", "--report", *local, "--json", env=env).stdout)

    assert text.stdout.startswith(f"wrote {tmp_path}{os.sep}r.html (")
    assert text.stdout.endswith("kB): everything agrees\n")
    assert document["path"] == run["report"]["path"] == str(branches.folder / "report.html")
    assert document["verdict"] == "Everything agrees"
