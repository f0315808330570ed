"""What packets of the notation are built from: numbers, checksums, octets of data.

The arithmetic is the suite's own, so that it does not share a fault with what it tests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from nfxlat.conformance.notation import Packet, Value

HEADER: Final = {4: 20, 6: 40}
LARGEST_ERROR: Final = {4: 576, 6: 1280}  # RFC 1812 4.3.2.3, RFC 4443 2.4(c)
NUMBERS: Final = {
    "hbh": 0, "icmp": 1, "ip": 4, "tcp": 6, "udp": 17, "dccp": 33, "ip6": 41, "rt": 43, "frag": 44, "icmp6": 58,
    "dstopt": 60, "udplite": 136,
}  # fmt: skip
OTHER, NONE = 132, 59  # SCTP's number, of octets without a name; and of nothing
ECHO: Final = {"icmp": (0, 8), "icmp6": (128, 129)}
# RFC 4884 4: where the length attribute is, and its unit in octets
LENGTH_UNIT: Final = {"icmp": dict.fromkeys((3, 11, 12), (5, 4)), "icmp6": dict.fromkeys((1, 3), (4, 8))}
WRONG = 0x1234  # what a wrong checksum is off by
PORT, TO_PORT = 0x4000, 5001
QUOTED_HOPS = 55


def ones_sum(octets: bytes) -> int:
    """RFC 1071: the 16-bit one's complement sum."""
    total = 0
    for at in range(0, len(octets), 2):
        total += int.from_bytes(octets[at : at + 2].ljust(2, b"\0"), "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pattern(size: int, start: int = 0) -> bytes:
    """The octets of `data`."""
    return bytes((at * 7 + 3) & 0xFF for at in range(start, start + size))


@dataclass(slots=True)
class Net:
    """What a transport checksum covers of the header in front of it."""

    family: int
    addresses: bytes
    names: tuple[str, ...]

    def pseudo(self, length: int, number: int) -> bytes:
        if self.family == 4:
            return self.addresses + bytes((0, number)) + length.to_bytes(2, "big")
        return self.addresses + length.to_bytes(4, "big") + bytes((0, 0, 0, number))


def number_of(layers: Packet) -> int:
    """The protocol number of what follows."""
    if not layers:
        return NONE
    return NUMBERS.get(layers[0].kind, OTHER)


def octets_in(value: Value) -> bytes:
    assert isinstance(value, bytes)
    return value


def number_in(value: Value) -> int:
    assert isinstance(value, int)
    return value


def cut_layer(packet: Packet) -> int | None:
    """Which layer says that it may be cut in any way, if any."""
    parts = ((at, layer.fields.get("part")) for at, layer in enumerate(packet))
    return next((at for at, part in parts if isinstance(part, tuple) and part[2]), None)


def with_part(packet: Packet, at: int, start: int, end: int) -> Packet:
    """`packet` with the part of its layer `at` said."""
    changed = replace(packet[at], fields={**packet[at].fields, "part": (start, end, False)})
    return (*packet[:at], changed, *packet[at + 1 :])
