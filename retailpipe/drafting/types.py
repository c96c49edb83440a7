"""Choose the type of a column, and how its texts are read, from its profile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from retailpipe.contract_columns import Separators
from retailpipe.drafting.profiles import SEPARATORS, ColumnProfile

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


def common_separators(profiles: Sequence[ColumnProfile]) -> tuple[list[Separators], bool]:
    """The ways to write numbers that fit all columns whose texts are numbers, and whether any column needs them.

    The first is the best. With dates such as 31.12.2024, that is a way with a decimal comma if one fits.
    """
    sets = [
        {separators for separators, numbers in zip(SEPARATORS, each.texts, strict=True) if numbers.count == texts}
        for each in profiles
        if (texts := each.kinds["text"]) and not _must_stay_text(each) and any(n.count == texts for n in each.texts)
    ]
    fitting = [each for each in SEPARATORS if all(each in allowed for allowed in sets)]
    if any(formats and all("." in each for each in formats) for profile in profiles for formats in profile.dates):
        fitting.sort(key=lambda separators: separators.decimal != ",")
    needed = any(profile.example for profile in profiles)
    return (fitting if needed else [_PLAIN]) if sets else [_PLAIN], needed


def choose(profile: ColumnProfile, common: Separators | None, day_first: bool) -> Choice:
    """Choose the type of a column. common: the separators of the whole contract, if there are any."""
    kinds, filled = profile.kinds, profile.filled
    if not filled:
        return Choice("string", comments=["all cells are blank"])
    if choice := _date_type(profile, day_first):
        return choice
    for separators in [common] if common else SEPARATORS:
        texts = profile.texts[SEPARATORS.index(separators)]
        if texts.count == kinds["text"] and profile.numbers.count + texts.count == filled:
            return _number_type(profile, separators, None if common else separators)
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


def _must_stay_text(profile: ColumnProfile) -> bool:
    return bool(profile.zeros) or is_identifier(profile.header)


def _why_text(profile: ColumnProfile, filled: int) -> list[str]:
    """Comments on a column that is kept as text, although most of its cells are numbers or dates."""
    kinds = profile.kinds
    if kinds["early"]:
        return [f"dates before 1900-03-01, first in {profile.firsts['early']}: kept as text"]
    dates = kinds["date"] + kinds["moment"] + sum(n for formats, n in profile.dates.items() if formats)
    numbers = profile.numbers.count + max(each.count for each in profile.texts)
    for count, name in ((numbers, "numbers"), (dates, "dates")):
        if _MOSTLY <= count / filled < 1:
            first = profile.firsts.get("neither")
            place = f", first in {first}" if first else ""
            return [f"{filled - count:,} of {filled:,} cells are not {name}{place}: kept as text"]
    return []
