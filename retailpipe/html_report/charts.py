"""Draw charts as SVG or PNG. This is the only module that imports vl-convert.

An SVG in the page has no colours of its own: it uses the page's CSS variables, so that it follows the reader's light or
dark scheme. A PNG has the colours of the light scheme.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from xml.etree import ElementTree as ET

from retailpipe.errors import UsageError
from retailpipe.html_report.altair_charts import ON_PAGE, ON_PAPER, chart, schema_version
from retailpipe.html_report.drawings import Drawing, Ranking
from retailpipe.html_report.wording import cleaned

HINT = "Install what the report needs with its extra: pip install 'retailpipe[report]'."
_SVG = "http://www.w3.org/2000/svg"
_PLACES = {"d", "transform", "x", "y", "x1", "x2", "y1", "y2", "dy"}
"""Attributes with places in pixels, which are rounded to a tenth of a pixel."""
_LONG_NUMBER = re.compile(r"\d+\.\d\d+")
_INHERITED = ("fill", "stroke", "stroke-width", "font-size", "text-anchor")
"""Attributes that elements take from the one that they are in."""
_DROPPED = {"class", "role", "pointer-events", "stroke-miterlimit", "version", "font-family"}
"""Attributes without an effect in the page, which has its own font."""


def require() -> None:
    """Raise UsageError if the packages of the extra `report` are not installed."""
    for name in ("altair", "jinja2", "vl_convert"):
        if find_spec(name) is None:
            raise UsageError(f"the report needs {name}, which is not installed", hint=HINT)


@cache
def warm_up() -> None:
    """Import what draws, and draw an empty chart: the first chart of a process takes a second longer than others."""
    svg(Ranking((), (), ()), 10, 10, labelled_by="")


def svg(drawing: Drawing, width: int, height: int, *, labelled_by: str) -> str:
    """A drawing as an SVG element for the page, scaled to the width of its box.

    width, height: of the plot, in pixels; a ranking is as high as it has bars. labelled_by: the ids of its title and
    its description in the page.
    """
    import vl_convert

    spec = chart(drawing, width, height, ON_PAGE).to_dict()
    drawn = vl_convert.vegalite_to_svg(spec, vl_version=schema_version())
    root = ET.fromstring(drawn)  # noqa: S314 - vl-convert wrote it here; it declares no entities
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

    titled = chart(drawing, width, height, ON_PAPER).properties(
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
    return vl_convert.vegalite_to_png(titled.to_dict(), vl_version=schema_version(), scale=2)


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
