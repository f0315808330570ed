"""Terminal routes: every translated prefix ends in the domain device, and in `unreachable` should the device be gone.

They bear a protocol number of our own, so that `ip route show proto 118` tells them from others. Their `mtu` lets local
sockets pick a sane MSS; it is never locked, since a locked one makes the kernel clear DF on IPv4 packets.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from nfxlat import ipaddresses
from nfxlat.plan.facts import MAIN, Facts
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

PROTOCOL = 118
WORST_METRIC = 0xFFFFFFFF
HOST_METRIC = 2048  # the host role's default route: native IPv4, where there is any, comes first
METRICS = {4: 0, 6: 1024}  # what ip(8) gives by default (fib_frontend.c, ip6_route.h IP6_RT_PRIO_USER)
HEADER_GROWTH = 20  # octets that IPv6's header is longer than IPv4's
DEFAULT_MTU = 1500
LARGEST_MTU = 65520  # larger ones the kernel keeps as this (net/ipv4/metrics.c), and deletes none by another figure
LOOKUPS = 64  # more prefixes than this share the domain's own MTU
DEFAULT4 = IPv4Network("0.0.0.0/0")

Place = tuple[str, int, int]  # prefix, metric, table: one route


class Route(NamedTuple):
    """A route of ours. `device` None: unreachable. `mtu` None: the device's own. `source`: for local sockets. `table`:
    a VRF's, or the main one."""

    network: str
    device: str | None
    metric: int
    mtu: int | None = None
    source: str | None = None
    table: int = MAIN

    @property
    def version(self) -> int:
        return 6 if ":" in self.network else 4

    @property
    def place(self) -> Place:
        return self.network, self.metric, self.table

    def __str__(self) -> str:
        """As ip(8) shows it, less the protocol."""
        text = f"{self._name} dev {self.device}" if self.device else f"unreachable {self._name}"
        text += f" table {self.table}" if self.table != MAIN else ""
        text += f" metric {self.metric}" if self.metric != METRICS[self.version] else ""
        return f"{text} mtu {self.mtu}" if self.mtu else text

    @property
    def command(self) -> str:
        """The ip(8) command that makes it."""
        source = f" src {self.source}" if self.source else ""
        return f"ip {'-6 ' if self.version == 6 else ''}route add {self}{source}"

    @property
    def _name(self) -> str:
        network = ipaddresses.network(self.network)
        return prefixes.texts([network])[0] if network.prefixlen else "default"


@dataclass(frozen=True, slots=True)
class Ends:
    """The prefixes whose routes end in the domain device; of a large table it takes a moment to find them."""

    networks4: tuple[IPv4Network, ...]
    networks6: tuple[IPv6Network, ...]

    @classmethod
    def of(cls, domain: Domain, role: Role) -> "Ends":
        if role == "host":
            return cls((DEFAULT4,), tuple(prefixes.clat6(domain)))
        return cls(tuple(prefixes.terminal4(domain)), tuple(prefixes.terminal6(domain)))


def routes(domain: Domain, role: Role, facts: Facts, ends: Ends, widest: int = 0) -> Iterator[Route]:
    """All routes of `domain`, IPv4 first, in the order in which they are to be made: behind each route into the device
    the unreachable one stands already.

    `widest`: the least MTU to assume in either family where a route is for many destinations. Where others' packets are
    forwarded into the device, their size is judged behind it, and must not be judged by less before.
    """
    if role == "host":
        source = next(own_addresses(domain), None)
        target = domain.prefix6.network_address.packed if domain.prefix6 is not None else b""
        yield Route(str(DEFAULT4), None, WORST_METRIC)
        yield Route(str(DEFAULT4), domain.name, HOST_METRIC, _mtu(domain, target, facts), source)
        for network6 in ends.networks6:
            yield from _pair(str(network6), domain.name, METRICS[6], None)
        return
    table = facts.table
    one_by_one = len(ends.networks4) <= LOOKUPS
    for network4 in ends.networks4:
        target = _behind(domain, network4) if one_by_one else b""
        yield from _pair(str(network4), domain.name, METRICS[4], _mtu(domain, target, facts, widest), table)
    for network6 in ends.networks6:
        mtu = min(max(domain.mtu4 or DEFAULT_MTU, widest) + HEADER_GROWTH, LARGEST_MTU)
        yield from _pair(str(network6), domain.name, METRICS[6], mtu, table)


def own_addresses(domain: Domain) -> Iterator[str]:
    """In the host role: IPv4 addresses of this host's own, not of networks behind it."""
    for network in prefixes.clat4(domain):
        if network.prefixlen == network.max_prefixlen:
            yield str(network.network_address)


def looked_up(domain: Domain, role: Role, ends: Ends) -> list[bytes]:
    """Destinations (packed) whose MTU the routes of `domain` depend on."""
    if role == "host":
        return [domain.prefix6.network_address.packed] if domain.prefix6 is not None else []
    behind = (_behind(domain, network) for network in ends.networks4 if len(ends.networks4) <= LOOKUPS)
    return [address for address in behind if address]


def shared(domain: Domain, role: Role, ends: Ends) -> frozenset[str]:
    """Prefixes whose routes other domains may have too: sources of ICMP errors, behind which nobody answers."""
    if role == "host":
        return frozenset()
    pools: list[IPv4Network | IPv6Network] = [prefixes.DUMMY4, *domain.rfc6791_v4, *domain.rfc6791_v6]
    return frozenset(str(pool) for pool in pools if pool in ends.networks4 or pool in ends.networks6)


def _pair(network: str, device: str, metric: int, mtu: int | None, table: int = MAIN) -> Iterator[Route]:
    """The unreachable one first: it holds while the other is not there."""
    yield Route(network, None, WORST_METRIC, table=table)
    yield Route(network, device, metric, mtu, table=table)


def _mtu(domain: Domain, address6: bytes, facts: Facts, widest: int = 0) -> int:
    """Of a route whose packets go on to `address6`; `widest` as of `routes`."""
    known = facts.mtu.get(address6) or max(domain.mtu6 or DEFAULT_MTU, widest)
    return min(known - HEADER_GROWTH, LARGEST_MTU)


def _behind(domain: Domain, network: IPv4Network) -> bytes:
    """The first IPv6 address that `network` stands for; empty where there is none."""
    address = network.network_address.packed
    found = domain.eamt.to6(address)
    if found is None and domain.prefix6 is not None:
        found = prefixes.embed(domain.prefix6, IPv4Network(address)).network_address.packed
    return found or b""
