"""Describe charts with Altair. This is the only module that imports Altair.

Its functions return Altair's charts as Any: Altair's own types are too wide to help here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, assert_never

from retailpipe.html_report.drawings import Columns, Drawing, Line, MonthlySales, Ranking, Stack
from retailpipe.html_report.ticks import (
    CHARACTER,
    category_labels,
    date_axis,
    have_space,
    milliseconds,
    value_label,
    whole_ticks,
)
from retailpipe.html_report.wording import cleaned

_FONT = "system-ui, sans-serif"
_FONT_WIDTH = 0.82
"""How wide a text is in the font that measures it here, compared with a wide font of a browser."""
_RANKING_STEP = 38
_WIDEST_BAR = 90
_GAP = 0.28
"""The part of a step that is between two bars."""
_POINTS_MARKED = 40
"""A line with more points has no mark at each of them."""


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


def chart(drawing: Drawing, width: int, height: int, palette: Palette) -> Any:
    """The chart of a drawing. width, height: of the plot, in pixels; a ranking is as high as it has bars."""
    match drawing:
        case Columns():
            made = _columns(drawing, width, palette)
        case MonthlySales():
            made = _monthly_sales(drawing, width, palette)
        case Stack():
            made = _stack(drawing, width, palette)
        case Ranking():
            made = _ranking(drawing, width, palette)
            height = _RANKING_STEP * len(drawing.names)
        case Line():
            made = _line(drawing, palette)
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
        made.properties(width=width, height=height, padding=2, background="transparent")
        .configure(font=_FONT)
        .configure_view(stroke=None)
        .configure_axis(**axis)
        .configure_axisX(labelAngle=0, labelPadding=6)
        .configure_text(font=_FONT, fontSize=12, color=palette.ink)
    )


def _columns(drawing: Columns, width: int, palette: Palette) -> Any:
    alt = _altair()
    has_texts = have_space(drawing.texts, width)
    rows = [
        {"i": index, "value": float(value), "text": text if has_texts else "", "pale": index == drawing.pale}
        for index, (value, text) in enumerate(zip(drawing.values, drawing.texts, strict=True))
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(x=_category_axis(drawing.ticks, width))
    y = alt.Y("value:Q", axis=None if has_texts else _value_axis(drawing.values))
    bars = base.mark_bar(aria=False, color=palette.accent).encode(y=y, opacity=_opacity("datum.pale"))
    return bars + _texts(base, drawing.values).encode(y=y, text="text:N")


def _monthly_sales(drawing: MonthlySales, width: int, palette: Palette) -> Any:
    alt = _altair()
    count = len(drawing.revenue)
    has_texts = have_space(drawing.texts, width)
    rows = [
        {
            "i": index,
            "revenue": float(drawing.revenue[index]),
            "returns": -float(drawing.returns[index]),
            "net": float(drawing.net[index]),
            "before": None if before is None else float(before),
            "text": drawing.texts[index] if has_texts else "",
            "pale": drawing.pale[index],
        }
        for index, before in enumerate(drawing.year_before)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(x=_category_axis(drawing.ticks, width))
    axis = None if has_texts else _value_axis([*drawing.revenue, *(-each for each in drawing.returns)])
    opacity = _opacity("datum.pale")
    step = width / max(1, count)
    revenue = base.mark_bar(aria=False, color=palette.accent).encode(y=alt.Y("revenue:Q", axis=axis), opacity=opacity)
    returns = base.mark_bar(aria=False, color=palette.contrast).encode(y="returns:Q", opacity=opacity)
    net = (
        base.transform_filter("datum.net != datum.revenue")
        .mark_tick(aria=False, color=palette.paper, thickness=2, size=min(max(3, step * 0.62), _WIDEST_BAR * 0.86))
        .encode(y="net:Q")
    )
    before = (
        base.transform_filter("datum.before != null")
        .mark_point(aria=False, color=palette.ink, filled=False, size=min(36, step * 2), strokeWidth=1.5, opacity=1)
        .encode(y="before:Q")
    )
    return revenue + returns + net + before + _texts(base, drawing.revenue).encode(y="revenue:Q", text="text:N")


def _stack(drawing: Stack, width: int, palette: Palette) -> Any:
    alt = _altair()
    rows = [
        {
            "i": index,
            "lower": float(lower),
            "both": float(lower + upper),
            "pale": drawing.pale[index],
        }
        for index, (lower, upper) in enumerate(zip(drawing.lower, drawing.upper, strict=True))
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=_category_axis(drawing.ticks, width), opacity=_opacity("datum.pale")
    )
    lower = base.mark_bar(aria=False, color=palette.accent).encode(
        y=alt.Y("lower:Q", axis=_value_axis([Decimal(row["both"]) for row in rows]))
    )
    upper = base.mark_bar(aria=False, color=palette.soft).encode(y="lower:Q", y2="both:Q")
    return lower + upper


def _ranking(drawing: Ranking, width: int, palette: Palette) -> Any:
    alt = _altair()
    rows = [
        {
            "i": index,
            "name": " ".join(cleaned(name).split()),
            "value": None if value is None else float(value),
            "text": text,
        }
        for index, (name, value, text) in enumerate(zip(drawing.names, drawing.values, drawing.texts, strict=True))
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(y=alt.Y("i:O", axis=None, scale=alt.Scale(padding=0)))
    bars = base.mark_bar(aria=False, color=palette.accent, height=7, yOffset=9).encode(
        x=alt.X("value:Q", axis=None, scale=alt.Scale(nice=False))
    )
    space = max((len(text) for text in drawing.texts), default=0) * CHARACTER + 16
    names = base.mark_text(aria=False, align="left", dy=-5, fontSize=13, limit=(width - space) * _FONT_WIDTH).encode(
        x=alt.value(0), text="name:N"
    )
    texts = base.mark_text(aria=False, align="right", dy=-5, fontSize=13, color=palette.muted).encode(
        x=alt.value(width), text="text:N"
    )
    return bars + names + texts


def _line(drawing: Line, palette: Palette) -> Any:
    alt = _altair()
    places = {"date": milliseconds, "number": float, "text": cleaned}
    rows = [{"x": places[drawing.x_kind](x), "y": float(y)} for x, y in zip(drawing.x, drawing.y, strict=True)]
    x = {"grid": False, "labelOverlap": True, "labelLimit": 80}
    match drawing.x_kind:
        case "date":
            axis = alt.X("x:T", scale=alt.Scale(type="utc"), axis=alt.Axis(**x, **date_axis(drawing.x)))
        case "number":
            axis = alt.X("x:Q", axis=alt.Axis(**x))
        case _:
            axis = alt.X("x:O", sort=None, axis=alt.Axis(**x))
    base = alt.Chart(alt.Data(values=rows)).encode(x=axis, y=alt.Y("y:Q", axis=_value_axis(drawing.y)))
    line = base.mark_line(aria=False, color=palette.accent, strokeWidth=2)
    if len(rows) > _POINTS_MARKED:
        return line
    return line + base.mark_point(aria=False, color=palette.accent, filled=True, size=24, opacity=1)


def _texts(base: Any, values: Sequence[Decimal]) -> Any:
    """The texts above the bars, or below them if all bars go down."""
    is_down = bool(values) and max(values) < 0
    return base.mark_text(aria=False, baseline="top" if is_down else "bottom", dy=4 if is_down else -4)


def _category_axis(ticks: Sequence[Sequence[str]], width: int) -> Any:
    """An axis with one place for each category, labelled as far as there is space.

    The labels are given as a constant of an expression: encoded in ASCII, no text can end it.
    """
    alt = _altair()
    labels = category_labels(ticks, width)
    expression = f"{json.dumps(labels)}[datum.value]"
    axis = alt.Axis(values=[*labels], labelExpr=expression, grid=False, labelOverlap=False, labelLimit=120)
    used = min(width, round(len(ticks) * _WIDEST_BAR / (1 - _GAP)))  # a few bars stay slim, at the left
    return alt.X("i:O", axis=axis, scale=alt.Scale(paddingInner=_GAP, paddingOuter=0.1, range=[0, used]))


def _value_axis(values: Sequence[Decimal]) -> Any:
    alt = _altair()
    whole = whole_ticks(values)
    ticks = {"tickCount": 4} if whole is None else {"values": whole}
    return alt.Axis(labelExpr=value_label(), labelPadding=6, **ticks)


def _opacity(condition: str) -> Any:
    alt = _altair()
    return alt.condition(condition, alt.value(0.45), alt.value(1))


def _altair() -> Any:
    import altair as alt

    return alt


def schema_version() -> str:
    """The version of Vega-Lite that the charts are written for, such as 6.1."""
    return ".".join(_altair().SCHEMA_VERSION.removeprefix("v").split(".")[:2])
