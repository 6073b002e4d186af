"""Networks of callers, to count addresses if one stranger may have many of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


@lru_cache(maxsize=4096)
def find_network(address: str, v4_prefix: int = 32, v6_prefix: int = 64) -> str:
    """Return the network that an address is counted in; an invalid address stands for itself.

    A household or an office has a /64 of IPv6, and each of its devices takes any number of
    addresses.
    """
    try:
        parsed_address = ip_address(address)
    except ValueError:
        return address
    if parsed_address.version == 6 and parsed_address.ipv4_mapped is not None:
        parsed_address = parsed_address.ipv4_mapped
    return str(
        ip_network(
            f"{parsed_address}/{v4_prefix if parsed_address.version == 4 else v6_prefix}",
            strict=False,
        )
    )


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """Return whether an address lies in one of the networks."""
    try:
        parsed_address = ip_address(address)
    except ValueError:
        return False
    return any(
        parsed_address.version == network.version and parsed_address in network
        for network in networks
    )
