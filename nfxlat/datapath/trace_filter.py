"""What somebody wants to see of the packets: a filter, as octets of JSON between processes.

    {"networks": [up to two, "192.0.2.0/24" or "2001:db8::1/128"], "protocols": [6], "port": 443 or null,
     "reasons": [label], "actions": [action], "rate": packets a second a worker, 0: all, "snap": octets of each packet}

Rules
- All of it has to hold. Of one network an end of the packet has to be in it, of two one end in each.
- An end has two addresses, its own and the one that it maps to, so a filter may be of either family.
- ICMP stands for ICMPv6 too. A fragment other than the first has no ports.
- An ICMP error belongs to the conversation that it quotes a packet of: addresses, protocol and port may be its own, or
  that packet's. So who asks for a flow sees the Packet Too Big of a router on its way.
- `reasons` and `actions` are of what became of the packet; empty: whatever did.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from nfxlat import ipaddresses
from nfxlat.outcome import Action, Outcome, Reason
from nfxlat.wire import icmp

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
_WITH_PORTS = frozenset((TCP, UDP, 33, 132, 136))  # DCCP, SCTP, UDP-Lite
_FRAGMENT, _EXTENSIONS = 44, frozenset((0, 43, 60))
LOST = (Action.DROPPED, Action.REJECTED)
_LABELS = frozenset(reason.label for reason in Reason)
_SHORTEST = 20  # octets of an IP header
LARGEST_RATE, LARGEST_SNAP = 1_000_000, 65535
_LARGEST = 1 << 14  # octets of a request

Mapped = Callable[[bytes], bytes | None]  # an address, packed, to the one that it maps to


class FilterError(ValueError):
    """Octets that are no filter."""


@dataclass(frozen=True, slots=True)
class Filter:
    """The default shows all."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    protocols: frozenset[int] = frozenset()
    port: int | None = None
    reasons: frozenset[str] = frozenset()
    actions: frozenset[Action] = frozenset()
    rate: int = 0
    snap: int = LARGEST_SNAP

    def encode(self) -> bytes:
        return json.dumps(
            {
                "networks": [str(network) for network in self.networks],
                "protocols": sorted(self.protocols),
                "port": self.port,
                "reasons": sorted(self.reasons),
                "actions": sorted(self.actions),
                "rate": self.rate,
                "snap": self.snap,
            }
        ).encode()

    @classmethod
    def decode(cls, octets: bytes) -> Filter:
        """Raises FilterError."""
        try:
            if len(octets) > _LARGEST:
                raise ValueError("too long")
            found = json.loads(octets)
            made = cls(
                tuple(ipaddresses.network(network) for network in found["networks"]),
                frozenset(_number(protocol, 255) for protocol in found["protocols"]),
                None if found["port"] is None else _number(found["port"], 65535),
                frozenset(found["reasons"]),
                frozenset(map(Action, found["actions"])),
                _number(found["rate"], LARGEST_RATE),
                _number(found["snap"], LARGEST_SNAP),
            )
            if len(made.networks) > 2 or not made.reasons <= _LABELS:
                raise ValueError("networks, reasons")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise FilterError(str(error)) from None
        return made

    @property
    def shows_translated(self) -> bool:
        """Whether a packet that simply was translated is wanted."""
        wanted = not self.reasons or Reason.TRANSLATED.label in self.reasons
        return wanted and (not self.actions or Action.TRANSLATED in self.actions)

    def fits_ends(self, source: bytes, destination: bytes, mapped: Mapped) -> bool:
        """Whether addresses, packed and of one family, are those that are asked for."""
        if not self.networks:
            return True
        ends = [(address, mapped(address)) for address in (source, destination)]
        inside = [[any(_is_in(one, network) for one in end) for end in ends] for network in self.networks]
        if len(inside) == 1:
            return any(inside[0])
        (first, second), (third, fourth) = inside
        return (first and fourth) or (second and third)

    def fits_transport(self, packet: bytes | bytearray) -> bool:
        """Whether protocol and ports of a packet, or of the one that it quotes, are those that are asked for."""
        if not self.protocols and self.port is None:
            return True
        return self._fits(packet) or bool((inner := quoted(packet)) and self._fits(inner))

    def _fits(self, packet: bytes | bytearray) -> bool:
        protocol, at = transport(packet)
        if self.protocols and protocol not in self.protocols:
            return False
        if self.port is None:
            return True
        ends = (packet[at : at + 2], packet[at + 2 : at + 4]) if at and protocol in _WITH_PORTS else ()
        return any(len(end) == 2 and int.from_bytes(end, "big") == self.port for end in ends)

    def fits_outcome(self, outcomes: Collection[Outcome]) -> bool:
        """Whether something became of a packet, or of its segments, that is asked for."""
        if not self.reasons and not self.actions:
            return True
        return any(
            (not self.reasons or one.reason.label in self.reasons) and (not self.actions or one.action in self.actions)
            for one in outcomes
        )


def ends(packet: bytes | bytearray) -> tuple[bytes, bytes]:
    """Source and destination, packed; empty of what is too short, or no IP packet."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        return bytes(packet[12:16]), bytes(packet[16:20])
    if version == 6 and len(packet) >= 40:
        return bytes(packet[8:24]), bytes(packet[24:40])
    return b"", b""


def quoted(packet: bytes | bytearray) -> bytes:
    """What an ICMP error says that it is about, as much as there is of it; empty of any other packet."""
    if len(packet) < _SHORTEST or packet[9 if packet[0] >> 4 == 4 else 6] in (TCP, UDP):
        return b""
    protocol, at = transport(packet)
    if protocol != ICMP or not at or at >= len(packet):
        return b""
    is_error = packet[at] in icmp.ERRORS4 if packet[0] >> 4 == 4 else packet[at] < icmp.INFORMATIONAL6
    return bytes(packet[at + icmp.HEADER_LENGTH :]) if is_error else b""


def transport(packet: bytes | bytearray) -> tuple[int, int]:
    """(protocol, offset of its header; 0: it is not in this packet). ICMPv6 counts as ICMP: either is what is meant by
    the other."""
    protocol, at = 0, 0
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        later = int.from_bytes(packet[6:8], "big") & 0x1FFF
        protocol, at = packet[9], 0 if later else (packet[0] & 15) * 4
    elif version == 6 and len(packet) >= 40:
        protocol, at, later = packet[6], 40, 0
        while protocol in _EXTENSIONS and at + 2 <= len(packet):
            protocol, at = packet[at], at + 8 * (packet[at + 1] + 1)
        if protocol == _FRAGMENT and at + 8 <= len(packet):
            protocol, later, at = packet[at], int.from_bytes(packet[at + 2 : at + 4], "big") & 0xFFF8, at + 8
        at = 0 if later else at
    return (ICMP if protocol == ICMPV6 else protocol), at


def _is_in(address: bytes | None, network: IPv4Network | IPv6Network) -> bool:
    if not address or len(address) * 8 != network.max_prefixlen:
        return False
    host_bits = network.max_prefixlen - network.prefixlen
    return int.from_bytes(address, "big") >> host_bits == int(network.network_address) >> host_bits


def _number(value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"not a number up to {most}")
    return value
