"""Find the parts of an xlsx package: its sheets, its styles and its shared strings.

Parts are found by their relations (ECMA-376 part 2), not by the names that most programs use: the relations of the
package name the workbook part; the relations of the workbook name its sheets, styles and shared strings. Part names
are case-insensitive.
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

_MAX_SHEETS = 1_000
_DEFAULT_WORKBOOK = "xl/workbook.xml"


@dataclass(frozen=True)
class Sheet:
    """A worksheet: its name, whether Excel shows it, and the part that holds its cells (None if that is missing)."""

    name: str
    visible: bool
    part: zipfile.ZipInfo | None


@dataclass(frozen=True)
class _Relation:
    """A reference to another part: its kind, such as `worksheet`, and the name of that part."""

    kind: str
    part: str


class Package:
    """An xlsx package. Raises WorkbookError if its list of sheets or its styles cannot be read.

    file: the workbook's name in messages.
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
        """Read the XML of a part as plain markup, in blocks of at most `size` bytes. Raises WorkbookError, BadXml."""
        return plain_markup(part_blocks(self.path, part, self.file, size))

    def small_part(self, part: zipfile.ZipInfo) -> Iterator[bytes]:
        """Like `part`, but for small parts such as the styles. Raises WorkbookError if the part is too large."""
        if part.file_size > MAX_SMALL_PART_SIZE:
            limit = f"the limit of {MAX_SMALL_PART_SIZE:,}"
            raise damaged(self.file, part.filename, f"it has {part.file_size:,} bytes, more than {limit}")
        return self.part(part)

    def explained(self, place: str) -> _BadXmlConverter:
        """Return a context manager that converts BadXml to a WorkbookError with the names of the file and the place."""
        return _BadXmlConverter(self.file, place)

    def _workbook_name(self) -> str:
        named = [relation.part for relation in self._related("").values() if relation.kind == "officeDocument"]
        return named[0] if named else _DEFAULT_WORKBOOK

    def _read_workbook(self, name: str) -> None:
        part = self._parts.get(name)
        if not part:
            reason = f"{self.file}: its list of sheets cannot be read: {name} is missing"
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
        # Ignore a sheet without a relation. Keep one whose part is missing: it may be the wanted one, and then that is
        # an error.
        relation = self._relations.get(attributes.get("id", ""))
        if relation and relation.kind == "worksheet":
            state = attributes.get("state", "visible")
            self.sheets.append(Sheet(attributes.get("name", ""), state == "visible", self._parts.get(relation.part)))
            if len(self.sheets) > _MAX_SHEETS:
                raise BadXml(f"it lists more than {_MAX_SHEETS:,} sheets")

    def _part_of_kind(self, kind: str, folder: str) -> zipfile.ZipInfo | None:
        """Find the part of a kind by the workbook's relations, or else by its usual name in the workbook's folder."""
        parts = (self._parts.get(relation.part) for relation in self._relations.values() if relation.kind == kind)
        return next(filter(None, parts), None) or self._parts.get(posixpath.join(folder, f"{kind}.xml"))

    def _related(self, source: str) -> dict[str, _Relation]:
        """The relations of a part, or of the package itself (""), by their ids; external relations are left out."""
        folder, base = posixpath.split(source)
        part = self._parts.get(posixpath.join(folder, "_rels", f"{base}.rels"))
        relations: dict[str, _Relation] = {}

        def start(tag: str, attributes: dict[str, str]) -> None:
            if local_name(tag) == "Relationship" and attributes.get("TargetMode") != "External":
                target = unquote(attributes.get("Target", "")).replace("\\", "/")
                name = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
                kind = attributes.get("Type", "").rpartition("/")[2]
                relations.setdefault(attributes.get("Id", ""), _Relation(kind, name))

        if part:
            with self.explained(part.filename):
                _parse(self.small_part(part), start)
        return relations


class _Parts:
    """The parts of a package by name; case and the kind of slash make no difference."""

    def __init__(self, archive: zipfile.ZipFile, file: str) -> None:
        self._file = file
        self._parts: dict[str, list[zipfile.ZipInfo]] = {}
        for part in archive.infolist():
            self._parts.setdefault(_normalized(part.filename), []).append(part)

    def get(self, name: str) -> zipfile.ZipInfo | None:
        """Return the part of a name; None if there is none. Raises WorkbookError if several parts have that name."""
        parts = self._parts.get(_normalized(name), [])
        if len(parts) > 1:
            names = " and ".join(part.filename for part in parts)
            raise damaged(self._file, parts[0].filename, f"it occurs more than once: {names}")
        return parts[0] if parts else None


class _BadXmlConverter:
    def __init__(self, file: str, place: str) -> None:
        self._file = file
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BadXml):
            raise damaged(self._file, self._place, error) from error


def _normalized(name: str) -> str:
    """A part's name in a form that is the same for equivalent names (ECMA-376 part 2, 6.2.2.3)."""
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
