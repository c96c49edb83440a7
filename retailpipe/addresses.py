"""Addresses that settings and commands accept: of networks, of email and of workbooks on the web.

This module must import only the standard library, because it is packaged with the Lambdas.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

_HOST = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?")
"""A host name, after its umlauts are encoded, or an IPv4 address."""
_NO_HOST = "the host or the port of the address is not valid"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SHORTEST_PREFIX = {4: 8, 6: 19}
"""Shortest accepted prefix, in bits, by IP version. A larger network belongs to more than one organisation."""

_USUAL_PREFIX = {4: 24, 6: 48}
"""Shortest prefix, in bits, that is usual for a household or an office."""


def is_too_wide(network: Network) -> bool:
    """Whether a network is larger than any single organisation has, such as the whole internet."""
    return network.prefixlen < _SHORTEST_PREFIX[network.version]


def is_unusually_wide(network: Network) -> bool:
    """Whether a network has more addresses than a household or an office usually has."""
    return network.prefixlen < _USUAL_PREFIX[network.version]


def https_address(text: str) -> SplitResult:
    """Split an address of the form https://host/path.

    The setting sourceUrl and the Lambda that downloads from it share this check, so that the Lambda can use what the
    setting accepts. An @ may stand only before the host and in the query: otherwise, https://user:1/2@example.com would
    be an address of the host `user`, and messages would show a part of the password as its path.
    Raises ValueError. Its message does not contain the address, because that may hold a password or a token.
    """
    if not text.isprintable() or text != text.strip():
        raise ValueError("the address begins or ends with a space, or has a character that is not printable")
    if not text.lower().startswith("https://"):
        raise ValueError("the address does not have the form https://host/path")
    try:
        address = urlsplit(text)
        is_valid = _is_host(address.hostname or "") and address.port != 0
    except ValueError:  # includes UnicodeError
        raise ValueError(_NO_HOST) from None
    if not is_valid:
        raise ValueError(_NO_HOST)
    if "@" in address.path + address.fragment:
        raise ValueError("the path of the address has an @, which must be written as %40")
    return address


def _is_host(text: str) -> bool:
    """Whether this is a host name or an IP address. Raises ValueError if it is like an IPv6 address, but is not one."""
    if ":" in text:
        return ipaddress.IPv6Address(text).scope_id is None
    return bool(_HOST.fullmatch(text.encode("idna").decode()))
