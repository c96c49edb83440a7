"""Choose the type of a column, and how its texts are read, from its profile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from retailpipe.contract_columns import Separators
from retailpipe.counts import counted, noun
from retailpipe.drafting.profiles import SEPARATORS, ColumnProfile, form_of
from retailpipe.toml_file import toml_value

_IDENTIFIER = re.compile(
    r"(.*(nr|nummer|number|numero|code|plz|postleitzahl|iban|ean|gtin|sku|isbn|phone|telefon|barcode|postcode))"
    r"|id|ids|no|num|zip|tel|fax|mobile|account|konto"
)
_WORD = re.compile(r"[A-ZÄÖÜ]?[a-zäöüß]+|[A-ZÄÖÜ]+(?![a-zäöüß])|[0-9]+")
_PLAIN = SEPARATORS[0]
_ORDERS = {"ymd": "%Y", "dmy": "%d", "mdy": "%m"}
"""How dates are ordered, and what their formats begin with."""
_MOSTLY = 0.9
"""If at least this share of a text column's cells are numbers (or dates), a comment says so."""
_LARGE = 10**8
"""From this number on, integers get type int64: later workbooks may hold numbers that int32 cannot."""


@dataclass
class Choice:
    """The type of a column, with its keys in the contract and comments on doubts."""

    type: str
    formats: tuple[str, ...] = ()
    separators: Separators | None = None
    comments: list[str] = field(default_factory=list[str])


def is_identifier(header: str) -> bool:
    """Whether the header of a column says that its numbers are identifiers, such as InvoiceNo or Kundennr."""
    words = [word.casefold() for word in _WORD.findall(header)]
    return bool(words) and bool(_IDENTIFIER.fullmatch(words[-1]))


def usual_decimal(profiles: Sequence[ColumnProfile], delimiter: str) -> str:
    """The decimal separator of people who write such dates or, if the dates do not tell, use such a delimiter.

    It is empty if neither tells: tabs, and dates such as 2024-12-31, are used everywhere.
    delimiter: of a CSV file, else empty.
    """
    if has_month_first(profiles):
        return "."
    if any(formats and all("." in each for each in formats) for profile in profiles for formats in profile.dates):
        return ","
    return {",": ".", ";": ","}.get(delimiter, "")


def common_separators(profiles: Sequence[ColumnProfile], usual: str) -> list[Separators]:
    """The ways to write numbers that fit all columns whose texts are numbers, the most likely first.

    Often several fit: 1,210 may be 1210 or 1.21. Then the other columns whose texts are mostly numbers decide, then the
    usual decimal separator. If that is unknown, three digits after a comma are a group, since few numbers have exactly
    three decimals. A point stays the decimal one, as in a contract without keys: programs write 1.210 for 1.21.
    """
    voters = [each for each in profiles if _is_mostly_numbers(each)]
    if not any(each.example for each in voters):
        return [_PLAIN]

    def rank(separators: Separators) -> tuple[int, bool, int]:
        place = SEPARATORS.index(separators)
        against = sum(each.texts[place].count < _most(each) for each in voters)
        with_fractions = sum(bool(each.numbers.fractions or each.texts[place].fractions) for each in voters)
        return against, usual not in ("", separators.decimal), 0 if separators == _PLAIN else with_fractions

    clean = [each for each in voters if _most(each) == each.kinds["text"]]
    fitting = [
        separators
        for place, separators in enumerate(SEPARATORS)
        if all(each.texts[place].count == each.kinds["text"] for each in clean)
    ]
    return sorted(fitting, key=rank)


def doubts(ways: Sequence[Separators], profiles: Sequence[ColumnProfile]) -> list[str]:
    """A comment if a number has one value in the first of these ways, and another value in another way."""
    examples = [each.example for each in profiles if each.example and _is_mostly_numbers(each)]
    for example in examples:
        numbers = [form_of(example).numbers[SEPARATORS.index(way)] for way in ways]
        for way, number in zip(ways[1:], numbers[1:], strict=True):
            if number is not None and numbers[0] not in (None, number):
                keys = f"decimal = {toml_value(way.decimal)}, thousands = {toml_value(way.thousands)}"
                return [f"doubt: {example} can be read in two ways; for the other, set {keys}"]
    return []


def choose(profile: ColumnProfile, common: Separators | None, usual: str, day_first: bool) -> Choice:
    """Choose the type of a column.

    common: the separators of the whole contract, if there are any. usual: as in `common_separators`.
    """
    kinds, filled = profile.kinds, profile.filled
    if not filled:
        return Choice("string", comments=["all cells are blank"])
    if choice := _date_type(profile, day_first):
        return choice
    ways = [common] if common else common_separators([profile], usual)
    texts = profile.texts[SEPARATORS.index(ways[0])]
    if texts.count == kinds["text"] and profile.numbers.count + texts.count == filled:
        choice = _number_type(profile, ways[0], None if common else ways[0])
        choice.comments += doubts(ways, [profile])
        return choice
    return Choice("string", comments=_why_text(profile, filled))


