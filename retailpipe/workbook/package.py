"""The parts of an xlsx package: which sheets there are, where each is stored, and what their cells refer to."""

from __future__ import annotations

import posixpath
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from retailpipe.errors import WorkbookError
from retailpipe.workbook.container import check_shared_strings, check_small_part, read_part

_SHARED = ("styles", "sharedStrings")
_DIMENSION = re.compile(rb'<dimension ref="[A-Z]+[0-9]+:[A-Z]+([0-9]+)"')
_HEAD_SIZE = 4096


@dataclass(frozen=True)
class Sheet:
    """A worksheet: its name, whether Excel shows it, and the part of the package that holds its cells."""

    name: str
    visible: bool
    part: zipfile.ZipInfo


class Package:
    """An xlsx package. Raises WorkbookError if its list of sheets cannot be read.

    file: what messages call it.
    date1904: whether its dates count from 1904.
    """

    def __init__(self, path: Path, file: str) -> None:
        self.path = path
        self.file = file
        with zipfile.ZipFile(path) as archive:
            try:
                workbook = _parsed(archive, "xl/workbook.xml", file)
                related = _relations(archive, file)
                self.sheets = [
                    Sheet(sheet.attrib["name"], sheet.get("state", "visible") == "visible", archive.getinfo(name))
                    for sheet in _all(workbook, "sheet")
                    for kind, name in [related[_reference(sheet)]]
                    if kind == "worksheet"
                ]
                names = set(archive.namelist())
                parts = {
                    kind: archive.getinfo(name) for kind, name in related.values() if kind in _SHARED and name in names
                }
                self.styles = parts.get("styles")
                self.shared_strings = parts.get("sharedStrings")
            except (LookupError, StopIteration, ValueError, ET.ParseError) as error:
                hint = "Open it in Excel or LibreOffice and save it anew as 'Excel Workbook (.xlsx)'."
                raise WorkbookError(f"{file}: its list of sheets cannot be read ({error})", hint=hint) from error
            if self.styles:
                check_small_part(archive, self.styles, file)
            if self.shared_strings:
                check_shared_strings(archive, self.shared_strings, file)
        self.date1904 = any(settings.get("date1904") in ("1", "true") for settings in _all(workbook, "workbookPr"))

    def last_row_claimed(self, sheet: Sheet) -> int | None:
        """The number of the last row by what the sheet says of itself, which need not be true."""
        with zipfile.ZipFile(self.path) as archive:
            head = next(read_part(archive, sheet.part, self.file), b"")[:_HEAD_SIZE]
        found = _DIMENSION.search(head)
        return int(found[1]) if found else None


def _parsed(archive: zipfile.ZipFile, name: str, file: str) -> ET.Element:
    # ElementTree fetches nothing from outside, and expat, from 2.4.1 on, refuses entities that swell.
    return ET.fromstring(_read(archive, name, file))  # noqa: S314 - for the two reasons above


def _relations(archive: zipfile.ZipFile, file: str) -> dict[str, tuple[str, str]]:
    """What the workbook refers to: id -> kind and the name of the part."""
    relations = _parsed(archive, "xl/_rels/workbook.xml.rels", file)
    return {
        relation.attrib["Id"]: (
            posixpath.basename(relation.attrib["Type"]),
            posixpath.normpath(posixpath.join("/xl", relation.attrib["Target"])).lstrip("/"),
        )
        for relation in relations
        if relation.get("TargetMode") != "External"
    }


def _read(archive: zipfile.ZipFile, name: str, file: str) -> bytes:
    return b"".join(read_part(archive, archive.getinfo(name), file))


def _all(root: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in root.iter() if element.tag.rpartition("}")[2] == name]


def _reference(sheet: ET.Element) -> str:
    """The attribute r:id, in the namespace of the Transitional format or of the Strict one."""
    return next(value for key, value in sheet.attrib.items() if key.endswith("}id"))
