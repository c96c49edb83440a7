"""Read rows by their distinct cells.

Columns repeat their values: in a year of sales, only one cell in forty has XML that did not occur before. So Arrow
(which releases the GIL) cuts the cells out of a block of XML, and only new cells go to python-calamine.

A block can be cut only if its XML has exactly the form in which Excel and the common libraries write rows. All other
blocks are read in the normal way (parsing.py). This module does not interpret cells: it puts new cells into separate
rows, and these rows are read in the normal way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from retailpipe.workbook.cells import Cell
from retailpipe.workbook.chunks import Chunk, RepeatedCells
from retailpipe.workbook.container import MAX_ROWS
from retailpipe.workbook.cutting import Block
from retailpipe.workbook.patterns import SPACE, Substitution, array_of, matching, substituted
from retailpipe.workbook.plainness import PlainRows, row_attributes

_CELL = '<c r="'
_END = "</c>"
_ROW_TAG = f'<row r="[1-9][0-9]{{0,6}}"{row_attributes()}'
_FIRST_CELL = f"{SPACE}{_ROW_TAG}>{_CELL}"
_ADDRESS = re.compile(rb'<c r="[A-Z]+([0-9]+)"')
_FORMULA = "<f(?: [^<>]*)?(?:/>|>[^<]*</f>)"
_CONTENT = f'"[^<>]*>(?:{_FORMULA})?(?:<v>[^<]*</v>|<is><t[^<>]*>[^<]*</t></is>)?'
"""The XML of a cell between its address and its end tag."""
_EMPTY = [  # removes empty cells and empty rows
    Substitution('<c r="[A-Z]{1,3}[1-9][0-9]{0,6}"(?: s="[0-9]{1,9}")?(?: t="(?:n|s|str|b)")?/>', "", b'"/>'),
    Substitution(f"{_ROW_TAG}/>", "", b'"/>'),
    Substitution(f"{_ROW_TAG}></row>", "", b'"></row>'),
]
_MAX_KNOWN = 1 << 14
"""Cells in the cache: limits memory, and is enough for cells that are close to each other in a sheet."""
_MAX_NEW, _MANY_NEW = 0.5, 0.25
"""Shares of new cells in a block: above the first the block is not read this way, above the second it counts as a miss.

