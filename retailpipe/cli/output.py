"""Print the reports of commands, as text for people or as JSON."""

from __future__ import annotations

import csv
import io
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retailpipe.cli.invocation import as_typed, command
from retailpipe.cli.json_text import say_json
from retailpipe.cli.tables import shown, table_text, wrapped
from retailpipe.cli.terminal import escaped, say, width
from retailpipe.counts import counted, some_of
from retailpipe.errors import UsageError
from retailpipe.keys import printable
from retailpipe.reports import (
    BuildReport,
    CheckReport,
    EnvironmentReport,
    ForgetReport,
    LoadReport,
    Report,
    RunReport,
    StatusReport,
    VerifyReport,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from retailpipe.local.remains import Remains
    from retailpipe.watch import Handled

LOADS_SHOWN = 30
"""`status` prints this many loads, so that a screen shows the newest ones and what waits."""
_NAMES_SHOWN = 10
_REJECTS_SHOWN = 3


def print_json(document: object) -> None:
    """Print one JSON document. A number that JSON readers would round is printed as a string."""
    say_json(_json_text(document))


def _json_text(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2, default=_json_value)


def print_result(document: object, print_text: Callable[[], None], *, json: bool, quiet: bool, ok: bool = True) -> None:
    """Print the result of a command: the document if `json`, else the text as `unless_quiet` does."""
    print_json(document) if json else unless_quiet(print_text, quiet=quiet, ok=ok)


def unless_quiet(print_text: Callable[[], None], *, quiet: bool, ok: bool) -> None:
    """Print a text. If `quiet`, print nothing if all is well, and the text to standard error otherwise."""
    if not quiet:
        print_text()
    elif not ok:
        with redirect_stdout(sys.stderr):
            print_text()


def print_report(report: Report, json: bool) -> None:
    """Print a report that its own `str()` shows completely."""
    print_json(report.as_dict()) if json else say(str(report))


def print_loads(reports: Sequence[LoadReport]) -> None:
    if not reports:
        say("no new workbooks")
    for report in reports:
        say(str(report))
        if report.ignored_columns:
            say_text(f"  ignored columns, not in the contract: {', '.join(report.ignored_columns)}", indent=4)
        for overlap in report.overlaps:
            say_text(f"  {counted(overlap.rows, 'row is', 'rows are')} also in {overlap}", indent=4)
        for reject in report.rejects[:_REJECTS_SHOWN]:
            cell = reject.cell if reject.sheet == report.sheet else f"{reject.sheet!r} {reject.cell}"
            say_text(f"  rejected {cell}: {reject.message}", indent=4)
        if report.load_id is not None and report.rows_rejected > _REJECTS_SHOWN and report.status != "unchanged":
            say(as_typed("  list all rejected rows with `retailpipe rejects`"))
    if sum(report.load_id is None and report.status != "unchanged" for report in reports) > 1:
        say("a dry run compares the rows with those that are loaded, but not with those of its other workbooks")


def print_build(report: BuildReport) -> None:
    say(str(report))
    for failure in report.failures:
        say(f"  {failure.status}: {failure.kind} {failure.name}: {failure.message}")
        if failure.rows:
            say_table(list(failure.rows[0]), [list(row.values()) for row in failure.rows], indent=4)
    if report.tables_read and not report.up_to_date:
        say_text(f"  tables of bronze that were read: {', '.join(report.tables_read)}", indent=4)
    for table in report.tables_unread:
        say(f"  no model reads {table}; to write one, see docs/models.md")
    for relation in report.leftovers:
        say(f"  no model builds {relation} any more; drop it if you do not need it")


def print_verification(report: VerifyReport) -> None:
    say_table(["table", "rows"], list(report.tables.items()))
    say("")
    rows = [["ok" if i.ok else "FAILED", i.name, i.expected, i.actual] for i in report.invariants]
    say_table(["result", "invariant", "expected", "actual"], rows)
    say(f"\n{report}")


def print_check(report: CheckReport) -> None:
    for point in report.points:
        say_text(f"{'ok' if point.ok else 'FAILED':<7} {point.name}: {point.detail}", indent=8)
        if point.hint and not point.ok:
            say(f"        {as_typed(point.hint)}")
    say(f"\n{report}")


def print_run(report: RunReport, *, problems_only: bool = False) -> None:
    for failure in report.failures:
        say(f"not loaded: {as_typed(failure)}")
    if not problems_only and (report.loads or not report.failures):
        print_loads(report.loads)
    print_built(report, problems_only=problems_only)


def print_built(report: RunReport, *, problems_only: bool = False) -> None:
    """Print what `run` did after the loads."""
    if not (problems_only and report.build.ok):
        print_build(report.build)
    if report.verification is None:
        return
    if report.verification.broken:
        print_verification(report.verification)
    elif not problems_only:
        say(str(report.verification))
        for layer in ("silver", "gold", "own"):
            prefix = f"public_{layer}."
            counts = {n.removeprefix(prefix): r for n, r in report.verification.tables.items() if n.startswith(prefix)}
            if counts:
                say_text(f"  {layer}: {', '.join(f'{name} {rows:,}' for name, rows in counts.items())}", indent=4)


def print_forgotten(report: ForgetReport) -> None:
    say(str(report.forgotten))
    if report.build:
        print_built(report.build)


def print_handled(handled: Handled, *, problems_only: bool = False) -> None:
    for failure in handled.failures:
        say(f"failed: {as_typed(failure)}")
    if handled.run:
        print_run(handled.run, problems_only=problems_only)


def print_status(report: StatusReport) -> None:
    say(f"store: {report.store}")
    if report.loads:
        columns = [
            "load_id",
            "status",
            "source",
            "rows_loaded",
            "rows_rejected",
            "rows_corrected",
            "first_date",
            "last_date",
            "finished_at",
        ]
        if not any(load.get("rows_corrected") for load in report.loads):
            columns.remove("rows_corrected")
        rows = [[load[column] for column in columns] for load in report.loads]
        say_table(columns, rows, spare=["first_date", "last_date", "finished_at"], complete="status --json")
        if report.loads_in_ledger > len(report.loads):
            shown = f"the newest {len(report.loads)} of {counted(report.loads_in_ledger, 'load')}"
            say(as_typed(f"{shown}; list all with `retailpipe status --json`"))
            workbooks = counted(report.workbooks_loaded, "workbook is", "workbooks are")
            say(f"{workbooks} loaded, with {counted(report.rows_loaded, 'row')}")
    else:
        say("nothing is loaded yet")
        if not (report.waiting or report.kept):
            say(as_typed("load a workbook with `retailpipe run FILE`"))
    if report.removed:
        say(f"loaded, but no longer in the store: {_some_names(report.removed)}")
        first = shlex.quote(report.removed[0])
        say(as_typed(f"put the workbook back, or delete its rows with `retailpipe forget {first}`"))
    if report.kept:
        say(f"forgotten, but kept in the store: {_some_names(report.kept)}")
        say(as_typed(f"load it again with `retailpipe ingest {shlex.quote(report.kept[0])}`"))
    if report.waiting:
        say(f"not loaded yet: {_some_names(report.waiting)}")
        say(as_typed("load them with `retailpipe ingest`"))
        for refusal in report.refusals[:_NAMES_SHOWN]:
            say(str(refusal))
        if (more := len(report.refusals) - _NAMES_SHOWN) > 0:
            refused = counted(more, "more workbook was", "more workbooks were")
            say(as_typed(f"{refused} refused; list all with `retailpipe status --json`"))
    elif report.loads:
        say("no new workbooks")
    if report.contract_error:
        say(as_typed(f"nothing can be loaded: {report.contract_error}"))
    if report.given_up:
        notices = counted(report.given_up, "upload notice is", "upload notices are")
        say(as_typed(f"failed: {notices} in the dead-letter queue; load the workbooks with `retailpipe ingest`"))


def _some_names(names: Sequence[str]) -> str:
    return some_of([printable(name) for name in names], _NAMES_SHOWN)


def print_environments(reports: Sequence[EnvironmentReport]) -> None:
    if not reports:
        say(as_typed("there are no environments yet; create one with `retailpipe run FILE`"))
        return
    servers = {"own": "your own server", "none": "no database"}
    rows = [
        [
            f"running on port {report.port}"
            if report.server == "running"
            else servers.get(report.server, report.server),
            report.workbooks,
            report.last_load,
            _megabytes(report.size),
            report.folder,
        ]
        for report in reports
    ]
    say_table(["server", "workbooks", "last_load", "size", "folder"], rows)


def print_servers(reports: Sequence[EnvironmentReport], remains: Sequence[Remains]) -> None:
    if reports:
        rows = [[each.server, each.port, each.pid, _megabytes(each.size), each.folder] for each in reports]
        say_table(["state", "port", "pid", "size", "folder"], rows)
    else:
        say("there are no embedded servers")
    known = [each for each in remains if each.folder is not None]
    if known:
        say("\ndata that no environment uses any more, as far as known:")
        columns, rows = ["size", "data", "environment"], [[_megabytes(e.size), e.data, e.folder] for e in known]
        if any(each.kept for each in known):
            columns, rows = [*columns, "kept"], [[*row, e.kept] for row, e in zip(rows, known, strict=True)]
        say_table(columns, rows)
    if any(not each.kept for each in known):
        say(as_typed("delete them with `retailpipe local destroy --remains`"))
    if unknown := [each for each in remains if each.folder is None]:
        size, home = _megabytes(sum(each.size for each in unknown)), Path(unknown[0].data).parent
        folders = counted(len(unknown), "data folder")
        say(f"\n{folders} in {home} ({size}) of an earlier version are kept: their environments are unknown")
        say("if no environment links to them, delete them by hand")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def print_table(table: pa.Table, form: str) -> None:
    """Print the rows of a query. form: table, csv or json.

    Raises UsageError if two columns have the same name and the form is json.
    """
    if form == "table":
        say_table(table.column_names, _rows(table))
        say(f"({counted(table.num_rows, 'row')})")
    else:
        (say_json if form == "json" else say)(table_document(table, form), nl=False)


def table_document(table: pa.Table, form: str) -> str:
    """Return the rows of a query as a document that ends with a line break. form: table, csv or json.

    Raises UsageError if two columns have the same name and the form is json.
    """
    if form == "json":
        names = table.column_names
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            message = f"JSON needs unique column names; several columns are named {', '.join(doubled)}"
            raise UsageError(message, hint="Give each column its own name: select ... as name.")
        return _json_text([dict(zip(names, row, strict=True)) for row in _rows(table)]) + "\n"
    if form == "csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows([_csv_value(value) for value in row] for row in _rows(table))
        return buffer.getvalue()
    text, _ = table_text(table.column_names, _rows(table))
    return text + "\n"


def csv_document(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows with the same keys as a CSV document with a header; an empty text if there are no rows."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow(row)
        writer.writerow([_csv_value(value) for value in row.values()])
    return buffer.getvalue()


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    from retailpipe.spreadsheet import rows_of

    return list(rows_of(table))


def print_rejects(found: pa.Table, total: int) -> None:
    """Print rejected rows. Many have the same hint, so each hint is printed once, with a number, below the table."""
    if not total:
        say("no rejected rows")
        return
    columns = ["source", "sheet", "cell", "column_name", "raw_value", "code", "message"]
    numbers: dict[str, int] = {}
    rows = [
        [*(row[column] for column in columns), numbers.setdefault(row["hint"], len(numbers) + 1)]
        for row in found.to_pylist()
    ]
    if any(corrected := [row["corrected_by"] for row in found.to_pylist()]):
        columns.append("corrected_by")
        for row, load_id in zip(rows, corrected, strict=True):
            row.insert(-1, load_id)
    # Most workbooks are loaded from one sheet, and the cell and the message show the rest.
    spare = ["sheet", "code", "column_name", "raw_value"]
    say_table([*columns, "hint"], rows, spare=spare, complete="rejects --json")
    of_total = f"{len(rows):,} of " if len(rows) < total else ""
    done = sum(load_id is not None for load_id in corrected)
    say(f"({of_total}{counted(total, 'row')}{f'; {done:,} of these are corrected' if done else ''})")
    for hint, number in numbers.items():
        say_text(f"hint {number}: {as_typed(hint)}", indent=4)


def say_text(text: str, *, indent: int) -> None:
    """Print a text. On a terminal it is wrapped between words, and all lines but the first are indented."""
    screen = width()
    lines = wrapped(escaped(text), screen - indent, break_words=False) if screen else [text]
    say(f"\n{' ' * indent}".join(lines))


def say_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    indent: int = 0,
    spare: Sequence[str] = (),
    complete: str = "",
) -> None:
    """Print rows as a table that is not wider than the terminal.

    spare: the columns that may be left out if the table does not fit, the least important first.
    complete: the command that prints all columns.
    """
    screen = width()
    text, left_out = table_text(columns, rows, width=screen and screen - indent, spare=spare)
    if text:
        say("\n".join(" " * indent + line for line in text.split("\n")))
    if left_out:
        say(f"the terminal is too narrow for {', '.join(left_out)}; see them with `{command(complete)}`")


def _csv_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, bytes):
        return shown(value)
    return json.dumps(value, default=_json_value) if isinstance(value, list | Mapping) else value


def _json_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return int(value)
        return float(value) if Decimal(repr(float(value))) == value else format(value, "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    return shown(value)
