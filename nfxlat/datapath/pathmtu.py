"""IPv4 path MTUs below 1260, learnt from the Fragmentation Needed errors that pass (the black hole of Jool's issue
436).

Packet Too Big never says less than 1280 (RFC 7915 4.2), so an IPv6 sender cannot be told of a narrower IPv4 path.
What is learnt here makes the translator send smaller segments and fragments along such a path itself.

Rules
- Only what the core has translated counts: addresses mapped, ICMP checksum verified, quote in order.
- It must be plausible: about a packet that its receiver can have sent, larger than the MTU that it was too large for,
  and that MTU one that IPv4 paths have (68 to 1259; below 552 it is held at 552, as Linux does, so that a forged error
  cannot make us cut packets to dust: net/ipv4/route.c, ip_rt_min_pmtu).
- It holds for the pair of addresses that the error quotes, so that a forged error harms nobody but that pair.
- Bounded: the oldest entry gives way. An entry lives ten minutes (RFC 1191 6.3).
- Others hear of it in batches, and only of news, so that a storm of errors costs them nothing.
"""

from collections.abc import Callable

from nfxlat.datapath.superframe import transport

Learnt = tuple[bytes, int]
"""Source and destination of the packets (IPv4, 8 octets), and the path's MTU."""

LIFETIME = 600.0  # seconds
CAPACITY = 4096
INTERVAL, AT_ONCE = 0.2, 256  # of News
LOWEST = 552
_LARGEST = 1259  # from 1260 on Packet Too Big says it
_ICMP, _UNREACHABLE, _FRAGMENTATION_NEEDED = 1, 3, 4
_NEEDED = bytes((_UNREACHABLE, _FRAGMENTATION_NEEDED))
_ICMP6, _TOO_BIG = 58, b"\x02"


class PathMtus:
    """`mtus` maps source and destination (IPv4, 8 octets) to the learnt path MTU; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float], capacity: int = CAPACITY, lifetime: float = LIFETIME) -> None:
        self._clock, self._capacity, self._lifetime = clock, capacity, lifetime
        self.mtus: dict[bytes, int] = {}
        self._expiry: dict[bytes, float] = {}  # the same keys, oldest first

    def learn(self, packet: bytes) -> Learnt | None:
        """Learn from a whole IPv4 packet, if it is a plausible Fragmentation Needed; what is news, else None: a path or
        an MTU that was not known, or one known for half its life."""
        found = fragmentation_needed(packet)
        if found is None:
            return None
        pair, mtu = found
        fresh = self._expiry.get(pair, 0.0) - self._clock() > self._lifetime / 2
        known = fresh and self.mtus[pair] == mtu
        if known:
            return None
        self.set(pair, mtu)
        return found

    def set(self, pair: bytes, mtu: int) -> None:
        """Remember an MTU that somebody has learnt."""
        self._expiry.pop(pair, None)
        if len(self._expiry) >= self._capacity:
            oldest = next(iter(self._expiry))
            del self._expiry[oldest], self.mtus[oldest]
        self.mtus[pair] = mtu
        self._expiry[pair] = self._clock() + self._lifetime

    def expire(self) -> None:
        """Once a batch: forget what is too old."""
        now = self._clock()
        while self._expiry:
            oldest = next(iter(self._expiry))
            if self._expiry[oldest] > now:
                return
            del self._expiry[oldest], self.mtus[oldest]


class News:
    """What was learnt, on its way to others: at once, but at most every `interval` seconds, and `most` each time.

    Of more than that the latest go; who is not told learns by itself. `tell` gets them; `flush` is to be called now and
    then, so that the last ones do not stay.
    """

    def __init__(
        self,
        tell: Callable[[tuple[Learnt, ...]], None],
        clock: Callable[[], float],
        interval: float = INTERVAL,
        most: int = AT_ONCE,
    ) -> None:
        self._tell, self._clock, self._interval, self._most = tell, clock, interval, most
        self._waiting: dict[bytes, int] = {}
        self._next = 0.0

    def add(self, pair: bytes, mtu: int) -> None:
        """One more."""
        self._waiting.pop(pair, None)
        if len(self._waiting) >= self._most:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[pair] = mtu
        self.flush()

    def flush(self) -> None:
        """Tell what waits, if it is time to."""
        now = self._clock()
        if self._waiting and now >= self._next:
            self._next = now + self._interval
            self._tell(tuple(self._waiting.items()))
            self._waiting.clear()


def narrowed(packet: bytes, result: bytes) -> bytes:
    """The destination that is quoted by a packet that says that another was too big (4 or 16 octets), empty where it is
    none. `result`: what has become of it, whose header is a plain one."""
    if packet[0] >> 4 == 4:
        at = (packet[0] & 15) * 4
        return packet[at + 24 : at + 28] if result[6] == _ICMP6 and result[40:41] == _TOO_BIG else b""
    if result[0] >> 4 == 6 or result[9] != _ICMP or result[20:22] != _NEEDED:  # a hairpin is IPv6 on both sides
        return b""
    protocol, at = transport(packet)
    return packet[at + 32 : at + 48] if protocol == _ICMP6 else b""


def fragmentation_needed(packet: bytes) -> Learnt | None:
    """What an ICMPv4 3/4 says with an MTU below 1260 that can be true; None for anything else."""
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
    return packet[quote + 12 : quote + 20], max(mtu, LOWEST)
