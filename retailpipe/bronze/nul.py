"""NUL characters, which PostgreSQL cannot store in a text: the symbol U+2400 takes their place."""

_SYMBOL = "\u2400"


def without_nul(text: str) -> str:
    """The text as PostgreSQL can store it."""
    return text.replace("\0", _SYMBOL)


def with_nul(text: str) -> str:
    """A text with NUL characters again, if it is certain that it had some."""
    return text.replace(_SYMBOL, "\0")
