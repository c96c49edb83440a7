"""Convert the cells of one column to Arrow arrays of the contract's type.

Most columns repeat few values, so each distinct value is converted once and cached. A cell that cannot be converted
becomes null in the array; `problem` explains it later, so that a column without problems costs nothing more.

An equal float and bool (1.0 and TRUE) are the same key of a dict, so chunks that hold a bool bypass the cache.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from retailpipe.contract_columns import Column, Separators
from retailpipe.workbook.cells import EXACT_INTEGERS, NOT_CALCULATED, Cell, ErrorCell, shown
from retailpipe.workbook.chunks import RepeatedCells

_EPOCH = datetime(1970, 1, 1)
_MAX_CACHED = 1 << 14
"""Values in the cache of a column before it is cleared: limits memory if every value is different."""
_LONG_TEXT = 60
_BLANKS = " \u00a0\u202f"
"""The blanks that may separate groups of digits; the last two are non-breaking."""
_ZERO = pa.scalar(0, pa.int32())
_THOUSAND = pa.scalar(1000.0, pa.float64())
_THOUSANDTHS = pa.decimal128(19, 3)


class Problem(NamedTuple):
    """Why a cell breaks the contract: a code for programs, and a message and a hint for people."""

    code: str
    message: str
    hint: str


class _Unfit(Exception):
    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.problem = Problem(code, message, hint)


class _Cache(dict[Any, Any]):
    """Cache of raw value to Arrow value; each is computed when it is first looked up.

    The keys are copies. The cells of a chunk are allocated next to each other and freed together. If one of them stayed
    alive, it would keep the memory around it in use. The cells of later chunks would then be scattered, which makes
    them slower to create and to read.
    """

    def __init__(self, converter: ColumnConverter) -> None:
        super().__init__()
        self._converter = converter

    def __missing__(self, cell: Cell) -> object:
        if isinstance(cell, float):
            cell = cell * 1.0
        elif isinstance(cell, str):
            cell = cell[:1] + cell[1:]
        if len(self) >= _MAX_CACHED:
            self.clear()
        value = self[cell] = self._converter.value_or_none(cell)
        return value


class NumberTexts:
    """Reads numbers that are kept as text: digits, at most one sign and one decimal separator, and groups of three.

    A text of another form is never guessed. Blanks around the number are ignored.
    """

    def __init__(self, separators: Separators) -> None:
        self._separators = separators
        point = re.escape(separators.decimal)
        whole = "[0-9]{1,40}"
        if separators.thousands:
            group = f"[{_BLANKS}]" if separators.thousands == " " else re.escape(separators.thousands)
            whole = f"(?:{whole}|[0-9]{{1,3}}(?:{group}[0-9]{{3}}){{1,13}})"
            self._groups = re.compile(group)
        self._form = re.compile(rf"[+-]?(?:{whole}(?:{point}[0-9]{{0,40}})?|{point}[0-9]{{1,40}})")

    def parsed(self, text: str) -> Decimal | None:
        """The number that a text without surrounding blanks stands for; None if it is not clearly a number."""
        if not self._form.fullmatch(text):
            return None
        if self._separators.thousands:
            text = self._groups.sub("", text)
        return Decimal(text.replace(self._separators.decimal, "."))

    def number(self, cell: Cell) -> Decimal | None:
        """The shortest decimal of a number, or of a text that is clearly one; None for a blank cell. Raises _Unfit."""
        if isinstance(cell, float):
            number = Decimal(repr(cell))
            if number.is_finite():
                return number
        elif isinstance(cell, str):
            text = cell.strip()
            if not text:
                return None
            number = self.parsed(text)
            if number is not None:
                return number
        raise _Unfit("not_a_number", f"{_brief(cell)} is not a number", self._hint())

    def _hint(self) -> str:
        separators = self._separators
        hint = f"Enter a plain number, such as 1234{separators.decimal}5"
        if separators == Separators():
            return f"{hint}."
        return f"{hint}; the contract has decimal = {separators.decimal!r}, thousands = {separators.thousands!r}."


class ColumnConverter(ABC):
    """Converts the cells of one column, chunk by chunk, to Arrow arrays of the column's type.

    The first arrays of a decimal column may have a narrower decimal type, as long as it holds their values.

    has_problems: whether any cell so far could not be converted.
    """

    _must_be_exact = True

    def __init__(self, column: Column) -> None:
        self.column = column
        self.has_problems = False
        self._cache = _Cache(self)
        self._numbers = NumberTexts(column.separators)

    def convert(self, cells: Sequence[Cell], *, booleans: bool = True) -> pa.Array:
        """Return an array as long as `cells`, with null for each cell that is blank or cannot be converted.

        booleans: whether some of the cells may be bools.
        """
        if isinstance(cells, RepeatedCells):
            return self.convert(cells.distinct).take(cells.places)
        if booleans and bool in set(map(type, cells)):
            return self._array([self.value_or_none(cell) for cell in cells])
        return self._vectorised(cells) or self._array(list(map(self._cache.__getitem__, cells)))

    def problem(self, cell: Cell) -> Problem | None:
        """Explain why a cell whose array value is null could not be converted; None if the cell is blank."""
        try:
            self._checked(cell)
        except _Unfit as unfit:
            return unfit.problem
        return None

    def value_or_none(self, cell: Cell) -> object:
        """Convert one cell. Return None, and set `has_problems`, if that fails; None too for a blank cell."""
        try:
            return self._checked(cell)
        except _Unfit:
            self.has_problems = True
            return None

    def _checked(self, cell: Cell) -> object:
        if isinstance(cell, float):
            if abs(cell) >= EXACT_INTEGERS and cell.is_integer() and self._must_be_exact:
                message = f"{cell:.17g} has more digits than Excel stores for a number"
                raise _Unfit("digits_lost", message, "Format the column as text and enter the number again.")
        elif isinstance(cell, ErrorCell):
            if cell == NOT_CALCULATED:
                message, hint = "the formula has never been calculated", "Open the workbook in Excel and save it."
                raise _Unfit("not_calculated", message, hint)
            raise _Unfit("error_cell", f"the formula returned the error {cell.code}", "Correct the formula.")
        return self._value(cell)

    def _vectorised(self, cells: Sequence[Cell]) -> pa.Array | None:
        """Convert a chunk that holds no bools with vectorised operations; None if its cells do not allow that."""
        return None

    @abstractmethod
    def _array(self, values: list[Any]) -> pa.Array:
        """Build an array of the column's type from the results of `_value`."""

    @abstractmethod
    def _value(self, cell: Cell) -> object:
        """Convert a cell to what `_array` expects; None for a blank cell. Raises _Unfit."""


