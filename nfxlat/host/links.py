"""Look-ups and deletions of links that bear with others who delete them meanwhile.

Above all with the kernel itself: a pinned namespace that loses its last user is torn down some time later, by
cleanup_net (net/core/net_namespace.c), and takes a veth's other end with it.
"""

import errno
import fcntl
import socket
import struct
import time
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nfxlat.host.interfaces import IFF_UP

IFNAMSIZ, SIOCGIFINDEX = 16, 0x8933  # linux/if.h (the terminating zero included), linux/sockios.h
_IFREQ = struct.Struct("@16si20x")  # struct ifreq: a name, and of the rest an index


def index_of(name: str) -> int:
    """Index of the interface `name`, or 0. Raises OSError where it cannot be asked for (no descriptor), of which
    if_nametoindex(3) as Python has it says that there is none of this name."""
    octets = name.encode()
    if len(octets) >= IFNAMSIZ:
        return 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        try:
            found = fcntl.ioctl(any_socket, SIOCGIFINDEX, _IFREQ.pack(octets, 0))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            return 0
    return int(_IFREQ.unpack(found)[1])


def link_of(ipr: IPRoute, name: str) -> Any | None:
    """The RTM_NEWLINK message of interface `name`, or None. Raises OSError or NetlinkError where it cannot be asked
    for: that says nothing of the interface."""
    if not (index := index_of(name)):
        return None
    try:
        return ipr.get_links(index)[0]
    except NetlinkError as error:
        if error.code != errno.ENODEV:  # gone in between
            raise
        return None


def wait_until_up(name: str, seconds: float = 5.0) -> bool:
    """Whether interface `name`, if it is set up, is up within so many seconds. From its carrier to its queueing
    discipline the kernel takes a moment (net/core/link_watch.c), and drops what leaves by it meanwhile (noop_qdisc)."""
    deadline = time.monotonic() + seconds
    with IPRoute() as ipr:
        while (link := link_of(ipr, name)) is not None and link["flags"] & IFF_UP:
            if link.get_attr("IFLA_OPERSTATE") == "UP":
                return True
            if time.monotonic() > deadline:
                break
            time.sleep(0.001)
    return False


def delete_link(ipr: IPRoute, link: Any) -> None:
    """Delete the interface of the RTM_NEWLINK message `link`, if it is still there. Raises NetlinkError."""
    try:
        ipr.link("del", index=link["index"])
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise
