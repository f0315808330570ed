"""A teacher (nfxlat.datapath.teacher) of what comes in at IN, and the kernel's table that it writes."""

from collections.abc import Mapping

from packets import T, ipv4, ipv6

from nfxlat.datapath.counters import Counters
from nfxlat.datapath.source import Kind, Record
from nfxlat.datapath.teacher import Teacher
from nfxlat.netlink.bound_queues import Seen
from nfxlat.offload import table
from nfxlat.wire.nfqueue import PREROUTING
from nfxlat.wire.stamp import MAGIC, REPEAT_FLOW, REPEAT_PAIR

IN, OTHER, GENERATION = 3, 4, 7
SECOND = 10**9
QUEUED = Kind(PREROUTING, IN)
FORTH, BACK = ipv4()[12:20], ipv6()[8:40]
PAIR, FLOW = MAGIC | REPEAT_PAIR, MAGIC | REPEAT_FLOW
FORTH_KEY, NONE = table.key(IN, FORTH), b""


class Pairs:
    """The kernel's table."""

    def __init__(self) -> None:
        self.drained = self.lost = 0
        self.pairs: dict[bytes, table.Pair] = {}
        self.answers: dict[bytes, int] = {}
        self.told: dict[bytes, tuple[int, int, int]] = {}
        self.full = False

    def get(self, key: bytes) -> table.Pair | None:
        return self.pairs.get(key)

    def put(self, key: bytes, pair: table.Pair) -> None:
        if self.full:
            raise OSError
        self.pairs[key] = pair

    def add(self, key: bytes, pair: table.Pair) -> bool:
        if key in self.pairs:
            return False
        self.put(key, pair)
        return True

    def answer(self, key: bytes, time: int) -> None:
        self.answers[key] = time

    def arrived(self, key: bytes, learnt: int, tcp: int, udp: int) -> None:
        self.told[key] = learnt, tcp, udp

    def remove(self, key: bytes) -> bool:
        return self.pairs.pop(key, None) is not None


class School:
    """A teacher of what comes in at IN, whose queue is empty unless told otherwise."""

    def __init__(self, *, local: frozenset[bytes] = frozenset(), capacity: int = 100) -> None:
        self.now = SECOND
        self.pairs, self.counters = Pairs(), Counters()
        self.seen: Mapping[int, Seen] = {7: Seen(0, 0, 0, 0)}
        self.narrow: dict[bytes, int] = {}
        self.settled: list[int] = []
        self.teacher = Teacher(
            self.pairs,
            T,
            local=local,
            narrow=self.narrow,
            look=lambda: self.seen,
            settle=lambda: self.settled.append(self.now),
            counters=self.counters,
            clock=lambda: self.now,
            capacity=capacity,
        )
        self.teacher.serve(GENERATION, {IN})
        self.batch()

    def batch(self, *packets: bytes, kind: Kind = QUEUED, priority: int = PAIR) -> list[Record]:
        self.now += 1000
        buffer, records = bytearray(), []
        for packet in packets:
            records.append((len(buffer), len(packet), priority, kind))
            buffer += packet
        result = self.teacher.look(buffer, records)
        self.teacher.injected()
        self.teacher.concluded()
        assert len(result) == len(records)
        return list(result)

    @property
    def taught(self) -> set[tuple[int, bytes, bytes]]:
        found = set()
        for ifindex, addresses, flow in map(table.KEY.unpack, self.pairs.pairs):
            found.add((ifindex, addresses if any(addresses[8:]) else addresses[:8], flow.rstrip(b"\0")))
        return found
