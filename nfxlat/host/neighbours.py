"""Whose link an address is on, and for whom this node answers there in others' place (ARP, RFC 4389 of ND).

ndmsg (linux/neighbour.h)
0        1     4         8       10      11     12
| family | pad | ifindex | state | flags | type | attributes: NDA_DST, NDA_PROTOCOL

Entries of ours bear our protocol number, as routes do: what the operator has made is told from them, and stays.
"""

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from nfxlat import ipaddresses
from nfxlat.errors import OperatorError
from nfxlat.host import addresses, vrfs
from nfxlat.host.interfaces import IFF_LOOPBACK, IFF_NOARP, IFF_POINTOPOINT
from nfxlat.host.rtnetlink import RT_SCOPE_UNIVERSE
from nfxlat.netlink.connection import Connection
from nfxlat.plan.facts import OnLink
from nfxlat.plan.neighbours import Proxy
from nfxlat.plan.routes import PROTOCOL
from nfxlat.wire.netlink import NETLINK_ROUTE, NLM_F_CREATE, Request, attribute, chosen

RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30  # linux/rtnetlink.h
NDA_DST, NDA_PROTOCOL, NTF_PROXY = 1, 12, 0x08  # linux/neighbour.h
QUIET = IFF_LOOPBACK | IFF_POINTOPOINT | IFF_NOARP  # on these nobody asks
_NDMSG = struct.Struct("=BxxxiHBB")
_ATTRIBUTES = frozenset((NDA_DST, NDA_PROTOCOL))


class Entry(NamedTuple):
    """A proxy entry of the kernel's; `protocol` says who has made it, 0 where nobody has said."""

    ifindex: int
    address: bytes
    protocol: int


def links(vrf: str | None = None) -> list[OnLink]:
    """Of all addresses in the VRF, or in none, with a prefix, but for link-local ones."""
    found = set()
    names = {index: link.name for index, link in vrfs.inside(vrf).items() if not link.flags & QUIET}
    for one in addresses.listed():
        if one.scope == RT_SCOPE_UNIVERSE and one.ifindex in names and one.length < 8 * len(one.address):
            network = ipaddresses.network((one.address, one.length), strict=False)
            found.add(OnLink(network, names[one.ifindex]))
    return sorted(found, key=lambda link: (link.network.version, int(link.network.network_address), link.interface))


def proxies() -> list[Entry]:
    """Each `ip neigh add proxy` entry of the calling thread's namespace."""
    with Connection(NETLINK_ROUTE) as connection:
        return [
            entry
            for family in (socket.AF_INET, socket.AF_INET6)
            for entry in connection.dump(RTM_GETNEIGH, _NDMSG.pack(family, 0, 0, NTF_PROXY, 0), _entry)
        ]


def standing(wanted: Collection[Proxy]) -> frozenset[Proxy]:
    """Those of `wanted` for which there is an entry, whoever made it, or whose interface is gone: nobody asks there."""
    if not wanted:
        return frozenset()
    there = {(entry.ifindex, entry.address) for entry in proxies()}
    return frozenset(wanted) - {proxy for proxy, *place in _places(wanted) if tuple(place) not in there}


def add(wanted: Iterable[Proxy]) -> list[Proxy]:
    """Make those that are not there; return them. Raises OperatorError where the kernel refuses."""
    wanted = list(wanted)
    there = standing(wanted)
    return _changed(RTM_NEWNEIGH, NLM_F_CREATE, [proxy for proxy in wanted if proxy not in there])


def delete(unwanted: Collection[Proxy]) -> list[Proxy]:
    """Delete those that are there and ours; return them."""
    ours = {(entry.ifindex, entry.address) for entry in proxies() if entry.protocol == PROTOCOL} if unwanted else set()
    return _changed(RTM_DELNEIGH, 0, [proxy for proxy, *place in _places(unwanted) if tuple(place) in ours])


def _changed(kind: int, flags: int, concerned: list[Proxy]) -> list[Proxy]:
    """Do it; those that it has been done to. What is gone already is left out."""
    places = list(_places(concerned))
    requests: list[Request] = [(kind, flags, _body(ifindex, address)) for _, ifindex, address in places]
    gone = set()
    with Connection(NETLINK_ROUTE) as connection:
        for index, code in connection.apply(requests):
            if code not in (errno.ENOENT, errno.ENODEV):
                raise OperatorError(os.strerror(code), where=f"neighbour {places[index][0]}")
            gone.add(index)
    return [proxy for index, (proxy, *_) in enumerate(places) if index not in gone]


def _body(ifindex: int, address: bytes) -> bytes:
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    attributes = attribute(NDA_DST, address) + attribute(NDA_PROTOCOL, bytes((PROTOCOL,)))
    return _NDMSG.pack(family, ifindex, 0, NTF_PROXY, 0) + attributes


def _places(concerned: Iterable[Proxy]) -> Iterator[tuple[Proxy, int, bytes]]:
    """Interface index and packed address of each whose interface is there."""
    indexes = {name: index for index, name in socket.if_nameindex()}
    for proxy in concerned:
        if proxy.interface in indexes:
            yield proxy, indexes[proxy.interface], ipaddresses.address(proxy.address).packed


def _entry(body: bytes) -> Entry:
    found = chosen(body, _ATTRIBUTES, _NDMSG.size)
    return Entry(_NDMSG.unpack_from(body)[1], found.get(NDA_DST, b""), found.get(NDA_PROTOCOL, b"\0")[0])
