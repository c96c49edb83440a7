"""Read a CSV file: the rows up to its header with Python's csv module, the rows below with Arrow.

A CSV file is a sheet without a name, and all of its cells are texts. A row is a record: a quoted field may hold line
breaks. Row numbers are those that a spreadsheet program shows: blank lines count.

A row with fewer or more fields than the header, such as a note below the data, is a fault unless the contract passes
over it: it may come from a wrong delimiter or a quote that is not closed. Arrow leaves such rows to a handler, and they
follow the other rows of their block.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from retailpipe.errors import WorkbookError
from retailpipe.workbook.cells import Cell
from retailpipe.workbook.chunks import Chunk, RepeatedCells
from retailpipe.workbook.container import MAX_COLUMNS
from retailpipe.workbook.decoding import BLOCK, UTF_8, DecodedFile, as_text, check_content
from retailpipe.workbook.lending import Loan
from retailpipe.workbook.quotes import NOT_CLOSED, CountedLines, long_fields, parsed

if TYPE_CHECKING:
    from pyarrow.csv import InvalidRow

DELIMITERS = (",", ";", "\t", "|")
_ROWS_SEEN = 20
"""Rows from which the delimiter is detected."""
_DIRECTIVE = re.compile(r"sep=.\r?\n?")
_QUOTES = (
    "Check the quotes and the delimiters of that row. If the delimiter is wrong, set `delimiter` in the contract. To "
    "skip rows such as notes, use `skip_rows` or `skip_footer` in the contract."
)
_MOST_FAULTS = 1_000
"""Rows with too many or too few fields; with more, the file is not read to its end."""


class CsvSheet:
    """The rows of a CSV file. Its methods raise WorkbookError if the file is damaged, or not a CSV file.

    file: the file's name in messages.
    name: always empty; a CSV file is a sheet without a name.
    delimiter: detected from the first rows if it is not given.
    """

    visible = True
    name = ""

    def __init__(self, path: Path, file: str, delimiter: str | None = None, encoding: str | None = None) -> None:
        self.path = path
        self.file = file
        self.encoding = encoding or UTF_8
        check_content(path, file, self.encoding)
        directive = self._directive()
        self._start = len(directive.encode())
        self.delimiter = delimiter or directive.rstrip()[-1:] or self._detected()

    def preview(self, limit: int) -> list[tuple[int, dict[int, Cell]]]:
        """Return the first rows that are not blank: their numbers, and their cells by column."""
        rows = ((number, fields) for number, fields, _ in self._checked_records() if any(fields))
        return [(number, dict(enumerate(fields))) for number, fields in islice(rows, limit)]

    def rows(self, header_row: int | None) -> CsvRows:
        """Return the rows from the header on: the row with this number, or else the first that is not blank."""
        records = self._checked_records()
        for number, fields, end in records:
            if number == header_row or (header_row is None and any(field.strip() for field in fields)):
                # Some programs end each row with a delimiter, but not the header.
                below = next((below for _, below, _ in records if any(below)), list[str]())
                extra = [] if any(below[len(fields) :]) else below[len(fields) :]
                return CsvRows(self, number, fields, end, len(fields) + len(extra))
        return CsvRows(self, 1, [], 0, 0)

    def check_encoding(self) -> None:
        """Read the whole file. Raises WorkbookError if it is not a text in its encoding."""
        with self.opened() as decoded:
            while decoded.read(BLOCK):
                pass

    def check_quotes(self) -> None:
        """Read the whole file with the csv module. Raises WorkbookError if a quote is not closed."""
        with long_fields():
            for _ in self._checked_records():
                pass

    def max_rows(self, columns: int) -> int:
        """The largest number of rows in a file of this size: a row has a character for each of its columns."""
        return self.path.stat().st_size // max(columns, 1) + 1

    def opened(self, offset: int = 0) -> DecodedFile:
        """Return the file as UTF-8 without a byte order mark, from an offset on; a directive is left out."""
        decoded = DecodedFile(self.path, self.file, self.encoding)
        decoded.skip(self._start + offset)
        return decoded

    def _directive(self) -> str:
        """Return the first line if it is `sep=` and a delimiter, which Excel reads and does not show; else ""."""
        with as_text(DecodedFile(self.path, self.file, self.encoding)) as text:
            line = text.readline()
        return line if _DIRECTIVE.fullmatch(line) else ""

    def _detected(self) -> str:
        """The delimiter with which most of the first rows have the same number of fields, more than one.

        Decimal commas give the rows more fields too, but not the header.
        """
        scores: dict[str, tuple[float, int]] = {}
        for delimiter in DELIMITERS:
            rows = (fields for _, fields, _, _ in self._records(delimiter) if any(fields))
            widths = Counter(len(fields) for fields in islice(rows, _ROWS_SEEN))
            width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
            scores[delimiter] = (count / widths.total(), width) if width > 1 else (0, 0)
        return max(DELIMITERS, key=lambda delimiter: scores[delimiter])

    def _checked_records(self) -> Iterator[tuple[int, list[str], int]]:
        """Yield each row as `_records` does. Raises WorkbookError if one of its quotes is not closed."""
        for number, fields, end, is_closed in self._records(self.delimiter):
            if not is_closed:
                raise damaged_row(self.file, number, NOT_CLOSED)
            yield number, fields, end

    def _records(self, delimiter: str) -> Iterator[tuple[int, list[str], int, bool]]:
        """Yield each row: its number, its fields, the offset at which it ends, and whether its quotes are closed.

        The offset is one in the decoded file.
        """
        end = number = 0

        def lines() -> Iterator[str]:
            nonlocal end
            for line in text:
                end += len(line.encode())
                yield line

        with as_text(self.opened()) as text:
            try:
                for number, (fields, is_closed) in enumerate(parsed(lines(), delimiter), 1):
                    yield number, fields, end, is_closed
            except csv.Error as error:
                reason = f"a field has more than {csv.field_size_limit():,} characters, or {NOT_CLOSED}"
                raise damaged_row(self.file, number + 1, reason) from error


class CsvRows:
    """An iterator over the rows of a CSV file that are not blank: first the header alone, then the rows below it.

    Iterating raises WorkbookError if the file is damaged.
    """

    rows_claimed = None

    def __init__(self, sheet: CsvSheet, number: int, header: Sequence[str], end: int, width: int) -> None:
        self.in_order = True
        self._width = width
        self._sheet = sheet
        self._number = number
        self._header = header
        self._end = end
        self._source: DecodedFile | None = None
        self._lines: CountedLines | None = None
        self._uneven: list[tuple[int, list[str]]] = []  # rows with another number of fields that are not yielded yet
        self._faults: dict[int, WorkbookError] = {}
        self._chunks = self._read()

    def __iter__(self) -> Iterator[Chunk]:
        return self._chunks

    def close(self) -> None:
        """Close the file."""
        self._chunks.close()
        if self._source:
            self._source.close()

    def _read(self) -> Generator[Chunk]:
        if not any(self._header):
            return
        width = len(self._header)
        if width > MAX_COLUMNS:
            raise damaged_row(self._sheet.file, self._number, f"it has {width:,} fields")
        yield Chunk([(field,) for field in self._header], range(width), [self._number], booleans=False)
        first = self._number + 1
        for batch in self._batches(self._width):
            numbers, uneven = self._numbered(first, batch.num_rows)
            if chunk := _chunk(batch, numbers):
                yield chunk
            yield from self._chunk_of(uneven)
            first += batch.num_rows + len(uneven)
        yield from self._chunk_of(self._uneven)
        if self._lines:
            rows = first + len(self._uneven) - self._number - 1
            if not self._lines.are_rows(rows, self._sheet.delimiter):
                self._sheet.check_quotes()

    def _numbered(self, first: int, count: int) -> tuple[Sequence[int], list[tuple[int, list[str]]]]:
        """Return the numbers of a block's rows from `first` on, and the uneven rows among them."""
        among = 0
        while among < len(self._uneven) and self._uneven[among][0] < first + count + among:
            among += 1
        uneven, self._uneven = self._uneven[:among], self._uneven[among:]
        if not uneven:
            return range(first, first + count), []
        left_out = {number for number, _ in uneven}
        return [number for number in range(first, first + count + among) if number not in left_out], uneven

    def _chunk_of(self, uneven: Sequence[tuple[int, list[str]]]) -> Iterator[Chunk]:
        """Yield the uneven rows that are not blank, if any, each with as many fields as the others."""
        filled = [(number, fields) for number, fields in uneven if any(fields)]
        if filled:
            columns = zip(*((*fields, *[""] * self._width)[: self._width] for _, fields in filled), strict=True)
            numbers = [number for number, _ in filled]
            yield Chunk(list(columns), range(self._width), numbers, booleans=False, faults=self._faults)

    def _add_uneven(self, number: int, fields: list[str]) -> None:
        """Keep a row that Arrow leaves out; it is a fault unless it only lacks, or only adds, empty fields."""
        width, found = len(self._header), len(fields)
        self._uneven.append((number, fields))
        if any(fields) and (found < width or any(fields[self._width :])):
            counted = f"{found:,} field{'' if found == 1 else 's'}"
            reason = f"it has {counted}, but the header in row {self._number} has {width:,}"
            self._faults[number] = damaged_row(self._sheet.file, number, reason)

    def _batches(self, width: int) -> Iterator[pa.RecordBatch]:
        import pyarrow.csv as arrow_csv

        self._source = self._sheet.opened(self._end)
        if self._source.is_at_end():
            return
        self._lines = CountedLines(self._source)
        names = [str(index) for index in range(width)]
        loan = Loan(self._lines)
        try:
            for batch in arrow_csv.open_csv(
                loan.file(),
                read_options=arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=self._sheet.delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=False,
                    invalid_row_handler=loan.handler(self._judge_uneven),
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=False
                ),
            ):
                if loan.error:  # the last row of this batch may be cut
                    break
                yield batch
        except pa.ArrowException as error:
            if not loan.error:
                raise self._damaged() from error
        finally:
            loan.end()
        if loan.error:
            raise loan.error

    def _judge_uneven(self, row: InvalidRow) -> Literal["error", "skip"]:
        text = io.StringIO(row.text, newline="")
        fields: list[str]
        try:
            fields = next(csv.reader(text, delimiter=self._sheet.delimiter), list[str]())
        except csv.Error:  # a field is longer than Python's module reads
            fields = [row.text] * row.actual_columns
        self._add_uneven(self._number + row.number, fields)
        return "error" if len(self._faults) > _MOST_FAULTS else "skip"

    def _damaged(self) -> WorkbookError:
        """The error for a file that Arrow refuses."""
        if self._faults:
            return self._faults[min(self._faults)]
        try:
            self._sheet.check_quotes()
        except WorkbookError as error:
            return error
        return WorkbookError(f"{self._sheet.file}: a row is longer than {BLOCK:,} bytes", hint=_QUOTES)


