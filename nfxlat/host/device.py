"""The domain device: a veth whose near end bears the domain's name and whose far end lives in a pinned namespace.

    host's namespace                      /run/netns/nfxlat-siit0-<inode of the host's namespace>
    routing, nft  ---  siit0  ==========  siit0p  ---  packet socket of nfxlat
                       near               far: no addresses, no routes, IPv6 off: whatever arrives here dies, counted

What nfxlat writes to the far end enters the host's stack through `siit0`, as from a wire. What the host routes into
`siit0` dies at the far end. Since the namespace is pinned, the device and its routes outlive the daemon, and the host
fails closed.

Neither end resolves neighbours (NOARP: a neighbour that never answers costs a local sender 3 s) nor speaks by itself
(no IPv6 addresses, no multicast). The MAC addresses are given at creation, or udev would change them behind the
injector's back. Containers often have a read-only /proc/sys: what silence needs goes over netlink, and sysctls beside
that are set where they can be.
"""

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nfxlat.errors import OperatorError
from nfxlat.host import netns, sysctl, vrfs
from nfxlat.host.interfaces import IFF_LOWER_UP, IFF_MULTICAST, IFF_NOARP, IFF_UP
from nfxlat.host.links import IFNAMSIZ, delete_link, link_of, wait_until_up
from nfxlat.host.netns import in_namespace
from nfxlat.plan import sysctls
from nfxlat.plan.sysctls import Sysctl
from nfxlat.terms import Report

__all__ = [
    "FAR_MAC",
    "MTU",
    "NEAR_MAC",
    "DomainDevice",
    "configure",
    "create_or_adopt",
    "has_carrier",
    "in_namespace",
    "is_altered",
    "is_ours",
    "remove",
    "remove_named",
]

MTU = 65535  # ETH_MAX_MTU; the routes carry the real ones
NEAR_MAC = bytes.fromhex("026e66780001")  # locally administered; a point-to-point link needs no unique ones
FAR_MAC = bytes.fromhex("026e66780002")
PREFIX = "nfxlat-"

ADDR_GEN_MODE_NONE = 1  # linux/if_link.h


@dataclass(frozen=True, slots=True)
class DomainDevice:
    """A domain device that exists. `far_namespace` is a name under /run/netns; `ifindex` is the near end's."""

    name: str
    far_namespace: str
    far_interface: str
    ifindex: int
    near_mac: bytes = NEAR_MAC
    far_mac: bytes = FAR_MAC

    def ended_packets(self) -> int:
        """Packets that were routed into the device and ended at the far end: what no rule took, and originals that were
        translated at postrouting.

        The kernel's own multicast listener reports, which it sends where IPv6 forwarding is on, are not counted.
        """
        with in_namespace(self.far_namespace), IPRoute() as ipr:
            link = link_of(ipr, self.far_interface)
            arrived = int(link.get_attr("IFLA_STATS64")["rx_packets"]) if link is not None else 0
        return max(0, arrived - _multicast_sent(self.name))


def far_namespace(name: str) -> str:
    """The far end's namespace for domain `name` of the calling thread's network namespace."""
    return f"{PREFIX}{name}-{netns.own_inode()}"


def far_interface(name: str) -> str:
    return f"{name[: IFNAMSIZ - 2]}p"


def create_or_adopt(name: str, *, report: Report, vrf: str = "") -> tuple[DomainDevice, bool]:
    """Make the device `name`, in a VRF if one is named, or take over the one a dead nfxlat left; return it and whether
    it was made.

    A half-made one is removed and made anew. Raises OperatorError where another device has the name, the VRF is not
    there, or permission lacks.
    """
    far = DomainDevice(name, far_namespace(name), far_interface(name), 0)
    created = False
    with IPRoute() as ipr:
        near = link_of(ipr, name)
        if near is not None and not is_ours(near):
            raise OperatorError(
                "a device of this name already exists, and is not a domain device",
                where=name,
                hint="rename the domain or the device; if it is a TUN of the device model: nfxlat domain del",
            )
        if near is not None and not _is_whole(near, far):
            report(f"device {name} was incomplete and is recreated")
            delete_link(ipr, near)
            near = None
        if near is None:
            _create(ipr, far)
            created = True
        try:
            _configure_far(far)
            index = configure(ipr, name, report, vrf)
            with in_namespace(far.far_namespace):
                wait_until_up(far.far_interface)
            wait_until_up(name)
        except BaseException:
            if created:
                remove(far)
            raise
    report(
        f"device {name} {'created' if created else 'taken over'} (far end {far.far_interface} in {far.far_namespace})"
    )
    return DomainDevice(name, far.far_namespace, far.far_interface, index), created


def remove(device: DomainDevice) -> None:
    """Delete both ends of the device and its far namespace's name; nothing happens where they are gone."""
    remove_named(device.name)


def remove_named(name: str) -> bool:
    """The same for the domain `name` of the calling thread's namespace; False where there was no device."""
    with IPRoute() as ipr:
        near = link_of(ipr, name)
        found = near is not None and is_ours(near)
        if near is not None and found:
            delete_link(ipr, near)
    netns.unpin(far_namespace(name))
    return found


