"""The domain device of the device model: a TUN that persists, with superframes, and a queue for each worker.

What is routed into it is read from its queues, and what is written to them comes in on it. Since it persists
(TUNSETPERSIST), device and routes outlive the daemon, as those of the other models do: without a queue it has no
carrier, and drops whatever is routed into it. A TUN of ours bears the alias `ALIAS`; it has no address to tell it by.
"""

import errno
import fcntl
import os
import socket
import struct
from typing import Any, NamedTuple

from pyroute2 import IPRoute

from nfxlat.errors import OperatorError
from nfxlat.host.device import configure
from nfxlat.host.links import delete_link, link_of
from nfxlat.terms import Report
from nfxlat.wire import vnet

ALIAS = "nfxlat device model"
QUEUE_LENGTH = 4096  # packets, as many as an NFQUEUE of ours holds

# linux/if_tun.h
_TUNSETIFF, _TUNSETPERSIST, _TUNSETOFFLOAD, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454CB, 0x400454D0, 0x400454D8
_TUNGETIFF = 0x800454D2
_IFF_TUN, _IFF_MULTI_QUEUE, _IFF_NO_PI, _IFF_VNET_HDR = 0x0001, 0x0100, 0x1000, 0x4000
_CSUM, _TSO4, _TSO6, _TSO_ECN, _USO4, _USO6 = 0x01, 0x02, 0x04, 0x08, 0x20, 0x40
_TCP_OFFLOADS, _UDP_OFFLOADS = _CSUM | _TSO4 | _TSO6 | _TSO_ECN, _USO4 | _USO6


def create_or_adopt(name: str, *, report: Report, vrf: str = "", held: int = 0) -> bool:
    """Make the TUN `name`, in a VRF if one is named, or take over the one a dead nfxlat left; whether it was made.
    `held`: how many of its queues are ours already.

    Raises OperatorError where another device has the name, a living process has its queues, the VRF is not there, or
    permission lacks.
    """
    with IPRoute() as ipr:
        there = link_of(ipr, name)
        if there is not None and not is_ours(there):
            raise OperatorError(
                "a device of this name already exists, and is not a TUN of the device model",
                where=name,
                hint="rename the domain or the device; if it belongs to another model: nfxlat domain del",
            )
        if there is not None and _queues(there) > held:
            raise OperatorError("another process translates for it", where=name, hint="stop that process")
        if there is None:
            descriptor, _ = open_queue(name)
            try:  # marked first: until it persists it goes with us, should we die or fail here
                ipr.link("set", index=socket.if_nametoindex(name), ifalias=ALIAS)
                fcntl.ioctl(descriptor, _TUNSETPERSIST, 1)
            finally:
                os.close(descriptor)
    try:
        bring_up(name, report, vrf)
    except BaseException:
        if there is None:
            remove_named(name)
        raise
    report(f"device {name} {'created' if there is None else 'taken over'} (TUN, persistent)")
    return there is None


def bring_up(name: str, report: Report, vrf: str = "") -> None:
    """Bring the TUN `name` up again, as it was made."""
    with IPRoute() as ipr:
        ipr.link("set", index=configure(ipr, name, report, vrf), txqlen=QUEUE_LENGTH)


def open_queue(name: str) -> tuple[int, bool]:
    """One more queue of the TUN `name`: (descriptor, whether UDP superframes come). Raises OperatorError."""
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise OperatorError(
            os.strerror(error.errno or 0),
            where="/dev/net/tun",
            hint="load the TUN driver (modprobe tun) and run as root",
        ) from None
    try:
        flags = _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR | _IFF_MULTI_QUEUE
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("=16sH22x", name.encode(), flags))
        return descriptor, _configured(descriptor)
    except OSError as error:
        os.close(descriptor)
        hint = "another device has that name" if error.errno in (errno.EINVAL, errno.EBUSY) else ""
        raise OperatorError(f"no TUN device: {os.strerror(error.errno or 0)}", where=name, hint=hint) from None


def taken_queue(name: str, descriptor: int) -> bool | None:
    """Whether UDP superframes come to this queue of the TUN `name`, which a former process has opened; None where it is
    no such queue any more."""
    try:
        its = struct.unpack("=16s24x", fcntl.ioctl(descriptor, _TUNGETIFF, bytes(40)))[0]
        return _configured(descriptor) if its.rstrip(b"\0") == name.encode() else None
    except OSError:
        return None


def _configured(descriptor: int) -> bool:
    """Have the queue be as we read it; whether UDP superframes come. Raises OSError."""
    fcntl.ioctl(descriptor, _TUNSETVNETHDRSZ, struct.pack("=i", vnet.SIZE))
    try:
        fcntl.ioctl(descriptor, _TUNSETOFFLOAD, _TCP_OFFLOADS | _UDP_OFFLOADS)  # 6.2 and later
    except OSError:
        fcntl.ioctl(descriptor, _TUNSETOFFLOAD, _TCP_OFFLOADS)
        return False
    return True


def remove_named(name: str) -> bool:
    """Delete the TUN `name`; False where there is none of ours, or somebody has its queues."""
    with IPRoute() as ipr:
        there = link_of(ipr, name)
        if there is None or not is_ours(there) or _queues(there):
            return False
        delete_link(ipr, there)
    return True


def ours() -> list[str]:
    """Names of all such TUNs."""
    with IPRoute() as ipr:
        return sorted(str(link.get_attr("IFLA_IFNAME")) for link in ipr.get_links() if is_ours(link))


class Passed(NamedTuple):
    """Of what was routed into a TUN: packets that were read from it, and that the kernel dropped since no queue had
    room for them, or there was none."""

    read: int
    dropped: int


def passed(name: str) -> Passed:
    """Since the TUN was made; zeros where there is none."""
    with IPRoute() as ipr:
        there = link_of(ipr, name)
        counts = None if there is None else there.get_attr("IFLA_STATS64")
        return Passed(0, 0) if counts is None else Passed(int(counts["tx_packets"]), int(counts["tx_dropped"]))


def is_ours(link: Any) -> bool:
    """Whether the RTM_NEWLINK message `link` is of a TUN that `create_or_adopt` made."""
    kind = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND")
    return bool(kind == "tun" and link.get_attr("IFLA_IFALIAS") == ALIAS)


def _queues(link: Any) -> int:
    """How many queues of the TUN are open, in whatever process."""
    data = link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    return int(data.get_attr("IFLA_TUN_NUM_QUEUES") or 0)
