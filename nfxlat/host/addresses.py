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

_UNFIT = 0x08 | 0x20 | 0x40  # IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE (linux/if_addr.h)


def local_addresses() -> frozenset[bytes]:
    """Every address of every interface of the calling thread's namespace, packed (4 or 16 octets), lo's too."""
    return frozenset(_all())


def judged_addresses() -> tuple[frozenset[bytes], frozenset[bytes]]:
    """The same, and those of them that no packet should be sent from any more, or yet: deprecated, tentative or doubled
    (RFC 4862 5.5.4, 5.4; IPv4's preferred_lft 0 too) wherever they stand."""
    found = _all()
    return frozenset(found), frozenset(address for address, fit in found.items() if not fit)


def _all() -> dict[bytes, bool]:
    """Every address, and whether it may be sent from."""
    fit: dict[bytes, bool] = {}
    with IPRoute() as ipr:
        for message in ipr.get_addr():
            address = ipaddress.ip_address(message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")).packed
            fit[address] = fit.get(address, False) or not (message.get_attr("IFA_FLAGS") or 0) & _UNFIT
    return fit


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
