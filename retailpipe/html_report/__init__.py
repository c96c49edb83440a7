"""The report: one HTML file for people, with everything that the warehouse and the ledger say.

`reading` reads the facts, `figures` and `listings` arrange them, `sentences` puts them into words, `charts` draws, and
`page` fills the templates. The packages of the extra `report` are imported on first use.
"""

from __future__ import annotations

from retailpipe.html_report.watching import watch_report
from retailpipe.html_report.writing import (
    REPORT_NAME,
    environment_name,
    render_report,
    rendered_report,
    report_file,
    write_report,
)

__all__ = [
    "REPORT_NAME",
    "environment_name",
    "render_report",
    "rendered_report",
    "report_file",
    "watch_report",
    "write_report",
]
