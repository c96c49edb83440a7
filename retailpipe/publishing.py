"""Publish what a build has made into a stack's bucket, and fetch the newest report from there.

Publishing comes after the load and the build, which are committed: nothing that goes wrong here undoes or fails them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retailpipe.aws.session import is_credentials_error
from retailpipe.bronze import build_record
from retailpipe.bronze.schema import is_migrated
from retailpipe.dbt_docs import DOCS_NAME, render_docs
from retailpipe.environment import Environment
from retailpipe.errors import AwsError, RetailpipeError, UsageError, WarehouseError
from retailpipe.files import write_file
from retailpipe.folders import make_folder
from retailpipe.html_report import REPORT_NAME, rendered_report, report_file
from retailpipe.keys import REPORTS
from retailpipe.reports import Published, ReportFile

if TYPE_CHECKING:
    from retailpipe.aws.published import Link, PublishedReports

_HTML = "text/html; charset=utf-8"
SAFE_HEAD = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
)
"""How each of our reports begins. A file in the bucket that begins so cannot run a script, whoever wrote it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rendered:
    """A file that was made. summary, ok, verdict: of the report; other files have none."""

    content: bytes
    summary: str = ""
    ok: bool = True
    verdict: str = ""


def _report(environment: Environment) -> Rendered:
    made = rendered_report(environment)
    return Rendered(made.html.encode(), made.summary, made.ok, made.verdict)


def _docs(environment: Environment) -> Rendered:
    return Rendered(render_docs(environment).encode())


@dataclass(frozen=True)
class File:
    """A file that each build publishes. title: what a notice calls it."""

    name: str
    title: str
    content_type: str
    render: Callable[[Environment], Rendered]


FILES: Sequence[File] = (
    File(REPORT_NAME, "Report", _HTML, _report),
    File(DOCS_NAME, "Documentation of the models", _HTML, _docs),
)
"""What is published, in this order."""


def publish_reports(environment: Environment, build: int | None = None) -> Published:
    """Write the report and dbt's documentation into the bucket, under `reports/` and the number of the build.

    The report also becomes `reports/latest.html`, unless a newer build has published one.

    build: the number of the build. Default: of the last build that succeeded.

    A file that cannot be made or stored is named in `problems`. Raises UsageError if the environment is not a stack,
    and, if `build` is not given, WarehouseError.
    """
    bucket = _bucket(environment)
    number = build or _last_build(environment)
    keys: list[str] = []
    problems: list[str] = []
    summary = ""
    for file in FILES:
        key = f"{REPORTS}{number}/{file.name}"
        try:
            made = file.render(environment)
            if file.name == REPORT_NAME:
                summary = made.summary
            bucket.put(key, made.content, file.content_type)
            keys.append(key)
            if file.name == REPORT_NAME:
                bucket.renew_latest(number, made.content, file.content_type, ok=made.ok, verdict=made.verdict)
        except RetailpipeError as error:
            problems.append(f"{file.name} was not published: {error}. {error.hint}".strip())
        except Exception as error:  # a fault in drawing must not end a watch
            _log.warning("%s of build %d was not published", file.name, number, exc_info=True)
            problems.append(f"{file.name} was not published: {type(error).__name__}")
    for problem in problems:
        _log.warning("%s", problem)
    return Published(number, tuple(keys), tuple(problems), summary)


def links_text(environment: Environment, published: Published) -> str:
    """The links to what was published, with when they end, as paragraphs of a notice; empty if there are none.

    The links are secrets: everybody who has one can read the file. Do not log or store this text.
    """
    titles = {f"{REPORTS}{published.build}/{file.name}": file.title for file in FILES}
    try:
        links = [(titles[key], _bucket(environment).link(key)) for key in published.keys]
    except AwsError as error:
        _log.warning("%s", error)
        return ""
    if not links:
        return ""
    lines = [f"\n{title} of build {published.build}:\n\n    {link.url}" for title, link in links]
    many = len(links) > 1
    opens, ends = ("These links open", "They end") if many else ("This link opens", "It ends")
    lines.append(f"\n{opens} without a login: give {'them' if many else 'it'} only to people who may see the data.")
    lines.append(f"{ends} {_end(links[0][1])}.")
    return "\n".join(lines) + "\n"


def fetch_report(environment: Environment) -> ReportFile | None:
    """Fetch the newest published report of a stack into `report.html` of the environment's folder, replacing it.

    None if there is no report of the current state: if none was published, if something was loaded, removed or built
    since, if the file in the bucket is not a report, or if it may not be read. If the database cannot be reached, the
    newest report is fetched in any case, and `problems` says so.

    Raises UsageError if the environment is not a stack or the file cannot be written, AwsError if AWS cannot be reached
    or does not accept the credentials.
    """
    try:
        newest = _bucket(environment).newest()
    except AwsError as error:
        if is_credentials_error(error) or error.transient:
            raise
        _log.warning("%s", error)  # the stack is older than its reports: the student's policy does not allow them
        return None
    if newest is None or not newest.content.startswith(SAFE_HEAD.encode()):
        return None
    problems: tuple[str, ...] = ()
    try:
        if _current_build(environment) != newest.build:
            return None
    except (WarehouseError, AwsError) as error:
        problems = (f"this report may be out of date: {error}",)
    target = report_file(environment)
    make_folder(environment.folder)
    write_file(target, newest.content, private=True)
    return ReportFile(
        path=str(target.absolute()),
        bytes=len(newest.content),
        ok=newest.ok,
        verdict=newest.verdict or "A published report",
        problems=problems,
        build=newest.build,
    )


def _bucket(environment: Environment) -> PublishedReports:
    if environment.stack is None:
        raise UsageError("only the reports of an AWS stack are published", hint="Add --stack NAME.")
    from retailpipe.aws.published import PublishedReports

    return PublishedReports(environment.stack)


def _last_build(environment: Environment) -> int:
    with environment.warehouse.connect(read_only=True) as connection:
        return build_record.last_number(connection) if is_migrated(connection) else 0


def _current_build(environment: Environment) -> int:
    """The number of the last build, if nothing was loaded or removed since; otherwise 0."""
    with environment.warehouse.connect(read_only=True) as connection:
        return build_record.current_number(connection) if is_migrated(connection) else 0


def _end(link: Link) -> str:
    if link.is_exact:
        return f"on {link.until:%Y-%m-%d at %H:%M} UTC"
    return f"on {link.until:%Y-%m-%d at %H:%M} UTC at the latest, or with the AWS session that signed the link"
