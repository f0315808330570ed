"""Superframes and unfinished checksums: what F_GSO hands over, made fit for the core, which knows whole packets only.

A GSO packet is many segments under one header, and NFQUEUE does not tell its gso_size; a stamp made at ingress may
(wire.stamp). With F_GSO a packet's transport checksum may hold no more than the folded pseudo-header sum
(CHECKSUM_PARTIAL).
"""

import struct
from collections.abc import Collection, Iterator
from typing import NamedTuple

from nfxlat.datapath.source import Kind
from nfxlat.outcome import Reason
from nfxlat.wire.nfqueue import FORWARD, PREROUTING
from nfxlat.wire.stamp import gso_size_of, is_udp

TCP, UDP = 6, 17
_CHECKSUM_OFFSET = {6: 16, 17: 6, 33: 6, 136: 6}
SEGMENT_LIMIT = 1280  # octets of an IPv6 segment that no path can refuse (RFC 8200 5), and 1260 as IPv4
CWR = 0x80  # of TCP's flags
MAX_SEGMENTS = 65536 // 88  # no superframe may cost more than 64 KB of the smallest segments (TCP_MIN_MSS, net/tcp.h)
_USUAL_HEADERS = 128  # octets in front of a segment's payload, at most, without extension headers
_IPV6_HEADER = 40
_EXTENSION_HEADERS = (0, 43, 60)
_FRAGMENT = 44
_pack_u16 = struct.Struct("!H").pack_into
_pack_u32 = struct.Struct("!I").pack_into


def transport(packet: bytes) -> tuple[int, int]:
    """(protocol, offset of the transport header) of a whole packet; offset 0 where there is none to be found."""
    if not packet:
        return 0, 0
    if packet[0] >> 4 == 4:
        offset = (packet[0] & 15) * 4
        return (packet[9], offset) if 20 <= offset <= len(packet) else (0, 0)
    protocol, offset = (packet[6], _IPV6_HEADER) if len(packet) >= _IPV6_HEADER else (0, 0)
    while offset and protocol in _EXTENSION_HEADERS:
        if offset + 8 > len(packet):
            return 0, 0
        protocol, offset = packet[offset], offset + 8 * (packet[offset + 1] + 1)
    return (protocol, offset) if offset <= len(packet) else (0, 0)


def is_later_fragment6(packet: bytes) -> bool:
    """Whether a whole packet is an IPv6 fragment other than the first, its Fragment Header wherever it may be."""
    if len(packet) < _IPV6_HEADER or packet[0] >> 4 != 6:
        return False
    protocol, offset = transport(packet)
    return protocol == _FRAGMENT and offset + 4 <= len(packet) and packet[offset + 2 : offset + 4] >= b"\x00\x08"


def is_own_checksum_unfinished(packet: bytes) -> bool:
    """Whether the checksum of the packet's own transport header holds the folded pseudo-header sum.

    With CHECKSUM_PARTIAL it does, or else the unfinished one is in an inner header (VXLAN, Geneve, FOU, GRE, IPIP) and
    this one, if there is one, is whole already: it anticipates the inner one's (local checksum offload). A whole one is
    the sum by chance in one packet of 65,535.
    """
    protocol, offset = transport(packet)
    field = _CHECKSUM_OFFSET.get(protocol)
    if field is None or not offset or offset + field + 2 > len(packet):
        return False
    addresses = packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]
    pseudo = int.from_bytes(addresses, "big") + protocol + len(packet) - offset
    found = int.from_bytes(packet[offset + field : offset + field + 2], "big")
    return found > 0 and (found - pseudo) % 0xFFFF == 0


def complete_checksum(packet: bytes) -> bytes:
    """The packet with its transport checksum finished: the field holds the folded pseudo-header sum
    (skb_checksum_help)."""
    protocol, offset = transport(packet)
    field = _CHECKSUM_OFFSET.get(protocol)
    if field is None or not offset or offset + field + 2 > len(packet):
        return packet
    data = packet[offset:]
    total = int.from_bytes(data if len(data) % 2 == 0 else data + b"\0", "big") % 0xFFFF
    result = bytearray(packet)
    _pack_u16(result, offset + field, 0xFFFF - total)
    return bytes(result)


def finish_checksum(buffer: bytearray, packet: int, end: int, start: int, field: int) -> None:
    """Finish, in place, the checksum of the packet from octet `packet` to `end` of the buffer: it covers everything
    from `start` on and stands `field` octets behind that, both counted as in the virtio_net_hdr (skb_checksum_help).

    What lies outside of the packet is left alone.
    """
    begin = packet + start
    if begin + field + 2 > end:
        return
    data = buffer[begin:end]
    total = int.from_bytes(data if len(data) % 2 == 0 else data + b"\0", "big") % 0xFFFF
    _pack_u16(buffer, begin + field, 0xFFFF - total)


