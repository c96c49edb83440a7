"""Names and comments in the text of a contract, from any text."""

from __future__ import annotations

import re
import unicodedata

from retailpipe.contract import OWN_TABLES
from retailpipe.contract_columns import OWN_COLUMNS

_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa", "ł": "l"})
_LONGEST_NAME = 60
# Names that a query would have to quote.
_SQL_WORD = re.compile(
    r"all|analyse|analyze|and|any|array|as|asc|both|case|cast|check|collate|column|"
    r"constraint|create|current_date|default|desc|distinct|do|else|end|except|false|fetch|for|"
    r"foreign|from|full|grant|group|having|in|initially|inner|intersect|into|is|join|lateral|"
    r"leading|left|like|limit|localtime|natural|not|null|offset|on|only|or|order|outer|"
    r"placing|primary|references|returning|right|select|session_user|similar|some|symmetric|"
    r"table|then|to|trailing|true|union|unique|user|using|variadic|verbose|when|where|window|"
    r"with"
)


def unique_name(text: str, taken: set[str], fallback: str) -> str:
    """A name in lower-case ASCII letters, digits and _ for a text; neither taken nor a word of SQL."""
    folded = re.sub(r"(?<=[a-zäöüß0-9])(?=[A-ZÄÖÜ])", "_", unicodedata.normalize("NFC", text)).casefold()
    ascii_text = unicodedata.normalize("NFKD", folded.translate(_LETTERS)).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", ascii_text).strip("_")[:_LONGEST_NAME].rstrip("_") or fallback
    if name[0].isdigit():
        name = f"{fallback}_{name}"[:_LONGEST_NAME]
    if _SQL_WORD.fullmatch(name) or name in OWN_COLUMNS or name in OWN_TABLES:
        name += "_"
    number, base = 2, name
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name


def one_line(text: str) -> str:
    """A text in a comment, which must not contain line breaks or control characters."""
    return "".join(character if character.isprintable() else " " for character in text)
