"""Frames for the UDP generator: laid out whole before a trial, so that sending costs the kernel's time and not ours.

    vnet header 10 (checksum left to the kernel) | Ethernet 14 | IPv4 20 or IPv6 40 | UDP 8 | payload

Flows differ in their source port. `pairs` differ in their source address instead, for packets that a translator has
never seen the like of.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nfxlat.wire import ipv4, vnet
from nfxlat.wire.checksum import fold, word_sum

UDP, TTL, FIRST_PORT = 17, 64, 20000
_LINK = 14
_UDP_HEADER = struct.Struct("!HHHH").pack
_IPV6_HEADER = struct.Struct("!IHBB16s16s").pack
_PSEUDO = struct.Struct("!II").pack


@dataclass(frozen=True, slots=True)
class Stream:
    """Datagrams of `size` octets of payload, by turns of `flows` flows. `macs`: destination and source, hexadecimal.

    With `pairs` above 0 each of so many datagrams comes from an address of its own, from `source` on.
    """

    interface: str
    macs: tuple[str, str]
    source: str
    target: str
    port: int
    size: int
    flows: int = 1
    pairs: int = 0
    first_port: int = FIRST_PORT

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Stream:
        """The inverse of `dataclasses.asdict`, through JSON."""
        return cls(**{**value, "macs": tuple(value["macs"])})

    def shares(self, senders: int) -> list[Stream]:
        """The same flows, dealt out to at most so many senders; a flow has one sender."""
        count = 1 if self.pairs else min(senders, self.flows)
        sizes = [self.flows // count + (number < self.flows % count) for number in range(count)]
        return [
            dataclasses.replace(self, flows=size, first_port=self.first_port + sum(sizes[:number]))
            for number, size in enumerate(sizes)
        ]

    def frames(self, count: int) -> Iterator[bytes]:
        """`count` frames, flow by flow in turn."""
        ethernet = b"".join(bytes.fromhex(mac.replace(":", "")) for mac in self.macs)
        source, target = ipaddress.ip_address(self.source), ipaddress.ip_address(self.target)
        for index in range(count):
            if self.pairs:
                source = ipaddress.ip_address(self.source) + index % self.pairs
            port = self.first_port + index % self.flows
            yield frame(ethernet, source.packed, target.packed, port, self.port, bytes(self.size))


def frame(ethernet: bytes, source: bytes, target: bytes, source_port: int, port: int, payload: bytes) -> bytes:
    """One frame; `source` and `target` are packed addresses of one family."""
    length = 8 + len(payload)
    pseudo = fold(word_sum(source + target + _PSEUDO(length, UDP)))
    datagram = _UDP_HEADER(source_port, port, length, pseudo) + payload
    if len(source) == 4:
        kind, header = b"\x08\x00", ipv4.build(0, 20 + length, 0, ipv4.DF, TTL, UDP, source + target)
    else:
        kind, header = b"\x86\xdd", _IPV6_HEADER(6 << 28, length, UDP, TTL, source, target)
    offload = vnet.pack(vnet.NEEDS_CSUM, 0, 0, 0, _LINK + len(header), 6)
    return offload + ethernet + kind + header + datagram
