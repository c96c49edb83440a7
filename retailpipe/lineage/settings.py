"""The environment variables of OpenLineage: the standard's own names, with the meaning that its clients give them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

_ENDPOINT = "api/v1/lineage"


@dataclass(frozen=True)
class Settings:
    """Whether and where events are sent.

    disabled: whether there are no events at all, not even in the file.
    address: of the HTTP endpoint; empty if there is none, or if a variable is not valid.
    key: the token that the endpoint wants; empty if there is none. It is not part of any message.
    namespace: of the jobs; empty for that of the environment.
    problem: which variable is not valid, so that no event is sent; empty if all are.
    """

    disabled: bool = False
    address: str = ""
    key: str = field(default="", repr=False)
    namespace: str = ""
    problem: str = ""

    @classmethod
    def current(cls) -> Settings:
        """Read the variables. Raises nothing."""
        env = os.environ
        url, problem = env.get("OPENLINEAGE_URL", "").strip(), ""
        path = env.get("OPENLINEAGE_ENDPOINT", "").strip() or _ENDPOINT
        key = env.get("OPENLINEAGE_API_KEY", "").strip()
        if url and not _is_valid(url):
            problem = "OPENLINEAGE_URL is not of the form https://HOST:PORT"
        elif url and not _is_path(path):
            problem = "OPENLINEAGE_ENDPOINT is not a path such as api/v1/lineage"
        elif url and not (key.isascii() and key.isprintable()):
            problem = "OPENLINEAGE_API_KEY contains characters that a header cannot hold"
        return cls(
            disabled=env.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true",
            address=urljoin(url, path) if url and not problem else "",
            key=key,
            namespace=env.get("OPENLINEAGE_NAMESPACE", "").strip(),
            problem=f"{problem}, so no event is sent" if problem else "",
        )


def _is_valid(url: str) -> bool:
    """Whether it is a web address without a user: a password in it would be shown by other programs."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
        )
    except ValueError:
        return False


def _is_path(text: str) -> bool:
    """Whether it is a path on the server: another address would get the key, and its password would be shown."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc
