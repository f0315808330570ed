"""The IPv4 header (RFC 791 3.1): offsets, building, options.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    |Version|  IHL  |Type of Service|          Total Length         |   0 VERSION_IHL   1 TOS        2 TOTAL_LENGTH
    |         Identification        |0 D M     Fragment Offset      |   4 IDENTIFICATION             6 FRAGMENT
    |  Time to Live |    Protocol   |        Header Checksum        |   8 TTL           9 PROTOCOL  10 CHECKSUM
    |                        Source Address                         |  12 SOURCE
    |                      Destination Address                      |  16 DESTINATION
    |                            Options                            |  20 HEADER_LENGTH

Rules: the caller has checked that `IHL * 4` octets are there before it asks for anything behind the first twenty.
"""

from struct import Struct
from typing import Final

from nfxlat.wire.checksum import internet_checksum

VERSION_IHL, TOS, TOTAL_LENGTH, IDENTIFICATION, FRAGMENT, TTL, PROTOCOL, CHECKSUM = 0, 1, 2, 4, 6, 8, 9, 10
SOURCE, DESTINATION, HEADER_LENGTH = 12, 16, 20

DF: Final = 0x4000
MF: Final = 0x2000
OFFSET_MASK: Final = 0x1FFF  # in units of 8 octets
FRAGMENTED: Final = MF | OFFSET_MASK  # any of them set: the packet is a fragment

MIN_MTU: Final = 68  # RFC 791 3.2
ERROR_SIZE: Final = 576  # RFC 1812 4.3.2.3: the most that an ICMP error may measure
MAX_LENGTH: Final = 65535

END_OF_OPTIONS, NO_OPERATION = 0, 1
LOOSE_SOURCE_ROUTE, STRICT_SOURCE_ROUTE = 131, 137

FIXED = Struct("!BBHHHBB")  # the first ten octets
_HEADER = Struct("!BBHHHBBH8s")


def build(
    tos: int, total_length: int, identification: int, fragment: int, ttl: int, protocol: int, addresses: bytes
) -> bytes:
    """Twenty octets with their checksum. `fragment`: the whole word at octet 6; `addresses`: source and destination."""
    header = _HEADER.pack(0x45, tos, total_length, identification, fragment, ttl, protocol, 0, addresses)
    checksum = internet_checksum(header)
    return _HEADER.pack(0x45, tos, total_length, identification, fragment, ttl, protocol, checksum, addresses)


def source_route(options: bytes) -> bool | None:
    """Whether an unexpired source route is among `options` (octets 20 to IHL * 4); None for a malformed list.

    Unexpired: the pointer, counted from 1 at the type octet, does not lie behind the option (RFC 791 3.1).
    """
    at, end, unexpired = 0, len(options), False
    while at < end and options[at] != END_OF_OPTIONS:
        if options[at] == NO_OPERATION:
            at += 1
            continue
        length = options[at + 1] if at + 1 < end else 0
        if length < 2 or at + length > end:
            return None
        if options[at] in (LOOSE_SOURCE_ROUTE, STRICT_SOURCE_ROUTE):
            if length < 3:
                return None
            unexpired = unexpired or options[at + 2] <= length
        at += length
    return unexpired


def without_df(packet: bytes) -> bytes:
    """The packet, whose header is sound, with DF=0 and a header checksum that is right again."""
    end = (packet[0] & 15) * 4
    header = bytearray(packet[:end])
    header[FRAGMENT] &= ~(DF >> 8) & 0xFF
    header[CHECKSUM : CHECKSUM + 2] = bytes(2)
    header[CHECKSUM : CHECKSUM + 2] = internet_checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + packet[end:]
