"""Network and email addresses that settings and commands accept."""

from __future__ import annotations

import ipaddress
import re

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

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
