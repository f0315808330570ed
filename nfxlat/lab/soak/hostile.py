"""Packets that nobody should send, to what is translated: none ends a worker, and nothing with an address that must
never be seen comes out at the other side.

Each is a sound packet in which octets, lengths and addresses, those of a quoted packet too, were changed at random.
Lengths and the IPv4 checksum are mostly made right again, since the kernel would not hand it to anybody otherwise.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Iterator
from ipaddress import ip_address

from nfxlat.lab.netns import Namespace
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.soak.accounts import Row, account
from nfxlat.lab.stream import SO_RCVBUFFORCE
from nfxlat.lab.topology import HOST4, HOST6, HOST6_4, HOST6_EAM4, Lab, in_prefix6
from nfxlat.wire import ipv4, ipv6
from nfxlat.wire.checksum import internet_checksum
from nfxlat.wire.transport import UDP
from nfxlat.xlat.special import martian4, martian6

BURST = 64
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD  # linux/if_ether.h
SOL_PACKET, PACKET_STATISTICS = 263, 6  # linux/socket.h, linux/if_packet.h
ND = range(133, 138)  # ICMPv6 types of neighbour discovery: the kernel's own
V4 = [HOST4, HOST6_4, HOST6_EAM4, "127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "169.254.1.1", "240.0.0.1"]
V4 += ["192.0.2.18", "203.0.113.241", "192.0.0.8", "8.8.8.8"]
V6 = [HOST6, "::1", "::", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "2001:db8:1::1", "64:ff9b::7f00:1"]
V6 += [in_prefix6(address) for address in V4]
OCTETS4 = [ip_address(address).packed for address in V4]
OCTETS6 = [ip_address(address).packed for address in V6]
TARGETS4 = [ip_address(address).packed for address in (HOST6_4, HOST6_EAM4, "198.51.100.77")]
NATIVE6 = HOST6_4  # inside prefix6, of a host
TARGETS6 = [ip_address(in_prefix6(address)).packed for address in V4 if address != NATIVE6]

Chance = random.Random


def _v4(chance: Chance) -> bytearray:
    source, target = ip_address(HOST4).packed, chance.choice(TARGETS4)
    protocol, body = chance.choice(_bodies(chance, 1, ipv4.build(0, 28, 0, 0, 64, UDP, target + source) + bytes(8)))
    options = chance.choice((b"", b"", b"\x83\x07\x04\x0a\x00\x00\x01\x00", b"\x07\x04\x05\x00", bytes(40)))
    offset = chance.choice((0, 0, 0, 0x2000, 0x2001, 0x00B9, 0x4000))
    length = 20 + len(options) + len(body)
    packet = bytearray(ipv4.build(0, length, 0x1234, offset, 64, protocol, source + target) + options + body)
    packet[0] += len(options) // 4
    return packet


def _v6(chance: Chance) -> bytearray:
    source, target = ip_address(HOST6).packed, chance.choice(TARGETS6)
    protocol, body = chance.choice(_bodies(chance, 58, ipv6.build(0, 8, UDP, 64, target + source) + bytes(8)))
    for kind in chance.choice(((), (), (44,), (0,), (60,), (43,), (0, 44), (60, 60, 43))):
        extension = bytes((protocol, 0)) + chance.choice((bytes(6), b"\x00\x01\x00\x00\x00\x09", chance.randbytes(6)))
        protocol, body = kind, extension + body
    return bytearray(ipv6.build(0, len(body), protocol, 64, source + target) + body)


def _bodies(chance: Chance, icmp: int, quote: bytes) -> list[tuple[int, bytes]]:
    ports = chance.randbytes(4)
    error = (3, 11, 12, 4, 5) if icmp == 1 else (1, 2, 3, 4, 137)
    return [
        (17, ports + b"\x00\x08\x00\x00"),
        (17, ports + b"\x00\x48\xab\xcd" + bytes(64)),
        (6, ports + bytes(8) + b"\x50\x02\xff\xff" + bytes(4)),
        (icmp, bytes((8 if icmp == 1 else 128, 0)) + bytes(62)),
        (icmp, bytes((chance.choice(error), chance.randrange(16))) + bytes(6) + quote),
        (chance.randrange(256), chance.randbytes(chance.randrange(100))),
    ]


def _spoiled(packet: bytearray, chance: Chance, addresses: list[bytes], size: int) -> bytes:
    """Changed at random; the destination of the packet itself stays."""
    source = 12 if size == 4 else 8
    target = bytes(packet[source + size : source + 2 * size])
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(packet))
        packet[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    if chance.random() < 0.5:
        packet[source : source + size] = chance.choice(addresses)
    if chance.random() < 0.3 and len(packet) > source + 2 * size + 8:
        at = chance.randrange(source + 2 * size, len(packet) - size + 1) if len(packet) > source + 3 * size else 0
        if at:
            packet[at : at + size] = chance.choice(addresses)
    if chance.random() < 0.1:
        del packet[chance.randrange(source + 2 * size, len(packet) + 1) :]
    packet[source + size : source + 2 * size] = target
    if chance.random() < 0.8:
        _fit(packet, size)
    return bytes(packet)


def _fit(packet: bytearray, size: int) -> None:
    """Have lengths and IPv4's checksum be right."""
    if size == 16:
        packet[0] = 0x60
        packet[4:6] = (len(packet) - 40).to_bytes(2, "big")
        return
    words = min(max(packet[0] & 15, 5), len(packet) // 4)
    packet[0] = 0x40 | words
    packet[2:4] = len(packet).to_bytes(2, "big")
    packet[10:12] = b"\0\0"
    packet[10:12] = internet_checksum(bytes(packet[: words * 4])).to_bytes(2, "big")


def packets(seed: int) -> Iterator[tuple[bytes, bytes]]:
    """One of IPv4 and one of IPv6, for ever."""
    chance = Chance(seed)
    while True:
        yield _spoiled(_v4(chance), chance, OCTETS4, 4), _spoiled(_v6(chance), chance, OCTETS6, 16)


def is_martian(packet: bytes) -> bool:
    """Whether it bears an address that must never be seen, and is not the kernel's own neighbour discovery."""
    if packet[0] >> 4 == 4:
        return martian4(packet[12:16]) or martian4(packet[16:20])
    if packet[6] == 58 and len(packet) > 40 and packet[40] in ND:
        return False
    if packet[6] == 0 and packet[24] == 0xFF:  # multicast listener reports
        return False
    return martian6(packet[8:24]) or martian6(packet[24:40])


def hostile(lab: Lab, process: TranslatorProcess, seconds: float, seed: int = 1) -> Row:
    """They come from both sides, as fast as this can make them."""
    before, workers = account(process), process.workers()
    sent, came, martians, first = 0, 0, 0, b""
    ends = time.monotonic() + seconds
    made = packets(seed)
    with _link(lab.router4, ETH_P_IP) as four, _link(lab.router6, ETH_P_IPV6) as six:
        ways = [
            (four, ("to-x", ETH_P_IP, 0, 0, lab.translator.mac("to-r4"))),
            (six, ("to-x", ETH_P_IPV6, 0, 0, lab.translator.mac("to-r6"))),
        ]
        while time.monotonic() < ends:
            for _ in range(BURST):
                for packet, (link, where) in zip(next(made), ways, strict=True):
                    link.sendto(packet, where)
                    sent += 1
            for link in (four, six):
                for packet in _came(link):
                    came += 1
                    if is_martian(packet):
                        martians += 1
                        first = first or packet
        unseen = _unseen(four) + _unseen(six)
    change = account(process) - before
    figures = f"{sent:,} packets, {change.taken:,} taken, {came:,} out, {unseen:,} more not seen: "
    figures += f"{change.restarts} deaths, {martians} martians out"
    figures += f" ({first.hex()})" if first else ""
    enough = change.taken > sent // 20 and came > unseen
    return Row(f"{seconds:g} s of hostile packets", figures, enough and not martians and process.workers() == workers)


def _came(link: socket.socket) -> Iterator[bytes]:
    """What the translator has sent here."""
    with contextlib.suppress(BlockingIOError):
        while True:
            packet, (_, _, kind, *_) = link.recvfrom(1 << 16, socket.MSG_DONTWAIT)
            if kind != socket.PACKET_OUTGOING:
                yield packet


def _unseen(link: socket.socket) -> int:
    """What the socket had no room for: all of it, the kernel's answers and what others sent from here too."""
    _, drops = struct.unpack("=II", link.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    return int(drops)


def _link(namespace: Namespace, protocol: int) -> socket.socket:
    """To the translator."""
    with namespace.entered():
        link = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(protocol))
    link.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
    link.bind(("to-x", protocol))
    return link
