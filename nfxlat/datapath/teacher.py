"""What a worker teaches the program at ingress (nfxlat/offload/ingress.c): pairs of addresses, and flows, whose packets
it has had.

    packet of a pair, queued at prerouting --> first: noted --> second, or later: taught --> its packets stay away

Rules
- The rule that queued a packet says what may be learnt of it, by two bits of its stamp (wire.stamp): nothing, its pair,
  or its flow. In front of flows their pair is taught, as one that is told by flow.
- What is taught repeats what the rules have decided and the core would do: the template is the fast path's. A pair that
  only the core translates (hairpins, this node's addresses, paths narrower than 1260) is not taught.
- Nothing overtakes. A pair that was taught goes on through the queue until the program learns that what it sent there
  is out. A time tells that in a flow's pauses (nfxlat.datapath.drained); without pauses, the numbers do that packets of
  a known pair bear (nfxlat.datapath.numbers). Both are looked at only while something was taught or still comes.
- A generation belongs to the rules, addresses and mappings of its time. A worker teaches for the one that it was told,
  and only what was queued, and so judged, after that.
- A decision that grows old is judged anew: the program sends the rules a copy of a packet, which is not translated
  again; that it comes here is the answer.
- Bounded: pairs are noted in two generations, as in `flows`.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from nfxlat.datapath.counters import Counters, Total
from nfxlat.datapath.drained import Drained
from nfxlat.datapath.flows import Flow, flow_of
from nfxlat.datapath.numbers import Key, Numbers
from nfxlat.datapath.source import Kind, Record
from nfxlat.netlink.bound_queues import Seen
from nfxlat.offload import table
from nfxlat.wire.nfqueue import PREROUTING
from nfxlat.wire.stamp import ASKING, REPEAT, REPEAT_FLOW, number_of
from nfxlat.xlat.translator import Translator

ASKED = Kind(PREROUTING, 0, 0, False)
"""The kind, by identity, that a copy's record is given: no path translates it, and it is no packet of ours."""

AGAIN = 100_000_000  # nanoseconds until a pair that still comes is looked at again
NEVER_MIND = 30_000_000_000  # and one that cannot be taught
WATCH = 100_000_000  # so long behind the last packet of a pair that is taught, `drained` is kept up to date
_TCP, _UDP = 6, 17


class Pairs(Protocol):
    """The kernel's table (nfxlat.host.ingress.Table); the methods raise OSError."""

    drained: int
    lost: int

    def get(self, key: bytes) -> table.Pair | None: ...

    def put(self, key: bytes, pair: table.Pair) -> None: ...

    def add(self, key: bytes, pair: table.Pair) -> bool: ...

    def answer(self, key: bytes, time: int) -> None: ...

    def arrived(self, key: bytes, learnt: int, tcp: int, udp: int) -> None: ...

    def remove(self, key: bytes) -> bool: ...


