"""Writes the rows of a query as an Excel workbook.

Every value arrives in Excel unchanged, or as text if Excel cannot hold it: Excel keeps 15 digits of a number, no dates
before 1900 and no time zones. Text is never a formula or a link.
"""

from __future__ import annotations

import io
import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from retailpipe.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from xlsxwriter import Format, Workbook, Worksheet

MAX_ROWS = 1_048_575
"""Excel's limit of 1,048,576 rows, without the header row."""
_MAX_TEXT = 32_767
"""Excel's limit of a text, in UTF-16 units."""
_DIGITS = 15
_EXPONENTS = (-300, 300)
_BATCH_ROWS = 5_000
_OTHER_FORMAT = "Or write the rows as CSV: --format csv."
_MIN_WIDTH, _MAX_WIDTH = 9, 60
_WIDTHS: dict[type, int] = {datetime: 20, date: 11, time: 9}
"""Widths of columns in characters: Excel shows ##### for a date in a narrow column."""


def spreadsheet(table: pa.Table) -> bytes:
    """The content of an xlsx workbook with one sheet that holds a table.

    Times with a time zone are written in UTC. Raises UsageError if a sheet cannot hold the rows, or a cell a text.
    """
    import xlsxwriter

    if table.num_rows > MAX_ROWS:
        message = (
            f"the query returned {table.num_rows:,} rows, but an Excel sheet can contain {MAX_ROWS:,} and a header"
        )
        raise UsageError(message, hint=f"Add a limit to the query. {_OTHER_FORMAT}")
    content = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="retailpipe-") as folder:
        workbook = xlsxwriter.Workbook(content, {"constant_memory": True, "tmpdir": folder})
        try:
            sheet = _Sheet(workbook, table.column_names)
            for number, values in enumerate(rows_of(table), start=1):
                sheet.write(number, values)
            sheet.end()
        finally:
            workbook.close()  # also after an error: it closes the file of the rows
    return content.getvalue()


def rows_of(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """The rows of a table by position, because two columns may have the same name; a few at a time, to save memory.

    Raises UsageError if Python has no such date, such as PostgreSQL's infinity.
    """
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        columns: list[list[Any]] = []
        for name, column in zip(table.column_names, batch.columns, strict=True):
            try:
                columns.append(column.to_pylist())
            except (OverflowError, ValueError) as error:
                message = f"column {name} has a value that is not a date of the years 1 to 9999: {error}"
                raise UsageError(message, hint="Convert it to text in the query: COLUMN::text.") from error
        yield from zip(*columns, strict=True)


class _Sheet:
    def __init__(self, workbook: Workbook, names: list[str]) -> None:
        self._names = names
        self._widths = [max(_MIN_WIDTH, len(name) + 2) for name in names]
        self._sheet: Worksheet = workbook.add_worksheet("query")
        self._formats: dict[type, Format] = {
            date: workbook.add_format({"num_format": "yyyy-mm-dd"}),
            datetime: workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
            time: workbook.add_format({"num_format": "hh:mm:ss"}),
            # Excel would turn such a text into a formula when a person edits the cell.
            str: workbook.add_format({"quote_prefix": True}),
        }
        header = workbook.add_format({"bold": True, "quote_prefix": True})
        self._sheet.freeze_panes(1, 0)
        for column, name in enumerate(names):
            self._write_text(0, column, name, header)

    def write(self, row: int, values: tuple[Any, ...]) -> None:
        for column, value in enumerate(values):
            self._write_value(row, column, value)

    def end(self) -> None:
        for column, width in enumerate(self._widths):
            self._sheet.set_column(column, column, min(width, _MAX_WIDTH))

    def _write_value(self, row: int, column: int, value: Any) -> None:
        if value is None:
            return
        if isinstance(value, bool):
            self._sheet.write_boolean(row, column, value)
        elif isinstance(value, int | float | Decimal) and _is_kept(value):
            self._sheet.write_number(row, column, value)
        elif isinstance(value, date | time) and (moment := _in_excel(value)) is not None:
            kind = type(moment)
            self._widen(column, _WIDTHS[kind])
            self._sheet.write_datetime(row, column, moment, self._formats[kind])
        else:
            text = _as_text(value)
            self._write_text(row, column, text, self._formats[str] if text.startswith(("=", "+", "-", "@")) else None)

    def _write_text(self, row: int, column: int, text: str, cell_format: Format | None) -> None:
        if len(text.encode("utf-16-le", "surrogatepass")) // 2 > _MAX_TEXT:
            place = f"row {row:,} of column {self._names[column]}" if row else f"the name of column {column + 1}"
            message = f"{place} has {len(text):,} characters, but an Excel cell can contain {_MAX_TEXT:,}"
            raise UsageError(message, hint=f"Shorten it in the query with left(TEXT, {_MAX_TEXT}). {_OTHER_FORMAT}")
        self._widen(column, len(text) + 1)
        self._sheet.write_string(row, column, text, cell_format)

    def _widen(self, column: int, width: int) -> None:
        self._widths[column] = max(self._widths[column], width)


def _as_text(value: Any) -> str:
    """The value as text: exact decimals with all digits, times in ISO 8601, bytes in hexadecimal digits."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, bytes):
        return rf"\x{value.hex()}"
    if isinstance(value, list | Mapping):
        return json.dumps(cast("Any", value), ensure_ascii=False, default=_as_text)
    return str(value)


def _is_kept(value: float | Decimal) -> bool:
    """Whether Excel keeps all digits of a number. It stores floats, so it keeps all of them but NaN and infinity."""
    if isinstance(value, float):
        return math.isfinite(value)
    exact = Decimal(value)
    significant = "".join(map(str, exact.as_tuple().digits)).strip("0")
    return len(significant) <= _DIGITS and (not exact or _EXPONENTS[0] < exact.adjusted() < _EXPONENTS[1])


def _in_excel(value: date | time) -> date | time | None:
    """The value as Excel can show it: a time with a zone in UTC; None if Excel has no such date."""
    if isinstance(value, datetime) and value.tzinfo:
        value = value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, time):
        return None if value.tzinfo else value
    return value if value.year >= 1900 else None
