"""What of a plan is there, in the calling thread's network namespace; nfxlat.plan.compare tells what is not."""

import socket
from collections.abc import Mapping

from pyroute2 import IPRoute

from nfxlat.host import device, neighbours, rtnetlink, sysctl, tun, vrfs
from nfxlat.host.interfaces import IFF_UP
from nfxlat.host.links import link_of
from nfxlat.host.routes import packed
from nfxlat.host.rtnetlink import RTN_UNICAST, RTN_UNREACHABLE, TableRoute
from nfxlat.plan.compare import Found, State, Wanted
from nfxlat.plan.facts import MAIN
from nfxlat.plan.routes import Place


def look(wanted: Wanted) -> Found:
    """Look for all of it. Raises OperatorError without the right to look."""
    standing: dict[Place, frozenset[str | None]] = {}
    for table in {route.table for route in wanted.routes}:
        standing |= routes({route.network for route in wanted.routes if route.table == table}, table)
    present, addresses = _device(wanted)  # behind the routes, which go with it: what took them is seen
    values = ((one.key, sysctl.read(one.key)) for one in wanted.sysctls)
    return Found(
        present,
        addresses,
        standing,
        {key: value for key, value in values if value is not None},
        neighbours.standing(wanted.proxies),
    )


def _device(wanted: Wanted) -> tuple[State, frozenset[str]]:
    with IPRoute() as ipr:
        link = link_of(ipr, wanted.device)
        if link is None:
            return "missing", frozenset()
        if not (tun.is_ours(link) if wanted.tun else device.is_ours(link)):
            return "foreign", frozenset()
        messages = ipr.get_addr(family=socket.AF_INET, index=link["index"]) if wanted.addresses else ()
        found = frozenset(message.get_attr("IFA_LOCAL") for message in messages)
        if vrfs.master_of(link) != wanted.vrf:
            return "elsewhere", found
        if not link["flags"] & IFF_UP or not (wanted.tun or device.has_carrier(link)):  # a TUN has one while it is used
            return "down", found
        return "altered" if device.is_altered(link) else "up", found


def routes(networks: set[str], table: int = MAIN) -> dict[Place, frozenset[str | None]]:
    """What stands in a table for these prefixes: names of interfaces, None for unreachable. Of several routes at
    one place IPv4 takes the first (`ip route prepend`), and IPv6 each for some flows."""
    names: dict[int, str | None] = dict(socket.if_nameindex())
    found: dict[Place, frozenset[str | None]] = {}
    ways: dict[tuple[int, tuple[int, ...]], frozenset[str | None]] = {}  # most lead the same way
    for family in (socket.AF_INET, socket.AF_INET6):
        wanted = {packed(one): one for one in networks if (":" in one) == (family == socket.AF_INET6)}
        for route in rtnetlink.table(family, wanted, table) if wanted else ():
            network = wanted.get((family, route.destination, route.length))
            if network is None:
                continue
            place = network, route.metric, table
            way = ways.get((route.kind, route.interfaces))
            if way is None:
                way = ways[route.kind, route.interfaces] = _leads(route, names)
            if place not in found:
                found[place] = way
            elif family == socket.AF_INET6:
                found[place] |= way
    return found


def _leads(route: TableRoute, names: Mapping[int, str | None]) -> frozenset[str | None]:
    if route.kind == RTN_UNREACHABLE:
        return frozenset((None,))
    if route.kind != RTN_UNICAST:
        return frozenset((f"type {route.kind}",))
    return frozenset(names.get(index, f"#{index}") for index in route.interfaces)
