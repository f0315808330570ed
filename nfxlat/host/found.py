"""What of a plan is there, in the calling thread's network namespace; nfxlat.plan.compare tells what is not."""

import socket
from collections.abc import Iterable
from typing import Literal

from pyroute2 import IPRoute

from nfxlat.host import device, neighbours, rtnetlink, sysctl, tun, vrfs
from nfxlat.host.interfaces import IFF_UP
from nfxlat.host.links import link_of
from nfxlat.host.routes import packed
from nfxlat.host.rtnetlink import RTN_UNICAST, RTN_UNREACHABLE
from nfxlat.plan.compare import Found, Wanted
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


def _device(wanted: Wanted) -> tuple[Literal["up", "down", "missing", "foreign", "elsewhere"], frozenset[str]]:
    with IPRoute() as ipr:
        link = link_of(ipr, wanted.device)
        if link is None:
            return "missing", frozenset()
        if not (tun.is_ours(link) if wanted.tun else device.is_ours(link)):
            return "foreign", frozenset()
        messages = ipr.get_addr(family=socket.AF_INET, index=link["index"]) if wanted.addresses else ()
        found = frozenset(message.get_attr("IFA_LOCAL") for message in messages)
        if vrfs.of_device(link) != wanted.vrf:
            return "elsewhere", found
        return "up" if link["flags"] & IFF_UP else "down", found


def routes(networks: set[str], table: int = MAIN) -> dict[Place, frozenset[str | None]]:
    """What stands in a table for these prefixes: names of interfaces, None for unreachable. Of several routes at
    one place IPv4 takes the first (`ip route prepend`), and IPv6 each for some flows."""
    names: dict[int, str | None] = dict(socket.if_nameindex())
    found: dict[Place, frozenset[str | None]] = {}
    for family, octets in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
        wanted = {network for network in networks if (":" in network) == (family == socket.AF_INET6)}
        for route in rtnetlink.table(family, {packed(one) for one in wanted}, table) if wanted else ():
            network = f"{socket.inet_ntop(family, route.destination or bytes(octets))}/{route.length}"
            place = network, route.metric, table
            if network in wanted and (family == socket.AF_INET6 or place not in found):
                leads: Iterable[str | None] = [None]
                if route.kind != RTN_UNREACHABLE:
                    leads = (names.get(index, f"#{index}") for index in route.interfaces)
                if route.kind not in (RTN_UNICAST, RTN_UNREACHABLE):
                    leads = [f"type {route.kind}"]
                found[place] = found.get(place, frozenset()) | frozenset(leads)
    return found
