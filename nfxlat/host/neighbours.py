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

RTM_GETNEIGH, NDA_DST, NTF_PROXY = 30, 1, 0x08  # linux/rtnetlink.h, linux/neighbour.h
NLMSG_ERROR, NLMSG_DONE, NLM_F_REQUEST, NLM_F_DUMP = 2, 3, 0x1, 0x300  # linux/netlink.h
RT_SCOPE_UNIVERSE, IFF_LOOPBACK = 0, 0x8
_HEADER, _ENTRY, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxxxiHBB"), struct.Struct("=HH")

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
    found = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as netlink:
        for family in (socket.AF_INET, socket.AF_INET6):
            body = _ENTRY.pack(family, 0, 0, NTF_PROXY, 0)
            netlink.send(_HEADER.pack(16 + len(body), RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body)
            done = False
            while not done:
                answer = netlink.recv(1 << 17)
                at = 0
                while at < len(answer):
                    length, kind, *_ = _HEADER.unpack_from(answer, at)
                    done = kind in (NLMSG_DONE, NLMSG_ERROR)
                    if not done:
                        found.add((_ENTRY.unpack_from(answer, at + 16)[1], _destination(answer[at + 28 : at + length])))
                    at += length + 3 & ~3
    return found


def _destination(attributes: bytes) -> bytes:
    """NDA_DST among the attributes of an entry; empty without it."""
    at = 0
    while at + 4 <= len(attributes):
        length, kind = _ATTRIBUTE.unpack_from(attributes, at)
        if kind == NDA_DST:
            return attributes[at + 4 : at + length]
        at += max(length, 4) + 3 & ~3
    return b""
