"""Terminal routes: every translated prefix ends in the domain device, and in `unreachable` should the device be gone.

They bear a protocol number of our own, so that `ip route show proto 118` tells them from others. Their `mtu` lets local
sockets pick a sane MSS; it is never locked, since a locked one makes the kernel clear DF on IPv4 packets.
"""

import errno
import ipaddress
import os
import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from typing import Any, NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nfxlat.errors import OperatorError
from nfxlat.host.mtu import egress_interface, egress_mtu
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

PROTOCOL = 118
WORST_METRIC = 0xFFFFFFFF
HOST_METRIC = 2048  # the host role's default route: native IPv4, where there is any, comes first
METRICS = {4: 0, 6: 1024}  # what ip(8) gives by default (fib_frontend.c, ip6_route.h IP6_RT_PRIO_USER)
HEADER_GROWTH = 20  # octets that IPv6's header is longer than IPv4's
MTU_LOOKUPS = 64  # more prefixes than this share the domain's own MTU
DEFAULT4 = IPv4Network("0.0.0.0/0")
RTN_UNICAST, RTN_UNREACHABLE, RT_SCOPE_LINK, RT_SCOPE_UNIVERSE = 1, 7, 253, 0  # linux/rtnetlink.h
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
    return index is not None and socket.if_indextoname(index) == device


def ours(ipr: IPRoute) -> set[tuple[str, int]]:
    """(prefix, metric) of every route in the main table that bears our protocol number, of whatever domain."""
    return {_key(m) for family in FAMILIES.values() for m in ipr.route("dump", family=family) if m["proto"] == PROTOCOL}


def add(ipr: IPRoute, route: Route, left_over: set[tuple[str, int]]) -> None:
    """Make the route, or renew it where `left_over` (of `ours`) has it.

    Raises OperatorError where somebody else's route stands there, or the kernel refuses.
    """
    command = "replace" if (route.network, route.metric) in left_over else "add"
    try:
        ipr.route(command, **_request(route))
    except NetlinkError as error:
        what, hint = os.strerror(error.code), ""
        if error.code == errno.EEXIST:
            what, hint = "a route to this prefix is there already", "remove it or give it another metric"
        raise OperatorError(what, where=f"route {route}", hint=hint) from None


def delete(ipr: IPRoute, routes: Iterable[Route]) -> list[Route]:
    """Delete those of `routes` that are there and ours, in reverse; return them."""
    there, gone = ours(ipr), []
    for route in reversed(list(routes)):
        if (route.network, route.metric) not in there:
            continue
        try:
            ipr.route("del", **_request(route))
        except NetlinkError as error:
            if error.code != errno.ESRCH:
                raise
            continue
        gone.append(route)
    return gone


def _key(message: Any) -> tuple[str, int]:
    network = message.get_attr("RTA_DST") or ("0.0.0.0" if message["family"] == FAMILIES[4] else "::")
    return f"{network}/{message['dst_len']}", message.get_attr("RTA_PRIORITY") or 0


def _request(route: Route) -> dict[str, Any]:
    request: dict[str, Any] = {
        "family": FAMILIES[route.version],
        "dst": route.network,
        "priority": route.metric,
        "proto": PROTOCOL,
    }
    if route.device is None:
        return request | {"type": RTN_UNREACHABLE, "scope": RT_SCOPE_UNIVERSE}
    with_device = request | {"oif": socket.if_nametoindex(route.device), "type": RTN_UNICAST, "scope": RT_SCOPE_LINK}
    if route.mtu is not None:
        with_device["metrics"] = {"mtu": route.mtu}
    if route.source is not None:
        with_device["prefsrc"] = route.source
    return with_device
