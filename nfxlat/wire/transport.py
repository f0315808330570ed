"""What of TCP, UDP, UDP-Lite and DCCP concerns a translator: the checksum over the addresses, and nothing else.

    protocol        header  checksum at   zero checksum
    TCP        6        20           16   a value like others
    UDP       17         8            6   absent (RFC 768); a sum that comes to 0 is sent as 0xffff
    DCCP      33        12            6   a value like others
    UDP-Lite 136         8            6   illegal (RFC 3828 3.1); a sum that comes to 0 is sent as 0xffff

Rules: the upper-layer length and the protocol number are the same in both pseudo-headers, so the addresses alone change
the sum, in first fragments too. A checksum is updated, never computed anew: data may be cut off, or wrong already.
SCTP, ESP, GRE and all others have no checksum over addresses (AH has, and fails at the receiver).
"""

from struct import Struct
from typing import Final

from nfxlat.wire.checksum import internet_checksum, update

TCP, UDP, DCCP, UDP_LITE = 6, 17, 33, 136
HEADER_LENGTH: Final = {TCP: 20, UDP: 8, DCCP: 12, UDP_LITE: 8}
CHECKSUM_AT: Final = {TCP: 16, UDP: 6, DCCP: 6, UDP_LITE: 6}
ZERO_IS_NONE: Final = frozenset((UDP, UDP_LITE))
UDP_LENGTH: Final = 4

_WORD = Struct("!H")


def update_checksum(protocol: int, payload: bytes, delta: int) -> bytes:
    """`payload` (whole, first fragment, or cut quote) with its checksum updated by `delta` (`checksum.difference`).

    Left alone: other protocols, a checksum field that is cut off, the absent checksum of UDP.
    """
    at = CHECKSUM_AT.get(protocol)
    if at is None or len(payload) < at + 2:
        return payload
    checksum = (payload[at] << 8) + payload[at + 1]
    if protocol != TCP and protocol in ZERO_IS_NONE:
        if not checksum:
            return payload
        checksum = update(checksum, delta) or 0xFFFF  # RFC 768
    else:
        checksum = update(checksum, delta)
    return b"%b%b%b" % (payload[:at], _WORD.pack(checksum), payload[at + 2 :])


def compute_udp_checksum(payload: bytes, addresses_sum: int) -> bytes | None:
    """`payload` (a whole UDP datagram) with its checksum computed (RFC 8200 8.1); None if its length field is wrong.

    `addresses_sum`: folded sum of the address words. The length field may end before the IP payload does (RFC 768).
    """
    length = (payload[UDP_LENGTH] << 8) + payload[UDP_LENGTH + 1]
    if not HEADER_LENGTH[UDP] <= length <= len(payload):
        return None
    at = CHECKSUM_AT[UDP]
    datagram = b"%b\0\0%b" % (payload[:at], payload[at + 2 : length])
    checksum = internet_checksum(datagram, addresses_sum + length + UDP) or 0xFFFF
    return b"%b%b%b" % (payload[:at], _WORD.pack(checksum), payload[at + 2 :])
