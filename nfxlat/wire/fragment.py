"""Fragmentation in both families: the IPv6 Fragment Header (RFC 8200 4.5), and cutting a payload into pieces.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    |  Next Header  |   Reserved    |      Fragment Offset    |Res|M|   0 NEXT_HEADER   2 OFFSET_M
    |                         Identification                        |   4 IDENTIFICATION

Offsets are counted in units of 8 octets in both families: the IPv4 word is `DF 0x4000 | MF 0x2000 | offset`, the IPv6
word is `offset << 3 | M`.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

FRAGMENT_HEADER_LENGTH: Final = 8
MAX_DATAGRAM: Final = 65535  # offset and data of a fragment together

HEADER = Struct("!BBHI")


class Piece(NamedTuple):
    """One fragment: where its data lie in the payload that is cut, its own offset (units of 8), whether more follow."""

    start: int
    end: int
    offset: int
    more: bool


def build(next_header: int, offset: int, more: bool, identification: int) -> bytes:
    """Eight octets. `offset` in units of 8 octets; `identification` 32 bits."""
    return HEADER.pack(next_header, 0, offset << 3 | more, identification)


def is_bad(offset: int, more: bool, length: int, header_length: int = 0) -> bool:
    """Whether a fragment with `length` octets of data could not be reassembled (RFC 8200 4.5, RFC 791 3.2).

    `header_length` counts towards 65535 in IPv4, not in IPv6.
    """
    return bool(more and length & 7) or offset * 8 + length + header_length > MAX_DATAGRAM


def pieces(length: int, limit: int, offset: int = 0, more: bool = False) -> Iterator[Piece]:
    """Cuts `length` octets into pieces of at most `limit` (>= 8), all but the last a multiple of 8.

    A packet that is a fragment already keeps its own `offset`, and its last piece the M flag (`more`) it came with.
    """
    if length <= limit:
        yield Piece(0, length, offset, more)
        return
    step = limit & ~7
    for start in range(0, length, step):
        end = min(start + step, length)
        yield Piece(start, end, offset + (start >> 3), more or end < length)
