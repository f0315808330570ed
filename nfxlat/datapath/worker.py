"""The worker: takes batches from its queues, has each packet translated, gives the verdict, injects the result.

Rules
- ACCEPT goes out before the injection, so that conntrack has confirmed an accepted original before a reply can come;
  DROP behind it, since nothing waits for that.
- DROP, because what goes on is the translated copy. ACCEPT for what is not ours, and at postrouting for what was
  translated too: there the original dies in the domain device while conntrack and NAT stay whole.
- Runs of packets of known pairs take the fast path, all others the core (nfxlat.datapath.slowpath).
"""

import select
from collections.abc import Callable, Collection, Sequence

from nfxlat.datapath.busypoll import BusyPoll
from nfxlat.datapath.counters import Counters, Direction, Total, cell
from nfxlat.datapath.fastpath import FastPath, Taken
from nfxlat.datapath.inject import Injectors
from nfxlat.datapath.pathmtu import PathMtus
from nfxlat.datapath.routecache import RouteCache
from nfxlat.datapath.slowpath import SlowPath
from nfxlat.datapath.source import ACCEPT, AGAIN, SLOTS, Source
from nfxlat.datapath.tally import Tally
from nfxlat.datapath.teacher import ASKED, Teacher
from nfxlat.datapath.trace import Traced, Tracing
from nfxlat.outcome import Reason
from nfxlat.wire.nfqueue import SKB_GSO
from nfxlat.xlat.translator import Translator

# Looking an enumeration's member up takes longer than counting.
_BATCHES, _PACKETS, _FAST, _INJECTED = Total.BATCHES, Total.PACKETS, Total.FAST, Total.INJECTED
_ORIGINALS, _REQUEUED, _PARTS, _IN_HANDS = Total.ORIGINALS, Total.REQUEUED, Total.PARTS, Total.IN_HANDS
_SEGMENTS, _OCTETS4, _OCTETS6 = Total.SEGMENTS, Total.OCTETS4, Total.OCTETS6
_TCP_PAYLOAD, _SUPERFRAMES, _SUPERFRAME_PAYLOAD = Total.TCP_PAYLOAD, Total.SUPERFRAMES, Total.SUPERFRAME_PAYLOAD
_TRANSLATED4, _TRANSLATED6 = (cell(Reason.TRANSLATED, direction) for direction in (Direction.V4TO6, Direction.V6TO4))