def _number_type(profile: ColumnProfile, separators: Separators, own: Separators | None) -> Choice:
    numbers = profile.numbers.merged(profile.texts[SEPARATORS.index(separators)])
    if profile.zeros:
        return Choice("string", comments=["looks like an identifier with leading zeros: kept as text"])
    if is_identifier(profile.header) and not numbers.fractions and not profile.kinds["long"]:
        return Choice("string", comments=["looks like an identifier: kept as text"])
    own = own if own and own != _PLAIN and profile.kinds["text"] else None
    if not numbers.fractions and not profile.kinds["long"] and numbers.largest < 2**63:
        return Choice("int32" if numbers.largest < _LARGE else "int64", separators=own)
    comments = ["some numbers have more digits than Excel stores"] if profile.kinds["long"] else []
    scale = max(18, numbers.scale)
    whole = len(str(int(numbers.largest)))
    if whole + scale > 38:
        scale = numbers.scale
    if whole + scale > 38:
        return Choice("string", comments=["the numbers have too many digits for a decimal: kept as text"])
    return Choice(f"decimal128(38, {scale})", separators=own, comments=comments)


def _date_type(profile: ColumnProfile, day_first: bool) -> Choice | None:
    """The choice for a column whose cells are all dates, or texts in formats of one order; else None."""
    kinds = profile.kinds
    texts = sum(profile.dates.values())
    if kinds["early"] or kinds["date"] + kinds["moment"] + texts != profile.filled or texts != kinds["text"]:
        return None
    orders = {
        order: [next((each for each in sorted(found) if each.startswith(start)), None) for found in profile.dates]
        for order, start in _ORDERS.items()
    }
    fitting = {order: [each for each in found if each] for order, found in orders.items() if None not in found}
    if texts and not fitting:
        return None
    comments: list[str] = []
    formats: tuple[str, ...] = ()
    if texts:
        order = next(iter(fitting)) if day_first or "mdy" not in fitting else "mdy"
        formats = tuple(dict.fromkeys(fitting[order]))
        if {"dmy", "mdy"} <= set(fitting):
            taken, other = ("day", "mdy") if order == "dmy" else ("month", "dmy")
            others = ", ".join(f'"{each}"' for each in dict.fromkeys(fitting[other]))
            comments.append(
                f"doubt: day or month may be first; read with the {taken} first; otherwise, set formats = [{others}]"
            )
    has_time = kinds["moment"] or any("%H" in each for each in formats)
    return Choice("timestamp[us]" if has_time else "date32", formats, comments=comments)


def has_month_first(profiles: Sequence[ColumnProfile]) -> bool:
    """Whether a column holds dates that can only be read with the month first, and none only with the day first."""

    def only(start: str, other: str) -> bool:
        return any(
            any(each.startswith(start) for each in formats) and not any(each.startswith(other) for each in formats)
            for profile in profiles
            for formats in profile.dates
        )

    return only("%m", "%d") and not only("%d", "%m")


def _is_mostly_numbers(profile: ColumnProfile) -> bool:
    """Whether most texts of a column are numbers, and the column need not stay text."""
    return 2 * _most(profile) > profile.kinds["text"] and not profile.zeros and not is_identifier(profile.header)


def _most(profile: ColumnProfile) -> int:
    """How many texts of a column are numbers, in the way that reads most of them."""
    return max(numbers.count for numbers in profile.texts)


def _why_text(profile: ColumnProfile, filled: int) -> list[str]:
    """Comments on a column that is kept as text, although most of its cells are numbers or dates."""
    kinds = profile.kinds
    if kinds["early"]:
        return [f"dates before 1900-03-01, first in {profile.firsts['early']}: kept as text"]
    dates = kinds["date"] + kinds["moment"] + sum(n for formats, n in profile.dates.items() if formats)
    numbers = profile.numbers.count + _most(profile)
    for count, one, many in (
        (numbers, "is not a number", "are not numbers"),
        (dates, "is not a date", "are not dates"),
    ):
        if _MOSTLY <= count / filled < 1:
            first = profile.firsts.get("neither")
            place = f", first in {first}" if first else ""
            others = filled - count
            return [f"{others:,} of {counted(filled, 'cell')} {noun(others, one, many)}{place}: kept as text"]
    return []
