"""Counters in shared memory: workers count, the supervisor reads, and a worker that dies loses none of them.

One row a direction, one column a `Reason`; behind them totals by name. Every cell is an unsigned 64-bit number that has
one writer (a worker has its own block), so no lock is needed.

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
    PACKETS = 1  # taken from the queues; a superframe counts once
    FAST = 2  # of these, taken by the fast path
    SUPERFRAMES = 3
    TCP_PAYLOAD = 4
    SUPERFRAME_PAYLOAD = 5
    ERRORS_SENT = 6  # ICMP errors made here that left
    INJECTED = 7  # packets that left
    ORIGINALS = 8  # of what was translated at postrouting: they go on into the domain device, where they end
    IN_HANDS = 9  # packets of the batch that is at work now
    IN_KILLED_HANDS = 10  # of batches whose worker was killed: what of them had not left is lost
    TAUGHT = 11  # pairs, to the program at ingress
    ASKED = 12  # copies of packets by which that asks the rules; not among PACKETS

    @property
    def label(self) -> str:
        return self.name.lower()


_ROWS = len(Direction)
_SIZE = _ROWS * len(REASONS) + len(Total)


PART, ERROR = -1, -2
"""What a staged packet is, if not counted in a cell: a further part of one that is, or an ICMP error made here."""


def cell(reason: Reason, direction: Direction) -> int:
    """Which of a block's `reasons` counts it."""
    return direction * len(REASONS) + COLUMN[reason]


class Counters:
    """One block. `reasons[cell(reason, direction)]` and `totals[Total.X]` are its cells."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, _SIZE * 8)  # anonymous and shared: it survives a fork and the child's death
        cells = memoryview(self._map).cast("Q")
        self.reasons = cells[: _ROWS * len(REASONS)]
        self.totals = cells[_ROWS * len(REASONS) :]
        self._refused: list[tuple[Reason, int]] = []

    def count(self, reason: Reason, direction: Direction, packets: int = 1) -> None:
        """`packets` more for the reason."""
        self.reasons[cell(reason, direction)] += packets

    def refused(self, why: Reason, what: int) -> None:
        """An injector has refused a packet of this batch. At its end that is counted as `what`: a cell, PART, ERROR."""
        self._refused.append((why, what))

    def settle(self) -> None:
        """At the end of a batch: take back what was refused, and count it by the reason why."""
        for why, what in self._refused:
            self.totals[Total.ERRORS_SENT if what == ERROR else Total.INJECTED] -= 1
            direction = Direction.UNKNOWN
            if what >= 0:
                self.reasons[what] -= 1
                direction = Direction(what // len(REASONS))
            self.count(why, direction)
        self._refused.clear()


def summary(blocks: list[Counters]) -> dict[str, dict[str, int] | dict[str, dict[str, int]]]:
    """The sum over blocks: {"totals": {label: n}, "reasons": {reason: {direction: n}}}; reasons never seen are left
    out."""
    totals = {total.label: sum(block.totals[total] for block in blocks) for total in Total}
    reasons: dict[str, dict[str, int]] = {}
    for reason in REASONS:
        row = {
            direction.label: sum(block.reasons[cell(reason, direction)] for block in blocks) for direction in Direction
        }
        if any(row.values()):
            reasons[reason.label] = {label: number for label, number in row.items() if number}
    return {"totals": totals, "reasons": reasons}
