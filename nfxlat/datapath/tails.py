"""A 6to4 superframe whose last, shorter segment has another DF than the others is parted before that segment.

A segment of more than 1260 octets has DF=1, a shorter one DF=0 (RFC 7915 5.1), and the kernel gives all segments of a
superframe the same. The last one is put behind the superframe, where a source leaves `source.TAILROOM` octets.
"""

import struct

from nfxlat.datapath.flows import Flow
from nfxlat.datapath.frame import Frame
from nfxlat.datapath.superframe import number_tcp
from nfxlat.wire import ipv4
from nfxlat.wire.transport import CHECKSUM_AT, HEADER_LENGTH, TCP, UDP, UDP_LENGTH

_put_u16 = struct.Struct("!H").pack_into


class Tails:
    """What parts them. `frame` is the injector's."""

    def __init__(self, frame: Frame) -> None:
        self._front = frame.size + ipv4.HEADER_LENGTH
        self._put = struct.Struct(f"!{frame.size}sBBHHHBBH8s").pack_into

    def part(
        self,
        buffer: bytearray,
        start: int,
        end: int,
        sizes: tuple[int, int],
        fields: tuple[int, int, int],
        frame: bytes,
        flow: Flow,
    ) -> tuple[int, int]:
        """Make all but the last segment, in place; copy that one's transport header and payload, in front of which the
        rest is still to be written: (where its transport header begins, octets of both).

        `start`, `end`: of the superframe's transport header and of the superframe. `sizes`: octets behind the IP header
        of the first part, and of the last segment's payload behind them. `fields`: TOS, TTL, protocol. `frame`: what
        goes in front of the first part.
        """
        (size, tail), (tos, ttl, protocol) = sizes, fields
        at = end + self._front
        header = (buffer[start + 12] >> 4) * 4 if protocol == TCP else HEADER_LENGTH[UDP]
        buffer[at : at + header] = buffer[start : start + header]
        buffer[at + header : at + header + tail] = buffer[start + size : start + size + tail]
        if protocol == TCP:
            number_tcp(buffer, start, 0, first=True, last=False)
            number_tcp(buffer, at, size - header, first=False, last=True)
        else:
            _put_u16(buffer, start + UDP_LENGTH, size)
            _put_u16(buffer, at + UDP_LENGTH, header + tail)
        _put_u16(buffer, start + CHECKSUM_AT[protocol], _folded(flow.pseudo + protocol + size))
        total = size + ipv4.HEADER_LENGTH
        check = 0xFFFF - _folded(0x4500 + tos + total + ipv4.DF + (ttl << 8) + protocol + flow.pseudo)
        begin = start - self._front
        self._put(buffer, begin, frame, 0x45, tos, total, 0, ipv4.DF, ttl, protocol, check, flow.addresses)
        return at, header + tail


def _folded(total: int) -> int:
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)