A new cell costs as much as five cells that are read in the normal way, but is in the cache afterwards."""
_MAX_MISSES = 3
"""After this many misses in succession, the rest of the sheet is read in the normal way."""
_ONE = pa.scalar(1, pa.int32())
_INT_BITS = pa.scalar(32, pa.int64())


class Column(NamedTuple):
    """A column of a block.

    distinct: its distinct cells, as the XML after their addresses.
    places: for each row, the index of its cell in `distinct`; null if the row has none.
    """

    distinct: list[bytes]
    places: pa.Array


class Cut(NamedTuple):
    """A block, cut into its cells.

    numbers: the number of each row.
    columns: the columns by their index in the sheet.
    cells: how many cells the block has.
    """

    numbers: Sequence[int]
    columns: dict[int, Column]
    cells: int


class Repeats:
    """Reads blocks of one sheet by their distinct cells. Several threads may use it at the same time.

    read_new: reads a block in the normal way.
    always: whether to read by distinct cells even if that is slower (for tests).
    """

    def __init__(self, read_new: Callable[[Block], list[Chunk]], *, always: bool = False) -> None:
        self._read_new = read_new
        self._always = always
        self._known: dict[bytes, Cell] = {}
        self._misses = 0
        self._has_empty = False

    def read(self, block: Block) -> Chunk | None:
        """Return the rows of a block; None if it must be read in the normal way. Raises WorkbookError."""
        if self._misses >= _MAX_MISSES and not self._always:
            return None
        for has_empty in (True,) if self._has_empty else (False, True):
            cut = cut_cells(substituted(_EMPTY, block.xml) if has_empty else block.xml)
            if cut and (columns := self._columns(cut, block.plain)):
                self._has_empty = has_empty
                chunk = Chunk(columns, list(cut.columns), cut.numbers)
                return chunk.without_blank_rows() if any("" in column.distinct for column in columns) else chunk
        self._misses += 1
        return None

    def _columns(self, cut: Cut, plain: PlainRows) -> list[RepeatedCells] | None:
        """Return the columns of a block; None if too many cells are new, or have an unexpected form."""
        known = self._known
        distinct = (xml for column in cut.columns.values() for xml in column.distinct)
        new = list(dict.fromkeys(xml for xml in distinct if xml not in known))
        if (len(new) > _MAX_NEW * cut.cells and not self._always) or not all(matching(_CONTENT, new)):
            return None
        self._misses = self._misses + 1 if len(new) > _MANY_NEW * cut.cells else 0
        if new:
            known.update(self._read(new, plain))
        if len(known) > _MAX_KNOWN:
            self._known = {}  # a new dict, because other threads may be using the old one
        return [RepeatedCells([known[xml] for xml in xmls], places) for xmls, places in cut.columns.values()]

    def _read(self, new: Sequence[bytes], plain: PlainRows) -> dict[bytes, Cell]:
        """Read new cells, as rows of one column; return them by their XML."""
        rows = [b'<row r="%d"><c r="A%d%b</c></row>' % (number, number, xml) for number, xml in enumerate(new, 1)]
        cells: dict[bytes, Cell] = dict.fromkeys(new, "")
        for chunk in self._read_new(Block(b"".join(rows), 0, plain)):
            for number, cell in zip(chunk.numbers, chunk.column(0), strict=True):
                cells[new[number - 1]] = cell
        return cells


def cut_cells(block: bytes) -> Cut | None:
    """Cut a block of rows into its cells; None if its XML does not have the expected form."""
    tokens: pa.Array = pc.split_pattern(array_of(block), _END)[0].values
    cells, tail = tokens.slice(0, len(tokens) - 1), tokens[-1].as_py()
    # A token begins with its cell's tag, except in a row's first cell, where the row's tag comes before it.
    is_first = pc.invert(pc.starts_with(cells, _CELL))
    firsts = pc.indices_nonzero(is_first)
    heads = cells.take(firsts)
    width = _width(heads)
    if not width or not _are_first_cells(heads) or tail.strip() != b"</row>":
        return None
    addresses = _addresses(cells, is_first, heads)
    characters = _characters(cells)
    letters, digits = characters.take(addresses), pc.add(addresses, _ONE)
    if not _within(letters, "A", "Z") or not _within(characters.take(digits), "1", "9"):
        return None
    contents = pc.add(digits, pa.scalar(width, pa.int32()))
    try:
        numbers = _texts(cells, _bounds(digits, contents), pa.string()).cast(pa.int32())
    except pa.ArrowInvalid:  # the number has fewer digits than the others, or is not a number
        return None
    rows = numbers.take(firsts)
    first, last = rows[0].as_py(), rows[-1].as_py()
    steps = pc.min_max(pc.pairwise_diff(rows)).as_py()
    if (len(rows) > 1 and steps["min"] < 1) or last > MAX_ROWS:
        return None
    by_column = pc.array_sort_indices(letters)
    numbers, bounds = numbers.take(by_column), _bounds(contents, _ends(cells)).take(by_column)
    columns: dict[int, Column] = {}
    start = 0
    counts = letters.value_counts().to_pylist()
    for letter, length in sorted((count["values"], count["counts"]) for count in counts):
        encoded = _texts(cells, bounds.slice(start, length), pa.binary()).dictionary_encode()
        places = _in_rows(rows, numbers.slice(start, length), encoded.indices)
        if places is None:
            return None
        columns[letter - ord("A")] = Column(encoded.dictionary.to_pylist(), places)
        start += length
    are_all = last - first + 1 == len(rows)
    return Cut(range(first, last + 1) if are_all else rows.to_pylist(), columns, len(cells))


def _width(heads: pa.Array) -> int:
    """How many digits the row numbers have; 0 if the first and the last row differ in that.

    heads: the first cells of the rows.
    """
    if not len(heads):
        return 0
    addresses = [_ADDRESS.search(head.as_py()) for head in (heads[0], heads[-1])]
    first, last = (len(address[1]) if address else 0 for address in addresses)
    return first if first == last else 0


def _are_first_cells(heads: pa.Array) -> bool:
    """Whether each first cell follows its row's tag, and each row's tag follows the end of the row before it."""
    before, others = heads.slice(0, 1), heads.slice(1)
    found = [
        pc.match_substring_regex(before, rf"\A{_FIRST_CELL}"),
        pc.match_substring_regex(others, rf"\A</row>{_FIRST_CELL}"),
    ]
    return sum(each.true_count for each in found) == len(heads)


def _addresses(cells: pa.Array, is_first: pa.Array, heads: pa.Array) -> pa.Array:
    """The offset of each cell's address in the buffer."""
    length = pa.scalar(len(_CELL), pa.int32())
    before_first = pc.add(pc.find_substring(heads, _CELL), length)
    return pc.add(_starts(cells), pc.replace_with_mask(pa.repeat(length, len(cells)), is_first, before_first))


def _in_rows(rows: pa.Array, numbers: pa.Array, places: pa.Array) -> pa.Array | None:
    """Spread a column's cells over all rows, with null for a row without a cell; None if a row has two cells.

    rows: the number of each row.
    numbers, places: for each cell of the column, its row number and its index among the distinct cells.
    """
    if numbers.equals(rows):
        return places
    found = pc.index_in(rows, value_set=numbers)
    return places.take(found) if len(found) - found.null_count == len(places) else None


def _starts(texts: pa.Array) -> pa.Array:
    """The offset in their buffer at which each of some texts begins."""
    return pa.Array.from_buffers(pa.int32(), len(texts), [None, texts.buffers()[1]])


def _ends(texts: pa.Array) -> pa.Array:
    return pa.Array.from_buffers(pa.int32(), len(texts) + 1, [None, texts.buffers()[1]]).slice(1)


def _characters(texts: pa.Array) -> pa.Array:
    """The bytes of the buffer of some texts."""
    data = texts.buffers()[2]
    return pa.Array.from_buffers(pa.uint8(), data.size, [None, data])


def _within(characters: pa.Array, low: str, high: str) -> bool:
    ends = pc.min_max(characters).as_py()
    return ord(low) <= ends["min"] and ends["max"] <= ord(high)


def _bounds(starts: pa.Array, ends: pa.Array) -> pa.Array:
    """Combine each start and end in one 64-bit number, so that start and end alternate in memory."""
    return pc.bit_wise_or(starts.cast(pa.int64()), pc.shift_left(ends.cast(pa.int64()), _INT_BITS))


def _texts(cells: pa.Array, bounds: pa.Array, kind: pa.DataType) -> pa.Array:
    """The texts between some bounds, in the buffer of some cells. The bounds must be in order and not overlap."""
    # In memory, the bounds are the offsets of an array that alternates between the texts and the gaps between them;
    # every second element is a text.
    buffers = [None, bounds.buffers()[1], cells.buffers()[2]]
    count = 2 * len(bounds) - 1
    both = pa.Array.from_buffers(kind, count, buffers, offset=2 * bounds.offset)
    return both.take(pa.arange(0, count, 2))
