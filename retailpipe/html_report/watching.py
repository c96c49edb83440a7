"""Write the report again whenever what it shows has changed."""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from pathlib import Path

from retailpipe.bronze.locks import is_building
from retailpipe.bronze.schema import is_migrated
from retailpipe.environment import Environment, expanded
from retailpipe.errors import WarehouseError
from retailpipe.files import write_file
from retailpipe.html_report.writing import report_file, write_report
from retailpipe.reports import ReportFile

_POLL_SECONDS = 2.0
_REFRESH = re.compile(r'<meta http-equiv="refresh" [^>]*>\n?')
_STATE = """
    select array_agg(part order by part) from (
        select concat_ws(' ', 'build', project, number, finished_at) from bronze.builds
        union all
        select concat_ws(' ', 'load', max(load_id), count(*) filter (where status = 'loaded')) from bronze.loads
        union all
        select concat_ws(' ', 'refusal', source, refused_at) from bronze.refusals
    ) as parts (part)
"""


def watch_report(
    environment: Environment, out: str | Path | None = None, *, poll_seconds: float = _POLL_SECONDS
) -> Generator[ReportFile]:
    """Write the report now, and after each load and each build; yield what was written. It never ends by itself.

    A browser loads the page again every few seconds, until the iterator is closed or Ctrl-C ends it.

    Raises what `write_report` raises. If the connection is lost later, it tries again.
    """
    written: object = None
    try:
        while True:
            try:
                state = _state(environment)
                if state and state != written:
                    report = write_report(environment, out, refreshes=True)
                    written = state
                    yield report
            except WarehouseError as error:
                if not (written and error.transient):
                    raise
            time.sleep(poll_seconds)
    finally:
        if written:
            _stop_refreshing(expanded(out) if out else report_file(environment))


def _state(environment: Environment) -> tuple[object, ...]:
    """What the report depends on: the builds, the loads and the refused workbooks. Empty during a build."""
    with environment.warehouse.connect(read_only=True) as connection:
        if not is_migrated(connection):
            return ("no schema",)
        return () if is_building(connection) else connection.row(_STATE) or ()


def _stop_refreshing(path: Path) -> None:
    """Remove what makes a browser load the page again."""
    page = path.read_text(encoding="utf-8")
    write_file(path, _REFRESH.sub("", page, count=1).encode())