def safe_gso_size(transport_header: int) -> int:
    """Octets of payload a segment when the sender's gso_size is unknown: no path refuses an IPv6 packet of 1280 octets,

    and its IPv4 counterpart of 1260 octets has DF=0 (RFC 7915 5.1), so it cannot end in a black hole either.
    """
    return SEGMENT_LIMIT - _IPV6_HEADER - transport_header


def stamp_of(priority: int, kind: Kind, stamped: Collection[int]) -> int:
    """The stamp of a superframe, 0 if it has none that counts: at output and postrouting it is not the ingress's, and a

    priority that came in on an interface which is not `stamped` (by index) is somebody else's. (At forward a TUN gives
    one; in a queue `ip_forward` has written a priority without the stamp's magic.)
    """
    return priority if kind.hook in (PREROUTING, FORWARD) and kind.indev in stamped else 0


class Cutting(NamedTuple):
    """How a superframe is cut: its transport, octets in front of that and of its payload, payload of a segment."""

    protocol: int
    offset: int
    payload: int
    gso_size: int


def cutting(packet: bytes, stamp: int) -> Cutting | Reason | None:
    """How it is cut, why it is dropped, or None: it goes to the core as it is.

    TCP without a stamp is cut to the safe size. What cannot be cut is dropped: UDP without a stamp, other transports;
    so is what has too many segments. What is too short to have a transport header is for the core to refuse.
    """
    protocol, offset = transport(packet)
    gso_size = gso_size_of(stamp)
    if protocol == TCP and offset + 20 <= len(packet):
        payload = offset + (packet[offset + 12] >> 4) * 4
        gso_size = gso_size or safe_gso_size(payload - offset)
    elif protocol == UDP and offset + 8 <= len(packet):
        payload = offset + 8
        if not is_udp(stamp):
            return Reason.SUPERFRAME_UNKNOWN
    else:
        return None if protocol in (TCP, UDP) or not offset else Reason.SUPERFRAME_UNKNOWN
    if not offset + (20 if protocol == TCP else 8) <= payload <= len(packet) or gso_size <= 0:
        return None
    # Headers are copied into each segment, and extension headers can be long.
    most = MAX_SEGMENTS * _USUAL_HEADERS // max(_USUAL_HEADERS, payload)
    if len(packet) - payload > most * gso_size:
        return Reason.SUPERFRAME_SEGMENTS
    return Cutting(protocol, offset, payload, gso_size)


def segments(packet: bytes, stamp: int = 0) -> Iterator[bytes]:
    """The segments of a superframe, checksums complete, as tcp_gso_segment and __udp_gso_segment make them.

    Each is made when it is asked for; none of what `cutting` drops.
    """
    how = cutting(packet, stamp)
    if how is None:
        yield packet
        return
    if isinstance(how, Reason):
        return
    protocol, offset, payload, gso_size = how
    count = max(1, -(-(len(packet) - payload) // gso_size))
    for index in range(count):
        data = packet[payload + index * gso_size : payload + (index + 1) * gso_size]
        segment = bytearray(packet[:payload] + data)
        if protocol == TCP:
            number_tcp(segment, offset, index * gso_size, first=not index, last=index == count - 1)
        else:
            _pack_u16(segment, offset + 4, len(segment) - offset)
        yield _close(segment, protocol, offset, index)


def number_tcp(segment: bytearray, offset: int, distance: int, *, first: bool, last: bool) -> None:
    """Sequence number and flags of a segment `distance` octets into the superframe's payload. TCP is at `offset`."""
    sequence = int.from_bytes(segment[offset + 4 : offset + 8], "big")
    _pack_u32(segment, offset + 4, (sequence + distance) & 0xFFFFFFFF)
    if not first:
        segment[offset + 13] &= ~CWR & 0xFF  # it belongs to the first segment (RFC 3168 6.1.2)
    if not last:
        segment[offset + 13] &= ~0x09 & 0xFF  # FIN and PSH to the last


def _close(segment: bytearray, protocol: int, offset: int, index: int) -> bytes:
    """Lengths, identification and checksums of a segment, the `index`th of its superframe."""
    if segment[0] >> 4 == 4:
        _pack_u16(segment, 2, len(segment))
        _pack_u16(segment, 4, (int.from_bytes(segment[4:6], "big") + index) & 0xFFFF)
        _pack_u16(segment, 10, 0)
        _pack_u16(segment, 10, 0xFFFF - (int.from_bytes(segment[:offset], "big") % 0xFFFF))
        addresses = segment[12:20]
    else:
        _pack_u16(segment, 4, len(segment) - _IPV6_HEADER)
        addresses = segment[8:40]
    pseudo = (int.from_bytes(addresses, "big") + protocol + len(segment) - offset) % 0xFFFF
    _pack_u16(segment, offset + _CHECKSUM_OFFSET[protocol], pseudo)
    return complete_checksum(bytes(segment))
