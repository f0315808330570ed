"""DF and Identification of an IPv4 packet that was made of an IPv6 packet without a Fragment Header (RFC 7915 5.1)."""

from typing import Final

from nfxlat.wire.transport import TCP, UDP

DF_THRESHOLD: Final = 1260  # a longer packet has DF=1; of 1260 octets it is an IPv6 packet of the least MTU

COUNTED: Final = {TCP: 12, UDP: 16}  # octets of the transport that make an Identification; of others 8
MODULUS: Final = 65521  # the largest prime below 2^16
_NO_CHECKSUM: Final = ~(0xFFFF << 64)


def identification(protocol: int, transport: bytes | bytearray) -> int:
    """An IPv4 Identification for a packet with DF=0 and no Fragment Header, 1..65521 (RFC 7915 5.1, RFC 6864 4.3).

    `protocol`: the IPv4 one; `transport`: the transport from its first octet. Of TCP 12 octets count (ports, sequence,
    acknowledgement), of UDP 16, zero-padded, but not the checksum, which may still be unfinished; of others 8, which
    hold the checksum of ICMP and the sequence of ESP. nfxlat/offload/ingress.c and nfxlat/datapath/fastpath.py come to
    the same by words.
    """
    if protocol == UDP:
        octets = transport[:16]
        return (int.from_bytes(octets, "big") << 8 * (16 - len(octets)) & _NO_CHECKSUM) % MODULUS + 1
    return int.from_bytes(transport[: COUNTED.get(protocol, 8)], "big") % MODULUS + 1


def identification_of_whole(transport: bytes) -> int:
    """The same for a datagram that is to be fragmented again (1..65521): its checksum, which spans all of it, counts.

    The next one between the same ports mostly begins alike, and their fragments must not be mixed up (RFC 4963).
    """
    return int.from_bytes(transport[:16], "big") % MODULUS + 1
