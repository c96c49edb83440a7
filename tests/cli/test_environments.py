"""The commands about all environments, the notice of a new one, and the forms of the URL, as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from retailpipe.local.server import EmbeddedServer
from tests.conftest import Program, Workbook, remove_servers
from tests.support.servers import password_of, run_sql
from tests.support.terminals import on_a_terminal

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shops(tmp_path: Path) -> Iterator[Path]:
    """A folder for environments with servers of their own, which are deleted after the test."""
    shops = tmp_path / "shops"
    shops.mkdir()
    yield shops
    remove_servers(shops)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an environment with a running server, for tests that do not change it."""
    folder = tmp_path_factory.mktemp("running")
    EmbeddedServer(folder).start()
    yield folder
    EmbeddedServer(folder).destroy()


def test_a_new_environment_is_announced_once_and_only_on_standard_error(program: Program, shops: Path) -> None:
    first = program("status", "--json", "--local", shops / "shop")
    mistyped = program("local", "url", "--local", shops / "shpo")
    again = program("status", "--json", "--local", shops / "shop")

    assert first.stderr == f"created a new environment in {shops / 'shop'}\n"
    assert json.loads(first.stdout)["loads"] == []
    created, listing = mistyped.stderr.strip().split("; ")
    assert created == f"created a new environment in {shops / 'shpo'}"
    assert listing == "list all with `python -m retailpipe environments`"
    assert mistyped.stdout.count("\n") == 1
    assert again.stderr == ""


def test_a_new_environment_is_announced_although_the_command_fails(program: Program, shops: Path) -> None:
    done = program("rejects", "--local", shops / "shop")

    assert done.returncode == 1
    assert done.stderr.startswith(f"created a new environment in {shops / 'shop'}\nerror: ")


@pytest.mark.parametrize("words", [["status"], ["demo"], ["local", "destroy", "--yes"]])
def test_an_empty_name_of_a_folder_is_not_the_current_folder(
    program: Program, tmp_path: Path, words: list[str]
) -> None:
    """A script that calls `--local "$SHOP"` with an unset variable must not work in the folder that it runs in."""
    done = program(*words, "--local", "")

    assert (done.returncode, done.stderr) == (2, "error: --local is empty\nhint: Give a folder: --local DIR.\n")
    assert list(tmp_path.iterdir()) == []


def test_the_demo_does_not_mix_its_rows_with_those_of_an_environment(
    program: Program, make_workbook: Workbook, tmp_path: Path
) -> None:
    program("upload", make_workbook(), "--local", "shop")

    done = program("demo", "--local", "shop")

    assert done.returncode == 2
    assert f"error: {tmp_path / 'shop'} contains input/book.xlsx; the demo would add its rows to it" in done.stderr
    assert "hint: Pass a folder that does not exist with --local" in done.stderr


def test_stop_in_a_mistyped_folder_says_that_there_is_no_database(program: Program, tmp_path: Path) -> None:
    done = program("local", "stop", "--local", "shpo")

    assert (done.returncode, done.stdout) == (0, f"there is no database in {tmp_path / 'shpo'}\n")
    assert list(tmp_path.iterdir()) == []


def test_an_upload_into_a_new_folder_is_announced(
    program: Program, shops: Path, make_workbook: Workbook, database_url: str
) -> None:
    place = ["--local", shops / "shop", "--database-url", database_url]

    first, second = (program("upload", make_workbook(), *place) for _ in range(2))

    assert "created a new environment" in first.stderr
    assert "created a new environment" not in second.stderr


def test_the_commands_list_and_stop_all_environments(program: Program, shops: Path) -> None:
    for name in ("one", "two"):
        EmbeddedServer(shops / name).start()
    EmbeddedServer(shops / "two").stop()

    listed = program("environments").stdout.splitlines()
    assert listed[0].split() == ["server", "workbooks", "last_load", "size", "folder"]
    assert [line.split()[0] for line in listed[2:]] == ["running", "stopped"]
    assert listed[2].endswith(str(shops / "one"))
    document = json.loads(program("environments", "--json").stdout)
    assert [(each["folder"], each["server"]) for each in document] == [
        (str(shops / "one"), "running"),
        (str(shops / "two"), "stopped"),
    ]
    servers = json.loads(program("local", "list", "--json").stdout)["servers"]
    assert [(each["folder"], each["state"]) for each in servers] == [
        (str(shops / "one"), "running"),
        (str(shops / "two"), "stopped"),
    ]
    assert str(shops / "one") in program("local", "list").stdout
    stopped = json.loads(program("local", "stop", "--all", "--json").stdout)
    # Other servers may be stopped too: those that root started in other tests and whose environment was deleted.
    assert [folder for folder in stopped["stopped"] if folder.startswith(str(shops))] == [str(shops / "one")]
    assert stopped["errors"] == []
    assert str(shops) not in program("local", "stop", "--all").stdout


