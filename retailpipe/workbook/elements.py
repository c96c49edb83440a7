"""Cut a part that holds many small elements in one container, such as a sheet's rows, into blocks of whole elements."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.parsers import expat

from retailpipe.workbook.markup import BadXml, local_name

_LONGEST_TAG = 1 << 16
LARGEST_ELEMENT = 1 << 24
"""Bytes of XML. A row of 16,384 cells has about 1 MB; more if its cells hold long texts."""
_ROOTS = {"sheetData": "worksheet", "sst": "sst"}
_NAME_ENDS = frozenset(b" \t\r\n/>")


class ElementBlocks:
    """Yields the elements of a container in blocks of about `size` bytes, each of whole elements.

    The container must hold only these elements, and they must not occur outside it. The XML around the container is
    parsed here, to detect damage; the caller must parse the blocks.

    Iterating raises BadXml if the part is not well-formed, or an element is longer than LARGEST_ELEMENT.

    depth: 1 if the container is the root, 2 if it is a child of the root.

    These are known once the first block has been yielded:
    head: the XML before the container.
    prefix: the prefix of the container's name and of its elements, such as `x:`.
    """

    def __init__(self, xml: Iterable[bytes], container: str, element: str, size: int, depth: int) -> None:
        self.head = b""
        self.prefix = b""
        self._xml = iter(xml)
        self._container = container
        self._element = element.encode()
        self._size = size
        self._around = _Around(container, element, depth)

    @property
    def preserves_blanks(self) -> bool:
        """Whether the container, or the root, has `xml:space="preserve"` for all texts in it (XML 1.0, 2.10)."""
        return self._around.preserves_blanks

    def __iter__(self) -> Iterator[bytes]:
        rest = self._start()
        if rest is None:  # no container, or an empty one
            self._around.finish(self._xml)
            return
        opening = b"<" + self.prefix + self._element
        closing = b"</" + self.prefix + self._container.encode()
        wanted, is_all = self._size, False
        while True:
            pieces, length = [rest], len(rest)
            while length < wanted and not is_all:
                if more := next(self._xml, b""):
                    pieces.append(more)
                    length += len(more)
                else:
                    is_all = True
            cut = last_tag(pieces[-1], opening, len(pieces[-1]))
            if cut > 0 and not is_all and _find(pieces[-1], closing, cut) < 0:
                last = pieces.pop()
                rest, wanted = last[cut:], self._size
                block = b"".join([*pieces, memoryview(last)[:cut]])
                del last, pieces  # free this memory while the caller parses the block
                yield block
                continue
            rest = b"".join(pieces)
            del pieces
            cut = last_tag(rest, opening, len(rest))
            # The XML after the container may hold elements of the same name, so `cut` may lie beyond the container's
            # end. That XML is usually short and thus all in the last block; search there from the start.
            end = _find(rest, closing, 0 if is_all else max(cut, 0))
            if end >= 0:
                if rest[:end].strip():
                    yield rest[:end]
                self._around.feed(rest[end:])
                self._around.finish(self._xml)
                return
            if is_all:
                raise BadXml(
                    "its XML ends in the middle of the rows" if self._element == b"row" else "it is incomplete"
                )
            if cut > 0:
                yield rest[:cut]
                rest, wanted = rest[cut:], self._size
            elif length > LARGEST_ELEMENT:
                raise BadXml(f"one of its <{self._element.decode()}> elements is longer than {LARGEST_ELEMENT:,} bytes")
            else:
                wanted = length + self._size

    def _start(self) -> bytes | None:
        """Return the XML read so far after the container's start tag; None if there is no container or it is empty."""
        pattern = re.compile(rb"<([^\s<>/:!?]+:)?" + self._container.encode() + rb"(?=[\s/>])[^<>]*>")
        seen = b""
        for block in self._xml:
            seen += block
            if found := pattern.search(seen):
                self.head, self.prefix = seen[: found.start()], found[1] or b""
                rest = seen[found.end() :]
                self._around.feed(seen[: found.end()])
                if not found[0].endswith(b"/>"):
                    return rest
                self._around.feed(rest)
                return None
            if len(seen) > _LONGEST_TAG:
                self._around.feed(seen[:-_LONGEST_TAG])
                seen = seen[-_LONGEST_TAG:]
        self._around.feed(seen)
        return None


class _Around:
    """Parses the XML around the elements of a container, as if the container were empty."""

    def __init__(self, container: str, element: str, depth: int) -> None:
        self.preserves_blanks = False
        self._parser = expat.ParserCreate("utf-8")
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._container = container
        self._element = element
        self._depth = depth
        self._reached = 0
        self._found = False

    def feed(self, xml: bytes) -> None:
        try:
            self._parser.Parse(xml, False)
        except expat.ExpatError as error:
            raise BadXml(expat.ErrorString(error.code)) from error

    def finish(self, xml: Iterable[bytes]) -> None:
        for block in xml:
            self.feed(block)
        try:
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise BadXml("it ends before its root element is closed") from error

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._reached += 1
        local = local_name(name)
        if self._reached <= self._depth and not self._found and (space := attributes.get("xml:space")):
            self.preserves_blanks = space == "preserve"
        if self._reached == 1 and local != _ROOTS[self._container]:
            raise BadXml(f"its root element is <{local}>, not <{_ROOTS[self._container]}>")
        if self._reached != self._depth:
            return  # deeper elements of the same name belong to drawings and controls
        if local == self._element:
            raise BadXml(f"there is a <{local}> outside <{self._container}>")
        if local == self._container:
            if self._found:
                raise BadXml(f"<{local}> occurs twice")
            self._found = True

    def _end(self, name: str) -> None:
        del name
        self._reached -= 1


def last_tag(xml: bytes, opening: bytes, before: int) -> int:
    """Return the offset of the last tag before an offset that starts with `opening`, such as `<row`; -1 if none."""
    position = xml.rfind(opening, 0, before)
    while position >= 0 and (xml[position + len(opening) : position + len(opening) + 1] or b"\0")[0] not in _NAME_ENDS:
        position = xml.rfind(opening, 0, position)
    return position


def _find(xml: bytes, closing: bytes, start: int) -> int:
    """Where the first end tag `closing`, such as `</row`, begins from `start` on; -1 if there is none."""
    position = xml.find(closing, start)
    while position >= 0 and (xml[position + len(closing) : position + len(closing) + 1] or b">")[0] not in _NAME_ENDS:
        position = xml.find(closing, position + 1)
    return position
