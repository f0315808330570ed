"""Marked UDP datagrams, whole and in fragments, as octets."""

from __future__ import annotations

import os
from ipaddress import ip_address

from nfxlat.wire import fragment, ipv4, ipv6
from nfxlat.wire.checksum import word_sum
from nfxlat.wire.transport import UDP, compute_udp_checksum

PORT = 4001  # source and destination, so that an answer looks the same as a question
IDENTIFICATION = 0x4711
FIRST_PIECE = 1208  # fits any link of either family with all headers


def token() -> bytes:
    """Sixteen octets that no other packet has."""
    return os.urandom(16)


def _udp(addresses: bytes, payload: bytes) -> bytes:
    header = b"".join(number.to_bytes(2, "big") for number in (PORT, PORT, 8 + len(payload), 0))
    datagram = compute_udp_checksum(header + payload, word_sum(addresses))
    assert datagram is not None
    return datagram


def _addresses(source: str, target: str) -> bytes:
    return ip_address(source).packed + ip_address(target).packed


def datagram(source: str, target: str, payload: bytes, hops: int = 64) -> bytes:
    """A whole packet with `payload`; in IPv4 with DF."""
    addresses = _addresses(source, target)
    udp = _udp(addresses, payload)
    if len(addresses) == 8:
        return ipv4.build(0, 20 + len(udp), 0, ipv4.DF, hops, UDP, addresses) + udp
    return ipv6.build(0, len(udp), UDP, hops, addresses) + udp


def sized(source: str, target: str, mark: bytes, length: int) -> bytes:
    """A whole packet of `length` octets that begins its payload with `mark`."""
    headers = len(datagram(source, target, b""))
    return datagram(source, target, mark.ljust(length - headers, b"."))


def fragments(source: str, target: str, payload: bytes) -> list[bytes]:
    """A datagram in two fragments; the first has `FIRST_PIECE` octets of it."""
    addresses = _addresses(source, target)
    udp = _udp(addresses, payload)
    packets = []
    for piece in fragment.pieces(len(udp), FIRST_PIECE):
        data = udp[piece.start : piece.end]
        if len(addresses) == 8:
            word = piece.offset | (ipv4.MF if piece.more else 0)
            header = ipv4.build(0, 20 + len(data), IDENTIFICATION, word, 64, UDP, addresses)
        else:
            header = ipv6.build(0, 8 + len(data), ipv6.FRAGMENT, 64, addresses)
            header += fragment.build(UDP, piece.offset, piece.more, IDENTIFICATION)
        packets.append(header + data)
    return packets


def fragment_identification(packet: bytes) -> int | None:
    """Of a fragment of the datagrams made here; None of a whole one."""
    if packet[0] >> 4 == 4:
        whole = not int.from_bytes(packet[6:8], "big") & ipv4.FRAGMENTED
        return None if whole else int.from_bytes(packet[4:6], "big")
    return int.from_bytes(packet[44:48], "big") if packet[6] == ipv6.FRAGMENT else None


def header_length(packet: bytes) -> int:
    """Octets of IP ahead of UDP, or of a fragment's data."""
    if packet[0] >> 4 == 4:
        return (packet[0] & 15) * 4
    return 48 if packet[6] == ipv6.FRAGMENT else 40


def is_marked(packet: bytes) -> bool:
    """Whether it is UDP from and to `PORT`, or a fragment of UDP."""
    header = header_length(packet)
    protocol = packet[9] if packet[0] >> 4 == 4 else packet[40 if header == 48 else 6]
    ports = PORT.to_bytes(2, "big") * 2
    return protocol == UDP and (fragment_identification(packet) is not None or packet[header : header + 4] == ports)
