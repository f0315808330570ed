"""The route to an address, as the kernel uses it for its own packets: its MTU, learned path MTUs included, and the
source address that goes with it."""

import socket

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nfxlat import ipaddresses
from nfxlat.host import vrfs

IP_MTU, IPV6_MTU = 14, 24  # linux/in.h, linux/in6.h
DISCARD = 9  # any port: connecting a UDP socket sends nothing


def route_to(destination: bytes, vrf: str | None = None) -> tuple[int, bytes]:
    """Octets of the largest packet towards `destination` (4 or 16 octets, packed), and this node's address (packed)
    that the kernel gives such a packet: the route's own, or of IPv6 by RFC 6724. In about 15 us. With `vrf`, by its
    table.

    Raises OSError as connect(2) does: ENETUNREACH without a route, EHOSTUNREACH, EACCES where the route refuses; and
    ENODEV where the VRF is gone.
    """
    if len(destination) == 4:
        family, level, option, address = socket.AF_INET, socket.IPPROTO_IP, IP_MTU, socket.inet_ntoa(destination)
    else:
        family, level, option = socket.AF_INET6, socket.IPPROTO_IPV6, IPV6_MTU
        address = socket.inet_ntop(family, destination)
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        vrfs.bind(probe, vrf)
        probe.connect((address, DISCARD))
        return probe.getsockopt(level, option), socket.inet_pton(family, probe.getsockname()[0])


def egress_mtu(destination: bytes, vrf: str | None = None) -> int | None:
    """The same; None where there is no route. The caller caches it for as long as it likes stale figures."""
    try:
        return route_to(destination, vrf)[0]
    except OSError:
        return None


def egress_interface(destination: bytes, vrf: str | None = None) -> int | None:
    """Index of the interface that the route to `destination` (packed) leaves through; None where there is no route."""
    within = {"oif": vrfs.index_of(vrf)} if vrf else {}
    with IPRoute() as ipr:
        try:
            found = list(ipr.route("get", dst=str(ipaddresses.address(destination)), **within))
        except NetlinkError:
            return None
    return next((message.get_attr("RTA_OIF") for message in found), None)
