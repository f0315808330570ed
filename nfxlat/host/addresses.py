"""The addresses of this node, and a descriptor that tells when they may have changed."""

import contextlib
import ipaddress
import os
import socket

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nfxlat.errors import OperatorError
from nfxlat.host.links import link_of
from nfxlat.netlink.connection import Connection
from nfxlat.wire.netlink import NETLINK_ROUTE, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR


def local_addresses() -> frozenset[bytes]:
    """Every address of every interface of the calling thread's namespace, packed (4 or 16 octets), lo's too."""
    with IPRoute() as ipr:
        found = (m.get_attr("IFA_LOCAL") or m.get_attr("IFA_ADDRESS") for m in ipr.get_addr())
        return frozenset(ipaddress.ip_address(text).packed for text in found)


def watch_addresses() -> Connection:
    """Readable (poll `fileno`) when an address came or went; `drain` it, then ask `local_addresses` anew."""
    return Connection(NETLINK_ROUTE, groups=(RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR))


def add_address(ipr: IPRoute, device: str, address: str) -> bool:
    """Give `device` the IPv4 address `address`/32; False where it has it. Raises OperatorError where refused."""
    index = socket.if_nametoindex(device)
    if any(m.get_attr("IFA_LOCAL") == address for m in ipr.get_addr(family=socket.AF_INET, index=index)):
        return False
    try:
        ipr.addr("add", index=index, address=address, prefixlen=32)
    except NetlinkError as error:
        raise OperatorError(os.strerror(error.code), where=f"address {address}/32 dev {device}") from None
    return True


def remove_address(device: str, address: str) -> bool:
    """Take the address `address`/32 off `device`; False where it is not there."""
    with IPRoute() as ipr, contextlib.suppress(NetlinkError):
        if (link := link_of(ipr, device)) is not None:
            ipr.addr("del", index=link["index"], address=address, prefixlen=32)
            return True
    return False
