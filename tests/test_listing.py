"""`environments`: what it finds, and what it says of each environment without starting a server."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment, EnvironmentReport, register
from retailpipe.local.server import EmbeddedServer
from tests.conftest import Workbook, remove_servers
from tests.support.servers import ended, port, postmaster


@pytest.fixture
def shops(tmp_path: Path) -> Iterator[Path]:
    """A folder for environments with servers of their own, which are deleted after the test."""
    shops = tmp_path / "shops"
    shops.mkdir()
    yield shops
    remove_servers(shops)


def of(folder: Path) -> EnvironmentReport | None:
    return next((report for report in retailpipe.environments() if report.folder == str(folder)), None)


def test_without_environments_the_list_is_empty_and_nothing_is_created(tmp_path: Path) -> None:
    assert retailpipe.environments() == []
    assert list(tmp_path.iterdir()) == []


def test_an_environment_from_its_first_load_to_its_end(shops: Path, make_workbook: Workbook) -> None:
    folder = shops / "año 1"
    environment = Environment.local(folder)
    assert environment.server
    before = datetime.now(UTC) - timedelta(seconds=1)
    retailpipe.ingest(environment, make_workbook())

    running = of(folder)
    assert running
    url = environment.server.url()
    assert (running.server, running.port, running.workbooks) == ("running", port(url), 1)
    assert url
    assert running.pid == postmaster(url).pid
    assert running.last_load
    assert before <= running.last_load <= datetime.now(UTC)
    assert running.size > 10_000_000
    assert running.as_dict()["last_load"] == running.last_load.isoformat()

    environment.server.stop()
    stopped = of(folder)
    assert stopped
    assert (stopped.server, stopped.port, stopped.pid) == ("stopped", None, None)
    assert stopped.last_load == running.last_load
    assert environment.server.is_running is False

    environment.server.destroy()
    destroyed = of(folder)
    assert destroyed
    assert (destroyed.server, destroyed.workbooks, destroyed.last_load) == ("none", 1, None)
    assert destroyed.size < 1_000_000

    shutil.rmtree(folder)
    assert retailpipe.environments() == []


def test_an_environment_on_your_own_server_is_listed_after_a_load(
    environment: Environment, make_workbook: Workbook
) -> None:
    assert of(environment.folder) is None

    retailpipe.ingest(environment, make_workbook())

    report = of(environment.folder)
    assert report
    assert (report.server, report.port, report.workbooks) == ("own", None, 1)
    assert report.last_load


def test_a_dry_run_and_an_unchanged_workbook_are_no_loads(environment: Environment, make_workbook: Workbook) -> None:
    book = make_workbook()
    retailpipe.ingest(environment, book, dry_run=True)
    assert of(environment.folder) is None
    retailpipe.ingest(environment, book)
    (environment.folder / ".last_load.json").unlink()

    retailpipe.ingest(environment, book)

    assert not (environment.folder / ".last_load.json").exists()


def test_only_the_user_can_read_when_the_last_load_ended(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())

    assert stat.S_IMODE((environment.folder / ".last_load.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "{}", '{"finished_at": "yesterday"}', '{"finished_at": 3}', "[]"])
def test_a_damaged_time_of_the_last_load_is_unknown(
    environment: Environment, make_workbook: Workbook, content: str
) -> None:
    retailpipe.ingest(environment, make_workbook())
    (environment.folder / ".last_load.json").write_text(content)

    report = of(environment.folder)

    assert report
    assert report.last_load is None


def test_a_load_succeeds_although_its_time_cannot_be_written(environment: Environment, make_workbook: Workbook) -> None:
    (environment.folder / ".last_load.json.new").mkdir(parents=True)

    [report] = retailpipe.ingest(environment, make_workbook())

    assert report.status == "loaded"


def test_environments_below_the_default_folder_are_found_without_the_register(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    for name in ("", "demo", "dbt", "other"):
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / "input").mkdir()
    (home / "demo" / "pgpass").write_text("")
    (home / "dbt" / "large").write_bytes(os.urandom(100_000))
    (home / "demo" / "input").mkdir()
    (home / "demo" / "input" / "larger.xlsx").write_bytes(os.urandom(500_000))
    (home / "demo" / "holiday.mp4").write_bytes(os.urandom(1_000_000))
    monkeypatch.setenv("RETAILPIPE_HOME", str(home))

    default, demo = retailpipe.environments()

    assert (default.folder, demo.folder) == (str(home), str(home / "demo"))
    assert 100_000 <= default.size < 400_000  # the demo is not counted twice
    assert 500_000 <= demo.size < 700_000  # other files in its folder are not counted


def test_an_environment_with_a_name_that_is_not_utf8_is_listed(shops: Path) -> None:
    """No new environment may have such a name, but data of an earlier version may be in such a folder."""
    folder = shops / os.fsdecode(b"not \xff utf-8")
    (folder / "input").mkdir(parents=True)
    register.record(folder)

    assert of(folder)


def test_stop_all_stops_every_server(shops: Path) -> None:
    from retailpipe.listing import stop_all

    processes = [postmaster(EmbeddedServer(shops / name).start()) for name in ("one", "two")]
    EmbeddedServer(shops / "three").start()
    EmbeddedServer(shops / "three").stop()

    # Other servers may be stopped too: those that root started in other tests and whose environment was deleted.
    stopped, errors = stop_all()

    assert [folder for folder in stopped if folder.startswith(str(shops))] == [str(shops / "one"), str(shops / "two")]
    assert errors == []
    assert all(ended(process) for process in processes)
