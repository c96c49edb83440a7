"""Draw charts as SVG or PNG. This is the only module that imports Altair and vl-convert.

An SVG in the page has no colours of its own: it uses the page's CSS variables, so that it follows the reader's light or
dark scheme. A PNG has the colours of the light scheme.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, assert_never
from xml.etree import ElementTree as ET

from retailpipe.errors import UsageError
from retailpipe.html_report.drawings import Columns, Drawing, Line, MonthlySales, Ranking, Stack
from retailpipe.html_report.wording import cleaned

HINT = "Install what the report needs with its extra: pip install 'retailpipe[report]'."
_SVG = "http://www.w3.org/2000/svg"
_FONT = "system-ui, sans-serif"
_CHARACTER = 7
"""The width of a character in pixels, at most. Each browser has its own font."""
_SPACE_FOR_TICK = 24
_RANKING_STEP = 38
_POINTS_MARKED = 40
"""A line with more points has no mark at each of them."""
_PLACES = {"d", "transform", "x", "y", "x1", "x2", "y1", "y2", "dy"}
"""Attributes with places in pixels, which are rounded to a tenth of a pixel."""
_LONG_NUMBER = re.compile(r"\d+\.\d\d+")
_INHERITED = ("fill", "stroke", "stroke-width", "font-size", "text-anchor")
"""Attributes that elements take from the one that they are in."""
_DROPPED = {"class", "role", "pointer-events", "stroke-miterlimit", "version", "font-family"}
"""Attributes without an effect in the page, which has its own font."""


@dataclass(frozen=True)
class Palette:
    """The colours of a chart."""

    accent: str
    soft: str
    contrast: str
    ink: str
    muted: str
    rule: str
    paper: str


ON_PAGE = Palette(
    "var(--accent)", "var(--soft)", "var(--contrast)", "var(--ink)", "var(--muted)", "var(--rule)", "var(--paper)"
)
ON_PAPER = Palette("#1f5fa8", "#b9d0ea", "#b4552d", "#1d2430", "#5b6472", "#e3e6ea", "#ffffff")


def require() -> None:
    """Raise UsageError if the packages of the extra `report` are not installed."""
    try:
        import altair as alt  # noqa: F401 # pyright: ignore[reportUnusedImport]
        import jinja2  # noqa: F401 # pyright: ignore[reportUnusedImport]
        import vl_convert  # noqa: F401 # pyright: ignore[reportUnusedImport, reportMissingImports]
    except ModuleNotFoundError as error:
        raise UsageError(f"the report needs {error.name}, which is not installed", hint=HINT) from error


def svg(drawing: Drawing, width: int, height: int, *, labelled_by: str) -> str:
    """A drawing as an SVG element for the page, scaled to the width of its box.

    width, height: of the plot, in pixels; a ranking is as high as it has bars. labelled_by: the ids of its title and
    its description in the page.
    """
    import vl_convert

    spec = _chart(drawing, width, height, ON_PAGE).to_dict()
    drawn = vl_convert.vegalite_to_svg(spec, vl_version=_version())
    root = ET.fromstring(drawn)  # noqa: S314 - written by vl-convert, without entities
    for element in root.iter():
        for name, value in [*element.attrib.items()]:
            if name in _DROPPED or name.startswith("aria-") or (name, value) == ("opacity", "1"):
                del element.attrib[name]
            elif name in _PLACES:
                element.set(name, _LONG_NUMBER.sub(lambda found: f"{float(found[0]):.1f}", value))
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    _without_empty(root)
    _hoist(root)
    root.set("role", "img")
    root.set("aria-labelledby", labelled_by)
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")


def png(drawing: Drawing, width: int, height: int, *, title: str, subtitle: Sequence[str]) -> bytes:
    """A drawing as a PNG image with twice the pixels, on white, with a title."""
    import vl_convert

    chart = _chart(drawing, width, height, ON_PAPER)
    chart = chart.properties(
        background="white",
        padding=28,
        title={
            "text": cleaned(title),
            "subtitle": [cleaned(line) for line in subtitle],
            "anchor": "start",
            "frame": "bounds",
            "fontSize": 24,
            "subtitleFontSize": 15,
            "subtitleLineHeight": 22,
            "color": ON_PAPER.ink,
            "subtitleColor": ON_PAPER.muted,
            "offset": 24,
        },
    )
    return vl_convert.vegalite_to_png(chart.to_dict(), vl_version=_version(), scale=2)


def _version() -> str:
    import altair as alt

    return ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def _without_empty(element: ET.Element) -> None:
    """Remove groups without content, and paths that have no colour."""
    for child in [*element]:
        _without_empty(child)
        tag = child.tag.rpartition("}")[2]
        if (tag == "g" and not len(child)) or (tag == "path" and not {"fill", "stroke"} & set(child.attrib)):
            element.remove(child)


def _hoist(element: ET.Element) -> None:
    """Move an attribute that all children of an element have in common to the element: the file gets smaller."""
    for child in element:
        _hoist(child)
    for name in _INHERITED:
        values = {child.get(name) for child in element}
        if len(element) > 1 and len(values) == 1 and None not in values:
            element.set(name, values.pop() or "")
            for child in element:
                del child.attrib[name]


def _chart(drawing: Drawing, width: int, height: int, palette: Palette) -> Any:
    """The Altair chart of a drawing. Its types are not known: Altair's own are too wide to help here."""
    match drawing:
        case Columns():
            chart = _columns(drawing, width, palette)
        case MonthlySales():
            chart = _monthly_sales(drawing, width, palette)
        case Stack():
            chart = _stack(drawing, width, palette)
        case Ranking():
            chart = _ranking(drawing, width, palette)
            height = _RANKING_STEP * len(drawing.names)
        case Line():
            chart = _line(drawing, palette)
        case _:
            assert_never(drawing)
    axis = {
        "labelColor": palette.muted,
        "labelFontSize": 12,
        "domainColor": palette.rule,
        "gridColor": palette.rule,
        "tickColor": palette.rule,
        "ticks": False,
        "domain": False,
        "title": None,
    }
    return (
        chart.properties(width=width, height=height, padding=2, background="transparent")
        .configure(font=_FONT)
        .configure_view(stroke=None)
        .configure_axis(**axis)
        .configure_axisX(labelAngle=0, labelPadding=6)
        .configure_text(font=_FONT, fontSize=12, color=palette.ink)
    )


