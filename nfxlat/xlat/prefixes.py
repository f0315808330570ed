"""Which addresses a domain's rules select and its routes end: prefixes, collapsed, in address order.

addresses                 router: intercepted   router: route into the device
pool4, EAM v4 side        as destination        yes
rfc6791-v4, 192.0.0.8     no                    yes: sources of translated errors; nobody answers there
prefix6                   as destination        yes
pool4 inside prefix6      no: IPv6 hosts        no
rfc6791-v6                no                    yes
EAM v6 side               no: IPv6 hosts        no
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from nfxlat.xlat.domain import Domain
from nfxlat.xlat.rfc6052 import Embedding

DUMMY4 = IPv4Network("192.0.0.8/32")  # RFC 7600 4.8: source of ICMPv4 errors from nodes without an IPv4 address


def translated4(domain: Domain) -> list[IPv4Network]:
    """IPv4 destinations that stand for IPv6 hosts: pool4 and the IPv4 side of the EAMs."""
    return list(collapse_addresses([*domain.pool4, *domain.eamt.v4_networks()]))


def translated6(domain: Domain) -> list[IPv6Network]:
    """IPv6 destinations that stand for IPv4 hosts: prefix6, less `native6`."""
    return [domain.prefix6] if domain.prefix6 is not None else []


def native6(domain: Domain) -> list[IPv6Network]:
    """pool4 inside prefix6: addresses of IPv6 hosts, which their own family reaches without translation."""
    if domain.prefix6 is None:
        return []
    return list(collapse_addresses(embed(domain.prefix6, network) for network in domain.pool4))


def terminal4(domain: Domain) -> list[IPv4Network]:
    """IPv4 prefixes that a router's routes end in the domain device."""
    return list(collapse_addresses([*translated4(domain), *domain.rfc6791_v4, DUMMY4]))


def terminal6(domain: Domain) -> list[IPv6Network]:
    """IPv6 prefixes that a router's routes end in the domain device."""
    return list(collapse_addresses([*translated6(domain), *domain.rfc6791_v6]))


def clat4(domain: Domain) -> list[IPv4Network]:
    """IPv4 side of the EAMs, which in the host role are this host's own addresses and those behind it."""
    return list(domain.eamt.v4_networks())


def clat6(domain: Domain) -> list[IPv6Network]:
    """IPv6 side of the EAMs, which in the host role are this host's own."""
    return list(collapse_addresses(domain.eamt.v6_networks()))


def embed(prefix6: IPv6Network, network: IPv4Network) -> IPv6Network:
    """The prefix that holds all of `network` inside `prefix6` (RFC 6052 2.2: bits 64 to 71 are left free)."""
    length = prefix6.prefixlen + network.prefixlen
    if prefix6.prefixlen <= 64 < length:
        length += 8
    return IPv6Network((Embedding(prefix6).embed(network.network_address.packed), length))


def texts(networks: Iterable[IPv4Network | IPv6Network]) -> list[str]:
    """As `ip` and `nft` print them: without the length where it is one address."""
    return [str(n.network_address) if n.prefixlen == n.max_prefixlen else str(n) for n in networks]
