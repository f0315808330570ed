"""Look-ups and deletions of links that bear with others who delete them meanwhile.

Above all with the kernel itself: a pinned namespace that loses its last user is torn down some time later, by
cleanup_net (net/core/net_namespace.c), and takes a veth's other end with it.
"""

import errno
import socket
import time
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nfxlat.host.interfaces import IFF_UP


def index_of(name: str) -> int:
    """Index of the interface `name`, or 0."""
    try:
        return socket.if_nametoindex(name)
    except OSError:  # without an errno
        return 0


def link_of(ipr: IPRoute, name: str) -> Any | None:
    """The RTM_NEWLINK message of interface `name`, or None."""
    try:
        return ipr.get_links(socket.if_nametoindex(name))[0]
    except OSError:  # of if_nametoindex, without an errno: no such interface
        return None
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
