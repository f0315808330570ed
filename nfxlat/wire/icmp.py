"""ICMP (RFC 792) and ICMPv6 (RFC 4443): types, the layout of an error, RFC 4884 extensions.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    |     Type      |     Code      |           Checksum            |   0 TYPE   1 CODE   2 CHECKSUM
    |   identifier, MTU, pointer, length (see below), or unused     |   4 REST
    |   data of an echo, or the quoted packet and its extensions    |   8 HEADER_LENGTH

    octets 4-7 of an error        4        5        6-7           unit of the length (RFC 4884 4)
    ICMPv4  3 (but code 4), 11    0        length   0             4 octets
    ICMPv4  3/4                   0        length   MTU           4
    ICMPv4  12                    pointer  length   0             4
    ICMPv6  1, 3                  length   0        0             8
    ICMPv6  2, 4                  MTU or pointer, 32 bits         no length, so no extension

    Extension structure: | 0x20 | 0 | checksum of the structure | objects |
    an object:           | length, 16 bits | class | C-Type | data |

Rules: the length is that of the quote after padding; a quote in front of an extension is padded with zeros to its unit
and to 128 octets (RFC 4884 3, 4.3). The checksum of ICMPv6 covers the pseudo-header, that of ICMPv4 does not.
"""

from struct import Struct
from typing import Final

from nfxlat.wire.checksum import fold, internet_checksum, update, word_sum

TYPE, CODE, CHECKSUM, REST, HEADER_LENGTH = 0, 1, 2, 4, 8
PROTOCOL4, PROTOCOL6 = 1, 58

ECHO_REPLY4, UNREACHABLE4, SOURCE_QUENCH4, REDIRECT4, ECHO4, TIME_EXCEEDED4, PARAMETER4 = 0, 3, 4, 5, 8, 11, 12
UNREACHABLE6, PACKET_TOO_BIG6, TIME_EXCEEDED6, PARAMETER6, ECHO6, ECHO_REPLY6, REDIRECT6 = 1, 2, 3, 4, 128, 129, 137
FRAGMENTATION_NEEDED: Final = 4  # code of UNREACHABLE4

# Never answered by an error: RFC 1122 3.2.2, RFC 4443 2.4(e). All ICMPv6 types below 128 are errors (RFC 4443 2.1).
ERRORS4: Final = frozenset((UNREACHABLE4, SOURCE_QUENCH4, REDIRECT4, TIME_EXCEEDED4, PARAMETER4))
INFORMATIONAL6: Final = 128

LENGTH_UNIT4: Final = 4
LENGTH_UNIT6: Final = 8
MIN_PADDED_QUOTE: Final = 128  # RFC 4884 4.3
EXTENSION_VERSION: Final = 0x20
EXTENSION_HEADER_LENGTH: Final = 4

HEADER = Struct("!BBHI")
_EXTENSION_HEADER = Struct("!BBH")
_NODE_ID = Struct("!HBBHH16s")


def is_answerable4(icmp_type: int) -> bool:
    """Whether an ICMPv4 message may be answered by an ICMP error (RFC 1812 4.3.2.7)."""
    return icmp_type not in ERRORS4


def is_answerable6(icmp_type: int) -> bool:
    """Whether an ICMPv6 message may be answered by an ICMPv6 error (RFC 4443 2.4(e)): no error, no Redirect."""
    return icmp_type >= INFORMATIONAL6 and icmp_type != REDIRECT6


def build4(icmp_type: int, code: int, rest: int, body: bytes) -> bytes:
    """An ICMPv4 message with its checksum; `rest`: octets 4-7."""
    checksum = internet_checksum(HEADER.pack(icmp_type, code, 0, rest) + body)
    return HEADER.pack(icmp_type, code, checksum, rest) + body


def build6(icmp_type: int, code: int, rest: int, body: bytes, addresses_sum: int) -> bytes:
    """An ICMPv6 message with its checksum; `addresses_sum`: folded sum of the address words of its IPv6 header."""
    pseudo = addresses_sum + HEADER_LENGTH + len(body) + PROTOCOL6  # RFC 8200 8.1
    checksum = internet_checksum(HEADER.pack(icmp_type, code, 0, rest) + body, pseudo)
    return HEADER.pack(icmp_type, code, checksum, rest) + body


def retype(message: bytes, icmp_type: int, delta: int) -> bytes:
    """An echo `message` of at least 4 octets with another type, code 0, and its checksum updated by `delta`."""
    checksum = update(message[CHECKSUM] << 8 | message[CHECKSUM + 1], delta)
    if not (checksum or icmp_type or any(message[REST:])):
        checksum = 0xFFFF  # of zeros alone an update cannot know which of its two zeros is right
    return b"%c\0%b%b" % (icmp_type, checksum.to_bytes(2, "big"), message[REST:])


def lay_out(quote: bytes, extension: bytes, unit: int, room: int) -> tuple[bytes, int]:
    """Quote, padding and extension in at most `room` octets (>= 128), and the length attribute in `unit`s (0: none).

    The extension goes before quote beyond 128 octets; where even 128 do not fit beside it, it is left out whole, since
    half an object is worse than none.
    """
    if not extension or len(extension) + MIN_PADDED_QUOTE > room:
        return quote[:room], 0
    quote = quote[: (room - len(extension)) // unit * unit]
    padded = max(MIN_PADDED_QUOTE, -(-len(quote) // unit) * unit)
    return quote.ljust(padded, b"\0") + extension, padded // unit


def node_identification(address6: bytes) -> bytes:
    """A Node Identification Object of an IPv6 address (draft-ietf-intarea-extended-icmp-nodeid: class 5, C-Type 4)."""
    return _NODE_ID.pack(_NODE_ID.size, 5, 4, 2, 0, address6)


def append_object(extension: bytes, added: bytes) -> bytes:
    """`extension` with one more object at its end; a structure of its own where there was none (RFC 4884 7).

    A structure that is not of version 2 or not made of 32-bit words is returned as it is. Its checksum is updated, not
    computed anew, so that a broken structure stays broken; 0 means that there is none.
    """
    if not extension:
        checksum = 0xFFFF - fold((EXTENSION_VERSION << 8) + word_sum(added)) or 0xFFFF
        return _EXTENSION_HEADER.pack(EXTENSION_VERSION, 0, checksum) + added
    if len(extension) < EXTENSION_HEADER_LENGTH or len(extension) & 3 or extension[0] & 0xF0 != EXTENSION_VERSION:
        return extension
    version, reserved, checksum = _EXTENSION_HEADER.unpack_from(extension)
    if checksum:
        checksum = update(checksum, word_sum(added)) or 0xFFFF  # 0 would mean: not computed
    return _EXTENSION_HEADER.pack(version, reserved, checksum) + extension[EXTENSION_HEADER_LENGTH:] + added
