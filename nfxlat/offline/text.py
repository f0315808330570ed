"""Packets out of text: `tcpdump -x`, `-xx`, `-X`, and the dumps of xxd, hexdump -C, od -tx1 and Wireshark.

    0x0000:  4500 003c 1c46 4000 4006 b1e6 c0a8 0068  E..<.F@.@......h      tcpdump; xxd has no 0x
    00000000  45 00 00 3c 1c 46 40 00  40 06 b1 e6 c0 a8 00 68  |E..<.F@.@......h|      hexdump -C; others less of it
    4500003c1c4640004006b1e6c0a80068...                                 a packet in one line, without an offset

A line holds at most 16 octets; an offset of 0 begins a packet; other lines are remarks. A packet begins with its IP or
its Ethernet header: what fits decides.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from dpkt.pcap import DLT_EN10MB

from nfxlat.offline import link
from nfxlat.offline.record import DAMAGED, MAX_LENGTH, Fault, Record
from nfxlat.wire import ipv6
from nfxlat.wire.checksum import is_valid

_LINE: Final = 1 << 16  # octets of a line at most
_IN_A_LINE: Final = 16
_OD_DIGITS: Final = 7
_OFFSET = re.compile(rb"\s*(?:0x)?([0-9a-fA-F]{4,8}):?\s+(?=[0-9a-fA-F]{2})")
_GROUPS = re.compile(rb"((?:[0-9a-fA-F]{2}){1,2})(?![0-9a-zA-Z])( {0,2})")
_BARE = re.compile(rb"\s*((?:[0-9a-fA-F]{2}[ :]?){20,})\s*")


class Reader:
    """The packets of a text; `begin` has been read from `file` already. Raises Fault where it holds none."""

    nanoseconds = False

    def __init__(self, file: BinaryIO, begin: bytes) -> None:
        self._records = _records(_lines(file, begin))
        self._first = next(self._records, None)
        if self._first is None:
            raise Fault("not a capture", "give pcap, pcapng or a hex dump, as written by tcpdump, Wireshark or xxd")
        self.link_type: int | None = self._first.link_type

    def __iter__(self) -> Iterator[Record]:
        if self._first is not None:
            yield self._first
        yield from self._records


def packets(text: str) -> list[bytes]:
    """The packets of a text, from their IP or Ethernet headers on; none where it is no dump. Raises Fault."""
    return list(_packets(iter(text.encode("ascii", "replace").splitlines())))


def _lines(file: BinaryIO, begin: bytes) -> Iterator[bytes]:
    line = begin + (b"" if begin.endswith(b"\n") else file.readline(_LINE))
    while line:
        yield from line.splitlines()
        line = file.readline(_LINE)


def _records(lines: Iterator[bytes]) -> Iterator[Record]:
    for packet in _packets(lines):
        yield Record(link_type_of(packet), 0, packet)


def _packets(lines: Iterator[bytes]) -> Iterator[bytes]:
    packet = bytearray()
    for line in lines:
        if bare := _BARE.fullmatch(line):
            if packet:
                yield bytes(packet)
                packet.clear()
            yield bytes.fromhex(bare[1].decode().replace(":", " "))
            continue
        begin = _OFFSET.match(line)
        octets = _octets(line[begin.end() :]) if begin else b""
        if begin is None or not octets:
            continue
        if int(begin[1], 16) == 0 and packet:
            yield bytes(packet)
            packet.clear()
        if len(packet) not in (int(begin[1], 16), _octal(begin[1])):
            raise Fault(f"a dump that goes on at {begin[1].decode()} behind {len(packet)} octets", DAMAGED)
        packet += octets
        if len(packet) > MAX_LENGTH:
            raise Fault(f"a packet of {len(packet)} octets", DAMAGED)
    if packet:
        yield bytes(packet)


def _octets(text: bytes) -> bytes:
    """Those at the beginning of a line: two spaces end them, but for one gap in the middle of single ones."""
    found, at, width = bytearray(), 0, 0
    while len(found) < _IN_A_LINE and (group := _GROUPS.match(text, at)):
        if width and len(group[1]) > width:
            break
        width = width or len(group[1])
        found += bytes.fromhex(group[1].decode())
        at = group.end()
        if len(group[2]) == 2 and not (width == 2 and len(found) == _IN_A_LINE // 2):
            break
        if not group[2]:
            break
    return bytes(found)


def _octal(text: bytes) -> int:
    """As od counts, in seven digits; -1 where it does not."""
    return int(text, 8) if len(text) == _OD_DIGITS and not set(text) & set(b"89abcdefABCDEF") else -1


def link_type_of(packet: bytes) -> int:
    """Of Ethernet, where its type and the version behind fit, and no IP header does at the beginning; else raw IP."""
    frame = link.split(DLT_EN10MB, packet)
    if not frame.packet or frame.packet[0] >> 4 != frame.version:
        return link.RAW
    version = packet[0] >> 4
    fits4 = version == 4 and is_valid(packet[: (packet[0] & 15) * 4])
    fits6 = version == 6 and ipv6.FIXED.unpack_from(packet)[1] + ipv6.HEADER_LENGTH == len(packet)
    return link.RAW if fits4 or fits6 else DLT_EN10MB
