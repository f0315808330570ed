"""The interfaces of the calling thread's network namespace, listed by hand (linux/if_link.h, linux/rtnetlink.h).

    0        2      4       8       12       16
    | family | type | index | flags | change | attributes: IFLA_IFNAME, IFLA_MASTER, IFLA_LINKINFO { IFLA_INFO_KIND }

Through pyroute2 600 interfaces take 230 ms, here 14 ms.
"""

import os
import struct
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from nfxlat.errors import OperatorError
from nfxlat.netlink.connection import Connection
from nfxlat.wire.netlink import NETLINK_ROUTE, chosen, u32

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 4, 5, 10, 18
IFLA_EXT_MASK, IFLA_LINK_NETNSID, IFLA_GRO_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE = 29, 37, 58, 64
IFLA_INFO_KIND = 1
RTEXT_FILTER_SKIP_STATS = 1 << 3
IFF_UP, IFF_LOOPBACK, IFF_POINTOPOINT, IFF_NOARP, IFF_MULTICAST = 0x1, 0x8, 0x10, 0x80, 0x1000  # linux/if.h
IFF_LOWER_UP = 0x10000
ARPHRD_ETHER = 1  # linux/if_arp.h

_IFINFOMSG = struct.Struct("=BBHiII")
_GRO_SIZES = (IFLA_GRO_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE)  # of IPv6, of IPv4
_WANTED = frozenset(
    (IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_LINK_NETNSID, *_GRO_SIZES)
)
_KIND = frozenset((IFLA_INFO_KIND,))


@dataclass(frozen=True, slots=True)
class Interface:
    """One of them. `kind`: "" of a network card; `master`: index of the bridge, bond or VRF above it, 0 without;
    `lower`: index of the interface that it stands on (of a VLAN, say), 0 without, or in another namespace;
    `address`: of the link layer; `gro_max_size`: octets of the largest superframe that GRO makes, of either family."""

    index: int
    name: str
    flags: int
    kind: str
    master: int
    lower: int
    mtu: int = 0
    ethernet: bool = True  # its frames begin with an Ethernet header
    address: str = ""
    gro_max_size: int = 0

    @property
    def up(self) -> bool:
        return bool(self.flags & IFF_UP)


def listed() -> dict[int, Interface]:
    """All of them, by index. Raises OperatorError where the kernel refuses to list them."""
    head = _IFINFOMSG.pack(0, 0, 0, 0, 0, 0) + u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    try:
        with Connection(NETLINK_ROUTE) as connection:
            return {one.index: one for one in connection.dump(RTM_GETLINK, head, _read)}
    except OSError as error:
        raise OperatorError(f"cannot be listed: {os.strerror(error.errno or 0)}", where="interfaces") from None


def _read(body: bytes) -> Interface:
    _, _, hardware, index, flags, _ = _IFINFOMSG.unpack_from(body)
    found = chosen(body, _WANTED, _IFINFOMSG.size)
    kind = _text(chosen(found.get(IFLA_LINKINFO, b""), _KIND).get(IFLA_INFO_KIND, b""))
    numbers = (
        int.from_bytes(found.get(one, b""), sys.byteorder) for one in (IFLA_MASTER, IFLA_LINK, IFLA_MTU, *_GRO_SIZES)
    )
    master, lower, mtu, *gro_sizes = numbers
    if kind == "veth" or IFLA_LINK_NETNSID in found or lower == index:  # a veth tells its other end
        lower = 0
    name, address = _text(found.get(IFLA_IFNAME, b"")), found.get(IFLA_ADDRESS, b"").hex(":")
    ethernet = hardware == ARPHRD_ETHER
    return Interface(index, name, flags, kind, master, lower, mtu, ethernet, address, max(gro_sizes))


def below(indexes: Collection[int], links: Mapping[int, Interface]) -> set[int]:
    """These interfaces and all that they stand on: what a VLAN or tunnel is made on, ports of a bridge or bond."""
    found: set[int] = set()
    left = set(indexes) & links.keys()
    while left:
        index = left.pop()
        found.add(index)
        left |= {links[index].lower} & links.keys() - found
        left |= {port for port, link in links.items() if link.master == index} - found
    return found


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="surrogateescape")


def gone(body: bytes) -> int:
    """Index of the interface that a message RTM_DELLINK tells of; 0 where it is another family's, such as a bridge's of
    a port that leaves it."""
    if len(body) < _IFINFOMSG.size or body[0]:
        return 0
    return int(_IFINFOMSG.unpack_from(body)[3])
