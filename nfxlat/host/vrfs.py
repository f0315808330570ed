"""VRFs (Documentation/networking/vrf.rst): an interface with a routing table, which other interfaces are members of.

What comes in on a member is routed by that table, and so is what a socket sends that is bound to the VRF. In a VRF are
the VRF's own interface and its members; in none, the others.
"""

import contextlib
import os
import socket
from typing import Any, NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nfxlat.errors import OperatorError
from nfxlat.host import interfaces
from nfxlat.host.interfaces import Interface
from nfxlat.host.links import link_of
from nfxlat.plan.facts import MAIN

KIND = "vrf"


class Vrf(NamedTuple):
    """One that is there: its interface, and the number of its table."""

    ifindex: int
    table: int


def find(name: str) -> Vrf:
    """The VRF of that name. Raises OperatorError where there is none."""
    with IPRoute() as ipr:
        link = link_of(ipr, name)
        if link is None or link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") != KIND:
            hint = f"ip link add {name} type vrf table NUMBER; ip link set {name} up; or leave vrf out"
            raise OperatorError("there is no VRF of this name", where=f"vrf {name}", hint=hint)
        return Vrf(link["index"], int(link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_VRF_TABLE")))


def index_of(name: str | None) -> int:
    """Index of the VRF; 0 where there is none of this name, or none is named."""
    if not name:
        return 0
    with contextlib.suppress(OperatorError):
        return find(name).ifindex
    return 0


def name_of(index: int | None) -> str:
    """Name of the VRF whose own interface has that index; "" where it is another's, or there is none."""
    link = interfaces.listed().get(index or 0)
    return link.name if link is not None and link.kind == KIND else ""


def table_of(name: str | None) -> int:
    """Where routes of the VRF are; of no VRF, the main table. Raises OperatorError where the VRF is not there."""
    return find(name).table if name else MAIN


def inside(name: str | None) -> dict[int, Interface]:
    """The interfaces that are in the VRF, or in none. Raises OperatorError where they cannot be listed."""
    links = interfaces.listed()
    vrfs = {link.index: link.name for link in links.values() if link.kind == KIND}

    def of(link: Interface) -> str | None:
        return vrfs.get(link.index) or vrfs.get(link.master)

    return {index: link for index, link in links.items() if of(link) == (name or None)}


def master_of(link: Any) -> str:
    """Name of the VRF, or of the bridge or whatever it is, that the interface of the RTM_NEWLINK message `link` is a
    member of; "" without one."""
    master = link.get_attr("IFLA_MASTER")
    if not master:
        return ""
    with IPRoute() as ipr, contextlib.suppress(NetlinkError):  # gone in between
        for above in ipr.get_links(master):
            return str(above.get_attr("IFLA_IFNAME"))
    return ""


def join(ipr: IPRoute, link: Any, name: str) -> None:
    """Have the interface of the RTM_NEWLINK message `link` be in the VRF, or with "" in none, nor in a bridge. Raises
    OperatorError.

    The kernel takes an interface that changes down and up again, and its routes away.
    """
    if master_of(link) == name:
        return
    master = find(name).ifindex if name else 0
    try:
        ipr.link("set", index=link["index"], master=master)
    except NetlinkError as error:
        raise OperatorError(
            os.strerror(error.code), where=f"device {link.get_attr('IFLA_IFNAME')}: vrf {name}"
        ) from None


def bind(any_socket: socket.socket, name: str | None) -> None:
    """Have a socket send by the VRF's table. Raises OSError (ENODEV where the VRF is gone)."""
    if name:
        any_socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode() + b"\0")
