"""Terminal routes in the kernel: made, replaced, deleted. Which are wanted: nfxlat.plan.routes."""

import contextlib
import errno
import os
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing

from nfxlat import ipaddresses
from nfxlat.errors import OperatorError
from nfxlat.host import rtnetlink
from nfxlat.host.rtnetlink import Destination, Request
from nfxlat.plan.routes import PROTOCOL, Place, Route
from nfxlat.wire.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE

ADDRESS_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def ours(noted: Iterable[Route]) -> set[Place]:
    """Those places of `noted` at which a route bears our protocol number."""
    places = {route.place for route in noted}
    found = set()
    for table in {table for _, _, table in places}:
        for family in ADDRESS_FAMILIES.values():
            for destination, length, metric in rtnetlink.routes(family, PROTOCOL, table):
                # in the plan's words
                address = ipaddresses.address(destination or bytes(4 if family == socket.AF_INET else 16))
                found.add((f"{address}/{length}", metric, table))
    return places & found


def add(wanted: Sequence[Route], replaceable: Collection[Place] = (), others: Collection[Route] = ()) -> None:
    """Make the routes in order, renewing what stands at `replaceable` places. One of `others` may be there already.

    Raises OperatorError where a device is gone (none is made then), somebody else's route stands in the way, or the
    kernel refuses (some are made).
    """
    indexes = _indexes()
    if missing := [route for route in wanted if route.device is not None and route.device not in indexes]:
        raise OperatorError(os.strerror(errno.ENODEV), where=f"route {missing[0]}", hint="run nfxlat run --setup again")

    def flags(route: Route) -> int:
        renew = route.place in replaceable and route not in others
        return NLM_F_CREATE | (NLM_F_REPLACE if renew else NLM_F_EXCL)

    requests = [(request, flags(route)) for route, request in zip(wanted, _requests(wanted, indexes), strict=True)]
    with closing(rtnetlink.apply(rtnetlink.RTM_NEWROUTE, requests)) as refused:
        for index, code in refused:
            what, hint = os.strerror(code), ""
            if code == errno.EEXIST and wanted[index] in others:
                continue
            if code == errno.EEXIST:
                what, hint = "there already is a route to this prefix", "remove it, or give it another metric"
            raise OperatorError(what, where=f"route {wanted[index]}", hint=hint)


def delete(unwanted: Iterable[Route]) -> list[Route]:
    """Delete those routes that are there and ours, in reverse; return them."""
    indexes = _indexes()
    backwards = [route for route in reversed(list(unwanted)) if route.device is None or route.device in indexes]
    requests = [(request, 0) for request in _requests(backwards, indexes)]
    gone = dict.fromkeys(range(len(requests)))
    with closing(rtnetlink.apply(rtnetlink.RTM_DELROUTE, requests)) as refused:
        for index, code in refused:
            if code != errno.ESRCH:
                raise OperatorError(os.strerror(code), where=f"route {backwards[index]}")
            del gone[index]
    return [backwards[index] for index in gone]


def hand_over(heirs: Sequence[Route]) -> bool:
    """Have the route at a place that domains share lead into the device of one of `heirs`; False where none can have
    it: its device is gone, or down."""
    indexes = _indexes()
    for heir in heirs:
        if heir.device is None:
            return True
        if heir.device in indexes:
            with contextlib.suppress(OperatorError):
                add([heir], {heir.place})
                return True
    return False


def packed(network: str) -> Destination:
    """A prefix as messages have it."""
    address, _, length = network.partition("/")
    family = ADDRESS_FAMILIES[6 if ":" in network else 4]
    return int(family), socket.inet_pton(family, address) if int(length) else b"", int(length)


def _indexes() -> dict[str, int]:
    """Index of every interface, by name."""
    return {name: index for index, name in socket.if_nameindex()}


def _requests(routes: Iterable[Route], indexes: Mapping[str, int]) -> Iterator[Request]:
    for route in routes:
        family, destination, length = packed(route.network)
        interface = indexes[route.device] if route.device is not None else 0
        source = socket.inet_pton(ADDRESS_FAMILIES[route.version], route.source) if route.source else b""
        yield Request(
            family, destination, length, route.metric, PROTOCOL, interface, route.mtu or 0, source, route.table
        )
