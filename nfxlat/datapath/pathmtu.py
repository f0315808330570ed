"""IPv4 path MTUs below 1260, learnt from the Fragmentation Needed errors that pass (the black hole of Jool's issue
436).

Packet Too Big never says less than 1280 (RFC 7915 4.2), so an IPv6 sender cannot be told of a narrower IPv4 path.
What is learnt here makes the translator send smaller segments and fragments towards such a destination itself.

Rules
- Only what the core has translated counts: addresses mapped, ICMP checksum verified, quote in order.
- It must be plausible: about a packet that its receiver can have sent, larger than the MTU that it was too large for,
  and that MTU one that IPv4 paths have (68 to 1259; below 552 it is held at 552, as Linux does, so that a forged error
  cannot make us cut packets to dust: net/ipv4/route.c, ip_rt_min_pmtu).
- Bounded: the oldest entry gives way. An entry lives ten minutes (RFC 1191 6.3).
"""

from collections.abc import Callable

LIFETIME = 600.0  # seconds
CAPACITY = 4096
LOWEST = 552
_LARGEST = 1259  # from 1260 on Packet Too Big says it
_ICMP, _UNREACHABLE, _FRAGMENTATION_NEEDED = 1, 3, 4


class PathMtus:
    """`mtus` maps an IPv4 destination (4 octets) to the learnt path MTU; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float], capacity: int = CAPACITY, lifetime: float = LIFETIME) -> None:
        self._clock, self._capacity, self._lifetime = clock, capacity, lifetime
        self.mtus: dict[bytes, int] = {}
        self._expiry: dict[bytes, float] = {}  # the same keys, oldest first

    def learn(self, packet: bytes) -> tuple[bytes, int] | None:
        """Learn from a whole IPv4 packet, if it is a plausible Fragmentation Needed: (destination, MTU), else None."""
        found = fragmentation_needed(packet)
        if found is not None:
            self.set(*found)
        return found

    def set(self, destination: bytes, mtu: int) -> None:
        """Remember an MTU that somebody has learnt."""
        self._expiry.pop(destination, None)
        if len(self._expiry) >= self._capacity:
            oldest = next(iter(self._expiry))
            del self._expiry[oldest], self.mtus[oldest]
        self.mtus[destination] = mtu
        self._expiry[destination] = self._clock() + self._lifetime

    def expire(self) -> None:
        """Once a batch: forget what is too old."""
        now = self._clock()
        while self._expiry:
            oldest = next(iter(self._expiry))
            if self._expiry[oldest] > now:
                return
            del self._expiry[oldest], self.mtus[oldest]


def fragmentation_needed(packet: bytes) -> tuple[bytes, int] | None:
    """(quoted destination, MTU) of an ICMPv4 3/4 with an MTU below 1260 that can be true; None for anything else."""
    if len(packet) < 56 or packet[9] != _ICMP:
        return None
    at = (packet[0] & 15) * 4
    if len(packet) < at + 28 or packet[at] != _UNREACHABLE or packet[at + 1] != _FRAGMENTATION_NEEDED:
        return None
    mtu = int.from_bytes(packet[at + 6 : at + 8], "big")
    quote = at + 8
    if not 68 <= mtu <= _LARGEST or int.from_bytes(packet[quote + 2 : quote + 4], "big") <= mtu:
        return None
    if packet[quote + 12 : quote + 16] != packet[16:20]:  # the quoted sender is whom the error is for
        return None
    return packet[quote + 16 : quote + 20], max(mtu, LOWEST)
