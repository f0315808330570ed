"""DF and Identification of an IPv4 packet that was made of an IPv6 packet without a Fragment Header (RFC 7915 5.1)."""

from typing import Final
from zlib import crc32

from nfxlat.wire.transport import TCP

DF_THRESHOLD: Final = 1260  # a longer packet has DF=1; of 1260 octets it is an IPv6 packet of the least MTU


def identification(protocol: int, transport: bytes | bytearray) -> int:
    """An IPv4 Identification for a packet with DF=0 and no Fragment Header, 1..0xffff (RFC 7915 5.1, RFC 6864 4.3).

    `protocol`: the IPv4 one; `transport`: the translated transport header from its first octet. Of TCP 12 octets count
    (ports, sequence, acknowledgement), of others 8, which hold the checksum of UDP and ICMP and the sequence of ESP.
    """
    value = crc32(transport[:12] if protocol == TCP else transport[:8])
    return (value >> 16) ^ (value & 0xFFFF) or 1