def test_the_lists_need_no_environment_and_ignore_a_server_of_your_own(program: Program) -> None:
    own = {"RETAILPIPE_DATABASE_URL": "postgresql://someone@example.invalid/x"}

    assert "there are no environments yet" in program("environments", env=own).stdout
    assert program("environments", "--json", env=own).stdout == "[]\n"
    assert program("local", "list", env=own).stdout.startswith("there are no embedded servers\n")
    assert program("local", "stop", "--all", env=own).returncode == 0


@pytest.mark.parametrize("words", [("stop", "--all"), ("destroy", "--remains", "--yes")])
def test_an_option_for_all_environments_contradicts_local(program: Program, words: tuple[str, ...]) -> None:
    done = program("local", *words, "--local", "shop")

    assert done.returncode == 2
    assert "Pass only one of them." in done.stderr


def test_the_parts_of_the_url_are_printed_one_per_line_without_the_password(program: Program, running: Path) -> None:
    port = EmbeddedServer(running).start().split(":")[2].partition("/")[0]
    expected = {
        "host": "127.0.0.1",
        "port": int(port),
        "database": "retailpipe",
        "user": "retailpipe_reader",
        "passfile": str(running / "pgpass"),
    }

    done = program("local", "url", "--parts", "--read-only", "--local", running)

    assert done.stdout.splitlines() == [f"{name}: {value}" for name, value in expected.items()]
    document = program("local", "url", "--parts", "--read-only", "--json", "--local", running)
    assert json.loads(document.stdout) == expected
    owner = json.loads(program("local", "url", "--parts", "--json", "--local", running).stdout)
    assert owner == expected | {"user": "retailpipe"}
    for user in ("retailpipe", "retailpipe_reader", "postgres"):
        assert password_of(running / "pgpass", user) not in done.stdout + document.stdout


def test_the_read_only_url_can_only_read(program: Program, running: Path) -> None:
    url = program("local", "url", "--read-only", "--local", running).stdout.strip()

    assert run_sql(url, "select current_user::text") == "retailpipe_reader"
    with pytest.raises(Exception, match="read-only transaction"):
        run_sql(url, "create table public.mine (n int)")


def test_a_database_without_the_read_only_role_is_an_error_with_a_hint(program: Program, shops: Path) -> None:
    EmbeddedServer(shops / "old").start()
    passfile = shops / "old" / "pgpass"
    passfile.write_text(f"127.0.0.1:*:*:retailpipe:{password_of(passfile, 'retailpipe')}\n")  # as it was then

    done = program("local", "url", "--read-only", "--local", shops / "old")

    assert (done.returncode, done.stdout) == (1, "")
    assert "no role that can only read" in done.stderr
    assert f"local destroy --local {shops / 'old'}`" in done.stderr


QUERY = "select 1 as n, 'é' as t"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--out", "sales.csv"], "n,t\n1,é\n"),
        (["--out", "sales.JSON"], '[\n  {\n    "n": 1,\n    "t": "é"\n  }\n]\n'),
        (["--out", "sales", "--json"], '[\n  {\n    "n": 1,\n    "t": "é"\n  }\n]\n'),
        (["--out", "sales.txt", "--format", "csv"], "n,t\n1,é\n"),
        (["--out", "sales.txt"], "n  t\n-  -\n1  é\n"),
    ],
)
def test_a_query_writes_a_file_in_the_format_of_its_name(
    program: Program, tmp_path: Path, database_url: str, options: list[str], expected: str
) -> None:
    done = program("query", QUERY, *options, "--database-url", database_url)

    assert (done.stdout, done.stderr) == ("", f"wrote 1 row to {options[1]}\n")
    assert (tmp_path / options[1]).read_text(encoding="utf-8") == expected


