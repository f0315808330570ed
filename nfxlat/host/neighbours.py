"""Whose link an address is on, and for whom this node answers there in others' place (ARP, RFC 4389 of ND).

ndmsg (linux/neighbour.h)
0        1     4         8       10      11     12
| family | pad | ifindex | state | flags | type | attributes
"""

import ipaddress
import socket
import struct
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from pyroute2 import IPRoute

from nfxlat.netlink.connection import Connection
from nfxlat.wire.netlink import NETLINK_ROUTE, chosen

RTM_GETNEIGH, NDA_DST, NTF_PROXY = 30, 1, 0x08  # linux/rtnetlink.h, linux/neighbour.h
RT_SCOPE_UNIVERSE, IFF_LOOPBACK = 0, 0x8
_NDMSG = struct.Struct("=BxxxiHBB")

Network = IPv4Network | IPv6Network


class Link(NamedTuple):
    """A prefix whose addresses the neighbours on an interface ask for, rather than a router."""

    network: Network
    interface: str
    ifindex: int


def links() -> list[Link]:
    """Of all addresses of the calling thread's namespace with a prefix, but for link-local ones."""
    found = []
    with IPRoute() as ipr:
        names = {m["index"]: m.get_attr("IFLA_IFNAME") for m in ipr.get_links() if not m["flags"] & IFF_LOOPBACK}
        for message in ipr.get_addr():
            address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            network = ipaddress.ip_network(f"{address}/{message['prefixlen']}", strict=False)
            if message["scope"] == RT_SCOPE_UNIVERSE and message["index"] in names and network.num_addresses > 1:
                found.append(Link(network, names[message["index"]], message["index"]))
    return sorted(set(found), key=lambda link: (link.network.version, int(link.network.network_address), link.ifindex))


def proxies() -> set[tuple[int, bytes]]:
    """Interface index and packed address of each `ip neigh add proxy` entry."""
    with Connection(NETLINK_ROUTE) as connection:
        return {
            entry
            for family in (socket.AF_INET, socket.AF_INET6)
            for entry in connection.dump(RTM_GETNEIGH, _NDMSG.pack(family, 0, 0, NTF_PROXY, 0), _entry)
        }


def _entry(body: bytes) -> tuple[int, bytes]:
    return _NDMSG.unpack_from(body)[1], chosen(body, frozenset((NDA_DST,)), _NDMSG.size).get(NDA_DST, b"")
