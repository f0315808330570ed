"""ICMP types, codes, pointers and MTUs across the families: the tables of RFC 7915 4.2 and 5.2.

Rules: what is in no table has no counterpart and is dropped silently. Codes of echo messages become 0. Extensions,
quoted packets and checksums are elsewhere.
"""

from typing import Final

from nfxlat.wire import icmp, ipv4, ipv6

ECHO_4TO6: Final = {icmp.ECHO4: icmp.ECHO6, icmp.ECHO_REPLY4: icmp.ECHO_REPLY6}  # RFC 7915 4.2
ECHO_6TO4: Final = {icmp.ECHO6: icmp.ECHO4, icmp.ECHO_REPLY6: icmp.ECHO_REPLY4}  # RFC 7915 5.2

_UNREACHABLE_4TO6: Final = {  # RFC 7915 4.2: code -> type, code
    0: (1, 0),  # network unreachable -> no route
    1: (1, 0),  # host unreachable
    2: (4, 1),  # protocol unreachable -> unrecognized next header, pointer 6
    3: (1, 4),  # port unreachable
    4: (2, 0),  # fragmentation needed -> Packet Too Big
    5: (1, 0),  # source route failed
    6: (1, 0),  # network unknown
    7: (1, 0),  # host unknown
    8: (1, 0),  # source host isolated
    9: (1, 1),  # network administratively prohibited
    10: (1, 1),  # host administratively prohibited
    11: (1, 0),  # network unreachable for TOS
    12: (1, 0),  # host unreachable for TOS
    13: (1, 1),  # communication administratively prohibited
    15: (1, 1),  # precedence cutoff; 14, host precedence violation, has no counterpart
}
_UNREACHABLE_6TO4: Final = {  # RFC 7915 5.2: code -> type, code
    0: (3, 1),  # no route -> host unreachable
    1: (3, 10),  # administratively prohibited -> host administratively prohibited
    2: (3, 1),  # beyond scope of source address
    3: (3, 1),  # address unreachable
    4: (3, 3),  # port unreachable
}
_PARAMETER_6TO4: Final = {0: (12, 0), 1: (3, 2)}  # RFC 7915 5.2: erroneous header field; unrecognized next header

# RFC 7915 4.2, figure 3 and 5.2, figure 6: the pointers to header fields that both families have.
_POINTER_4TO6: Final = (
    {0: 0, 1: 1, 2: 4, 3: 4, 8: 7, 9: 6} | dict.fromkeys(range(12, 16), 8) | dict.fromkeys(range(16, 20), 24)
)
_POINTER_6TO4: Final = (
    {0: 0, 1: 1, 4: 2, 5: 2, 6: 9, 7: 8} | dict.fromkeys(range(8, 24), 12) | dict.fromkeys(range(24, 40), 16)
)
NEXT_HEADER_POINTER: Final = 6  # of an unrecognized next header: the field in the IPv6 header

HEADER_DIFFERENCE: Final = ipv6.HEADER_LENGTH - ipv4.HEADER_LENGTH  # 20
FRAGMENT_DIFFERENCE: Final = HEADER_DIFFERENCE + 8  # with a Fragment Header


def error_4to6(icmp_type: int, code: int) -> tuple[int, int] | None:
    """Type and code of the ICMPv6 error for an ICMPv4 error; None without a counterpart (RFC 7915 4.2)."""
    if icmp_type == icmp.UNREACHABLE4:
        return _UNREACHABLE_4TO6.get(code)
    if icmp_type == icmp.TIME_EXCEEDED4:
        return icmp.TIME_EXCEEDED6, code
    if icmp_type == icmp.PARAMETER4 and code in (0, 2):  # pointer indicates the error; bad length
        return icmp.PARAMETER6, 0
    return None


def error_6to4(icmp_type: int, code: int) -> tuple[int, int] | None:
    """Type and code of the ICMPv4 error for an ICMPv6 error; None without a counterpart (RFC 7915 5.2)."""
    if icmp_type == icmp.UNREACHABLE6:
        return _UNREACHABLE_6TO4.get(code)
    if icmp_type == icmp.PACKET_TOO_BIG6:  # whatever the code (RFC 4443 3.2)
        return icmp.UNREACHABLE4, icmp.FRAGMENTATION_NEEDED
    if icmp_type == icmp.TIME_EXCEEDED6:
        return icmp.TIME_EXCEEDED4, code
    if icmp_type == icmp.PARAMETER6:
        return _PARAMETER_6TO4.get(code)
    return None


def pointer_4to6(pointer: int) -> int | None:
    """The pointer of a Parameter Problem; None for a field without a counterpart (RFC 7915 4.2, figure 3)."""
    return _POINTER_4TO6.get(pointer)


def pointer_6to4(pointer: int) -> int | None:
    """The pointer (32 bits) of a Parameter Problem; None without a counterpart (RFC 7915 5.2, figure 6)."""
    return _POINTER_6TO4.get(pointer)


def mtu_4to6(mtu: int, quoted_length: int, plateaus: tuple[int, ...], mtu4: int | None, mtu6: int | None) -> int:
    """The MTU of a Packet Too Big made from Fragmentation Needed, never below 1280 (RFC 7915 4.2).

    `quoted_length`: Total Length of the quoted packet; `plateaus`: descending; `mtu4`: of the link that the error came
    over, `mtu6`: of the link that it leaves by, None: not known, the term is left out.
    """
    if mtu < ipv4.MIN_MTU:  # RFC 7915 4.2: a router without RFC 1191; below 68 no MTU can be meant (RFC 791 3.2)
        mtu = next((plateau for plateau in plateaus if ipv6.MIN_MTU <= plateau < quoted_length), 0)
    mtu += HEADER_DIFFERENCE
    if mtu6 is not None:
        mtu = min(mtu, mtu6)
    if mtu4 is not None:
        mtu = min(mtu, mtu4 + HEADER_DIFFERENCE)
    return max(ipv6.MIN_MTU, mtu)  # RFC 7915 4.2, RFC 8021


def mtu_6to4(mtu: int, fragment_header: bool, mtu4: int, mtu6: int | None) -> int:
    """The MTU of a Fragmentation Needed made from Packet Too Big (RFC 7915 5.2), 16 bits.

    `fragment_header`: whether the quoted packet has one; its sender's next fragment grows by 28 octets, not by 20.
    `mtu6`: of the link that the error came over, None: not known; `mtu4`: of the link that it leaves by, <= 65535.
    An MTU below 1280 is taken as it is, since the RFC's formula has no floor; where less than the 68 octets of IPv4
    would be left, none can be meant, and it counts as 1280.
    """
    less = FRAGMENT_DIFFERENCE if fragment_header else HEADER_DIFFERENCE
    if mtu < ipv4.MIN_MTU + less:
        mtu = ipv6.MIN_MTU
    if mtu6 is not None:
        mtu = min(mtu, mtu6)
    return min(mtu - less, mtu4)