class _TextConverter(ColumnConverter):
    def _vectorised(self, cells: Sequence[Cell]) -> pa.Array | None:
        texts = _array_or_none(cells, pa.string())
        if texts is None:
            return None
        offsets, data = texts.buffers()[1:]
        if data is not None and b"\0" in data.to_pybytes():
            return None
        filled = pc.not_equal(pc.binary_length(texts), _ZERO)
        if filled.true_count == len(texts):
            return texts
        # Empty texts become null: the bits of `filled` are the array's validity bitmap.
        return pa.Array.from_buffers(pa.string(), len(texts), [filled.buffers()[1], offsets, data])

    def _array(self, values: list[Any]) -> pa.Array:
        return pa.array(values, pa.string())

    def _value(self, cell: Cell) -> str | None:
        text = shown(cell)
        if "\0" in text:
            message = "the text contains a NUL character, which PostgreSQL cannot store"
            raise _Unfit("nul_character", message, "Delete that character from the cell.")
        return text or None


class _IntegerConverter(ColumnConverter):
    def _vectorised(self, cells: Sequence[Cell]) -> pa.Array | None:
        floats = _array_or_none(cells, pa.float64())
        if floats is None or (self.column.type == "int64" and _largest(floats) >= EXACT_INTEGERS):
            return None
        try:
            # The safe cast rejects fractions and numbers that the type cannot hold.
            return floats.cast(self.column.arrow_type)
        except pa.ArrowInvalid:
            return None

    def _array(self, values: list[Any]) -> pa.Array:
        return pa.array(values, self.column.arrow_type)

    def _value(self, cell: Cell) -> int | None:
        number = self._numbers.number(cell)
        if number is None:
            return None
        if number != number.to_integral_value():
            message = f"{_brief(cell)} is not a whole number"
            raise _Unfit("not_an_integer", message, "Enter a whole number.")
        bits = 31 if self.column.type == "int32" else 63
        if not -(2**bits) <= number < 2**bits:
            message = f"{_brief(cell)} does not fit into {self.column.type}"
            raise _Unfit("out_of_range", message, "Enter a number closer to zero.")
        return int(number)


