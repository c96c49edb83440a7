"""The register of environments: it lists the folders that exist, and never makes a command fail."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from retailpipe import register
from tests.support.servers import as_ordinary_user, launch, outcome


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """The folder of the register in these tests."""
    return tmp_path / "state home" / "retailpipe" / "environments"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    shop = tmp_path / "shop"
    shop.mkdir()
    return shop


def test_a_recorded_folder_is_listed_once(shop: Path, records: Path) -> None:
    register.record(shop)
    register.record(shop)

    assert register.folders() == [shop]
    assert len(list(records.iterdir())) == 1


def test_a_folder_and_a_link_to_it_are_one_environment(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(shop)

    register.record(tmp_path / "link")
    register.record(shop)

    assert register.folders() == [shop]


@pytest.mark.parametrize("name", ["a b", "año ☃", os.fsdecode(b"not \xff utf-8"), "a\nb"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    register.record(tmp_path / name)

    assert register.folders() == [tmp_path / name]


def test_only_the_user_can_read_the_register(shop: Path, records: Path) -> None:
    register.record(shop)

    [record] = records.iterdir()
    assert stat.S_IMODE(records.stat().st_mode) == 0o700
    assert stat.S_IMODE(record.stat().st_mode) == 0o600


def test_the_record_of_a_deleted_folder_is_deleted(shop: Path, records: Path) -> None:
    register.record(shop)
    shop.rmdir()

    assert register.folders() == []
    assert list(records.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"folder": 1}',
        '{"folder": "relative"}',
        '{"folder": "/nul\\u0000"}',
        "\x00",
        '{"folder": ""}',
    ],
)
def test_a_damaged_record_is_ignored(shop: Path, records: Path, content: str) -> None:
    register.record(shop)
    (records / "0.json").write_text(content)

    assert register.folders() == [shop]


def test_an_empty_record_that_a_full_disk_left_is_written_again(shop: Path, records: Path) -> None:
    register.record(shop)
    [record] = records.iterdir()
    record.write_text("")

    register.record(shop)

    assert json.loads(record.read_text()) == {"folder": str(shop)}


def test_without_a_usable_home_directory_nothing_is_recorded(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for state in (tmp_path / "file", Path("/proc/none such")):
        monkeypatch.setenv("XDG_STATE_HOME", str(state))

        register.record(shop)

        assert register.folders() == []


def test_a_read_only_home_makes_no_server_fail(tmp_path: Path) -> None:
    """The register of these tests is in a folder that only its owner can enter."""
    printed = as_ordinary_user(
        """
import tempfile
from pathlib import Path
from retailpipe import register
from retailpipe.local.server import EmbeddedServer
with tempfile.TemporaryDirectory() as name:
    home = Path(name) / "home"
    home.mkdir(mode=0o500)
    os.environ["XDG_STATE_HOME"] = str(home)
    server = EmbeddedServer(Path(name) / "shop")
    server.start()
    print(server.is_running, register.folders(), list(home.iterdir()))
    server.destroy()
"""
    )

    assert printed == "True [] []"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user that does not exist")
def test_a_user_without_a_home_directory_has_no_register_and_no_error() -> None:
    code = """
import os, sys, pwd, platformdirs
from pathlib import Path
from retailpipe import environments, register
os.setuid(54321)
for name in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
    os.environ.pop(name, None)
register.record(Path("/tmp"))
print(register.folders(), environments())
"""

    assert outcome(launch(code)) == "[] []"
