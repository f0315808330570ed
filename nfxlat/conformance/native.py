"""Routes that lead past a translator: IPv6 hosts inside prefix6 are reached natively (RFC 7915 5.6)."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address

from nfxlat.conformance.hosts import PLACES, embed
from nfxlat.conformance.suite import Domain


def native(domain: Domain) -> list[str]:
    """The networks of IPv6 hosts inside prefix6, which are reached without translation."""
    if domain.prefix6 is None:
        return []
    found = []
    for pool in map(IPv4Network, domain.pool4):
        octet, bit = divmod(pool.prefixlen - 1, 8)
        length = PLACES[domain.prefix6.prefixlen][octet] * 8 + bit + 1
        found.append(f"{IPv6Address(embed(domain.prefix6, pool.network_address.packed))}/{length}")
    return found