class Worker:
    """One process's share. `device_index`: the domain device, 0 if there is none; `routes`: None, nothing is known of
    them;

    `learnt` hears of each path MTU that is learnt, `event` of what RFC 7915 wants the operator to be told; `busy_poll`:
    nanoseconds to look again before sleeping; `teacher`: who teaches the program at ingress, if that translates.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        translator: Translator,
        injectors: Injectors,
        counters: Counters,
        *,
        fast: FastPath | None,
        paths: PathMtus,
        routes: RouteCache | None = None,
        learnt: Callable[[bytes, int], None] = lambda pair, mtu: None,
        event: Callable[[str], None] = lambda line: None,
        device_index: int = 0,
        local: Collection[bytes] = frozenset(),
        busy_poll: int = 0,
        teacher: Teacher | None = None,
    ) -> None:
        self.teacher = teacher
        self._busy_poll = busy_poll
        self._sources = {source.fileno(): source for source in sources}
        self._injectors = injectors
        self._counters = counters
        self._fast = fast
        self._routes = routes
        self._paths = paths
        self._slow = SlowPath(
            translator,
            injectors,
            counters,
            paths=paths,
            routes=routes,
            learnt=learnt,
            event=event,
            device_index=device_index,
            local=local,
        )
        self._taken = Taken()
        self._tally: Tally | None = None
        self.trace(None)
        self.stopped = False

    def renew(self, translator: Translator, local: Collection[bytes]) -> None:
        """From the next batch on: `translator` translates, and this node's addresses are `local`."""
        self._slow.translator, self._slow.local = translator, local
        if self._fast is not None:
            self._fast.renew(translator, local)
        if self.teacher is not None:
            self.teacher.renew(translator, local)

    def trust_stamps(self, stamped: Collection[int]) -> None:
        """Interfaces, by index, at whose ingress the stamp is made."""
        self._slow.stamped = stamped
        if self._fast is not None:
            self._fast.trust_stamps(stamped)

    def count(self, tally: Tally | None) -> None:
        """From the next batch on, count what leaves by mapping; None: do not."""
        self._tally = self._slow.tally = tally

    def trace(self, tracing: Tracing | None) -> None:
        """From the next batch on, show packets to those who trace; None: to nobody."""
        self._run, self._judge = self._fast.run if self._fast is not None else None, self._slow.judge
        self._slow.seen = None
        if tracing is not None:
            traced = Traced(tracing, self._fast, self._injectors.main.frame.size, self._slow.judge)
            self._run, self._judge = traced.run if self._fast is not None else None, traced.slow
            self._slow.seen = tracing.seen
        if self.teacher is not None:
            self.teacher.spare = tracing.wants_pair if tracing is not None else None

    def run(self, control: int, command: Callable[[], None]) -> None:
        """Work until `stopped`; `command` is called when the descriptor `control` can be read."""
        poll = select.epoll()
        poll.register(control, select.EPOLLIN)
        for descriptor in self._sources:
            poll.register(descriptor, select.EPOLLIN)
        busy = BusyPoll(poll, self._busy_poll)
        self._counters.begin()
        taken = 0
        while not self.stopped:
            ready = busy.wait(taken)
            taken = 0
            for descriptor, _ in ready:
                if descriptor == control:
                    command()
                else:
                    taken += self.batch(self._sources[descriptor])
        poll.close()

    def batch(self, source: Source) -> int:
        """Take one batch from the source; how many packets it held."""
        totals, counts = self._counters.totals, self._counters.reasons
        hold = self._counters.hold
        hold(SLOTS)  # at most; should it be killed before it can count them
        records = source.receive()
        hold(len(records))
        if not records:
            return 0
        if self._routes is not None:
            self._routes.refresh()
        if self._paths.mtus:
            self._paths.expire()
        buffer, base, main, run = source.buffer, source.base, self._injectors.main, self._run
        if self.teacher is not None:
            records = self.teacher.look(buffer, records)
        taken = self._taken
        messages, destinations, accepted = taken.messages, taken.destinations, taken.accepted
        again: list[int] = []
        count = len(records)
        index = fast_packets = superframes = originals = copies = 0
        while index < count:
            if run is not None:
                others = len(accepted)
                index = run(buffer, base, records, index, taken)
                originals += len(accepted) - others
                if messages:
                    if self._tally is not None:
                        self._tally.took(buffer, base, messages, taken.parts)
                    main.put_all(messages, destinations, taken.parts)
                    fast_packets += len(destinations)
                    messages.clear()
                    destinations.clear()
                if index == count:
                    break
            if records[index][3] is ASKED:
                copies += 1
                index += 1
                continue
            verdict = self._judge(buffer, records[index], source.plain)
            if verdict == AGAIN:
                again.append(index)
            else:
                superframes += bool(records[index][3].skb_info & SKB_GSO)
                if verdict == ACCEPT:
                    accepted.append(index)
            index += 1
        superframes += taken.superframes
        totals[_BATCHES] += 1
        totals[_PACKETS] += count - len(again) - copies
        totals[_REQUEUED] += len(again)
        if originals:
            totals[_ORIGINALS] += originals
        if fast_packets:
            totals[_INJECTED] += fast_packets
            fast_packets -= len(taken.parts)
            counts[_TRANSLATED4] += taken.packets4
            counts[_TRANSLATED6] += fast_packets - taken.packets4
            totals[_FAST] += fast_packets
            totals[_PARTS] += len(taken.parts)
            totals[_OCTETS4] += taken.octets4
            totals[_OCTETS6] += taken.octets6
        if taken.payload:
            totals[_TCP_PAYLOAD] += taken.payload
        if superframes:
            totals[_SUPERFRAMES] += superframes
            totals[_SUPERFRAME_PAYLOAD] += taken.superframe_payload
            totals[_SEGMENTS] += taken.segments
        taken.clear()
        if accepted:  # originals go on into the domain device, where they are counted too
            self._counters.show(_ORIGINALS)
        early = bool(accepted) and self.teacher is None
        if early:  # conntrack must have confirmed an original before its reply can come
            source.conclude(accepted, again)
        main.flush()
        if fast_packets < count:
            self._injectors.raw.flush()
        if self.teacher is not None:
            self.teacher.injected()
        if not early:  # nothing waits for a DROP, but the receiver for the packet, and `drained` for all to be out
            source.conclude(accepted, again)
        accepted.clear()
        self._counters.settle()
        if self.teacher is not None:
            self.teacher.concluded()
        totals[_IN_HANDS] = 0
        self._counters.publish()
        return count
