"""Control characters in output: escaped on a terminal, unchanged in files and pipes. Also: names that are not UTF-8."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.cli.terminal import escaped
from tests.conftest import Program, Workbook
from tests.support.nightly import most_nightly
from tests.support.terminals import on_a_terminal

RED = "\x1b[31mred\x9b2J"
OnTerminal = Callable[..., str]


@pytest.fixture
def on_terminal(tmp_path: Path) -> OnTerminal:
    """Run the command line on a terminal and return everything that it wrote there."""

    def call(*arguments: str | Path, columns: int = 80, answer: str = "") -> str:
        return on_a_terminal(arguments, tmp_path, columns, answer)[0]

    return call


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with é, 日本 and 👍🏽", "plain, with é, 日本 and 👍🏽"),
        ("a tab\tand a line\n", "a tab\tand a line\n"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("back\b\b\b", "back\\x08\\x08\\x08"),
        ("over\rwritten", "over\\x0dwritten"),
        ("\x7f\x9b2J", "\\u007f\\u009b2J"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("a\u2028line", "a\\u2028line"),
        ("\0", "\\x00"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_query_result_is_escaped_on_a_terminal_and_unchanged_in_a_pipe(
    environment: Environment, database_url: str, program: Program, on_terminal: OnTerminal
) -> None:
    command = ["query", f"select '{RED}' as answer", "--database-url", database_url]

    shown, piped = on_terminal(*command), program(*command)

    assert "\\x1b[31mred\\u009b2J" in shown
    assert "\x1b[31m" not in shown
    assert "\x9b" not in shown
    assert RED in piped.stdout
    document = json.loads(program(*command, "--json").stdout)
    assert document == [{"answer": RED}]
    assert RED in program(*command, "--format", "csv").stdout


def test_cells_and_names_in_reports_and_errors_are_escaped(
    database_url: str, make_workbook: Workbook, on_terminal: OnTerminal, tmp_path: Path
) -> None:
    in_xml = RED.replace("\x1b", "_x001B_")
    row = (1, "1", "a", "x", f"{in_xml} day", 1.0, 1, "Spain")
    path = make_workbook([row, row], name=f"{RED}.xlsx")
    place = ["--database-url", database_url, "--local", tmp_path / "home"]

    for shown in (
        on_terminal("ingest", path, *place),
        on_terminal("ingest", tmp_path / f"no {RED}.xlsx", *place),
        on_terminal("status", *place),
        on_terminal("rejects", *place),
    ):
        assert "red\\u009b2J" in shown
        assert "\x1b[31m" not in shown


@pytest.mark.nightly
def test_progress_bars_show_names_as_they_are(
    database_url: str, make_workbook: Workbook, on_terminal: OnTerminal, tmp_path: Path
) -> None:
    """Not as the markup of rich."""
    path = make_workbook(name="a[red]\x1b]0;title\x07b.xlsx")
    place = ["--database-url", database_url, "--local", tmp_path / "home"]
    on_terminal("run", path, *place)

    shown = on_terminal("certify", *place, columns=200)

    assert "a[red]\\x1b]0;title\\x07b.xlsx" in shown
    assert "\x1b]0;" not in shown


def test_a_question_is_escaped(on_terminal: OnTerminal, database_url: str, tmp_path: Path) -> None:
    place = ["--database-url", database_url, "--local", tmp_path / "home"]

    shown = on_terminal("forget", f"{RED}.xlsx", *place, answer="n\n")

    assert "Delete all rows of \\x1b[31mred\\u009b2J.xlsx" in shown
    assert "\x1b[31m" not in shown


def test_a_name_with_a_line_break_is_refused_and_does_not_stop_the_other_workbooks(
    environment: Environment, program: Program, make_workbook: Workbook, database_url: str
) -> None:
    folder = environment.folder / "input"
    folder.mkdir(parents=True)
    make_workbook(name="good.xlsx").rename(folder / "good.xlsx")
    forged = "a.csv was loaded\nerror: the disk is full\u2028hint: run x.xlsx"
    bad = make_workbook(name=forged)

    uploaded = program("upload", bad, "--local", environment.folder)
    bad.rename(folder / forged)
    place = ["--database-url", database_url, "--local", environment.folder]
    ingested = program("ingest", *place)
    listed = [program(command, *place) for command in ("status", "check")]

    assert all("\nerror: the disk" not in done.stdout + done.stderr for done in listed)
    for done in (uploaded, ingested):
        assert done.returncode == 1
        assert "a.csv was loaded\\nerror: the disk is full\\u2028hint: run x.xlsx has a line break" in done.stderr
        assert "\nerror: the disk" not in done.stderr
    assert "input/good.xlsx: loaded as load 1" in ingested.stdout


@pytest.mark.parametrize(
    "words",
    most_nightly(
        [
            ["forget", "d\udcff.csv", "--yes"],
            ["query", "select '\udcff'"],
            ["query", 'select 1 as "\udcff"'],
            ["trace", "country_performance", "country=\udcff"],
            ["rejects", "d\udcff.csv"],
            ["certify", "d\udcff.csv"],
            ["restore", "d\udcff.csv"],
            ["ingest", "--replay", "d\udcff.csv"],
            ["query", "select 1", "--database-url", "postgresql://u\udcff@localhost/x"],
        ],
        {1, 4, 7, 8},
    ),
)
def test_an_argument_that_is_not_utf8_is_an_error(
    built_environment: Environment, program: Program, words: list[str]
) -> None:
    url = [] if "--database-url" in words else ["--database-url", built_environment.warehouse.uri]

    done = program(*words, *url, "--local", built_environment.folder)

    assert done.returncode in (1, 2)
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_file_name_that_is_not_utf8_does_not_stop_the_other_workbooks(
    environment: Environment, program: Program, make_workbook: Workbook, database_url: str
) -> None:
    folder = environment.folder / "input"
    folder.mkdir(parents=True)
    make_workbook(name="good.xlsx").rename(folder / "good.xlsx")
    bad = make_workbook(name="other.xlsx")
    bad.rename(folder / os.fsdecode(b"bad \xff.xlsx"))
    place = ["--database-url", database_url, "--local", environment.folder]

    status = program("status", *place)
    assert (status.returncode, status.stderr) == (0, "")
    assert "input/bad \\udcff.xlsx, input/good.xlsx" in status.stdout
    ingested = program("ingest", *place)
    assert ingested.returncode == 1
    assert "input/good.xlsx: loaded as load 1" in ingested.stdout
    assert "the file name input/bad \\udcff.xlsx is not valid UTF-8" in ingested.stderr
    assert "Rename the file." in ingested.stderr
    named = program("ingest", folder / os.fsdecode(b"bad \xff.xlsx"), "--dry-run", *place)
    assert named.returncode == 1
    assert "is not valid UTF-8" in named.stderr
    document = json.loads(program("ingest", "--json", *place).stdout)
    assert document["error"]["type"] == "SomeNotLoaded"
    loads = retailpipe.query(environment, "select source from bronze.loads").to_pylist()
    assert loads == [{"source": "input/good.xlsx"}]


def test_characters_missing_in_the_encoding_are_escaped(database_url: str, program: Program) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    done = program("query", "select 'é 日' as answer", "--database-url", database_url, env=ascii_only)

    assert done.returncode == 0
    assert "\\u65e5" in done.stdout


def test_a_tilde_without_such_a_user_is_part_of_the_name(
    program: Program, make_workbook: Workbook, database_url: str, tmp_path: Path
) -> None:
    make_workbook(name="~none such.xlsx")

    loaded = program("ingest", "~none such.xlsx", "--database-url", database_url, "--local", "~none such")

    assert (loaded.returncode, loaded.stderr.count("Traceback")) == (0, 0)
    assert (tmp_path / "~none such" / "input" / "~none such.xlsx").is_file()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("command", most_nightly(["query", "status", "ingest"], {0}))
def test_json_is_valid_in_every_encoding(
    database_url: str, program: Program, make_workbook: Workbook, tmp_path: Path, encoding: str, command: str
) -> None:
    name = "a \x9b b é 日 👍.xlsx"
    home = tmp_path / "home"
    (home / "input").mkdir(parents=True)
    make_workbook(name=name).rename(home / "input" / name)
    place = ["--database-url", database_url, "--local", home, "--json"]
    arguments = {"query": ["query", f"select 'input/{name}' as source"], "ingest": ["ingest", name, "no 日.xlsx"]}

    done = program(*arguments.get(command, [command]), *place, env={"PYTHONIOENCODING": encoding})

    document = json.dumps(json.loads(done.stdout), ensure_ascii=False)
    assert ("no 日.xlsx" if command == "ingest" else f"input/{name}") in document