def test_a_query_writes_a_workbook(program: Program, tmp_path: Path, database_url: str) -> None:
    import openpyxl

    (tmp_path / "real.xlsx").write_text("old")
    (tmp_path / "real.xlsx").chmod(0o640)
    (tmp_path / "sales.xlsx").symlink_to("real.xlsx")

    written = program("query", QUERY, "--out", "sales.xlsx", "--database-url", database_url)
    piped = subprocess.run(
        [sys.executable, "-m", "retailpipe", "query", QUERY, "--format", "xlsx", "--database-url", database_url],
        capture_output=True,
        check=True,
    )

    assert written.returncode == 0, written.stderr
    sheet = openpyxl.load_workbook(tmp_path / "sales.xlsx").active
    assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [["n", "t"], [1, "é"]]
    assert (tmp_path / "sales.xlsx").is_symlink()
    assert (tmp_path / "real.xlsx").stat().st_mode & 0o777 == 0o640
    assert piped.stdout.startswith(b"PK")


def test_a_failed_query_keeps_the_old_file_and_leaves_no_other(
    program: Program, tmp_path: Path, database_url: str
) -> None:
    (tmp_path / "sales.xlsx").write_text("old")
    before = sorted(tmp_path.iterdir())

    for sql in ("select 1/0", "select repeat('x', 40000) as long"):
        done = program("query", sql, "--out", "sales.xlsx", "--database-url", database_url)
        assert (done.returncode != 0, done.stdout) == (True, "")

    assert (tmp_path / "sales.xlsx").read_text() == "old"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("out", ["no such folder/sales.csv", "shop", "/proc/sales.csv"])
def test_a_file_that_cannot_be_written_is_an_error_with_its_name(
    program: Program, tmp_path: Path, database_url: str, out: str
) -> None:
    (tmp_path / "shop").mkdir()

    done = program("query", QUERY, "--out", out, "--database-url", database_url)

    assert done.returncode == 2
    assert f"cannot write {out}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_device_is_written_and_not_replaced(program: Program, database_url: str) -> None:
    done = program("query", QUERY, "--out", "/dev/stdout", "--format", "csv", "--database-url", database_url)

    assert done.stdout == "n,t\n1,é\n"
    assert Path("/dev/stdout").is_symlink()


def test_a_workbook_is_not_written_to_a_terminal(tmp_path: Path, database_url: str) -> None:
    shown, code = on_a_terminal(["query", QUERY, "--format", "xlsx", "--database-url", database_url], tmp_path)

    assert code == 2
    assert "Add --out FILE." in shown
    assert "PK" not in shown


def test_an_unknown_format_of_a_file_is_an_error(program: Program, tmp_path: Path, database_url: str) -> None:
    done = program("query", "select 1", "--out", "sales.xls", "--database-url", database_url)

    assert done.returncode == 2
    assert "error: cannot tell the format of sales.xls from its name" in done.stderr
    assert "hint: End the name in .csv, .json, .txt or .xlsx, or add --format." in done.stderr
    assert not (tmp_path / "sales.xls").exists()


def test_json_and_xlsx_contradict_each_other(program: Program, database_url: str) -> None:
    done = program("query", QUERY, "--format", "xlsx", "--json", "--database-url", database_url)

    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["type"] == "UsageError"


def test_the_date_infinity_is_an_error_with_a_hint(program: Program, database_url: str) -> None:
    done = program("query", "select 'infinity'::date as ever", "--database-url", database_url)

    assert done.returncode == 2
    assert "column ever" in done.stderr
    assert "::text" in done.stderr


def test_make_clean_stops_the_servers_and_needs_no_installation(tmp_path: Path, shops: Path) -> None:
    command = ["make", "-f", str(ROOT / "Makefile"), "clean"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    server = EmbeddedServer(shops / "shop")
    server.start()
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "retailpipe").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m retailpipe "$@"\n')
    (programs / "retailpipe").chmod(0o755)

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert f"stopped {shops / 'shop'}" in done.stdout
    assert not server.is_running
    assert not (tmp_path / ".venv").exists()


def test_a_broken_installation_does_not_stop_make_clean(tmp_path: Path) -> None:
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "retailpipe").write_text("#!/bin/sh\nexit 3\n")
    (programs / "retailpipe").chmod(0o755)

    done = subprocess.run(["make", "-f", str(ROOT / "Makefile"), "clean"], cwd=tmp_path, check=False)

    assert done.returncode == 0
    assert not (tmp_path / ".venv").exists()
