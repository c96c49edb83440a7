"""A part of many small elements in one container, such as the rows of a sheet: cut into blocks of whole elements."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.parsers import expat

from retailpipe.workbook.markup import BadXml, local_name

_LONGEST_TAG = 1 << 16
LARGEST_ELEMENT = 1 << 24
"""Bytes of XML. A row of Excel's 16,384 cells has about one megabyte, with long texts in each some more."""
_ROOTS = {"sheetData": "worksheet", "sst": "sst"}
_NAME_ENDS = frozenset(b" \t\r\n/>")


class ElementBlocks:
    """The elements of a container, in blocks of about `size` bytes: from the start of one to the end of another.

    The elements must be all that the container holds, and none of their kind may stand elsewhere. What stands around
    the container is parsed, so that nothing there is damaged; what stands in the blocks is left to the caller.

    Iterating raises BadXml where the part is not well-formed, or an element is longer than LARGEST_ELEMENT.

    The container is the root, or a child of it, by its depth: 1 or 2.

    These are known once the first block was given:
    head: what stands before it.
    prefix: that of the container's name, such as `x:`, and of its elements.
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
        """Whether the container, or the root around it, says so for all texts in it (XML 1.0, 2.10)."""
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
            chunks, length = [rest], len(rest)
            while length < wanted and not is_all:
                if more := next(self._xml, b""):
                    chunks.append(more)
                    length += len(more)
                else:
                    is_all = True
            cut = last_tag(chunks[-1], opening, len(chunks[-1]))
            if cut > 0 and not is_all and _find(chunks[-1], closing, cut) < 0:
                last = chunks.pop()
                rest, wanted = last[cut:], self._size
                block = b"".join([*chunks, memoryview(last)[:cut]])
                del last, chunks
                yield block
                continue
            rest = b"".join(chunks)
            del chunks
            cut = last_tag(rest, opening, len(rest))
            # What follows the container may hold elements of that name. It is seldom long, so that the last block has
            # all of it; there the end is searched for from the start.
            end = _find(rest, closing, 0 if is_all else max(cut, 0))
            if end >= 0:
                if rest[:end].strip():
                    yield rest[:end]
                self._around.feed(rest[end:])
                self._around.finish(self._xml)
                return
            if is_all:
                raise BadXml("it breaks off before the end of its rows" if self._element == b"row" else "it breaks off")
            if cut > 0:
                yield rest[:cut]
                rest, wanted = rest[cut:], self._size
            elif length > LARGEST_ELEMENT:
                raise BadXml(f"a {self._element.decode()} of it is longer than {LARGEST_ELEMENT:,} bytes")
            else:
                wanted = length + self._size

    def _start(self) -> bytes | None:
        """What stands after the start of the container; None where nothing does."""
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
    """Parses what stands around the elements of a container, as if it held none."""

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
            raise BadXml("it breaks off before its end") from error

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._reached += 1
        local = local_name(name)
        if self._reached <= self._depth and not self._found and (space := attributes.get("xml:space")):
            self.preserves_blanks = space == "preserve"
        if self._reached == 1 and local != _ROOTS[self._container]:
            raise BadXml(f"it is a {local}, not a {_ROOTS[self._container]}")
        if self._reached != self._depth:
            return  # elements of the same name, further down, belong to drawings and controls
        if local == self._element:
            raise BadXml(f"a {local} stands outside of {self._container}")
        if local == self._container:
            if self._found:
                raise BadXml(f"{local} stands twice")
            self._found = True

    def _end(self, name: str) -> None:
        del name
        self._reached -= 1


def last_tag(xml: bytes, opening: bytes, before: int) -> int:
    """Where the last tag before a place begins, given how it begins, such as `<row`; -1 if there is none."""
    place = xml.rfind(opening, 0, before)
    while place >= 0 and (xml[place + len(opening) : place + len(opening) + 1] or b"\0")[0] not in _NAME_ENDS:
        place = xml.rfind(opening, 0, place)
    return place


def _find(xml: bytes, closing: bytes, start: int) -> int:
    place = xml.find(closing, start)
    while place >= 0 and (xml[place + len(closing) : place + len(closing) + 1] or b">")[0] not in _NAME_ENDS:
        place = xml.find(closing, place + 1)
    return place