class Teacher:
    """`look` tells of our queues (`drained`); `settle` waits until what was injected has left the backlog; `narrow` has
    the path MTUs that are known; `clock` gives nanoseconds of CLOCK_MONOTONIC."""

    def __init__(
        self,
        pairs: Pairs,
        translator: Translator,
        *,
        local: Collection[bytes],
        narrow: Mapping[bytes, int],
        look: Callable[[], Mapping[int, Seen]],
        counters: Counters,
        settle: Callable[[], None] = lambda: None,
        clock: Callable[[], int] = time.monotonic_ns,
        capacity: int = 1 << 15,
    ) -> None:
        self._pairs, self._narrow, self._clock = pairs, narrow, clock
        self._drained, self._settle = Drained(pairs, look), settle
        self._numbers = Numbers(pairs, capacity)
        self._totals, self._capacity = counters.totals, capacity
        self._generation, self._since = 0, 0
        self._interfaces: Collection[int] = frozenset()
        self._known: dict[Key, int] = {}  # when to look at it again
        self._old: dict[Key, int] = {}
        self._due: dict[Key, bool] = {}  # True: the rules were asked
        self._watching = 0
        self.spare: Callable[[bytes], bool] | None = None  # of a pair's addresses: not to be taught now, somebody looks
        self.renew(translator, local)

    def renew(self, translator: Translator, local: Collection[bytes]) -> None:
        """From now on `translator` translates, and this node's addresses are `local`."""
        self._translator, self._local = translator, local

    def serve(self, generation: int, interfaces: Collection[int]) -> None:
        """Teach pairs of this generation (0: none) that come in at these interfaces (indexes)."""
        self._generation, self._interfaces = generation, interfaces
        self._since = self._clock()
        self._known, self._old = {}, {}
        self._numbers.forget()

    def look(self, buffer: bytearray, records: Sequence[Record]) -> Sequence[Record]:
        """See what comes, before it is translated in place. The records to go on with: copies are ASKED, those too that
        were on their way when teaching ended."""
        now = self._clock()
        judged_now = self._pairs.drained > self._since
        interfaces = self._interfaces if self._generation else ()
        known = self._known
        result = records
        for index, (start, length, priority, kind) in enumerate(records):
            if kind.hook != PREROUTING:
                continue
            repeat = priority & REPEAT
            if asks := priority - repeat == ASKING:
                if result is records:
                    result = list(records)
                result[index] = (start, length, priority, ASKED)  # type: ignore[index]
                self._totals[Total.ASKED] += 1
            elif not judged_now:
                continue
            if not repeat or kind.indev not in interfaces or (pair := _addresses(buffer, start, length)) is None:
                continue
            if self.spare is not None and self.spare(pair):
                continue
            key = kind.indev, pair, _flow(buffer, start) if repeat & REPEAT_FLOW else b""
            if asks:
                self._due[key] = True
                continue
            if (number := number_of(priority)) >= 0:
                self._numbers.see(key, _protocol(buffer, start) == _UDP, number, now)
            when = known.get(key)
            if when is None:
                when = self._old.get(key, -1)
                if len(known) >= self._capacity:
                    self._old, self._known = known, {}
                    known = self._known
                known[key] = max(when, 0)
                if when < 0:
                    continue
            if now >= when:
                self._due[key] = False
            if when <= now + AGAIN:  # else nothing can be taught of it, so nothing waits
                self._watching = now + WATCH
        return result

    def injected(self) -> None:
        """The results of the batch that was looked at have been sent; its verdicts come next. Numbers are told ahead of
        these: the answer to a result may already be here, and would find that its predecessor waits."""
        if self._numbers.to_tell or self._waited_for(self._clock()):
            self._settle()
        self._numbers.tell(self._pairs.drained)

    def concluded(self) -> None:
        """The batch that was looked at is translated and out."""
        now = self._clock()
        if self._waited_for(now):
            self._drained.look(now)
        for key, asked in self._due.items():
            with contextlib.suppress(OSError):  # no memory: it goes on through the queue
                self._teach(key, now, asked)
        self._due.clear()

    def unlearn(self, pair4: bytes) -> None:
        """The path of IPv4 packets between these addresses (8 octets) is narrow now."""
        template = self._translator.template(pair4)
        if template is None:
            return
        for ifindex in self._interfaces:
            with contextlib.suppress(OSError):
                # and with it, its flows
                self._totals[Total.NARROWED] += self._pairs.remove(table.key(ifindex, template.addresses))

    def _waited_for(self, now: int) -> bool:
        """Whether somebody wants to know up to when all is out."""
        return bool(self._generation) and (now < self._watching or self._pairs.drained <= self._since)

    def _teach(self, key: Key, now: int, asked: bool) -> None:
        ifindex, addresses, flow = key
        template = self._template(addresses)
        if template is None:
            self._known[key] = now + NEVER_MIND
            return
        there = table.key(*key)
        if asked:
            self._pairs.answer(there, now)
            return
        self._known[key] = now + AGAIN
        if flow:
            pair = table.key(ifindex, addresses)
            former = self._pairs.get(pair)
            if former is None or not former.by_flow or not former.counts(self._generation, now):
                self._pairs.put(pair, table.told_by_flow(self._generation, now))
        former = self._pairs.get(there)
        if former is not None and not former.by_flow:
            if former.counts(self._generation, now):
                return
            self._totals[Total.EXPIRED if former.generation == self._generation else Total.FLUSHED] += 1
        learnt = table.learnt(template, self._generation, now)
        if former is not None:
            self._pairs.put(there, learnt)
        elif not self._pairs.add(there, learnt):
            return  # another worker was faster
        self._numbers.begin(key, learnt)
        self._totals[Total.TAUGHT] += 1

    def _template(self, addresses: bytes) -> Flow | None:
        """What the program may do; None: the core has to see every packet."""
        flow = flow_of(self._translator, self._local, addresses)
        if flow is None or flow.local_source or flow.extra_hop or flow.addresses in self._narrow:
            return None
        return flow


def _addresses(buffer: bytearray, start: int, length: int) -> bytes | None:
    """Of a whole TCP or UDP packet without IPv4 options and IPv6 extension headers; None: it is another."""
    if length < 28:
        return None
    first = buffer[start]
    if first == 0x45:
        if buffer[start + 9] not in (_TCP, _UDP) or buffer[start + 6] & 0x3F or buffer[start + 7]:
            return None
        return bytes(buffer[start + 12 : start + 20])
    if first >> 4 == 6 and length >= 48 and buffer[start + 6] in (_TCP, _UDP):
        return bytes(buffer[start + 8 : start + 40])
    return None


def _flow(buffer: bytearray, start: int) -> bytes:
    """Of a packet of which `_addresses` tells."""
    at = start + (20 if buffer[start] == 0x45 else 40)
    return table.flow(bytes(buffer[at : at + 4]), _protocol(buffer, start))


def _protocol(buffer: bytearray, start: int) -> int:
    """The same."""
    return buffer[start + (9 if buffer[start] == 0x45 else 6)]
