"""Make random valid workbooks, and make random changes to their parts."""

from __future__ import annotations

import random
import re
import zipfile
from collections.abc import Callable
from io import BytesIO

from tests.support.workbooks import (
    CONTENT_TYPES,
    MAIN,
    OFFICE,
    PACKAGE,
    STYLES,
    TOP,
    number,
    row,
    shared,
    shared_strings,
    sheet_xml,
    text,
)

Parts = dict[str, bytes]
SHEET, STRINGS, BOOK = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/workbook.xml"
HEADERS = ("Code", "Price", "Sold", "Note")


def seed(draw: random.Random) -> Parts:
    """The parts of a random valid workbook, in one of the forms that programs write."""
    rows = [row(1, *(text(f"{letter}1", header) for letter, header in zip("ABCD", HEADERS, strict=True)))]
    number_ = 1
    for _ in range(draw.choice([1, 3, 20, 200])):
        number_ += draw.choice([1, 1, 1, 2, 50])
        cells = [
            draw.choice(
                [shared(f"A{number_}", draw.randrange(5)), text(f"A{number_}", "a & b"), number(f"A{number_}", 536365)]
            ),
            draw.choice(
                [number(f"B{number_}", 2.55), number(f"B{number_}", -3), f'<c r="B{number_}"><f>1+1</f><v>2</v></c>']
            ),
            draw.choice(
                [number(f"C{number_}", 40606.5, style=1), f'<c r="C{number_}" t="d"><v>2011-03-04</v></c>', ""]
            ),
            draw.choice(["", f'<c r="D{number_}" t="b"><v>1</v></c>', f'<c r="D{number_}" t="str"><v>x y</v></c>']),
        ]
        rows.append(row(number_, *cells))
    sheet = sheet_xml(rows)
    match draw.randrange(6):
        case 0:
            sheet = sheet.replace("<", "<x:").replace("<x:/", "</x:").replace("xmlns=", "xmlns:x=")
        case 1:
            sheet = re.sub(r'(<(?:row|c)) r="[A-Z0-9]+"', r"\1", sheet)
        case 2:
            sheet = sheet.replace("><", ">\n<")
        case _:
            pass
    return {
        "[Content_Types].xml": CONTENT_TYPES.encode(),
        "_rels/.rels": TOP.encode(),
        BOOK: f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets><sheet name="Sales" sheetId="1" r:id="rId1"/>'
        "</sheets></workbook>".encode(),
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="rId2" Type="{OFFICE}/styles" Target="styles.xml"/>'
        f'<Relationship Id="rId3" Type="{OFFICE}/sharedStrings" Target="sharedStrings.xml"/></Relationships>'.encode(),
        "xl/styles.xml": STYLES.encode(),
        SHEET: sheet.encode(),
        STRINGS: shared_strings("zero", "one", "two", "  three ", "four_x20AC_").encode(),
    }


def mutate(draw: random.Random, parts: Parts) -> None:
    """Change one part, most often the sheet, in one way; sometimes rename it too."""
    name = draw.choices([SHEET, STRINGS, *parts], [12, 3, *([1] * len(parts))])[0]
    if name in parts:
        parts[name] = draw.choice(CHANGES)(draw, parts[name])
    if draw.random() < 0.05:
        other = draw.choice([name.upper(), name.replace("/", "\\"), f"/{name}", "xl/other.xml"])
        parts[other] = parts.pop(name, b"")


