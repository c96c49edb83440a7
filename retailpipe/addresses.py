"""Network and email addresses that settings and commands accept."""

from __future__ import annotations

import ipaddress
import re

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WIDEST = {4: 8, 6: 19}
"""Bits of the prefix of the widest one: an allocation to one organisation."""

_USUAL = {4: 24, 6: 48}
"""Bits of the prefix of the widest one that is usual for a household or an office."""


def is_too_wide(network: Network) -> bool:
    """Whether a network is the whole internet, or so much of it that it is nobody's own."""
    return network.prefixlen < _WIDEST[network.version]


def is_unusually_wide(network: Network) -> bool:
    """Whether a network holds more addresses than a household or an office has."""
    return network.prefixlen < _USUAL[network.version]
