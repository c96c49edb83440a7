"""Read the texts of a workbook's XML as Excel shows them: their blanks, their escapes, and without phonetic hints."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from openpyxl.xml.constants import SHEET_MAIN_NS

SPACE = "{http://www.w3.org/XML/1998/namespace}space"
"""The attribute that says whether blanks at the ends of a text are kept."""
_PLAIN, _RUN = f"{{{SHEET_MAIN_NS}}}t", f"{{{SHEET_MAIN_NS}}}r"
_ESCAPES = re.compile(r"_x[Dd][89ABab]..__x[Dd][C-Fc-f].._|_x[0-9A-Fa-f]{4}_")


def text_of(element: Element, by_default: str | None) -> str:
    """The text of a shared or inline string: of its runs, without phonetic hints."""
    texts = [
        kept_text(text, by_default) for child in element for text in ([child] if child.tag == _PLAIN else _run(child))
    ]
    return "".join(texts)


def _run(element: Element) -> list[Element]:
    return element.findall(_PLAIN) if element.tag == _RUN else []


def kept_text(element: Element, by_default: str | None) -> str:
    """The text of an element: without blanks at its ends unless they are preserved, and with its escapes replaced."""
    text = element.text or ""
    if element.get(SPACE, by_default) != "preserve":
        text = text.strip(" \t\r\n")
    return _ESCAPES.sub(_character, text) if "_x" in text else text


def _character(found: re.Match[str]) -> str:
    units = [int(unit, 16) for unit in found[0].strip("_").replace("__", "_").replace("x", "").split("_")]
    try:
        return b"".join(unit.to_bytes(2, "big") for unit in units).decode("utf-16-be")
    except UnicodeDecodeError:  # half a pair of surrogates is not a character
        return found[0]