def _columns(drawing: Columns, width: int, palette: Palette) -> Any:
    alt = _altair()
    has_texts = _have_space(drawing.texts, width)
    rows = [
        {"i": index, "value": float(value), "text": text if has_texts else "", "pale": index == drawing.pale}
        for index, (value, text) in enumerate(zip(drawing.values, drawing.texts, strict=True))
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(x=_category_axis(drawing.ticks, width))
    y = alt.Y("value:Q", axis=None if has_texts else _value_axis())
    bars = base.mark_bar(aria=False, color=palette.accent).encode(y=y, opacity=_opacity("datum.pale"))
    return bars + _texts(base, drawing.values).encode(y=y, text="text:N")


def _monthly_sales(drawing: MonthlySales, width: int, palette: Palette) -> Any:
    alt = _altair()
    count = len(drawing.revenue)
    has_texts = _have_space(drawing.texts, width)
    rows = [
        {
            "i": index,
            "revenue": float(drawing.revenue[index]),
            "returns": -float(drawing.returns[index]),
            "net": float(drawing.net[index]),
            "before": None if before is None else float(before),
            "text": drawing.texts[index] if has_texts else "",
            "pale": drawing.is_partial and index == count - 1,
        }
        for index, before in enumerate(drawing.year_before)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(x=_category_axis(drawing.ticks, width))
    axis = None if has_texts else _value_axis()
    opacity = _opacity("datum.pale")
    step = width / max(1, count)
    revenue = base.mark_bar(aria=False, color=palette.accent).encode(y=alt.Y("revenue:Q", axis=axis), opacity=opacity)
    returns = base.mark_bar(aria=False, color=palette.contrast).encode(y="returns:Q", opacity=opacity)
    net = base.mark_tick(aria=False, color=palette.paper, thickness=2, size=max(3, step * 0.62)).encode(y="net:Q")
    before = (
        base.transform_filter("datum.before != null")
        .mark_point(aria=False, color=palette.ink, filled=False, size=36, strokeWidth=1.5, opacity=1)
        .encode(y="before:Q")
    )
    return revenue + returns + net + before + _texts(base, drawing.revenue).encode(y="revenue:Q", text="text:N")


def _stack(drawing: Stack, width: int, palette: Palette) -> Any:
    alt = _altair()
    last = len(drawing.lower) - 1
    rows = [
        {
            "i": index,
            "lower": float(lower),
            "both": float(lower + upper),
            "pale": drawing.is_partial and index == last,
        }
        for index, (lower, upper) in enumerate(zip(drawing.lower, drawing.upper, strict=True))
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=_category_axis(drawing.ticks, width), opacity=_opacity("datum.pale")
    )
    lower = base.mark_bar(aria=False, color=palette.accent).encode(y=alt.Y("lower:Q", axis=_value_axis()))
    upper = base.mark_bar(aria=False, color=palette.soft).encode(y="lower:Q", y2="both:Q")
    return lower + upper


def _ranking(drawing: Ranking, width: int, palette: Palette) -> Any:
    alt = _altair()
    rows = [
        {"i": index, "name": " ".join(cleaned(name).split()), "value": float(value), "text": text}
        for index, (name, value, text) in enumerate(zip(drawing.names, drawing.values, drawing.texts, strict=True))
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(y=alt.Y("i:O", axis=None, scale=alt.Scale(padding=0)))
    bars = base.mark_bar(aria=False, color=palette.accent, height=7, yOffset=9).encode(
        x=alt.X("value:Q", axis=None, scale=alt.Scale(nice=False))
    )
    space = max((len(text) for text in drawing.texts), default=0) * _CHARACTER + 16
    names = base.mark_text(aria=False, align="left", dy=-5, fontSize=13, limit=width - space).encode(
        x=alt.value(0), text="name:N"
    )
    texts = base.mark_text(aria=False, align="right", dy=-5, fontSize=13, color=palette.muted).encode(
        x=alt.value(width), text="text:N"
    )
    return bars + names + texts


def _line(drawing: Line, palette: Palette) -> Any:
    alt = _altair()
    types = {"date": "T", "number": "Q", "text": "O"}
    rows = [
        {"x": float(x) if drawing.x_kind == "number" else cleaned(x), "y": float(y)}
        for x, y in zip(drawing.x, drawing.y, strict=True)
    ]
    x = alt.X(f"x:{types[drawing.x_kind]}", sort=None, axis=alt.Axis(grid=False, labelOverlap=True, labelLimit=80))
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, y=alt.Y("y:Q", axis=_value_axis()))
    line = base.mark_line(aria=False, color=palette.accent, strokeWidth=2)
    if len(rows) > _POINTS_MARKED:
        return line
    return line + base.mark_point(aria=False, color=palette.accent, filled=True, size=24, opacity=1)


def _have_space(texts: Sequence[str], width: int) -> bool:
    """Whether the texts above bars fit beside each other."""
    return width / max(1, len(texts)) >= max(map(len, texts), default=0) * _CHARACTER


def _texts(base: Any, values: Sequence[Decimal]) -> Any:
    """The texts above the bars, or below them if all bars go down."""
    is_down = bool(values) and max(values) < 0
    return base.mark_text(aria=False, baseline="top" if is_down else "bottom", dy=4 if is_down else -4)


def _category_axis(ticks: Sequence[Sequence[str]], width: int) -> Any:
    """An axis with one place for each category, labelled as far as there is space.

    If there are too many, those with two lines are labelled, or else every second, third and so on. The labels are
    given as a constant of an expression: encoded in ASCII, no text can end it.
    """
    alt = _altair()
    lines = [[cleaned(line) for line in tick] for tick in ticks]
    longest = max((len(line) for tick in lines for line in tick), default=1)
    wanted = max(_SPACE_FOR_TICK, longest * _CHARACTER)
    step = width / max(1, len(lines))
    shown = [*range(len(lines))]
    if step < wanted:
        marked = [index for index in shown if len(lines[index]) > 1]
        if len(marked) > 2 and len(marked) * wanted < width:
            shown = marked
        else:
            shown = shown[:: max(1, round(wanted / step + 0.499))]
    expression = f"{json.dumps(lines)}[datum.value]"
    axis = alt.Axis(values=shown, labelExpr=expression, grid=False, labelOverlap=False, labelLimit=120)
    return alt.X("i:O", axis=axis, scale=alt.Scale(paddingInner=0.28, paddingOuter=0.1))


def _value_axis() -> Any:
    alt = _altair()
    return alt.Axis(labelExpr="format(datum.value, '~s')", tickCount=4, labelPadding=6)


def _opacity(condition: str) -> Any:
    alt = _altair()
    return alt.condition(condition, alt.value(0.45), alt.value(1))


def _altair() -> Any:
    import altair as alt

    return alt
