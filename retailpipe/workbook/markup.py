"""Reduce the XML of a part to plain UTF-8 markup: only elements, texts and entities.

Comments and processing instructions are removed, and CDATA sections become escaped texts. In the result, every `<`
begins a tag, so the other modules can search it for tags. OPC allows UTF-8 and UTF-16, and forbids document type
declarations (ECMA-376 part 2, 8.1.4).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from xml.parsers import expat

_DECLARED = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]+)""")
_UTF_8 = {"utf-8", "ascii"}
_ENCODINGS = ("utf-8", "utf-16", "ascii", "iso8859", "cp125", "koi8", "shift_jis", "euc", "gb", "big5")
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be", b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
_BEGINS = re.compile(rb"<!--|<!\[CDATA\[|<\?|<!")
_ENDS = {b"<!--": b"-->", b"<![CDATA[": b"]]>", b"<?": b"?>"}
_LONGEST_BEGIN = 9


class BadXml(ValueError):
    """The XML is not well-formed, or not allowed in a workbook. The error's text is the reason."""


def plain_markup(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Convert XML, in blocks, to plain UTF-8 markup, in blocks. Raises BadXml."""
    return _without_comments(_utf_8(iter(blocks)))


def parse(parser: expat.XMLParserType, xml: Iterable[bytes]) -> None:
    """Feed a whole document to a parser. Raises BadXml."""
    try:
        for block in xml:
            parser.Parse(block, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise BadXml(expat.ErrorString(error.code)) from error


def local_name(name: str) -> str:
    """The name of an element or attribute without its prefix.

    This package does not resolve prefixes: blocks of a sheet do not declare them, and no workbook uses one name in two
    namespaces in the elements that are read here.
    """
    return name.rpartition(":")[2]


def escaped(text: str) -> str:
    """A text escaped for use between two tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _utf_8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(blocks, b"")
    encoding = _BYTE_ORDER_MARKS.get(first[:2])
    if first.startswith(codecs.BOM_UTF8):
        first, encoding = first[len(codecs.BOM_UTF8) :], "utf-8"
    if encoding is None and (declared := _DECLARED.match(first)):
        encoding = declared[1].decode()
    try:
        name = codecs.lookup(encoding or "utf-8").name
    except LookupError:
        name = ""
    # Python knows more encodings than XML: some are extremely slow (punycode), some are not text encodings (hex).
    if not name.startswith(_ENCODINGS):
        raise BadXml(f"its encoding {encoding} is not supported")
    encoding = name
    if encoding in _UTF_8:
        yield first
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        yield decoder.decode(first).lstrip("\ufeff").encode()
        for block in blocks:
            yield decoder.decode(block).encode()
        yield decoder.decode(b"", True).encode()
    except ValueError as error:
        raise BadXml(f"it declares the encoding {encoding}, but its bytes are not valid in it") from error


def _without_comments(blocks: Iterator[bytes]) -> Iterator[bytes]:
    held, begin = b"", b""
    for block in blocks:
        text = held + block if held else block
        held = b""
        if not begin and not _may_begin(text):
            yield text
            continue
        done: list[bytes] = []
        position = 0
        while True:
            if begin:
                end = text.find(_ENDS[begin], position)
                inside = end if end >= 0 else max(position, len(text) - len(_ENDS[begin]) + 1)
                if begin == b"<![CDATA[":
                    content = text[position:inside]
                    done.append(content.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;"))
                if end < 0:
                    held = text[inside:]
                    break
                position, begin = end + len(_ENDS[begin]), b""
            found = _BEGINS.search(text, position)
            if not found:
                last = text.rfind(b"<", max(position, len(text) - _LONGEST_BEGIN))
                if last >= 0 and text[last + 1 : last + 2] in (b"", b"!", b"?"):
                    held = text[last:]
                done.append(text[position : len(text) - len(held)])
                break
            done.append(text[position : found.start()])
            if found[0] == b"<!":
                if len(text) - found.start() >= _LONGEST_BEGIN:
                    raise BadXml("it contains a document type declaration, which is not allowed in workbooks")
                held = text[found.start() :]  # the next block shows what begins here
                break
            position, begin = found.end(), found[0]
        if xml := b"".join(done):
            yield xml
    if begin:
        raise BadXml(f"{begin.decode()} is not closed")
    if held:
        yield held


def _may_begin(text: bytes) -> bool:
    """Whether there may be something to remove. Searching for a single byte first is ten times as fast."""
    return (b"!" in text and b"<!" in text) or (b"?" in text and b"<?" in text) or text.endswith(b"<")
