"""Prints the reports of commands, as text for people or as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retailpipe.cli.invocation import as_typed
from retailpipe.cli.terminal import say
from retailpipe.errors import UsageError
from retailpipe.reports import (
    BuildReport,
    CheckReport,
    EnvironmentReport,
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

_REJECTS_SHOWN = 3


def print_json(document: object) -> None:
    """Print one JSON document. A number that JSON readers would round is printed as a string."""
    say(_json_text(document))


def _json_text(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2, default=_json_value)


def print_report(report: Report, json: bool) -> None:
    """Print a report that its own `str()` shows completely."""
    print_json(report.as_dict()) if json else say(str(report))


def print_loads(reports: Sequence[LoadReport]) -> None:
    if not reports:
        say("no new workbooks")
    for report in reports:
        say(str(report))
        if report.ignored_columns:
            say(f"  ignored columns, not in the contract: {', '.join(report.ignored_columns)}")
        for reject in report.rejects[:_REJECTS_SHOWN]:
            say(f"  rejected {reject.cell}: {reject.message}")
        if report.load_id is not None and report.rows_rejected > _REJECTS_SHOWN and report.status != "unchanged":
            say(as_typed("  list all rejected rows with `retailpipe rejects`"))


def print_build(report: BuildReport) -> None:
    say(str(report))
    for failure in report.failures:
        say(f"  {failure.status}: {failure.kind} {failure.name}: {failure.message}")
        if failure.rows:
            say(indented(table_text(list(failure.rows[0]), [list(row.values()) for row in failure.rows])))


def print_verification(report: VerifyReport) -> None:
    say(table_text(["table", "rows"], list(report.tables.items())))
    say("")
    rows = [["ok" if i.ok else "FAILED", i.name, i.expected, i.actual] for i in report.invariants]
    say(table_text(["", "invariant", "expected", "actual"], rows))


def print_check(report: CheckReport) -> None:
    for point in report.points:
        say(f"{'ok' if point.ok else 'FAILED':<7} {point.name}: {point.detail}")
        if point.hint and not point.ok:
            say(f"        {as_typed(point.hint)}")


def print_run(report: RunReport) -> None:
    for failure in report.failures:
        say(f"not loaded: {as_typed(failure)}")
    if report.loads or not report.failures:
        print_loads(report.loads)
    print_build(report.build)
    if report.verification is None:
        return
    broken = [invariant for invariant in report.verification.invariants if not invariant.ok]
    if broken:
        print_verification(report.verification)
    else:
        say(f"verified: all {len(report.verification.invariants)} invariants hold")
        for layer in ("silver", "gold"):
            prefix = f"public_{layer}."
            counts = {n.removeprefix(prefix): r for n, r in report.verification.tables.items() if n.startswith(prefix)}
            say(f"  {layer}: {', '.join(f'{name} {rows:,}' for name, rows in counts.items())}")


def print_handled(handled: Handled) -> None:
    for failure in handled.failures:
        say(f"failed: {as_typed(failure)}")
    if handled.run:
        print_run(handled.run)


def print_status(report: StatusReport) -> None:
    say(f"store: {report.store}")
    if report.loads:
        columns = [
            "load_id",
            "status",
            "source",
            "rows_loaded",
            "rows_rejected",
            "first_date",
            "last_date",
            "finished_at",
        ]
        say(table_text(columns, [[load[column] for column in columns] for load in report.loads]))
    else:
        say("nothing is loaded yet")
    if report.waiting:
        say(f"not loaded yet: {', '.join(report.waiting)}")
        say(as_typed("load them with `retailpipe ingest`"))
    else:
        say("no new workbooks")
    if report.given_up:
        notices = "1 upload notice is" if report.given_up == 1 else f"{report.given_up} upload notices are"
        say(as_typed(f"failed: {notices} in the dead-letter queue; load the workbooks with `retailpipe ingest`"))


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
    say(table_text(["server", "workbooks", "last_load", "size", "folder"], rows))


def print_servers(reports: Sequence[EnvironmentReport], remains: Sequence[Remains]) -> None:
    if reports:
        rows = [[each.server, each.port, each.pid, _megabytes(each.size), each.folder] for each in reports]
        say(table_text(["state", "port", "pid", "size", "folder"], rows))
    else:
        say("there are no embedded servers")
    known = [each for each in remains if each.folder is not None]
    if known:
        say("\nremains of environments that do not exist any more or have other data:")
        columns = ["pid", "size", "data", "environment", "kept"]
        rows = [[e.pid, _megabytes(e.size), e.data, e.folder, e.kept] for e in known]
        say(table_text(columns, rows))
    if any(not each.kept for each in known):
        say(as_typed("delete them with `retailpipe local destroy --remains`"))
    if unknown := [each for each in remains if each.folder is None]:
        size, home = _megabytes(sum(each.size for each in unknown)), Path(unknown[0].data).parent
        say(f"\nmade by an earlier version, environment unknown: {len(unknown)} in {home}, {size}")


def print_table(table: pa.Table, form: str) -> None:
    """Print the rows of a query. form: table, csv or json.

    Raises UsageError if two columns have the same name and the form is json.
    """
    if form == "table":
        say(table_text(table.column_names, _rows(table)))
        say(f"({table.num_rows:,} {'row' if table.num_rows == 1 else 'rows'})")
    else:
        say(table_document(table, form), nl=False)


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
    return table_text(table.column_names, _rows(table)) + "\n"


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    from retailpipe.spreadsheet import rows_of

    return list(rows_of(table))


def table_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return the rows as an aligned table with a header; columns of numbers are right-aligned."""
    cells = [[_shown(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    right = [all(isinstance(row[i], int | float | Decimal | None) for row in rows) for i in range(len(columns))]

    def line(values: Sequence[str]) -> str:
        aligned = [v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True)]
        return "  ".join(aligned).rstrip()

    return "\n".join([line(columns), line(["-" * width for width in widths]), *map(line, cells)])


def indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    if isinstance(value, bytes):
        return rf"\x{value.hex()}"
    return " ".join(str(value).splitlines())


def _csv_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, bytes):
        return _shown(value)
    return json.dumps(value, default=_json_value) if isinstance(value, list | Mapping) else value


def _json_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return int(value)
        return float(value) if Decimal(repr(float(value))) == value else format(value, "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    return _shown(value)
