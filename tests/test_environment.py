"""A local environment: its folder, its database, and what creating it must not do."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from psycopg2.extensions import parse_dsn

from retailpipe import Environment
from retailpipe.errors import RetailpipeError, UsageError
from retailpipe.folders import make_folder
from retailpipe.local.server import EmbeddedServer
from retailpipe.store import FolderStore
from tests.conftest import Workbook
from tests.support.lacking import skip

URL = "postgresql://someone@db.example.invalid:5432/shop"


def test_a_folder_is_used_unchanged_and_not_created_before_it_is_needed(tmp_path: Path) -> None:
    environment = Environment.local(tmp_path / "shop")

    assert environment.folder == tmp_path / "shop"
    assert environment.store.address == str(tmp_path / "shop")
    assert environment.store.workbooks() == []
    assert environment.server is not None
    assert environment.server.is_running is False
    assert list(tmp_path.iterdir()) == []


def test_a_folder_may_be_a_string(tmp_path: Path) -> None:
    assert Environment.local(str(tmp_path / "shop")).folder == tmp_path / "shop"


def test_a_relative_folder_stays_the_same_when_the_current_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = Environment.local("shop")

    monkeypatch.chdir("/")

    assert environment.folder == tmp_path / "shop"
    assert environment.store.address == str(tmp_path / "shop")


def test_a_tilde_is_the_users_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert Environment.local("~/shop").folder == tmp_path / "shop"


def test_the_default_folder_is_retailpipe_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAILPIPE_HOME", str(tmp_path / "home"))

    assert Environment.local().folder == tmp_path / "home"
    assert Environment.local(tmp_path / "shop").folder == tmp_path / "shop"


@pytest.mark.skipif(sys.platform != "linux", reason="the data directory has another name on other systems")
def test_without_any_setting_the_folder_is_in_the_users_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    assert Environment.local().folder == tmp_path / "data" / "retailpipe"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_created_is_excluded_from_git(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "shop")

    assert (tmp_path / "a" / "shop" / ".gitignore").read_text() == "*\n"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["shop"]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "a" / "shop" / "pgpass").write_text("secret")
    listed = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert listed.stdout == ""


def test_a_folder_that_exists_gets_no_gitignore_and_keeps_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / ".gitignore").write_text("pgpass\n")

    make_folder(tmp_path / "mine")
    make_folder(tmp_path / "ours")

    assert list((tmp_path / "mine").iterdir()) == []
    assert (tmp_path / "ours" / ".gitignore").read_text() == "pgpass\n"


def test_every_first_use_of_a_folder_excludes_it_from_git(tmp_path: Path, make_workbook: Workbook) -> None:
    FolderStore(tmp_path / "first").upload(make_workbook())
    EmbeddedServer(tmp_path / "second").start()
    EmbeddedServer(tmp_path / "second").destroy()

    assert (tmp_path / "first" / ".gitignore").exists()
    assert (tmp_path / "second" / ".gitignore").exists()


def test_the_repository_ignores_what_the_readme_creates() -> None:
    root = Path(__file__).resolve().parents[1]
    names = [
        "shop/pgpass",
        "online_retail.xlsx",
        "outputs.json",
        "aws_config.env",
        "pgpass",
        "postgres/data/PG_VERSION",
    ]
    if not (root / ".git").exists():
        skip("this is not a git repository")

    ignored = subprocess.run(["git", "check-ignore", *names], cwd=root, capture_output=True, text=True, check=False)
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"], cwd=root, capture_output=True, text=True
    )

    assert ignored.stdout.split() == names
    assert tracked.stdout == ""


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("")

    with pytest.raises(UsageError, match="is a file") as caught:
        Environment.local(tmp_path / "shop")

    assert str(tmp_path / "shop") in str(caught.value)
    assert "--local" in caught.value.hint


def test_a_folder_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RetailpipeError):
        Environment.local(tmp_path / ("x" * 300)).warehouse.query("select 1")


def test_a_symlink_to_a_folder_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    assert Environment.local(tmp_path / "link").store.workbooks() == []


def test_a_database_url_replaces_the_embedded_server(tmp_path: Path) -> None:
    environment = Environment.local(tmp_path / "shop", database_url=URL)

    assert environment.server is None
    assert environment.warehouse.uri == URL
    assert environment.folder == tmp_path / "shop"


def test_the_database_url_may_be_in_the_environment_and_an_argument_overrides_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETAILPIPE_DATABASE_URL", URL)

    assert Environment.local(tmp_path).warehouse.uri == URL
    assert Environment.local(tmp_path, database_url=f"{URL}2").warehouse.uri == f"{URL}2"


def test_an_empty_variable_counts_as_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAILPIPE_DATABASE_URL", "")
    monkeypatch.setenv("RETAILPIPE_HOME", "")

    assert Environment.local(tmp_path).server is not None
    assert Environment.local().folder.name == "retailpipe"


@pytest.mark.parametrize("url", ["mysql://a@b/c", "sqlite:///x.db", "host=localhost dbname=shop", "shop", "http://x"])
def test_a_url_of_another_kind_is_refused_and_not_shown_in_the_message(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="postgresql://") as caught:
        Environment.local(tmp_path, database_url=url)

    assert url not in str(caught.value)
    assert caught.value.hint


def test_an_environment_is_frozen(tmp_path: Path) -> None:
    environment = Environment.local(tmp_path)

    with pytest.raises(FrozenInstanceError):
        environment.folder = tmp_path / "other"  # type: ignore[misc] - this error is the subject of the test


def test_the_repr_of_an_environment_starts_nothing_and_shows_no_password(tmp_path: Path) -> None:
    environment = Environment.local(tmp_path / "shop", database_url="postgresql://u:hunter2secret@h/db")

    assert "hunter2secret" not in repr(environment)
    assert repr(Environment.local(tmp_path / "shop"))
    assert list(tmp_path.iterdir()) == []


def test_creating_an_environment_does_not_import_the_driver() -> None:
    code = (
        "import sys; from retailpipe import Environment; Environment.local('x').store.workbooks()\n"
        "print([name for name in ('pyarrow', 'adbc_driver_manager', 'dbt', 'python_calamine') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_server_that_cannot_be_reached_raises_a_retailpipe_error(tmp_path: Path) -> None:
    environment = Environment.local(tmp_path, database_url="postgresql://someone@127.0.0.1:1/shop")

    with pytest.raises(RetailpipeError, match="refused"):
        environment.warehouse.query("select 1")


def test_the_options_select_the_same_folder_and_database_without_a_password(tmp_path: Path) -> None:
    url = "postgresql://someone:secret@db.example.invalid:5432/shop?sslpassword=hidden"

    *folder, option, kept = Environment.local(tmp_path / "shop", database_url=url).options

    assert folder == ["--local", str(tmp_path / "shop")]
    assert Environment.local(tmp_path / "shop").options == ("--local", str(tmp_path / "shop"))
    assert option == "--database-url"
    assert parse_dsn(kept) == {"host": "db.example.invalid", "port": "5432", "user": "someone", "dbname": "shop"}
    assert Environment.local(tmp_path, database_url=URL).options[2:] == ("--database-url", URL)


def test_the_default_folder_needs_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAILPIPE_HOME", str(tmp_path))

    assert Environment.local().options == Environment.local(tmp_path).options == ()
    assert Environment.local(database_url=URL).options == ("--database-url", URL)
