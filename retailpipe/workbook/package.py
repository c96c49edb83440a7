"""The parts of an xlsx package: which sheets there are, where each is stored, and what their cells refer to.

Parts are found by their relations, as ECMA-376 part 2 has it, and not by the names that most programs give them: the
package's own relation names the workbook, the workbook's name its sheets, styles and shared strings. Names of parts
are the same whatever the case of their letters.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote
from xml.parsers import expat

from retailpipe.errors import WorkbookError
from retailpipe.workbook.container import MAX_SMALL_PART_SIZE, SAVE_ANEW, damaged, part_blocks
from retailpipe.workbook.markup import BadXml, local_name, parse, plain_markup
from retailpipe.workbook.styles import Styles

_MOST_SHEETS = 1_000
_USUAL_WORKBOOK = "xl/workbook.xml"


@dataclass(frozen=True)
class Sheet:
    """A worksheet: its name, whether Excel shows it, and the part that holds its cells; None if there is none."""

    name: str
    visible: bool
    part: zipfile.ZipInfo | None


@dataclass(frozen=True)
class _Relation:
    """What a part refers to: the kind of it, such as `worksheet`, and the name of its part."""

    kind: str
    part: str


class Package:
    """An xlsx package. Raises WorkbookError if its list of sheets or its styles cannot be read.

    file: what messages call it.
    date1904: whether its dates count from 1904.
    """

    def __init__(self, path: Path, file: str) -> None:
        self.path = path
        self.file = file
        self.date1904 = False
        self.sheets: list[Sheet] = []
        with zipfile.ZipFile(path) as archive:
            self._parts = _Parts(archive, file)
        name = self._workbook_name()
        self._relations = self._related(name)
        self._read_workbook(name)
        folder = posixpath.dirname(name)
        self.shared_strings = self._part_of_kind("sharedStrings", folder)
        styles = self._part_of_kind("styles", folder)
        if styles:
            with self.explained(styles.filename):
                self.styles = Styles(self.small_part(styles))
        else:
            self.styles = Styles()

    def part(self, part: zipfile.ZipInfo, size: int = 1 << 20) -> Iterator[bytes]:
        """The XML of a part as plain markup, in blocks. Raises WorkbookError, and BadXml."""
        return plain_markup(part_blocks(self.path, part, self.file, size))

    def small_part(self, part: zipfile.ZipInfo) -> Iterator[bytes]:
        """The same of a part that is not a sheet. Raises WorkbookError if it is too large to be one."""
        if part.file_size > MAX_SMALL_PART_SIZE:
            raise damaged(self.file, part.filename, f"it has {part.file_size:,} bytes")
        return self.part(part)

    def explained(self, place: str) -> _Explained:
        """A context in which BadXml becomes a WorkbookError that names the file and the place."""
        return _Explained(self.file, place)

    def _workbook_name(self) -> str:
        named = [relation.part for relation in self._related("").values() if relation.kind == "officeDocument"]
        return named[0] if named else _USUAL_WORKBOOK

    def _read_workbook(self, name: str) -> None:
        part = self._parts.get(name)
        if not part:
            reason = f"{self.file}: its list of sheets cannot be read: there is no {name}"
            raise WorkbookError(reason, hint=SAVE_ANEW)
        depth: list[str] = []

        def start(tag: str, attributes: dict[str, str]) -> None:
            depth.append(local_name(tag))
            match depth[1:] if len(depth) < 4 else ():
                case ["workbookPr"]:
                    self.date1904 = attributes.get("date1904", "").strip() in ("1", "true")
                case ["sheets", "sheet"]:
                    self._add_sheet({local_name(key): value for key, value in attributes.items()})
                case _:
                    pass

        with self.explained(part.filename):
            _parse(self.small_part(part), start, lambda tag: depth.pop())

    def _add_sheet(self, attributes: dict[str, str]) -> None:
        # A sheet that refers to nothing is none; one whose relation has no part may be the one that is wanted.
        relation = self._relations.get(attributes.get("id", ""))
        if relation and relation.kind == "worksheet":
            state = attributes.get("state", "visible")
            self.sheets.append(Sheet(attributes.get("name", ""), state == "visible", self._parts.get(relation.part)))
            if len(self.sheets) > _MOST_SHEETS:
                raise BadXml(f"it names more than {_MOST_SHEETS:,} sheets")

    def _part_of_kind(self, kind: str, folder: str) -> zipfile.ZipInfo | None:
        """The part of a kind that the workbook refers to, or else the one with the usual name in its folder."""
        parts = (self._parts.get(relation.part) for relation in self._relations.values() if relation.kind == kind)
        return next(filter(None, parts), None) or self._parts.get(posixpath.join(folder, f"{kind}.xml"))

    def _related(self, source: str) -> dict[str, _Relation]:
        """The relations of a part, or of the package itself, by their ids; those to what lies outside are left out."""
        folder, base = posixpath.split(source)
        part = self._parts.get(posixpath.join(folder, "_rels", f"{base}.rels"))
        relations: dict[str, _Relation] = {}

        def start(tag: str, attributes: dict[str, str]) -> None:
            if local_name(tag) == "Relationship" and attributes.get("TargetMode") != "External":
                target = unquote(attributes.get("Target", "")).replace("\\", "/")
                place = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
                kind = attributes.get("Type", "").rpartition("/")[2]
                relations.setdefault(attributes.get("Id", ""), _Relation(kind, place))

        if part:
            with self.explained(part.filename):
                _parse(self.small_part(part), start)
        return relations


class _Parts:
    """The parts of a package by their names, whatever the case of their letters and the slashes between them."""

    def __init__(self, archive: zipfile.ZipFile, file: str) -> None:
        self._file = file
        self._parts: dict[str, list[zipfile.ZipInfo]] = {}
        for part in archive.infolist():
            self._parts.setdefault(_equal(part.filename), []).append(part)

    def get(self, name: str) -> zipfile.ZipInfo | None:
        """Raises WorkbookError if there are two parts of one name, of which nobody can say which one is meant."""
        parts = self._parts.get(_equal(name), [])
        if len(parts) > 1:
            names = " and ".join(part.filename for part in parts)
            raise damaged(self._file, parts[0].filename, f"it stands twice: {names}")
        return parts[0] if parts else None


class _Explained:
    def __init__(self, file: str, place: str) -> None:
        self._file = file
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BadXml):
            raise damaged(self._file, self._place, error) from error


def _equal(name: str) -> str:
    """What two names of one part have in common (ECMA-376 part 2, 6.2.2.3)."""
    return posixpath.normpath(unquote(name).replace("\\", "/").lstrip("/")).lower()


def _parse(
    xml: Iterator[bytes],
    start: Callable[[str, dict[str, str]], object],
    end: Callable[[str], object] | None = None,
) -> None:
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parse(parser, xml)
