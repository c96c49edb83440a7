"""The command line in a process of its own: what it prints to which stream, and its exit codes."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from retailpipe.hints import file_argument
from tests.conftest import ROW, Program, Workbook
from tests.support.terminals import on_a_terminal

BAD_PRICE = (*ROW[:5], -1.0, *ROW[6:])


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_ingest_prints_only_its_report_on_stdout(program: Program, make_workbook: Workbook, database_url: str) -> None:
    done = program("ingest", make_workbook([ROW, BAD_PRICE]), "--database-url", database_url)

    assert done.returncode == 0
    first, reject, *rest = done.stdout.splitlines()
    assert first.startswith("input/book.xlsx: loaded as load 1 in ")
    assert first.endswith("(2 rows read, 1 loaded, 1 rejected)")
    assert reject == "  rejected F3: -1 is below 0"
    assert rest == []
    assert "loading rows" in done.stderr


def test_json_is_one_document_on_stdout_and_progress_is_on_stderr(
    program: Program, make_workbook: Workbook, database_url: str
) -> None:
    done = program("ingest", make_workbook([ROW, BAD_PRICE]), "--json", "--database-url", database_url)

    [report] = json.loads(done.stdout)
    assert report["status"] == "loaded"
    assert (report["rows_read"], report["rows_loaded"], report["rows_rejected"]) == (2, 1, 1)
    assert report["rejects"][0]["cell"] == "F3"
    assert report["first_date"] == "2010-12-01T08:26:00"


def test_an_error_names_the_file_and_the_next_command(program: Program, database_url: str) -> None:
    done = program("ingest", "missing.xlsx", env={"RETAILPIPE_DATABASE_URL": database_url})

    assert done.returncode == 1
    assert done.stdout == ""
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: missing.xlsx is neither a file nor a workbook in ")
    assert hint.startswith("hint: List the workbooks with `")
    assert " status" in hint


def test_json_reports_an_error_too(program: Program, database_url: str) -> None:
    done = program("ingest", "missing.xlsx", "--json", env={"RETAILPIPE_DATABASE_URL": database_url})

    document = json.loads(done.stdout)
    assert document["ok"] is False
    assert document["error"]["type"] == "SourceNotFound"
    assert "missing.xlsx" in document["error"]["message"]


def test_a_hint_names_the_environment_of_the_call(program: Program, tmp_path: Path, database_url: str) -> None:
    folder = tmp_path / "my shop"

    done = program("verify", "--local", folder, env={"RETAILPIPE_DATABASE_URL": database_url})

    assert f"run --local '{folder}' FILE`" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["ingest", "--no-such-option"],
        ["upload"],
        ["query"],
        ["query", "select 1", "--format", "xml"],
        ["demo", "--rows", "many"],
        ["demo", "--rows", "0"],
        ["demo", "--rows", "2000000"],
        ["status", "--database-url", "mysql://localhost/x"],
        ["dbt"],
        ["local", "destroy"],
    ],
)
def test_wrong_usage_exits_with_2(program: Program, arguments: list[str]) -> None:
    done = program(*arguments, stdin=subprocess.DEVNULL)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr


def test_an_environment_that_is_a_file_is_refused(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")

    done = program("status", "--local", file)

    assert done.returncode == 2
    assert "is a file, not a folder" in done.stderr


def test_a_dry_run_prints_what_would_be_loaded_and_loads_nothing(
    program: Program, make_workbook: Workbook, database_url: str
) -> None:
    book = make_workbook([ROW, BAD_PRICE])

    done = program("ingest", book, "--dry-run", "--database-url", database_url)

    both = program("ingest", book, make_workbook(name="other.xlsx"), "--dry-run", "--database-url", database_url)

    assert "would load (2 rows read, 1 accepted, 1 rejected)" in done.stdout
    assert "not with those of its other workbooks" not in done.stdout
    assert "not with those of its other workbooks" in both.stdout
    assert (
        "nothing is loaded yet\nload a workbook with `python -m retailpipe run --database-url"
        in program("status", "--database-url", database_url).stdout
    )


def test_status_lists_loads_and_workbooks_that_are_not_loaded(
    program: Program, make_workbook: Workbook, database_url: str
) -> None:
    program("ingest", make_workbook(name="first.xlsx"), "--database-url", database_url)
    program("upload", make_workbook([ROW, ROW], name="second book.xlsx"), "--database-url", database_url)

    status = json.loads(program("status", "--json", "--database-url", database_url).stdout)

    assert [load["source"] for load in status["loads"]] == ["input/first.xlsx"]
    assert status["waiting"] == ["input/second book.xlsx"]


def test_rejects_shows_cell_and_reason(program: Program, make_workbook: Workbook, database_url: str) -> None:
    program("ingest", make_workbook([ROW, BAD_PRICE]), "--database-url", database_url)

    table = program("rejects", "--database-url", database_url).stdout
    [reject] = json.loads(program("rejects", "--json", "--database-url", database_url).stdout)

    assert "F3" in table
    assert "-1 is below 0" in table
    assert json.loads(reject["raw_row"])["InvoiceNo"] == "536365"


def test_query_prints_a_table(program: Program, database_url: str) -> None:
    done = program("query", "select 7 as n, 2.50 as price, 'two words' as text", "--database-url", database_url)

    assert done.stdout.splitlines() == ["n  price  text", "-  -----  ---------", "7   2.50  two words", "(1 row)"]


def test_query_prints_csv(program: Program, database_url: str) -> None:
    done = program(
        "query", "select 'a,\"b\"' as x, null as y, 2.50 as z", "--format", "csv", "--database-url", database_url
    )

    assert list(csv.reader(io.StringIO(done.stdout))) == [["x", "y", "z"], ['a,"b"', "", "2.50"]]


def test_query_prints_json_without_rounding(program: Program, database_url: str) -> None:
    sql = "select 2.50 as short, 12345678901234567890.5 as long, date '2011-12-09' as day, true as yes"

    done = program("query", sql, "--json", "--database-url", database_url)

    assert json.loads(done.stdout) == [
        {"short": 2.5, "long": "12345678901234567890.5", "day": "2011-12-09", "yes": True}
    ]


@pytest.mark.parametrize("sql", ["create table evil (i int)", "select 1; select 2", "commit", "delete from pg_class"])
def test_query_cannot_write(program: Program, database_url: str, sql: str) -> None:
    done = program("query", sql, "--database-url", database_url)

    assert done.returncode in (0, 1)
    assert program("query", "select to_regclass('evil') as t", "--json", "--database-url", database_url).stdout == (
        '[\n  {\n    "t": null\n  }\n]\n'
    )


def test_init_is_repeatable(program: Program, database_url: str) -> None:
    for _ in range(2):
        assert program("init", "--database-url", database_url).returncode == 0


def test_a_password_on_the_command_line_causes_a_warning_and_is_not_printed(program: Program) -> None:
    done = program("status", "--database-url", "postgresql://me:topsecret@127.0.0.1:1/x")

    assert done.returncode == 1
    assert "can see a password" in done.stderr
    assert "topsecret" not in done.stderr + done.stdout


@pytest.mark.parametrize("contract", ["missing.toml", "wrong.toml"])
def test_a_missing_or_invalid_contract_is_an_error(program: Program, tmp_path: Path, contract: str) -> None:
    (tmp_path / "wrong.toml").write_text('name = "x"\ntable = "y"\ncolumns = 3\n')

    done = program("ingest", "--contract", contract)

    assert done.returncode == 1
    assert contract in done.stderr


def test_the_help_of_every_command_has_an_example() -> None:
    from docs.reference import TARGET, commands

    helps = TARGET.read_text(encoding="utf-8").split("\n## retailpipe ")[1:]

    assert [text.partition("\n")[0].split() for text in helps] == commands()
    for text in helps:
        assert "Example: " in text or "Commands:" in text, text


def test_docs_are_up_to_date_with_the_help() -> None:
    from docs.reference import TARGET, reference

    assert TARGET.read_text(encoding="utf-8") == reference(), "docs/cli.md is out of date; run `make docs`"


def test_progress_is_a_bar_on_a_terminal(make_workbook: Workbook, database_url: str, tmp_path: Path) -> None:
    shown, code = on_a_terminal(["ingest", make_workbook(), "--database-url", database_url], tmp_path)

    assert code == 0
    assert "loading rows" in shown
    assert "1/1" in shown


def test_every_command_is_in_exactly_one_group_of_the_help() -> None:
    from typer.main import get_command

    from retailpipe.cli.app import GROUPS, app

    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(get_command(app).commands)  # pyright: ignore[reportAttributeAccessIssue]


def test_a_hint_can_be_typed_for_a_file_whose_name_begins_with_a_dash(
    program: Program, tmp_path: Path, database_url: str
) -> None:
    place = ["--local", tmp_path / "home", "--database-url", database_url]
    file = tmp_path / "-e.csv"
    for content in ("a\n1\n", "a\n2\n"):
        file.write_text(content)
        done = program("upload", *place, "--", file.name)

    assert done.returncode == 1
    (hinted,) = re.findall(r"(upload \S.* --replace)`", done.stderr)
    assert program(*shlex.split(hinted)).returncode == 0
    assert (tmp_path / "home" / "input" / file.name).read_text() == "a\n2\n"


@pytest.mark.parametrize(
    ("path", "word"),
    [("-e.csv", "./-e.csv"), ("--stack", "./--stack"), ("a b", "'a b'"), ("- b", "'./- b'"), ("a", "a")],
)
def test_a_file_is_a_word_of_a_command(path: str, word: str) -> None:
    assert file_argument(Path(path)) == word
