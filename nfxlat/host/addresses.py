"""The addresses of this node, and a descriptor that tells when they may have changed."""

import contextlib
import os
import socket
import struct
import sys
from typing import NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nfxlat.errors import OperatorError
from nfxlat.host import vrfs
from nfxlat.host.links import index_of, link_of
from nfxlat.netlink.connection import Connection
from nfxlat.wire.netlink import NETLINK_ROUTE, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_LINK, chosen

RTM_GETADDR, IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 22, 1, 2, 8  # linux/rtnetlink.h, linux/if_addr.h
_IFADDRMSG = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ADDRESS = frozenset((IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS))
_UNFIT = 0x08 | 0x20 | 0x40  # IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE (linux/if_addr.h)


class Address(NamedTuple):
    """An address of an interface: packed, length of its prefix, RT_SCOPE_*, IFA_F_*."""

    ifindex: int
    address: bytes
    length: int
    scope: int
    flags: int


def local_addresses(vrf: str | None = None) -> frozenset[bytes]:
    """Every address of every interface of the calling thread's namespace, packed (4 or 16 octets), lo's too; with
    `vrf`, of those in the VRF."""
    return frozenset(_all(vrf))


def judged_addresses(vrf: str | None = None) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """The same, and those of them that no packet should be sent from any more, or yet: deprecated, tentative or doubled
    (RFC 4862 5.5.4, 5.4; IPv4's preferred_lft 0 too) wherever they stand."""
    found = _all(vrf)
    return frozenset(found), frozenset(address for address, fit in found.items() if not fit)


def _all(vrf: str | None) -> dict[bytes, bool]:
    """Every address, and whether it may be sent from."""
    fit: dict[bytes, bool] = {}
    for one in listed() if not vrf else within(vrf):
        fit[one.address] = fit.get(one.address, False) or not one.flags & _UNFIT
    return fit


def listed() -> list[Address]:
    """Each address of each interface. By hand: each that comes or goes has all of them read, 600 in a tenth of the time
    that pyroute2 takes. Raises OSError."""
    with Connection(NETLINK_ROUTE) as connection:
        return connection.dump(RTM_GETADDR, bytes(_IFADDRMSG.size), _address)


def within(vrf: str | None) -> list[Address]:
    """Those of interfaces in the VRF, or in none. Raises OSError, and OperatorError."""
    there = vrfs.inside(vrf)
    return [one for one in listed() if one.ifindex in there]


def _address(body: bytes) -> Address | None:
    """IFA_ADDRESS is the other end's where IFA_LOCAL is there too."""
    _, length, _, scope, index = _IFADDRMSG.unpack_from(body)
    found = chosen(body, _ADDRESS, _IFADDRMSG.size)
    address = found.get(IFA_LOCAL, found.get(IFA_ADDRESS))
    flags = int.from_bytes(found.get(IFA_FLAGS, b""), sys.byteorder)
    return None if address is None else Address(index, address, length, scope, flags)


def watch_addresses(vrf: str | None = None) -> Connection:
    """Readable (poll `fileno`) when an address came or went, or may have come into the VRF or left it; `drain` it, then
    ask `local_addresses` anew."""
    links = (RTNLGRP_LINK,) if vrf else ()
    return Connection(NETLINK_ROUTE, groups=(RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, *links))


def add_address(ipr: IPRoute, device: str, address: str) -> None:
    """Give `device` the IPv4 address `address`/32, which it has not. Raises OperatorError where refused."""
    try:
        ipr.addr("add", index=socket.if_nametoindex(device), address=address, prefixlen=32)
    except NetlinkError as error:
        raise OperatorError(os.strerror(error.code), where=f"address {address}/32 dev {device}") from None


def of_device(device: str) -> frozenset[str]:
    """The IPv4 addresses of an interface; none where it is not there."""
    own = index_of(device)
    return frozenset(socket.inet_ntoa(one.address) for one in listed() if one.ifindex == own and len(one.address) == 4)


def remove_address(device: str, address: str) -> bool:
    """Take the address `address`/32 off `device`; False where it is not there."""
    with IPRoute() as ipr, contextlib.suppress(NetlinkError):
        if (link := link_of(ipr, device)) is not None:
            ipr.addr("del", index=link["index"], address=address, prefixlen=32)
            return True
    return False
