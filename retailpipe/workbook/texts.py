"""The texts of a workbook: shared strings, texts within cells, and the escapes in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.parsers import expat

from retailpipe.workbook.elements import ElementBlocks
from retailpipe.workbook.markup import escaped, local_name, parse
from retailpipe.workbook.patterns import SPACE, TEXT, TRIMMED_TEXT, matches

_BLOCK_SIZE = 1 << 20
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_READ_OTHERWISE = re.compile("[\0-\x08\x0b-\x1f]|_(?=x00[0-9A-Fa-f]{2}_)")
_LONG_ESCAPE = re.compile(rb"_x(?!00)[0-9A-Fa-f]{4}_")


def unescaped(text: str) -> str:
    """A text with its escapes `_xHHHH_` replaced by the characters that they stand for (ECMA-376 part 1, 22.4.2.4).

    Two escapes may be a surrogate pair. Half a pair is not a character, so its escape stays as it is written.
    """
    if "_x" not in text:
        return text
    text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    text = _PAIR.sub(lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"), text)
    return _SURROGATE.sub(lambda half: f"_x{ord(half[0]):04X}_", text)


def has_long_escape(xml: bytes) -> bool:
    """Whether there is an escape that python-calamine leaves as it is: one of a character above U+00FF."""
    return b"_" in xml and _LONG_ESCAPE.search(xml) is not None


def for_calamine(text: str) -> str:
    """A text as XML from which python-calamine reads just that text.

    It replaces the escapes `_x0000_` to `_x00FF_`, and takes a carriage return for a line feed.
    """
    return escaped(_READ_OTHERWISE.sub(lambda found: f"_x{ord(found[0]):04X}_", text))


def trimmed(text: str) -> str:
    """A text as Excel shows it where its element does not have `xml:space="preserve"`."""
    return text.strip(" \t\r\n")


class TextCollector:
    """Collects the text of an `si` or `is` element: that of its `t` elements, phonetic hints left out."""

    def __init__(self, *, preserves_blanks: bool = False) -> None:
        """`preserves_blanks` is what holds where a `t` element says nothing of it."""
        self._texts: list[str] = []
        self._pieces: list[str] | None = None
        self._space = "preserve" if preserves_blanks else "default"
        self._is_preserved = False
        self._phonetic = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "rPh":
            self._phonetic += 1
        elif name == "t" and not self._phonetic:
            self._pieces = []
            self._is_preserved = attributes.get("xml:space", self._space) == "preserve"

    def add(self, text: str) -> None:
        if self._pieces is not None:
            self._pieces.append(text)

    def end(self, name: str) -> None:
        if name == "rPh":
            self._phonetic -= 1
        elif name == "t" and self._pieces is not None:
            text = "".join(self._pieces)
            self._texts.append(unescaped(text if self._is_preserved else trimmed(text)))
            self._pieces = None

    def text(self) -> str:
        return "".join(self._texts)


def shared_strings(xml: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """The `si` elements of the shared strings, in blocks, each with its count, as python-calamine reads them right.

    What the part claims of its own size is not looked at. Raises BadXml.
    """
    blocks = ElementBlocks(xml, "sst", "si", _BLOCK_SIZE, depth=1)
    for block in blocks:
        prefix = blocks.prefix.decode("latin-1")
        plain = _plain_strings(prefix, TRIMMED_TEXT if blocks.preserves_blanks else TEXT)
        if _is_utf_8(block) and matches(plain, block) and not has_long_escape(block):
            yield block, block.count(f"<{prefix}si".encode("latin-1"))
        else:
            strings = _strings(block, blocks.preserves_blanks)
            yield _rewritten(strings), len(strings)


def _is_utf_8(xml: bytes) -> bool:
    try:
        return xml.isascii() or bool(xml.decode())
    except UnicodeDecodeError:
        return False


def _plain_strings(prefix: str, unmarked: str) -> str:
    """A pattern for strings that python-calamine reads right, each one text, or some texts with formats.

    unmarked: a pattern for texts that do not say whether blanks at their ends count.
    """
    p = re.escape(prefix)
    text = rf'<{p}t(?:/>|>{unmarked}</{p}t>| xml:space="preserve"(?:/>|>{TEXT}</{p}t>))'
    tag = r"<[^<>]*>"
    run = rf"<{p}r>{SPACE}(?:<{p}rPr>(?:{SPACE}{tag})*{SPACE}</{p}rPr>{SPACE})?{text}{SPACE}</{p}r>"
    return rf"(?:{SPACE}<{p}si>{SPACE}(?:{text}|{run}(?:{SPACE}{run})*)?{SPACE}</{p}si>)*{SPACE}"


def _strings(block: bytes, preserves_blanks: bool) -> list[str]:
    texts: list[str] = []
    collector = TextCollector()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal collector
        local = local_name(name)
        if local == "si":
            collector = TextCollector(preserves_blanks=preserves_blanks)
        collector.start(local, attributes)

    def end(name: str) -> None:
        local = local_name(name)
        collector.end(local)
        if local == "si":
            texts.append(collector.text())

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda text: collector.add(text)
    parse(parser, [b"<sst>", block, b"</sst>"])
    return texts


def _rewritten(strings: Iterable[str]) -> bytes:
    texts = (f'<si><t xml:space="preserve">{for_calamine(text)}</t></si>' for text in strings)
    return "".join(texts).encode()