def damaged_row(file: str, row: int, reason: str) -> WorkbookError:
    """The error for a row of a CSV file that cannot be read."""
    return WorkbookError(f"{file}, row {row:,}: {reason}", hint=_QUOTES)


def _chunk(batch: pa.RecordBatch, numbers: Sequence[int]) -> Chunk | None:
    """Return the rows of a batch that are not blank; None if there are none. numbers: the number of each row."""
    columns = [batch.column(index) for index in range(batch.num_columns)]
    blank = _are_empty(columns[0])
    for column in columns[1:]:
        if not blank.true_count:
            break
        blank = pc.and_(blank, _are_empty(column))
    if blank.true_count:
        filled = pc.invert(blank)
        columns = [column.filter(filled) for column in columns]
        places: list[int] = pc.indices_nonzero(filled).to_pylist()
        numbers = [numbers[place] for place in places]
    return Chunk(list(map(_cells, columns)), range(len(columns)), numbers, booleans=False) if numbers else None


def _are_empty(texts: pa.Array) -> pa.BooleanArray:
    return pc.equal(pc.binary_length(texts), pa.scalar(0, pa.int32()))


def _cells(texts: pa.Array) -> RepeatedCells:
    encoded = texts.dictionary_encode()
    distinct: list[Cell] = encoded.dictionary.to_pylist()
    places = encoded.indices
    if "" in distinct:
        is_empty = pc.equal(places, pa.scalar(distinct.index(""), pa.int32()))
        places = pc.if_else(is_empty, pa.scalar(None, pa.int32()), places)
    return RepeatedCells(distinct, places)
