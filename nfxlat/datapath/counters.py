"""Counters in shared memory: workers count, the supervisor reads, and a worker that dies loses none of them.

One row a direction, one column a `Reason`; then the same again, of those that an ICMP error answered; behind them
totals by name. Every cell is an unsigned 64-bit number that has one writer (a worker has its own block), so no lock is
needed.

A worker counts in memory of its own, and publishes that when a batch is out: what is read is always whole batches, and
adds up. Of a worker that was killed nothing of its last batch is counted but how many packets were in its hands.

What left is counted, not what an injector then refused: a batch is counted when it is staged, and what was refused is
taken back at its end.
"""

import mmap
from enum import IntEnum

from nfxlat.outcome import Reason
from nfxlat.terms import DIRECTIONS

REASONS = tuple(Reason)
COLUMN = {reason: column for column, reason in enumerate(REASONS)}


class Direction(IntEnum):
    """Which way a packet went, by the family that it came in."""

    V4TO6 = 0
    V6TO4 = 1
    UNKNOWN = 2

    @property
    def label(self) -> str:
        return (*DIRECTIONS, "none")[self]


class Total(IntEnum):
    """Sums over a worker's life. Payload is what follows the TCP header."""

    BATCHES = 0
    PACKETS = 1  # taken from the queues; a superframe counts once; not REQUEUED, not ASKED
    FAST = 2  # of these, taken by the fast path
    SUPERFRAMES = 3
    TCP_PAYLOAD = 4
    SUPERFRAME_PAYLOAD = 5
    ERRORS_SENT = 6  # ICMP errors made here that left
    INJECTED = 7  # packets that left
    ORIGINALS = 8  # of what was translated at postrouting: they go on into the domain device, where they end
    IN_HANDS = 9  # packets of the batch that is at work now
    IN_KILLED_HANDS = 10  # of batches whose worker was killed: what of them had not left is lost
    TAUGHT = 11  # pairs and flows, to the program at ingress
    ASKED = 12  # copies of packets by which that asks the rules
    REQUEUED = 13  # sent on to the plain queue, where they are taken and counted
    CUT = 14  # pieces of superframes that the core has cut, less one for each: each piece has a reason of its own
    PARTS = 15  # of INJECTED, those behind the first of what was one packet
    ERRORS_REFUSED = 16  # ICMP errors made here that an injector refused
    SEGMENTS = 17  # in SUPERFRAMES
    OCTETS4 = 18  # behind the IP headers of what came as IPv4 and left
    OCTETS6 = 19
    CPU_NS = 20  # of the worker's processes, a second ago at most
    EXPIRED = 21  # pairs and flows that had been unused, or not judged, for long, when they were taught anew
    FLUSHED = 22  # those that rules, addresses, interfaces or mappings had made void by then
    NARROWED = 23  # pairs that were taken away, since their path is narrow

    @property
    def label(self) -> str:
        return self.name.lower()


_CELLS = len(Direction) * len(REASONS)
_SIZE = 2 * _CELLS + len(Total)
_IN_HANDS = Total.IN_HANDS  # looked up once: that takes longer than counting
_HANDS_AT = (2 * _CELLS + _IN_HANDS) * 8
_LOOKS = 100

PART, ERROR = -1, -2
"""What a staged packet is, if not counted in a cell: a further part of one that is, or an ICMP error made here."""


def cell(reason: Reason, direction: Direction) -> int:
    """Which of a block's `reasons` counts it."""
    return direction * len(REASONS) + COLUMN[reason]


class Cells:
    """`reasons[cell(reason, direction)]`, of these `rejected`, and `totals[Total.X]`."""

    def __init__(self, octets: bytes | bytearray | mmap.mmap) -> None:
        cells = memoryview(octets).cast("Q")
        self.reasons = cells[:_CELLS]
        self.rejected = cells[_CELLS : 2 * _CELLS]
        self.totals = cells[2 * _CELLS :]


class Counters(Cells):
    """One block: its cells are the worker's own; others see what is published."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, _SIZE * 8)  # anonymous and shared: it survives a fork and the child's death
        self._own = bytearray(_SIZE * 8)
        super().__init__(self._own)
        self._shown = Cells(self._map)
        self._refused: list[tuple[Reason, int]] = []

    def begin(self) -> None:
        """A worker goes on with what was published before it; what was in the hands of a killed one is lost."""
        self._own[:] = self._map[:]
        self.totals[Total.IN_KILLED_HANDS] += self.totals[Total.IN_HANDS]
        self.totals[Total.IN_HANDS] = 0
        self.publish()

    def publish(self) -> None:
        """Show all that is counted."""
        self._map[:] = self._own

    def hold(self, packets: int) -> None:
        """So many are in hands from now on; shown at once."""
        self.totals[_IN_HANDS] = self._shown.totals[_IN_HANDS] = packets

    def show(self, total: Total) -> None:
        """This one, ahead of the others."""
        self._shown.totals[total] = self.totals[total]

    def shown(self, total: Total) -> int:
        return self._shown.totals[total]

    def snapshot(self) -> Cells:
        """All that is published, as it was at one moment; IN_HANDS may be a little older."""
        octets = self._map[:]
        for _ in range(_LOOKS):  # a worker may be writing: then the next look differs
            former, octets = octets, self._map[:]
            if former[:_HANDS_AT] == octets[:_HANDS_AT] and former[_HANDS_AT + 8 :] == octets[_HANDS_AT + 8 :]:
                break
        return Cells(octets)

    def count(self, reason: Reason, direction: Direction, packets: int = 1) -> None:
        """`packets` more for the reason."""
        self.reasons[cell(reason, direction)] += packets

    def refused(self, why: Reason, what: int) -> None:
        """An injector has refused a packet of this batch. At its end that is counted as `what`: a cell, PART, ERROR."""
        self._refused.append((why, what))

    def settle(self) -> None:
        """At the end of a batch: take back what was refused, and count it by the reason why."""
        for why, what in self._refused:
            direction = Direction.UNKNOWN
            if what == ERROR:
                self.totals[Total.ERRORS_SENT] -= 1
                self.totals[Total.ERRORS_REFUSED] += 1
            else:
                self.totals[Total.INJECTED] -= 1
                if what == PART:
                    self.totals[Total.PARTS] -= 1
                else:
                    self.reasons[what] -= 1
                    direction = Direction(what // len(REASONS))
            self.count(why, direction)
        self._refused.clear()


def summary(cells: list[Cells]) -> dict[str, dict[str, int] | dict[str, dict[str, int]]]:
    """The sum over blocks: {"totals": {label: n}, "reasons" and, of these, "rejected": {reason: {direction: n}}};
    reasons never seen are left out."""
    return {
        "totals": totals(cells),
        "reasons": _by_reason([one.reasons for one in cells]),
        "rejected": _by_reason([one.rejected for one in cells]),
    }


def totals(cells: list[Cells]) -> dict[str, int]:
    """The sums over blocks, by label, of what is counted of packets."""
    return {total.label: sum(one.totals[total] for one in cells) for total in Total if total is not Total.CPU_NS}


def _by_reason(rows: list[memoryview]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for reason in REASONS:
        row = {direction.label: sum(one[cell(reason, direction)] for one in rows) for direction in Direction}
        if any(row.values()):
            found[reason.label] = {label: number for label, number in row.items() if number}
    return found