def is_ours(link: Any) -> bool:
    """A veth with our near MAC, which nobody else gives, or with our far end, whatever MAC others have given it."""
    if link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") != "veth":
        return False
    if _has_our_mac(link):
        return True
    name = link.get_attr("IFLA_IFNAME")
    try:
        return _is_whole(link, DomainDevice(name, far_namespace(name), far_interface(name), 0))
    except (OSError, OperatorError):  # no right to look there
        return False


def is_altered(link: Any) -> bool:
    """Whether others have changed what `configure` gives it. With another MAC the kernel takes what is injected for
    another host's, and with a smaller MTU it drops what is larger; it counts neither for us."""
    veth = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "veth"
    return bool(link.get_attr("IFLA_MTU") != MTU or not link["flags"] & IFF_NOARP or (veth and not _has_our_mac(link)))


def has_carrier(link: Any) -> bool:
    """Whether its far end is up."""
    return bool(link["flags"] & IFF_LOWER_UP)


def _has_our_mac(link: Any) -> bool:
    return bool(link.get_attr("IFLA_ADDRESS") == NEAR_MAC.hex(":"))


def _is_whole(near: Any, device: DomainDevice) -> bool:
    """Whether the far end is where it belongs: in the pinned namespace, and the peer of `near`."""
    if not netns.is_pinned(device.far_namespace):
        return False
    with in_namespace(device.far_namespace), IPRoute() as ipr:
        far = link_of(ipr, device.far_interface)
        return (
            far is not None
            and far["index"] == near.get_attr("IFLA_LINK")
            and far.get_attr("IFLA_LINK") == near["index"]
        )


def _create(ipr: IPRoute, device: DomainDevice) -> None:
    if not netns.is_pinned(device.far_namespace):
        netns.unpin(device.far_namespace)
        netns.pin_new(device.far_namespace)
    else:
        with in_namespace(device.far_namespace), IPRoute() as far:
            stray = link_of(far, device.far_interface)
            if stray is not None:
                delete_link(far, stray)
    descriptor = os.open(netns.RUN / device.far_namespace, os.O_RDONLY | os.O_CLOEXEC)
    peer = {"ifname": device.far_interface, "address": FAR_MAC.hex(":"), "mtu": MTU, "net_ns_fd": descriptor}
    try:
        ipr.link("add", ifname=device.name, kind="veth", address=NEAR_MAC.hex(":"), mtu=MTU, peer=peer)
    except NetlinkError as error:
        netns.unpin(device.far_namespace)
        raise OperatorError(
            f"cannot create the device: {os.strerror(error.code)}",
            where=device.name,
            hint="this needs CAP_NET_ADMIN and the kernel's veth driver",
        ) from None
    finally:
        os.close(descriptor)


def _configure_far(device: DomainDevice) -> None:
    with in_namespace(device.far_namespace), IPRoute() as ipr:
        # Without addresses and routes nothing is answered or forwarded anyway.
        for key in ("net/ipv6/conf/all/disable_ipv6", "net/ipv6/conf/default/disable_ipv6"):
            _prefer(key, "1")
        _prefer(sysctls.FORWARD4, "0")  # inherited from the first namespace at creation
        _set_up(ipr, device.far_interface)


def configure(ipr: IPRoute, name: str, report: Report, vrf: str = "") -> int:
    """Make `name` silent, give it IPv6, its MAC and the largest MTU, put it in the VRF or in none, and bring it up;
    its index.

    Raises OperatorError where the VRF is not there, and where its IPv6 is off (net.ipv6.conf.default.disable_ipv6) and
    cannot be turned on: what is injected would die there.
    """
    sysctl.set_all([Sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "0")], report)
    _prefer(f"net/ipv6/conf/{name}/accept_ra", "0")  # nobody behind it advertises anything
    if (link := link_of(ipr, name)) is not None:
        vrfs.join(ipr, link, vrf)
        if is_ours(link) and not _has_our_mac(link):
            ipr.link("set", index=link["index"], address=NEAR_MAC.hex(":"))
    return _set_up(ipr, name)


def _set_up(ipr: IPRoute, name: str) -> int:
    index = socket.if_nametoindex(name)
    quiet = ["AF_INET6", {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", ADDR_GEN_MODE_NONE]]}]
    with contextlib.suppress(NetlinkError):  # a kernel without IPv6
        ipr.link("set", index=index, IFLA_AF_SPEC={"attrs": [quiet]})
    ipr.link("set", index=index, mtu=MTU, flags=IFF_UP | IFF_NOARP, change=IFF_UP | IFF_NOARP | IFF_MULTICAST)
    return index


def _multicast_sent(name: str) -> int:
    file = Path("/proc/thread-self/net/dev_snmp6", name)
    lines = file.read_text().splitlines() if file.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("Ip6OutMcastPkts"))


def _prefer(key: str, value: str) -> None:
    """Set the sysctl of the calling thread's namespace, where that can be done."""
    with contextlib.suppress(OperatorError):
        sysctl.set_all([Sysctl(key, value)], lambda line: None)
