"""Terminal routes: every translated prefix ends in the domain device, and in `unreachable` should the device be gone.

They bear a protocol number of our own, so that `ip route show proto 118` tells them from others. Their `mtu` lets local
sockets pick a sane MSS; it is never locked, since a locked one makes the kernel clear DF on IPv4 packets.
"""

import errno
import ipaddress
import os
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network
from typing import NamedTuple

from nfxlat.errors import OperatorError
from nfxlat.host import rtnetlink
from nfxlat.host.mtu import egress_interface, egress_mtu
from nfxlat.host.rtnetlink import Request
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

PROTOCOL = 118
WORST_METRIC = 0xFFFFFFFF
HOST_METRIC = 2048  # the host role's default route: native IPv4, where there is any, comes first
METRICS = {4: 0, 6: 1024}  # what ip(8) gives by default (fib_frontend.c, ip6_route.h IP6_RT_PRIO_USER)
HEADER_GROWTH = 20  # octets that IPv6's header is longer than IPv4's
MTU_LOOKUPS = 64  # more prefixes than this share the domain's own MTU
DEFAULT4 = IPv4Network("0.0.0.0/0")
FAMILIES = {4: 2, 6: 10}  # AF_INET, AF_INET6


class Route(NamedTuple):
    """A route of ours. `device` None: unreachable. `mtu` None: the device's own."""

    network: str
    device: str | None
    metric: int
    mtu: int | None = None
    source: str | None = None

    @property
    def version(self) -> int:
        return 6 if ":" in self.network else 4

    def __str__(self) -> str:
        network = ipaddress.ip_network(self.network)
        name = prefixes.texts([network])[0] if network.prefixlen else "default"
        text = f"{name} dev {self.device}" if self.device else f"unreachable {name}"
        text += f" metric {self.metric}" if self.metric != METRICS[self.version] else ""
        return f"{text} mtu {self.mtu}" if self.mtu else text


def wanted(domain: Domain, role: str) -> list[Route]:
    """All routes of `domain` in `role`, IPv4 first, in the order in which they are to be made."""
    return list(_host(domain) if role == "host" else _router(domain))


def _router(domain: Domain) -> Iterator[Route]:
    networks4 = prefixes.terminal4(domain)
    for network4 in networks4:
        yield from _pair(str(network4), domain.name, METRICS[4], _mtu4(domain, network4, len(networks4)))
    mtu6 = (domain.mtu4 or 1500) + HEADER_GROWTH
    for network6 in prefixes.terminal6(domain):
        yield from _pair(str(network6), domain.name, METRICS[6], mtu6)


def _host(domain: Domain) -> Iterator[Route]:
    mtu4 = (domain.mtu6 or 1500) - HEADER_GROWTH
    if domain.prefix6 is not None:
        found = egress_mtu(domain.prefix6.network_address.packed)
        mtu4 = (found or domain.mtu6 or 1500) - HEADER_GROWTH
    source = next((str(network[0]) for network in prefixes.clat4(domain)), None)
    yield Route(str(DEFAULT4), domain.name, HOST_METRIC, mtu4, source)
    yield Route(str(DEFAULT4), None, WORST_METRIC)
    for network6 in prefixes.clat6(domain):
        yield from _pair(str(network6), domain.name, METRICS[6], None)


def _pair(network: str, device: str, metric: int, mtu: int | None) -> Iterator[Route]:
    """The unreachable one first: it holds while the other is not there."""
    yield Route(network, None, WORST_METRIC)
    yield Route(network, device, metric, mtu)


def _mtu4(domain: Domain, network: IPv4Network, networks: int) -> int:
    """MTU for IPv4 towards `network`: that of the IPv6 route behind it, less what the header grows by."""
    mtu6 = domain.mtu6 or 1500
    if networks <= MTU_LOOKUPS:
        address = network.network_address.packed
        address6 = domain.eamt.to6(address)
        if address6 is None and domain.prefix6 is not None:
            address6 = prefixes.embed(domain.prefix6, IPv4Network(address)).network_address.packed
        if address6 is not None and not _ends_in(domain.name, address6):
            mtu6 = egress_mtu(address6) or mtu6
    return mtu6 - HEADER_GROWTH


def _ends_in(device: str, address: bytes) -> bool:
    """Whether the route to `address` goes into `device`: the host behind has no route of its own (yet)."""
    index = egress_interface(address)
    return index is not None and index == _indexes().get(device)


def ours() -> set[tuple[str, int]]:
    """(prefix, metric) of every route in the main table that bears our protocol number, of whatever domain."""
    found = set()
    for family in FAMILIES.values():
        for destination, length, metric in rtnetlink.routes(family, PROTOCOL):
            address = socket.inet_ntop(family, destination or bytes(4 if family == FAMILIES[4] else 16))
            found.add((f"{address}/{length}", metric))
    return found


def add(routes: Sequence[Route], left_over: Collection[tuple[str, int]]) -> None:
    """Make the routes in order, or renew them where `left_over` (of `ours`) has them.

    Raises OperatorError where a device is gone (none is made then), somebody else's route stands in the way, or the
    kernel refuses (some are made).
    """
    create = rtnetlink.NLM_F_CREATE
    indexes = _indexes()
    if missing := [route for route in routes if route.device is not None and route.device not in indexes]:
        raise OperatorError(os.strerror(errno.ENODEV), where=f"route {missing[0]}", hint="set the domain up again")
    requests = [
        (request, create | (rtnetlink.NLM_F_REPLACE if _place(route) in left_over else rtnetlink.NLM_F_EXCL))
        for route, request in zip(routes, _requests(routes, indexes), strict=True)
    ]
    for index, code in rtnetlink.apply(rtnetlink.RTM_NEWROUTE, requests):
        what, hint = os.strerror(code), ""
        if code == errno.EEXIST:
            what, hint = "a route to this prefix is there already", "remove it or give it another metric"
        raise OperatorError(what, where=f"route {routes[index]}", hint=hint)


def delete(routes: Iterable[Route]) -> list[Route]:
    """Delete those of `routes` that are there and ours, in reverse; return them."""
    indexes = _indexes()
    backwards = [route for route in reversed(list(routes)) if route.device is None or route.device in indexes]
    requests = [(request, 0) for request in _requests(backwards, indexes)]
    gone = dict.fromkeys(range(len(requests)))
    for index, code in rtnetlink.apply(rtnetlink.RTM_DELROUTE, requests):
        if code != errno.ESRCH:
            raise OperatorError(os.strerror(code), where=f"route {backwards[index]}")
        del gone[index]
    return [backwards[index] for index in gone]


def _place(route: Route) -> tuple[str, int]:
    return route.network, route.metric


def _indexes() -> dict[str, int]:
    """Index of every interface, by name."""
    return {name: index for index, name in socket.if_nameindex()}


def _requests(routes: Iterable[Route], indexes: Mapping[str, int]) -> Iterator[Request]:
    for route in routes:
        address, _, length = route.network.partition("/")
        family = FAMILIES[route.version]
        interface = indexes[route.device] if route.device is not None else 0
        source = socket.inet_pton(family, route.source) if route.source else b""
        destination = socket.inet_pton(family, address)
        yield Request(family, destination, int(length), route.metric, PROTOCOL, interface, route.mtu or 0, source)
