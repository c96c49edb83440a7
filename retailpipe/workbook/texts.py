"""Read the texts of a workbook: shared strings, inline texts of cells, and the escapes in both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.parsers import expat

from retailpipe.workbook.cells import marked_if_needed
from retailpipe.workbook.elements import ElementBlocks
from retailpipe.workbook.markup import BadXml, escaped, local_name, parse
from retailpipe.workbook.patterns import SPACE, TEXT, TRIMMED_TEXT, matches

_BLOCK_SIZE = 1 << 20
_PAIR = "_x([Dd][89ABab][0-9A-Fa-f]{2})__x([Dd][C-Fc-f][0-9A-Fa-f]{2})_"
_SINGLE = "_x([0-9A-CE-Fa-ce-f][0-9A-Fa-f]{3}|[Dd][0-7][0-9A-Fa-f]{2})_"
_ESCAPE = re.compile(f"{_PAIR}|{_SINGLE}")
_MUST_BE_ESCAPED = re.compile("[\0-\x08\x0b-\x1f]|_(?=x00[0-9A-Fa-f]{2}_)")
NUL = b"_x0000_"
"""The escape of a NUL character. Since NUL is the mark, every marked text begins with it too."""
_ODD_ESCAPE = re.compile(rb"_x(?:(?!00)[0-9A-Fa-f]{4}|0000)_")


def unescaped(text: str) -> str:
    """Replace the escapes `_xHHHH_` in a text by their characters (ECMA-376 part 1, 22.4.2.4).

    Two escapes may form a surrogate pair. Half a pair is not a character, so its escape stays unchanged.
    """
    if "_x" not in text:
        return text
    return _ESCAPE.sub(_character, text)


def _character(escape: re.Match[str]) -> str:
    if escape[1]:
        return chr(0x10000 + (int(escape[1], 16) - 0xD800 << 10) + int(escape[2], 16) - 0xDC00)
    return chr(int(escape[3], 16))


def has_odd_escape(xml: bytes) -> bool:
    """Whether there is an escape that must be handled here, not by python-calamine.

    calamine does not replace escapes above U+00FF, and a text with a NUL may have to be marked.
    """
    return b"_" in xml and _ODD_ESCAPE.search(xml) is not None


def for_calamine(text: str) -> str:
    """Write a text as XML that python-calamine reads as exactly this text.

    calamine replaces the escapes `_x0000_` to `_x00FF_`, and reads a carriage return as a line feed.
    """
    return escaped(_MUST_BE_ESCAPED.sub(lambda found: f"_x{ord(found[0]):04X}_", text))


def trimmed(text: str) -> str:
    """A text as Excel shows it if its element does not have `xml:space="preserve"`."""
    return text.strip(" \t\r\n")


class TextCollector:
    """Collects the text of an `si` or `is` element from its `t` elements and the `t` elements of its runs `r`. Phonetic
    hints and extensions are ignored."""

    def __init__(self, *, preserves_blanks: bool = False) -> None:
        """`preserves_blanks` is the default for `t` elements without `xml:space`."""
        self._texts: list[str] = []
        self._pieces: list[str] | None = None
        self._space = "preserve" if preserves_blanks else "default"
        self._is_preserved = False
        self._depth = 0
        self._in_run = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            self._in_run = name == "r"
        if name == "t" and (self._depth == 1 or (self._depth == 2 and self._in_run)):
            self._pieces = []
            self._is_preserved = attributes.get("xml:space", self._space) == "preserve"

    def add(self, text: str) -> None:
        if self._pieces is not None:
            self._pieces.append(text)

    def end(self, name: str) -> None:
        self._depth -= 1
        if name == "t" and self._pieces is not None:
            text = "".join(self._pieces)
            self._texts.append(unescaped(text if self._is_preserved else trimmed(text)))
            self._pieces = None

    def text(self) -> str:
        return "".join(self._texts)


def shared_strings(xml: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield the shared strings in blocks of `si` elements that python-calamine reads correctly, each with its count.

    A text that begins with a NUL character is marked. The counts in the part itself are ignored.
    Raises BadXml.
    """
    blocks = ElementBlocks(xml, "sst", "si", _BLOCK_SIZE, depth=1)
    for block in blocks:
        prefix = blocks.prefix.decode("latin-1")
        plain = _plain_strings(prefix, TRIMMED_TEXT if blocks.preserves_blanks else TEXT)
        if _is_utf_8(block) and matches(plain, block) and not has_odd_escape(block):
            yield block, block.count(f"</{prefix}si>".encode("latin-1"))
        else:
            strings = _strings(block, blocks.preserves_blanks)
            yield _rewritten(strings), len(strings)


def _is_utf_8(xml: bytes) -> bool:
    try:
        return xml.isascii() or bool(xml.decode())
    except UnicodeDecodeError:
        return False


def _plain_strings(prefix: str, by_default: str) -> str:
    """A pattern for strings that python-calamine reads correctly: each has one text, or several runs with formats.

    by_default: a pattern for texts without `xml:space`.
    """
    p = re.escape(prefix)
    text = rf'<{p}t(?:/>|>{by_default}</{p}t>| xml:space="preserve"(?:/>|>{TEXT}</{p}t>))'
    tag = rf'<{p}[A-Za-z0-9]+(?: [A-Za-z:]+="[^"<>&]*")*/>'
    run = rf"<{p}r>{SPACE}(?:<{p}rPr>(?:{SPACE}{tag})*{SPACE}</{p}rPr>{SPACE})?{text}{SPACE}</{p}r>"
    return rf"(?:{SPACE}<{p}si>{SPACE}(?:{text}|{run}(?:{SPACE}{run})*)?{SPACE}</{p}si>)*{SPACE}"


def _strings(block: bytes, preserves_blanks: bool) -> list[str]:
    texts: list[str] = []
    collector = TextCollector()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal collector, depth
        depth += 1
        local = local_name(name)
        if depth == 2:
            collector = TextCollector(preserves_blanks=preserves_blanks)
        elif local == "si":
            raise BadXml(f"<{local}> is not allowed inside another string, in string {len(texts)}")
        if depth > 2:
            collector.start(local, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        local = local_name(name)
        if depth > 1:
            collector.end(local)
        elif local == "si":
            texts.append(collector.text())

    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda text: collector.add(text)
    parse(parser, [b"<sst>", block, b"</sst>"])
    return texts


def _rewritten(strings: Iterable[str]) -> bytes:
    texts = (f'<si><t xml:space="preserve">{for_calamine(marked_if_needed(text))}</t></si>' for text in strings)
    return "".join(texts).encode()