def packed(draw: random.Random, parts: Parts) -> bytes:
    """Zip the parts; sometimes change bytes of the zip, or truncate it."""
    target = BytesIO()
    with zipfile.ZipFile(target, "w", draw.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    content = bytearray(target.getvalue())
    if draw.random() < 0.15:
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
    if draw.random() < 0.03:
        del content[draw.randrange(len(content)) :]
    return bytes(content)


def _random_match(draw: random.Random, xml: bytes, pattern: bytes) -> re.Match[bytes] | None:
    found = list(re.finditer(pattern, xml))
    return draw.choice(found) if found else None


def _replaced(draw: random.Random, xml: bytes, pattern: bytes, values: list[bytes]) -> bytes:
    """Replace one random match of a pattern by one of some values."""
    found = _random_match(draw, xml, pattern)
    return xml if found is None else xml[: found.start()] + draw.choice(values) + xml[found.end() :]


_NUMBERS = [
    *(b"0 1 -1 +1 01 1.0 1e3 1E400 -1E400 NaN inf 1_0 0x10 99999999999999999999 1048576".split()),
    *(b"1048577 16384 4294967296".split()),
    *(b"2958465 2958466 -0.5 1e10 -1e300 .5 5. 12345678901234567890 0000000000000000012345678901234567".split()),
    b"",
    b" ",
    b" 1 ",
    b"\n1\n",
    b"1 0",
    b"&#49;",
    b"&#x31;",
    b"&#0;",
    b"&amp;",
    b"&nbsp;",
    b"<![CDATA[1]]>",
    b"1<!-- c -->0",
    b"<?pi?>1",
    b"\xff",
    b"\x00",
    b"_x0041_",
    b"_x20AC_",
    b"_xD83D_",
    b"_x0000_",
]
_ADDRESSES = b"A1 A2 B2 a2 AA1 ZZ9 XFD1 XFE1 XFD1048576 A1048577 A0 AAAA1 A99999999999 $A$1 A1:B2 1 A".split()
_TYPES = [*b"s n b e d str inlineStr is x S".split(), b"", b" s "]


def _value(draw: random.Random, xml: bytes) -> bytes:
    return _replaced(draw, xml, rb"(?<=<v>)[^<]*|(?<=:v>)[^<]*", _NUMBERS)


def _address(draw: random.Random, xml: bytes) -> bytes:
    return _replaced(draw, xml, rb'(?<=<c r=")[^"]*', _ADDRESSES)


def _row_number(draw: random.Random, xml: bytes) -> bytes:
    return _replaced(draw, xml, rb'(?<=row r=")[^"]*', [*_NUMBERS[:17], *_ADDRESSES[:3]])


def _type(draw: random.Random, xml: bytes) -> bytes:
    return _replaced(draw, xml, rb'(?<=\st=")[^"]*', _TYPES)


def _style(draw: random.Random, xml: bytes) -> bytes:
    return _replaced(draw, xml, rb'(?<=\ss=")[^"]*', _NUMBERS[:17])


def _any_attribute(draw: random.Random, xml: bytes) -> bytes:
    return _replaced(draw, xml, rb'(?<==")[^"<]*', [*_NUMBERS, *_ADDRESSES, *_TYPES])


def _doubled_attribute(draw: random.Random, xml: bytes) -> bytes:
    found = _random_match(draw, xml, rb'\s[\w:]+="[^"<]*"')
    return xml if found is None else xml[: found.end()] + found[0] + xml[found.end() :]


def _missing_attribute(draw: random.Random, xml: bytes) -> bytes:
    return _replaced(draw, xml, rb'\s[\w:]+="[^"<]*"', [b""])


def _tag(draw: random.Random, xml: bytes) -> bytes:
    values = [b"", b"<row>", b"</row>", b"<c/>", b"<v/>", b"</sheetData>", b"<sheetData>", b"<f/>", b"<is/>", b"</c>"]
    return _replaced(draw, xml, rb"<[^<>]*>", [*values, b"<!-- -->", b"<![CDATA[<row>]]>", b"<extLst/>", b"<x:row/>"])


def _inserted(draw: random.Random, xml: bytes) -> bytes:
    values = [
        b"<!-- <row r='9'> -->",
        b"<?a b?>",
        b"\n ",
        b"<row/>",
        b"<row r='3'/>",
        b"x",
        b"<c><v>7</v></c>",
        b"<!--",
        b"&",
    ]
    found = _random_match(draw, xml, rb"(?<=>)(?=<)")
    return xml if found is None else xml[: found.start()] + draw.choice(values) + xml[found.end() :]


def _moved(draw: random.Random, xml: bytes) -> bytes:
    """Move one element to another place."""
    source = _random_match(draw, xml, rb"<(\w+)[^<>]*>(?:[^<]|<(?!/?\1\b))*</\1>")
    if source is None:
        return xml
    rest = xml[: source.start()] + xml[source.end() :]
    target = _random_match(draw, rest, rb"(?<=>)(?=<)")
    return rest if target is None else rest[: target.start()] + source[0] + rest[target.start() :]


def _doubled(draw: random.Random, xml: bytes) -> bytes:
    found = _random_match(draw, xml, rb"<(\w+)[^<>]*>(?:[^<]|<(?!/?\1\b))*</\1>")
    times = draw.choice([1, 1, 2, 300])
    return xml if found is None else xml[: found.end()] + found[0] * times + xml[found.end() :]


def _many(draw: random.Random, xml: bytes) -> bytes:
    """Insert many copies of something small."""
    what = draw.choice([b"<c/>", b"<c><f/></c>", b"<row/>", b"<x/>", b" ", b"<!---->", b"<c><v>1</v></c>", b"<si/>"])
    found = _random_match(draw, xml, rb"(?<=>)(?=<)")
    return (
        xml
        if found is None
        else xml[: found.start()] + what * draw.choice([100, 17_000, 50_000]) + xml[found.start() :]
    )


def _bytes(draw: random.Random, xml: bytes) -> bytes:
    changed = bytearray(xml)
    for _ in range(draw.randint(1, 3)):
        if changed:
            changed[draw.randrange(len(changed))] = draw.choice(b"<>/&\"'=: 0123456789rctvs\x00\xff!-?][")
    return bytes(changed)


def _cut(draw: random.Random, xml: bytes) -> bytes:
    return xml[: draw.randrange(len(xml) + 1)]


def _quotes(draw: random.Random, xml: bytes) -> bytes:
    del draw
    return xml.replace(b'"', b"'")


def _encoding(draw: random.Random, xml: bytes) -> bytes:
    name = draw.choice(["utf-8", "utf-16", "utf-16-le", "iso-8859-1", "windows-1252", "none", "hex", "rot13", "idna"])
    declared = f'<?xml version="1.0" encoding="{name}"?>'.encode()
    try:
        return (declared + xml).decode().encode(name)
    except (LookupError, UnicodeError):
        return declared + xml


def _document_type(draw: random.Random, xml: bytes) -> bytes:
    types = [b"<!DOCTYPE a>", b'<!DOCTYPE a [<!ENTITY b "c">]>', b'<!DOCTYPE a SYSTEM "file:///etc/hostname">']
    return draw.choice(types) + xml


CHANGES: list[Callable[[random.Random, bytes], bytes]] = [
    *[_value, _address, _row_number, _type] * 3,
    *[_style, _any_attribute, _doubled_attribute, _missing_attribute, _tag, _inserted, _moved, _doubled] * 2,
    *[_many, _bytes, _cut, _quotes, _encoding, _document_type],
]
