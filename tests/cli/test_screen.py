"""What commands print on terminals of several widths, and with --quiet."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

import retailpipe
from retailpipe import Environment
from retailpipe.local.server import EmbeddedServer
from retailpipe.sample import write_sample
from tests.conftest import ROW, Program, Workbook
from tests.support.nightly import most_nightly
from tests.support.servers import as_superuser
from tests.support.terminals import on_a_terminal
from tests.test_check import execute

REJECTED = 5
"""The rows of the sample that break the contract."""
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def place(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The options of an environment in which a workbook with five rejected rows is loaded and built."""
    url, name = server.start(), "screen"
    folder = tmp_path_factory.mktemp("screen")
    write_sample(folder / "book.xlsx", rows=200)
    execute(as_superuser(url), f"create database {name} owner retailpipe")
    url = url.replace("/retailpipe?", f"/{name}?")
    environment = Environment.local(folder / "home", database_url=url)
    assert retailpipe.run(environment, folder / "book.xlsx").ok
    yield ["--local", str(folder / "home"), "--database-url", url]
    execute(as_superuser(server.start()), f"drop database {name} with (force)")


@pytest.fixture
def command(program: Program, place: list[str]) -> Command:
    """Run a command on that environment, with pipes."""
    return lambda *arguments: program(*arguments, *place)


def table_lines(shown: str) -> list[str]:
    """The lines of a screen, without those that contain a command or a path to copy, which no command breaks."""
    return [line for line in shown.splitlines() if "`" not in line and "/" not in line.replace("input/", "")]


@pytest.mark.parametrize("columns", most_nightly([60, 80, 200], {0, 2}))
@pytest.mark.parametrize(
    "words",
    [["status"], ["rejects"], ["verify"], ["check"], ["query", "select *, 'x y' as t from bronze.rejected_rows"]],
    ids=lambda words: words[0],
)
def test_nothing_is_wider_than_the_terminal(words: list[str], columns: int, place: list[str], tmp_path: Path) -> None:
    shown, code = on_a_terminal([*words, *place], tmp_path, columns)

    assert code == 0
    assert len(table_lines(shown)) >= 4
    assert max(map(cell_len, table_lines(shown))) <= columns


def test_status_names_the_columns_that_it_leaves_out(place: list[str], tmp_path: Path) -> None:
    shown, _ = on_a_terminal(["status", *place], tmp_path, 80)
    wide, _ = on_a_terminal(["status", *place], tmp_path, 200)

    assert "first_date" not in shown.split("too narrow")[0]
    assert "the terminal is too narrow for first_date, last_date, finished_at; see them with `" in shown
    assert "status --local" in shown
    assert "first_date" in wide
    assert "too narrow" not in wide


def test_rejects_shows_how_to_correct_each_row(command: Command) -> None:
    first, *lines = command("rejects").stdout.splitlines()

    rows, hints = lines[1 : REJECTED + 1], lines[REJECTED + 2 :]
    assert first.split()[-1] == "hint"
    assert lines[REJECTED + 1] == "(5 rows)"
    numbers = {hint.partition(":")[0]: hint.partition(": ")[2] for hint in hints}
    for row in rows:
        assert numbers[f"hint {row.split()[-1]}"]
    [price] = [row for row in rows if "below_minimum" in row]
    assert "change the bounds of UnitPrice" in numbers[f"hint {price.split()[-1]}"]


def test_rejects_with_a_limit_says_how_many_rows_there_are(command: Command) -> None:
    assert "\n(2 of 5 rows)\n" in command("rejects", "--limit", "2").stdout
    assert "\n(5 rows)\n" in command("rejects", "--limit", "5").stdout
    found = json.loads(command("rejects", "--limit", "2", "--json").stdout)
    assert len(found) == 2
    assert "total" not in found[0]


def test_the_rejected_rows_of_a_load_are_wrapped_between_words(
    make_workbook: Workbook, place: list[str], tmp_path: Path
) -> None:
    book = make_workbook([ROW, (*ROW[:4], "last Tuesday", *ROW[5:])])

    shown, _ = on_a_terminal(["ingest", "--dry-run", book, *place], tmp_path, 50)

    lines = shown.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("  rejected "))
    assert lines[first : first + 2] == [
        "  rejected E3: 'last Tuesday' is not a date in",
        "    any format that the contract accepts",
    ]


def test_verify_and_check_end_with_their_verdict(command: Command) -> None:
    assert command("verify").stdout.endswith("\n\nverified: all 34 invariants hold\n")
    assert command("check").stdout.endswith("\n\nchecked: all 7 points pass\n")


@pytest.mark.parametrize(
    "words",
    most_nightly([["run"], ["ingest"], ["transform"], ["verify"], ["check"], ["watch", "--once"]], {0, 4, 5}),
)
def test_quiet_prints_nothing_if_all_is_well(command: Command, words: list[str]) -> None:
    done = command(*words, "--quiet")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quiet_with_json_only_hides_the_progress(command: Command) -> None:
    done = command("run", "--quiet", "--json")

    assert json.loads(done.stdout)["ok"] is True
    assert (done.returncode, done.stderr) == (0, "")


def test_quiet_prints_a_broken_invariant_to_standard_error(command: Command, place: list[str]) -> None:
    change = "update public_gold.monthly_sales_summary set quantity = quantity {} 1 where month = 3"
    execute(place[-1], change.format("+"))
    try:
        done = command("verify", "--quiet")
    finally:
        execute(place[-1], change.format("-"))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("\n\nFAILED: 1 of 34 invariants does not hold\n")


def test_quiet_prints_failures_to_standard_error(
    program: Program, make_workbook: Workbook, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.xlsx").write_text("not a workbook")
    place = ["--database-url", database_url, "--local", str(tmp_path / "home"), "--quiet"]

    uploaded = [program("upload", path, *place) for path in (make_workbook(), tmp_path / "bad.xlsx")]
    ingested = program("ingest", *place)
    checked = program("check", *place)
    run = program("run", *place)

    assert [(each.returncode, each.stdout, each.stderr) for each in uploaded] == [(0, "", "")] * 2
    assert (ingested.returncode, ingested.stdout) == (1, "")
    assert ingested.stderr.startswith("error: 1 of 2 workbooks was not loaded:\n- input/bad.xlsx is not an xlsx")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("not loaded: input/bad.xlsx is not an xlsx")
    assert run.stderr.count("\n") == 1
    assert (checked.returncode, checked.stdout) == (1, "")
    assert checked.stderr.endswith("\n\nFAILED: 4 of 7 points do not pass\n")


def test_without_rejected_rows_no_table_is_printed(
    program: Program, make_workbook: Workbook, database_url: str
) -> None:
    program("ingest", make_workbook(), "--database-url", database_url)

    assert program("rejects", "--database-url", database_url).stdout == "no rejected rows\n"


def test_one_row_is_not_called_rows(program: Program, make_workbook: Workbook, database_url: str) -> None:
    done = program("ingest", make_workbook(), "--database-url", database_url)

    assert done.stdout.endswith("(1 row read, 1 loaded, 0 rejected)\n")
