"""What counts as somebody's own network."""

from __future__ import annotations

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WIDEST = {4: 8, 6: 19}
"""Bits of the prefix of the widest one: an allocation to one organisation."""


def is_too_wide(network: Network) -> bool:
    """Whether a network is the whole internet, or so much of it that it is nobody's own."""
    return network.prefixlen < _WIDEST[network.version]
