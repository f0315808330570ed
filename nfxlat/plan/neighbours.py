"""Whose neighbours ask for what is translated, and how this node answers them in the place of hosts that are elsewhere.

Neighbours ask (ARP, neighbour discovery) for what they believe to be on their own link. No host there has a translated
address, so this node answers: by an entry for each address, or in IPv4 by proxy_arp, which answers for whatever is
routed to another interface (net/ipv4/arp.c arp_process, net/ipv6/ndisc.c ndisc_recv_ns).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from nfxlat.plan.facts import Facts, OnLink
from nfxlat.plan.sysctls import Sysctl, accept_ra
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.prefixes import Span

ENTRIES = 256  # on an interface: the kernel looks them up one by one (net/core/neighbour.c pneigh_lookup)

Network = IPv4Network | IPv6Network


class Proxy(NamedTuple):
    """An address for which this node answers on an interface: `ip neigh add proxy ADDRESS dev INTERFACE`."""

    interface: str
    address: str

    def __str__(self) -> str:
        return f"proxy {self.address} dev {self.interface}"


@dataclass(frozen=True, slots=True)
class Answers:
    """What has this node answer. `sysctls` are the interfaces', and so shared with other domains."""

    proxies: tuple[Proxy, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()

    def hold(self, link: OnLink, network: Network, local: frozenset[bytes]) -> bool:
        """Whether the neighbours on a link are answered for all of a prefix, this node's own addresses aside."""
        if network.version == 4 and _proxy_arp(link.interface) in self.sysctls:
            return True
        return network.num_addresses <= ENTRIES and all(
            address.packed in local or Proxy(link.interface, str(address)) in self.proxies for address in network
        )


def asked_for(domain: Domain, role: Role, links: Iterable[OnLink]) -> Iterator[tuple[OnLink, Network]]:
    """Prefixes that the domain translates and neighbours on a link believe to be on theirs."""
    native = prefixes.native6(domain)
    taken = {4: _taken4(domain, role), 6: _taken6(domain, role)}
    for link in links:
        if link.interface == domain.name or any(_inside(link.network, one) for one in native):
            continue
        within = _within(taken[link.network.version], link.network)
        for network in prefixes.networks(within, link.network.max_prefixlen):
            yield link, network


def _inside(one: Network, other: IPv6Network) -> bool:
    return isinstance(one, IPv6Network) and one.subnet_of(other)


def _taken4(domain: Domain, role: Role) -> list[Span]:
    return prefixes.translated4_spans(domain) if role != "host" else []  # a host's own IPv4 is on no link


def _taken6(domain: Domain, role: Role) -> list[Span]:
    return prefixes.clat6_spans(domain) if role == "host" else prefixes.spans(prefixes.translated6(domain))


def _within(taken: Sequence[Span], network: Network) -> list[Span]:
    """Those parts of `taken` (in order, without overlaps) that lie in `network`."""
    [(first, last)] = prefixes.spans([network])
    at = bisect_left(taken, first, key=lambda span: span[1])
    found = []
    while at < len(taken) and taken[at][0] <= last:
        found.append((max(first, taken[at][0]), min(last, taken[at][1])))
        at += 1
    return found


def answers(domain: Domain, role: Role, facts: Facts) -> Answers:
    """All that `--setup` can do about it; of IPv6, prefixes of more than ENTRIES addresses are left over."""
    asked: dict[tuple[str, int], list[Network]] = {}
    for link, network in asked_for(domain, role, facts.links):
        asked.setdefault((link.interface, network.version), []).append(network)
    proxies: dict[Proxy, None] = {}
    sysctls: dict[Sysctl, None] = {}
    for (interface, version), networks in asked.items():
        if version == 4 and sum(network.num_addresses for network in networks) > ENTRIES:
            sysctls[_proxy_arp(interface)] = None
            continue
        entries = list(_entries(interface, networks, facts.local))
        proxies |= dict.fromkeys(entries)
        if version == 6 and entries:
            sysctls |= dict.fromkeys(_speaking(interface, role, facts))
    return Answers(tuple(proxies), tuple(sysctls))


def _entries(interface: str, networks: Iterable[Network], local: frozenset[bytes]) -> Iterator[Proxy]:
    room = ENTRIES
    for network in networks:
        if network.num_addresses > room:
            continue
        room -= network.num_addresses
        for address in network:
            if address.packed not in local:
                yield Proxy(interface, str(address))


def _proxy_arp(interface: str) -> Sysctl:
    key = f"net/ipv4/conf/{interface}/proxy_arp"
    return Sysctl(key, "1", key)


def _speaking(interface: str, role: Role, facts: Facts) -> Iterator[Sysctl]:
    """What entries of IPv6 need. A host does not forward, but only an interface that does answers for others; it would
    forget default routers then, as with forwarding on all (nfxlat.plan.sysctls)."""
    group = f"net/ipv6/conf/{interface}/proxy_ndp"
    if role == "host":
        yield from accept_ra(facts, group)
        yield Sysctl(f"net/ipv6/conf/{interface}/forwarding", "1", group)
    yield Sysctl(group, "1", group)
