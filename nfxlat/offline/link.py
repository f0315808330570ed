"""Link layers of captures: where the IP packet stands in a frame, and the frame around another packet.

    type                  octets before IP   EtherType at
    RAW 12 14 101         0                  none: the version of the packet decides
    IPV4 228, IPV6 229    0                  none; there is one link type a family, so results are written as RAW 101
    Ethernet 1            14                 12
    Linux cooked 113      16                 14
    Linux cooked v2 276   20                 0
    PPP 9                 2, or 4 (ff 03)    none: a PPP protocol number, the last two octets
    PPPoE 51              8                  none: as PPP
    NULL 0, LOOP 108      4                  none: an address family, whose number differs by system; written as RAW 101

VLAN tags (802.1Q, 802.1ad) of 4 octets each may stand behind an EtherType that announces them; the last two octets of a
tag are the next EtherType. Behind the EtherType of a PPPoE session (RFC 2516 4) stand eight octets:

    | version and type 0x11 | code 0 | session 2 | length 2, from here on | PPP protocol 2 | IP packet ...

Numbers: https://www.tcpdump.org/linktypes.html, which are those of dpkt.pcap.
"""

from typing import Final, NamedTuple

from dpkt.ethernet import ETH_TYPE_8021AD, ETH_TYPE_8021Q, ETH_TYPE_IP, ETH_TYPE_IP6
from dpkt.pcap import DLT_EN10MB, DLT_IPV4, DLT_IPV6, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_LOOP, DLT_NULL, DLT_PPP

RAW: Final = 101  # LINKTYPE_RAW; dpkt.pcap.DLT_RAW is the value inside the kernel, which differs by system
_RAW: Final = frozenset((12, 14, RAW))
_ONE_FAMILY: Final = {DLT_IPV4: 4, DLT_IPV6: 6}
_FRAMED: Final = {DLT_EN10MB: (14, 12), DLT_LINUX_SLL: (16, 14), DLT_LINUX_SLL2: (20, 0)}  # length, EtherType at
_LOOPBACK: Final = frozenset((DLT_NULL, DLT_LOOP))
_LOOPBACK_LENGTH: Final = 4
_LOOPBACK_VERSIONS: Final = {2: 4, 10: 6, 24: 6, 28: 6, 30: 6}  # AF_INET; AF_INET6 of Linux, the BSDs, macOS
_VLAN: Final = frozenset((ETH_TYPE_8021Q, ETH_TYPE_8021AD, 0x9100))
_TAG_LENGTH: Final = 4
_VERSIONS: Final = {ETH_TYPE_IP: 4, ETH_TYPE_IP6: 6}
_ETHERTYPES: Final[dict[int, bytes]] = {4: ETH_TYPE_IP.to_bytes(2, "big"), 6: ETH_TYPE_IP6.to_bytes(2, "big")}

_PPPOE_SESSION: Final = 0x8864
_PPP_ETHER: Final = 51  # LINKTYPE_PPP_ETHER: PPPoE without its Ethernet header
_PPPOE_LENGTH, _PPPOE_PROTOCOL = 4, 6  # octets from the PPPoE header on
_PPP_VERSIONS: Final = {0x0021: 4, 0x0057: 6}  # RFC 1332, RFC 5072
_PPP_NUMBERS: Final = {4: b"\x00\x21", 6: b"\x00\x57"}
_PPP_FRAMING: Final = b"\xff\x03"  # RFC 1662: address and control, which may be left out

SUPPORTED: Final = _RAW | _ONE_FAMILY.keys() | _FRAMED.keys() | _LOOPBACK | {DLT_PPP, _PPP_ETHER}
NAMES: Final = (
    "raw IP (12, 14, 101, 228, 229), Ethernet (1), Linux cooked (113, 276), loopback (0, 108), PPP (9), PPPoE (51)"
)


class Frame(NamedTuple):
    """One frame taken apart. `packet` is None where it holds no IP."""

    packet: bytes | None
    version: int | None  # what the link layer says: 4, 6, or None where it leaves that to the packet
    header: bytes = b""  # what stands in front of `packet`
    ethertype_at: int = 0  # or where PPP's number is
    ppp: bool = False
    length_at: int = 0  # where PPPoE's length is, 0: nowhere

    def around(self, packet: bytes) -> bytes:
        """The frame with `packet`, of either family, in place of its own; link addresses and tags stay."""
        if not self.header:
            return packet
        at, kind = self.ethertype_at, (_PPP_NUMBERS if self.ppp else _ETHERTYPES)[packet[0] >> 4]
        header = self.header[:at] + kind + self.header[at + 2 :]
        if self.length_at:
            length = (len(packet) + len(kind)).to_bytes(2, "big")
            header = header[: self.length_at] + length + header[self.length_at + 2 :]
        return header + packet


def split(link_type: int, data: bytes) -> Frame:
    """Takes a frame of a supported link type apart."""
    if link_type in _LOOPBACK:
        family = data[:_LOOPBACK_LENGTH]  # of NULL in the byte order of whoever captured
        version = _LOOPBACK_VERSIONS.get(min(int.from_bytes(family, "big"), int.from_bytes(family, "little")))
        return Frame(data[_LOOPBACK_LENGTH:] if version else None, version)
    if link_type == DLT_PPP:
        return _ppp(data, 2 if data.startswith(_PPP_FRAMING) else 0)
    if link_type == _PPP_ETHER:
        return _ppp(data, _PPPOE_PROTOCOL, _PPPOE_LENGTH)
    if link_type not in _FRAMED:
        return Frame(data, _ONE_FAMILY.get(link_type))
    end, at = _FRAMED[link_type]
    ethertype = int.from_bytes(data[at : at + 2], "big")
    while ethertype in _VLAN:
        at, end = end + _TAG_LENGTH - 2, end + _TAG_LENGTH
        ethertype = int.from_bytes(data[at : at + 2], "big")
    if ethertype == _PPPOE_SESSION:
        return _ppp(data, end + _PPPOE_PROTOCOL, end + _PPPOE_LENGTH)
    version = _VERSIONS.get(ethertype)
    if version is None or len(data) < end:
        return Frame(None, None)
    return Frame(data[end:], version, data[:end], at)


def _ppp(data: bytes, at: int, length_at: int = 0) -> Frame:
    """`at`: where the PPP protocol number is, which has two octets."""
    version = _PPP_VERSIONS.get(int.from_bytes(data[at : at + 2], "big"))
    if version is None or len(data) < at + 2:
        return Frame(None, None)
    return Frame(data[at + 2 :], version, data[: at + 2], at, ppp=True, length_at=length_at)


def written_as(link_type: int) -> int:
    """The link type of translated frames."""
    return RAW if link_type in _ONE_FAMILY or link_type in _LOOPBACK else link_type