class _DecimalConverter(ColumnConverter):
    # A number becomes the shortest decimal with the same float value; the workbook stores no more digits than that.
    _must_be_exact = False

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self._precision: int = column.arrow_type.precision
        self._scale: int = column.arrow_type.scale
        # PostgreSQL's numeric takes either type, and the driver sends every decimal place of the type, zeros included.
        self._may_be_narrow = self._scale >= 3 and self._precision - self._scale >= 16

    def _vectorised(self, cells: Sequence[Cell]) -> pa.Array | None:
        floats = _array_or_none(cells, pa.float64())
        if floats is None:
            return None
        # A decimal of at most 15 digits with the same double value is the shortest such decimal: the one Excel shows.
        thousandths = pc.round(pc.multiply(floats, _THOUSAND))
        if not pc.divide(thousandths, _THOUSAND).equals(floats) or _largest(thousandths) >= 1e15:
            return None
        unscaled = thousandths.cast(pa.int64()).cast(pa.decimal128(19, 0))
        # The same integers, read as decimals with three places.
        decimals = pa.Array.from_buffers(_THOUSANDTHS, len(cells), unscaled.buffers())
        if self._may_be_narrow:
            return decimals
        try:
            return decimals.cast(self.column.arrow_type)
        except pa.ArrowInvalid:
            return None

    def _array(self, values: list[Any]) -> pa.Array:
        self._may_be_narrow = False  # otherwise the type could change back and forth between chunks
        return pa.array(values, self.column.arrow_type)

    def _value(self, cell: Cell) -> Decimal | None:
        number = self._numbers.number(cell)
        if number is None:
            return None
        with localcontext(prec=400):
            unscaled = number.scaleb(self._scale)
            if unscaled != unscaled.to_integral_value():
                message = f"{_brief(cell)} has more than {self._scale} decimal places"
                raise _Unfit("too_many_decimals", message, "Round the number.")
            if abs(unscaled) >= 10**self._precision:
                message = f"{_brief(cell)} does not fit into {self.column.type}"
                raise _Unfit("out_of_range", message, "Enter a number closer to zero.")
            # Arrow also rejects zeros beyond the scale.
            return number.quantize(Decimal(1).scaleb(-self._scale))


class _DateConverter(ColumnConverter):
    _must_be_exact = False  # numbers are rejected anyway

    def _array(self, values: list[Any]) -> pa.Array:
        moments = pa.array(values, pa.int64()).view(pa.timestamp("us"))
        return moments.cast(pa.date32()) if self.column.type == "date32" else moments

    def _value(self, cell: Cell) -> int | None:
        if isinstance(cell, str):
            text = cell.strip()
            if not text:
                return None
            moment = self._from_text(text)
        elif isinstance(cell, datetime):
            moment = cell
        elif isinstance(cell, date):
            moment = datetime(cell.year, cell.month, cell.day)
        else:
            message = f"{_brief(cell)} is not a date"
            raise _Unfit("not_a_date", message, "Enter a date, or give the cell a date format.")
        since_epoch = moment - _EPOCH
        if self.column.type == "date32" and (since_epoch.seconds or since_epoch.microseconds):
            raise _Unfit("not_a_date", f"{_brief(cell)} has a time of day", "Enter a date without a time.")
        return (since_epoch.days * 86_400 + since_epoch.seconds) * 1_000_000 + since_epoch.microseconds

    def _from_text(self, text: str) -> datetime:
        for known in self.column.formats:
            try:
                return datetime.strptime(text, known)
            except ValueError:
                continue
        message = f"{_brief(text)} is not a date in any format that the contract accepts"
        raise _Unfit("not_a_date", message, "Enter a date, or add its format to `formats` in the contract.")


def _array_or_none(cells: Sequence[Cell], kind: pa.DataType) -> pa.Array | None:
    """An Arrow array of the cells; None if they are not all of this type."""
    try:
        return pa.array(cells, kind)
    except pa.ArrowException:
        return None


def _largest(floats: pa.Array) -> float:
    """The largest absolute value of some floats; 0 for none."""
    return pc.max(pc.abs(floats)).as_py() or 0.0


def column_converter(column: Column) -> ColumnConverter:
    """Return the converter for a column's type."""
    if column.type == "string":
        return _TextConverter(column)
    if column.type in ("int32", "int64"):
        return _IntegerConverter(column)
    if column.is_date:
        return _DateConverter(column)
    return _DecimalConverter(column)


def _brief(cell: Cell) -> str:
    """A cell as messages show it: texts in quotes, long texts shortened."""
    text = shown(cell)
    if len(text) > _LONG_TEXT:
        text = text[: _LONG_TEXT - 3] + "..."
    return repr(text) if isinstance(cell, str) else text
