"""Which addresses a domain's rules select and its routes end: prefixes, collapsed, in address order.

addresses                 router: intercepted   router: route into the device
pool4, EAM v4 side        as destination        yes
rfc6791-v4, 192.0.0.8     no                    yes: sources of translated errors; nobody answers there
prefix6                   as destination        yes
pool4 inside prefix6      no: IPv6 hosts        no
EAM v6 side in prefix6    no: IPv6 hosts        no
rfc6791-v6                no                    yes
EAM v6 side               no: IPv6 hosts        no
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network, collapse_addresses

from nfxlat import ipaddresses
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.rfc6052 import Embedding

Span = tuple[int, int]  # first and last address, as numbers
DUMMY4 = IPv4Network("192.0.0.8/32")  # RFC 7600 4.8: source of ICMPv4 errors from nodes without an IPv4 address


def translated4(domain: Domain) -> list[IPv4Network]:
    """IPv4 destinations that stand for IPv6 hosts: pool4 and the IPv4 side of the EAMs."""
    return [IPv4Network(prefix) for prefix in _prefixes(translated4_spans(domain), 32)]


def translated4_spans(domain: Domain) -> list[Span]:
    """The same as spans: a million of them take a second, and networks a minute."""
    return merged([*spans(domain.pool4), *domain.eamt.v4_spans()])


def translated6(domain: Domain) -> list[IPv6Network]:
    """IPv6 destinations that stand for IPv4 hosts: prefix6, less `native6`."""
    return [domain.prefix6] if domain.prefix6 is not None else []


def pool6(domain: Domain) -> list[IPv6Network]:
    """pool4 inside prefix6: addresses of IPv6 hosts."""
    if domain.prefix6 is None:
        return []
    return list(collapse_addresses(embed(domain.prefix6, network) for network in domain.pool4))


def native6(domain: Domain) -> list[IPv6Network]:
    """Addresses of IPv6 hosts inside prefix6, which their own family reaches without translation."""
    return [ipaddresses.network6(prefix) for prefix in _prefixes(native6_spans(domain), 128)]


def native6_spans(domain: Domain) -> list[Span]:
    """The same as spans: pool4 inside prefix6, and what the IPv6 side of the EAMs has there. An EAM that holds all of
    prefix6 names no hosts in it.
    """
    if domain.prefix6 is None:
        return []
    [(first, last)] = spans([domain.prefix6])
    inside = (
        (max(one, first), min(other, last))
        for one, other in domain.eamt.v6_spans()
        if one <= last and other >= first and not (one <= first and other >= last)
    )
    return merged([*spans(pool6(domain)), *inside])


def terminal4(domain: Domain) -> list[IPv4Network]:
    """IPv4 prefixes that a router's routes end in the domain device."""
    found = merged([*translated4_spans(domain), *spans([*domain.rfc6791_v4, DUMMY4])])
    return [IPv4Network(prefix) for prefix in _prefixes(found, 32)]


def terminal6(domain: Domain) -> list[IPv6Network]:
    """IPv6 prefixes that a router's routes end in the domain device."""
    return list(collapse_addresses([*translated6(domain), *domain.rfc6791_v6]))


def clat4(domain: Domain) -> list[IPv4Network]:
    """IPv4 side of the EAMs, which in the host role are this host's own addresses and those behind it."""
    return list(domain.eamt.v4_networks())


def clat6(domain: Domain) -> list[IPv6Network]:
    """IPv6 side of the EAMs, which in the host role are this host's own."""
    return [ipaddresses.network6(prefix) for prefix in _prefixes(clat6_spans(domain), 128)]


def clat6_spans(domain: Domain) -> list[Span]:
    """The same as spans."""
    return merged(domain.eamt.v6_spans())


def embed(prefix6: IPv6Network, network: IPv4Network) -> IPv6Network:
    """The prefix that holds all of `network` inside `prefix6` (RFC 6052 2.2: bits 64 to 71 are left free)."""
    length = prefix6.prefixlen + network.prefixlen
    if prefix6.prefixlen <= 64 < length:
        length += 8
    return ipaddresses.network6((Embedding(prefix6).embed(network.network_address.packed), length))


def texts(networks: Iterable[IPv4Network | IPv6Network]) -> list[str]:
    """As `ip` and `nft` print them: without the length where it is one address."""
    return [str(n.network_address) if n.prefixlen == n.max_prefixlen else str(n) for n in networks]


def spans(networks: Iterable[IPv4Network | IPv6Network]) -> list[Span]:
    """First and last address of each."""
    return [(int(n.network_address), int(n.broadcast_address)) for n in networks]


def merged(found: Iterable[Span]) -> list[Span]:
    """Disjoint and in order; what overlaps or touches has become one."""
    result: list[Span] = []
    first, last = -1, -2
    for start, end in sorted(found):
        if start > last + 1:
            if first >= 0:
                result.append((first, last))
            first, last = start, end
        elif end > last:
            last = end
    if first >= 0:
        result.append((first, last))
    return result


def common(one: list[Span], other: list[Span]) -> list[Span]:
    """The addresses that are in both, each `merged`."""
    result: list[Span] = []
    at = 0
    for first, last in one:
        while at < len(other) and other[at][1] < first:
            at += 1
        n = at
        while n < len(other) and other[n][0] <= last:
            result.append((max(first, other[n][0]), min(last, other[n][1])))
            n += 1
    return result


def _prefixes(found: Iterable[Span], bits: int) -> Iterator[tuple[int, int]]:
    """The fewest prefixes (address, length) that hold exactly the spans."""
    for first, last in found:
        while first <= last:
            size = min((first & -first).bit_length() - 1 if first else bits, (last - first + 1).bit_length() - 1)
            yield first, bits - size
            first += 1 << size


def networks(found: Iterable[Span], bits: int) -> list[IPv4Network] | list[IPv6Network]:
    """The fewest prefixes of IPv4 (`bits` 32) or IPv6 (128) that hold exactly the spans."""
    if bits == 32:
        return [IPv4Network(prefix) for prefix in _prefixes(found, bits)]
    return [ipaddresses.network6(prefix) for prefix in _prefixes(found, bits)]


def span_texts(found: Iterable[Span], bits: int) -> list[str]:
    """The prefixes of spans of IPv4 (`bits` 32) or IPv6 (128), as `texts` has them."""
    address = IPv4Address if bits == 32 else ipaddresses.address6
    return [
        f"{address(first)}/{length}" if length < bits else str(address(first))
        for first, length in _prefixes(found, bits)
    ]
