"""Echo and traceroute over raw ICMP sockets, run on the calling thread's network namespace (see `Namespace.call`).

ICMP error (RFC 792, RFC 4443)                  ICMP extension (RFC 4884 7, node identification draft 3)
0       1       2       4   5        8          0        4          6       7        8
| type  | code  | cksum | L6 | L4 |  | quote    | 2 0 ck | length   | class | c-type | AFI 0 address | next object

L4: the quote's length in 32-bit words (ICMPv4, octet 5); L6: in 64-bit words (ICMPv6, octet 4); 0: no extension
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from nfxlat.wire.checksum import internet_checksum, is_valid

ICMP_ECHO_REPLY, ICMP_UNREACHABLE, ICMP_ECHO, ICMP_TIME_EXCEEDED = 0, 3, 8, 11
ICMP6_UNREACHABLE, ICMP6_TIME_EXCEEDED, ICMP6_ECHO, ICMP6_ECHO_REPLY = 1, 3, 128, 129
NODE_IDENTIFICATION, NODE_ADDRESS = 5, 0x04  # class, C-Type bit
TRACEROUTE_PORT = 33434


@dataclass(frozen=True, slots=True)
class Echo:
    """What became of a ping: requests sent, replies that matched them octet for octet, round trips in ms."""

    sent: int
    rtts: tuple[float, ...]

    @property
    def ok(self) -> bool:
        return len(self.rtts) == self.sent


@dataclass(frozen=True, slots=True)
class Hop:
    """One line of a traceroute: who answered (None: nobody), the IPv6 node behind it if it said so, and how."""

    ttl: int
    address: str | None
    node: str | None = None
    unreachable: bool = False  # the end of the path, one way or the other

    def __str__(self) -> str:
        if self.address is None:
            return "*"
        return f"{self.address} ({self.node})" if self.node else self.address


@dataclass(slots=True)
class _Icmp:
    """A raw socket that yields (sender, ICMP message); the kernel does ICMPv6 checksums, we do ICMPv4's."""

    target: str
    source: str | None
    family: socket.AddressFamily = field(init=False)
    raw: socket.socket = field(init=False)

    def __enter__(self) -> _Icmp:
        self.family = family_of(self.target)
        protocol = socket.IPPROTO_ICMPV6 if self.family == socket.AF_INET6 else socket.IPPROTO_ICMP
        self.raw = socket.socket(self.family, socket.SOCK_RAW, protocol)
        if self.source:
            self.raw.bind((self.source, 0))
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.close()

    def messages(self, timeout: float) -> Iterator[tuple[str, bytes]]:
        """Messages as they come, for `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            self.raw.settimeout(left)
            try:
                data, sender = self.raw.recvfrom(65535)
            except TimeoutError:
                return
            if self.family == socket.AF_INET:
                data = data[(data[0] & 15) * 4 :]
            if len(data) >= 8:
                yield sender[0], data


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def ping(target: str, source: str | None = None, *, count: int = 3, size: int = 56, timeout: float = 5.0) -> Echo:
    """Send `count` echo requests with `size` octets of data, each waiting up to `timeout` s for its reply: a neighbour
    that is asked for a second time takes one second by itself."""
    rtts = []
    with _Icmp(target, source) as icmp:
        is6 = icmp.family == socket.AF_INET6
        request, reply = (ICMP6_ECHO, ICMP6_ECHO_REPLY) if is6 else (ICMP_ECHO, ICMP_ECHO_REPLY)
        identifier = os.urandom(2)
        for sequence in range(count):
            rest = identifier + sequence.to_bytes(2, "big") + os.urandom(size)
            message = struct.pack("!BBH", request, 0, 0) + rest
            if not is6:
                message = struct.pack("!BBH", request, 0, internet_checksum(message)) + rest
            started = time.monotonic()
            icmp.raw.sendto(message, (target, 0))
            for sender, data in icmp.messages(timeout):
                if data[0] == reply and data[4:] == rest and sender == target:
                    rtts.append((time.monotonic() - started) * 1000)
                    break
    return Echo(count, tuple(rtts))


def traceroute(target: str, source: str | None = None, *, max_hops: int = 8, timeout: float = 1.0) -> list[Hop]:
    """UDP probes with growing TTL until the path ends or two hops on end are silent; three tries a hop (routers limit
    their ICMP errors).
    """
    hops: list[Hop] = []
    while len(hops) < max_hops and not (hops and hops[-1].unreachable):
        if len(hops) > 1 and hops[-1].address is hops[-2].address is None:
            break
        hop = Hop(len(hops) + 1, None)
        for _ in range(3):
            hop = _probe_hop(target, source, hop.ttl, timeout)
            if hop.address is not None:
                break
        hops.append(hop)
    return hops


def _probe_hop(target: str, source: str | None, ttl: int, timeout: float) -> Hop:
    with _Icmp(target, source) as icmp, socket.socket(icmp.family, socket.SOCK_DGRAM) as udp:
        is6 = icmp.family == socket.AF_INET6
        if source:
            udp.bind((source, 0))
        if is6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        else:
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        udp.connect((target, TRACEROUTE_PORT + ttl))
        ports = struct.pack("!HH", udp.getsockname()[1], TRACEROUTE_PORT + ttl)
        udp.send(b"nfxlat traceroute")
        exceeded = ICMP6_TIME_EXCEEDED if is6 else ICMP_TIME_EXCEEDED
        unreachable = ICMP6_UNREACHABLE if is6 else ICMP_UNREACHABLE
        for sender, message in icmp.messages(timeout):
            if message[0] in (exceeded, unreachable) and _quoted_ports(message[8:], is6) == ports:
                return Hop(ttl, sender, node_identification(message, is6), message[0] == unreachable)
    return Hop(ttl, None)


def _quoted_ports(quote: bytes, is6: bool) -> bytes | None:
    """Source and destination port of a quoted UDP datagram, 4 octets; None for anything else."""
    if is6:
        return quote[40:44] if len(quote) >= 44 and quote[6] == socket.IPPROTO_UDP else None
    start = (quote[0] & 15) * 4 if quote else 0
    return quote[start : start + 4] if len(quote) >= start + 4 and quote[9] == socket.IPPROTO_UDP else None


def node_identification(message: bytes, is6: bool) -> str | None:
    """The address in the Node Identification Object of an ICMP error; None without one or with a broken one."""
    quote_length = message[4] * 8 if is6 else message[5] * 4
    extension = message[8 + quote_length :] if quote_length else b""
    if len(extension) < 4 or extension[0] >> 4 != 2 or not is_valid(extension):
        return None
    position = 4
    while position + 4 <= len(extension):
        length, kind, subtype = struct.unpack_from("!HBB", extension, position)
        if length < 4:
            return None
        if kind == NODE_IDENTIFICATION and subtype & NODE_ADDRESS:
            body = extension[position + 4 : position + length]
            afi = int.from_bytes(body[:2], "big")
            if afi == 2 and len(body) >= 20:
                return socket.inet_ntop(socket.AF_INET6, body[4:20])
            if afi == 1 and len(body) >= 8:
                return socket.inet_ntop(socket.AF_INET, body[4:8])
            return None
        position += length
    return None
