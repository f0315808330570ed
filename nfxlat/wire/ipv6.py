"""The IPv6 header and its extension headers (RFC 8200 3, 4).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    |Version| Traffic Class |           Flow Label                  |   0 VERSION_CLASS_FLOW
    |         Payload Length        |  Next Header  |   Hop Limit   |   4 PAYLOAD_LENGTH  6 NEXT_HEADER  7 HOP_LIMIT
    |                        Source Address                         |   8 SOURCE
    |                      Destination Address                      |  24 DESTINATION
    |                            Payload                            |  40 HEADER_LENGTH

    Hop-by-Hop (0), Routing (43), Destination Options (60):
    |  Next Header  |  Hdr Ext Len  |  Routing Type | Segments Left |   length = (Hdr Ext Len + 1) * 8

Rules: the chain is walked once; it ends at the first header that is none of the above and no Fragment Header. The
Authentication Header ends it too: nobody can skip it and keep what it protects.
"""

from struct import Struct
from typing import Final, NamedTuple

from nfxlat.outcome import Reason
from nfxlat.wire import fragment

VERSION_CLASS_FLOW, PAYLOAD_LENGTH, NEXT_HEADER, HOP_LIMIT, SOURCE, DESTINATION, HEADER_LENGTH = 0, 4, 6, 7, 8, 24, 40

MIN_MTU: Final = 1280  # RFC 8200 5
ERROR_SIZE: Final = 1280  # RFC 4443 2.4(c)

HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, NO_NEXT_HEADER, DESTINATION_OPTIONS = 0, 43, 44, 51, 59, 60
SKIPPED: Final = frozenset((HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS))  # RFC 7915 5.1
# What RFC 7915 5.1.1 takes for an extension header behind a Fragment Header: IANA's list of extension header types
# without ESP, and without a second Fragment Header, which is malformed (RFC 8200 4.5).
EXTENSION_HEADERS: Final = SKIPPED | {AUTHENTICATION, 135, 139, 140, 253, 254}
CHAINED: Final = SKIPPED | {FRAGMENT}

FIXED = Struct("!IHBB")  # the first eight octets
_HEADER = Struct("!IHBB32s")
_SEGMENTS_LEFT: Final = 3


class Chain(NamedTuple):
    """Where the extension headers end. Offsets count from the start of the IPv6 header."""

    protocol: int  # the upper-layer protocol (the last Next Header)
    offset: int  # of the upper-layer header, or of the fragment's data
    fragment: int | None = None  # the word `offset << 3 | M` of the Fragment Header
    identification: int = 0  # 32 bits, of the Fragment Header
    segments_left: int = 0  # offset of the first Segments Left octet that is not zero
    fault: Reason | None = None  # BAD_EXTENSION, BAD_FRAGMENT or EXTENSION_AFTER_FRAGMENT


def build(traffic_class: int, payload_length: int, next_header: int, hop_limit: int, addresses: bytes) -> bytes:
    """Forty octets, flow label 0. `addresses`: source and destination."""
    return _HEADER.pack(0x60000000 | traffic_class << 20, payload_length, next_header, hop_limit, addresses)


def walk(packet: bytes, end: int) -> Chain:
    """Walks the extension headers of a packet of at least 40 octets; `end`: of the octets that are there.

    Reads whole headers only: one that goes beyond `end` is BAD_EXTENSION (a jumbogram, whose Payload Length is 0, too).
    """
    protocol, at = packet[NEXT_HEADER], HEADER_LENGTH
    word: int | None = None
    fault: Reason | None = None
    identification = segments_left = 0
    while protocol in CHAINED:
        if at + 8 > end:
            fault = Reason.BAD_EXTENSION
            break
        if protocol == FRAGMENT:
            if word is not None:  # RFC 8200 4.5
                fault = Reason.BAD_FRAGMENT
                break
            protocol, _, word, identification = fragment.HEADER.unpack_from(packet, at)
            word &= 0xFFF9  # the two reserved bits are ignored on receipt
            at += fragment.FRAGMENT_HEADER_LENGTH
            if protocol in EXTENSION_HEADERS:  # RFC 7915 5.1.1
                fault = Reason.EXTENSION_AFTER_FRAGMENT
            if word >> 3:  # what follows is in the middle of the packet: no headers
                if protocol == FRAGMENT:
                    fault = Reason.BAD_FRAGMENT
                break
            continue
        length = (packet[at + 1] + 1) * 8
        if at + length > end:
            fault = Reason.BAD_EXTENSION
            break
        if protocol == ROUTING and packet[at + _SEGMENTS_LEFT] and not segments_left:
            segments_left = at + _SEGMENTS_LEFT
        protocol = packet[at]
        at += length
    return Chain(protocol, at, word, identification, segments_left, fault)
