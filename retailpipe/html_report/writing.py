"""Make the report of an environment: as HTML, and as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from retailpipe.dbt_docs import DOCS_NAME
from retailpipe.environment import Environment, expanded
from retailpipe.errors import UsageError
from retailpipe.files import check_target, write_file
from retailpipe.folders import make_folder
from retailpipe.html_report.facts import Facts
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import ReportFile

REPORT_NAME = "report.html"
_REFRESH_SECONDS = 5


@dataclass(frozen=True)
class RenderedReport:
    """The report of an environment.

    ok: whether it shows no failure. verdict: its first sentence. summary: the verdict and the latest month.
    """

    html: str
    ok: bool
    verdict: str
    summary: str


def report_file(environment: Environment) -> Path:
    """The file that `write_report` writes if no other is given: `report.html` in the environment's folder."""
    return environment.folder / REPORT_NAME


def render_report(environment: Environment, *, certificate: str = "") -> str:
    """The HTML of the report of an environment.

    certificate: a sentence about the certificate of the present state, which the report shows at its top.

    Raises UsageError if the packages of the extra `report` are not installed, WarehouseError if the database cannot be
    read, AwsError for a stack.
    """
    return rendered_report(environment, certificate=certificate).html


def rendered_report(environment: Environment, *, certificate: str = "") -> RenderedReport:
    """The HTML of the report with what it says in words. Raises what `render_report` raises."""
    facts = _facts(environment, certificate=certificate)
    from retailpipe.html_report import sentences

    verdict = sentences.verdict(facts)
    latest = f" {sentences.latest_month(facts.sales)}" if facts.sales else ""
    return RenderedReport(_html(environment, facts), not facts.failures, verdict, f"{verdict}.{latest}")


def write_report(
    environment: Environment,
    out: str | Path | None = None,
    *,
    picture: str | Path | None = None,
    refreshes: bool = False,
    progress: Progress | None = None,
) -> ReportFile:
    """Write the report of an environment to a file; an existing file is replaced in one step.

    It has a link to dbt's documentation if that is beside it, as docs.html.

    out: the file. Default: `report.html` in the environment's folder.
    picture: also draw the latest full month as a PNG picture in this file.
    refreshes: whether a browser loads the page again every few seconds.

    Raises UsageError if a file cannot be written, if a picture is asked for and there are no sales, and what
    `render_report` raises.
    """
    target = Path(out) if out else report_file(environment)
    drawing = Path(picture) if picture else None
    if drawing and drawing.suffix.lower() != ".png":
        raise UsageError(f"the picture {drawing} would be a PNG image", hint="End the name in .png.")
    for each in filter(None, (out, drawing)):
        check_target(Path(each))  # before the work
    progress = progress or NoProgress()
    progress.step("reading the warehouse")
    facts = _facts(environment)
    progress.step("drawing the report")
    has_docs = (expanded(target).parent / DOCS_NAME).is_file()
    content = _html(
        environment, facts, _REFRESH_SECONDS if refreshes else None, docs=DOCS_NAME if has_docs else ""
    ).encode()
    if out is None:
        make_folder(environment.folder)
    write_file(target, content)
    if drawing:
        from retailpipe.html_report.picture import picture as draw

        write_file(drawing, draw(environment, facts, name=environment_name(environment)))
    from retailpipe.html_report.sentences import verdict

    return ReportFile(
        path=str(expanded(target).absolute()),
        bytes=len(content),
        ok=not facts.failures,
        verdict=verdict(facts),
        problems=tuple(f"{each.what}: {each.detail}" for each in facts.problems),
        picture=str(expanded(drawing).absolute()) if drawing else None,
    )


def environment_name(environment: Environment) -> str:
    """The name of an environment in its report: its stack's, or its folder's."""
    if environment.stack:
        return f"{environment.stack.outputs.project}/{environment.stack.outputs.stack}"
    return environment.folder.name


def _facts(environment: Environment, *, certificate: str = "") -> Facts:
    from retailpipe.html_report import charts, reading
    from retailpipe.threads import Worker

    charts.require()
    worker = Worker("warm-up")
    worker.submit(charts.warm_up)  # in the meantime: reading mostly waits for the database
    try:
        return reading.read_facts(environment, certificate=certificate)
    finally:
        worker.shutdown()


def _html(environment: Environment, facts: Facts, refresh_seconds: int | None = None, docs: str = "") -> str:
    from retailpipe.html_report.page import page

    return page(facts, name=environment_name(environment), refresh_seconds=refresh_seconds, docs=docs)
