"""The structures of `ingress.c`, as octets: in this machine's order, but for addresses, which are as in headers.

state (one):
| drained u64 | lost u64 | beat u64 | generation u32 | device u32 | lowest_ipv6_mtu u32 | ethernet 12 octets |

key of a pair, or of a flow:
| ifindex u32 | addresses 32 octets: source, destination, zeros | flow 8 octets: ports, protocol u32; of a pair zeros |

pair, or flow:
| TCP, and then UDP: queued u64 | since u64 | until u64 | whole u64 | number u32 | unused u32 |
| learnt u64 | used u64 | judged u64 | asked u64 | packets u64 | octets u64 |
| generation u32 | delta u16 | old_sum u16 | new_sum u16 | traffic_class u16 | addresses 32 octets | by_flow u32 |

A pair whose packets the rules tell apart by ports or protocol is `by_flow`: then its flows are looked up, and of
it itself only the generation counts. Without it none of its flows counts.

arrived, what a worker says of a pair, or of a flow, that it taught:
| learnt u64 | number of TCP u32 | number of UDP u32 |

counts, for each processor: OUTCOMES of each direction, u64 each.
Times are nanoseconds of CLOCK_MONOTONIC.
"""

import struct
from typing import Final, NamedTuple, Protocol

ENTRIES: Final = 65536
ACTIVE: Final = (1 << 64) - 1  # `queued` of a lane whose packets the kernel translates
UNUSED_NS: Final = 30 * 10**9
JUDGED_NS: Final = 60 * 10**9

STATE: Final = struct.Struct("=QQQIII12s")
DRAINED_AT, LOST_AT, BEAT_AT, GENERATION_AT = 0, 8, 16, 24
KEY: Final = struct.Struct("=I32s8s")
PAIR: Final = struct.Struct("=4QII4QII6QI4H32sI")
FLOW: Final = struct.Struct("=4sI")
TIME: Final = struct.Struct("=Q")
ARRIVED: Final = struct.Struct("=Q2I")
KINDS: Final = ("tcp", "udp")

OUTCOMES: Final = (
    "translated",  # packets; a superframe counts once
    "octets",  # behind their IP headers
    "segments",  # datagrams or segments in them
    "missed",  # IP of no pair, or no flow of it, that is known
    "stale",  # of a pair that was learnt before something changed, or long ago
    "waiting",  # sent to the rules, since others of its kind still wait in a queue
    "held",  # dropped, since others of its kind wait in a queue that overflows
    "diverted",  # the core's, or of a kind that the core has had something of a moment ago
    "unfit",  # the core's, whatever the pair: fragments, options, extension headers, other protocols ...
    "failed",  # no memory for the header
)
COUNTS: Final = struct.Struct(f"={2 * len(OUTCOMES)}Q")


class Pair(NamedTuple):
    """A pair, or a flow, as the kernel has it."""

    tcp_queued: int
    tcp_since: int
    tcp_until: int
    tcp_whole: int
    tcp_number: int
    tcp_unused: int
    udp_queued: int
    udp_since: int
    udp_until: int
    udp_whole: int
    udp_number: int
    udp_unused: int
    learnt: int
    used: int
    judged: int
    asked: int
    packets: int
    octets: int
    generation: int
    delta: int
    old_sum: int
    new_sum: int
    traffic_class: int
    addresses: bytes
    by_flow: int = 0

    @classmethod
    def of(cls, octets: bytes) -> "Pair":
        return cls(*PAIR.unpack(octets))

    def encoded(self) -> bytes:
        return PAIR.pack(*self)

    def counts(self, generation: int, now: int) -> bool:
        """Whether the program goes by it."""
        fresh = now <= self.used + UNUSED_NS and now <= self.judged + JUDGED_NS
        return self.generation == generation and (fresh or bool(self.by_flow))


def flow(ports: bytes, protocol: int) -> bytes:
    """What tells a flow of a pair: `ports` as in the header, 4 octets."""
    return FLOW.pack(ports, protocol)


def key(ifindex: int, addresses: bytes, flow: bytes = b"") -> bytes:
    """`addresses`: source and destination as in the header, 8 or 32 octets; without `flow`, of the pair."""
    return KEY.pack(ifindex, addresses, flow)


def is_flow(key: bytes) -> bool:
    """Whether it is the key of a flow, and no pair's."""
    return any(key[-FLOW.size :])


class Template(Protocol):
    """What is needed of `xlat.template.Template`, and of what the fast path makes of it."""

    @property
    def addresses(self) -> bytes: ...

    @property
    def delta(self) -> int: ...

    @property
    def pseudo(self) -> int: ...

    @property
    def traffic_class(self) -> bytes: ...


_FIRST: Final = 65521  # a prime below 2^16


def learnt(template: Template, generation: int, now: int) -> Pair:
    """A pair, or a flow, that has just been learnt, of which packets may still wait. Numbers begin behind another one
    each time, never 0."""
    old_sum = (template.pseudo - template.delta - 1) % 0xFFFF + 1
    kept = template.traffic_class[0] ^ template.traffic_class[255]  # bits of the old octet that stay
    traffic_class = kept << 8 | template.traffic_class[0]
    sums = template.delta, old_sum, template.pseudo
    lane = 0, 0, 0, 0, now % _FIRST + 1, 0
    return Pair(*lane, *lane, now, now, now, 0, 0, 0, generation, *sums, traffic_class, template.addresses)


def told_by_flow(generation: int, now: int) -> Pair:
    """A pair whose flows are learnt."""
    return Pair(*(0,) * 12, now, now, now, 0, 0, 0, generation, 0, 0, 0, 0, bytes(32), by_flow=1)


def state(generation: int, device: int, lowest_ipv6_mtu: int, destination: bytes, source: bytes) -> bytes:
    """`device`: its index; `destination`, `source`: addresses of the frames that go into it."""
    return STATE.pack(0, 0, 0, generation, device, lowest_ipv6_mtu, destination + source)
