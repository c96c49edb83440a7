"""Make the page: one HTML file that needs nothing else, no JavaScript and no request.

Templates escape every text. What is not escaped is made here: the SVG of charts, whose texts an XML writer escapes.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retailpipe import hints
from retailpipe.html_report import charts, figures, lineage_drawing, listings, own_figures, sentences, wording
from retailpipe.html_report.drawings import Drawing
from retailpipe.html_report.facts import Facts
from retailpipe.html_report.tables import Amount, Cell, Share

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"
_WIDE, _HALF, _NARROW = (840, 270), (470, 230), (316, 220)
"""The sizes of plots in pixels, width and height: across the page, in one of two columns, and on a phone."""


def page(facts: Facts, *, name: str, refresh_seconds: int | None = None, docs: str = "") -> str:
    """The HTML of the report.

    name: of the environment. refresh_seconds: how often a browser loads the page again; None for never.
    docs: the address of dbt's documentation, for a link; may be empty.
    """
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            facts=facts,
            name=name,
            refresh_seconds=refresh_seconds,
            docs=docs,
            figures=figures,
            listings=listings,
            own_figures=own_figures,
            sentences=sentences,
            lineage=lineage_drawing.drawing(facts.lineage),
            chart=_chart,
            exact=wording.plain,
            command=partial(_command, facts),
        )
    )


def templates(*folders: Path) -> jinja2.Environment:
    """The templates of the report, with those in other folders. They escape every text, and know the style sheet."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_TEMPLATES, *folders]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(  # pyright: ignore[reportUnknownMemberType]
        {"cleaned": wording.cleaned, "minute": wording.minute, "money": wording.money}
    )
    found.globals.update(  # pyright: ignore[reportUnknownMemberType]
        cell=_cell, style=_markup((_TEMPLATES / "page.css").read_text(encoding="utf-8"))
    )
    return found


def _command(facts: Facts, arguments: str) -> str:
    return hints.command(arguments, facts.options)


def _chart(drawing: Drawing, key: str, is_wide: bool) -> Markup:
    """The SVG of a chart in two sizes; the style of the page shows the one that fits."""
    label = f"{key}-title {key}-sentence"
    sizes = {"broad": _WIDE if is_wide else _HALF, "narrow": _NARROW}
    return _markup(
        "".join(
            f'<div class="chart {size}">{charts.svg(drawing, width, height, labelled_by=label)}</div>'
            for size, (width, height) in sizes.items()
        )
    )


def _cell(value: Cell) -> Markup:
    """The content of a cell of a table. Numbers carry all their digits, for programs that read the page."""
    from markupsafe import Markup

    match value:
        case None:
            return Markup("\N{EN DASH}")
        case int():
            return Markup('<data value="{}">{}</data>').format(value, wording.whole(value))
        case Decimal():
            return Markup('<data value="{}">{}</data>').format(wording.plain(value), wording.money(value))
        case Share():
            return Markup('<data value="{}">{}</data>').format(
                wording.plain(value.value), wording.percent(value.value, Decimal(1))
            )
        case Amount():
            return Markup('<data value="{}">{}</data>').format(value.value, wording.grouped(value.value, value.places))
        case datetime():
            return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), f"{value:%Y-%m-%d %H:%M}")
        case date():
            return Markup('<time datetime="{}">{}</time>').format(value.isoformat(), value.isoformat())
        case str():
            return Markup('<span dir="auto">{}</span>').format(wording.cleaned(value))


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - our style sheet, or SVG whose texts ElementTree escaped
