"""Up to when all that was queued is translated and out, told to the program at ingress.

What waited at one moment is out when each queue has been empty since, or, of those that this worker reads, when the
last packet that was in it then has its verdict (ids are ascending, net/netfilter/nfnetlink_queue.c). So there is an
answer even where a queue is never empty. Others' queues count as well: a pair has flows in all of them.
"""

from collections.abc import Callable, Mapping
from typing import Protocol


class Seen(Protocol):
    """Of `nfxlat.netlink.bound_queues.Seen`."""

    @property
    def waiting(self) -> int: ...

    @property
    def lost(self) -> int: ...

    @property
    def last(self) -> int: ...


class State(Protocol):
    """What is told, in nanoseconds of CLOCK_MONOTONIC (nfxlat.host.ingress.Table)."""

    drained: int
    lost: int


class Drained:
    """`look` gives what the kernel says of each of our queues; nothing: it does not tell."""

    def __init__(self, state: State, look: Callable[[], Mapping[int, Seen]]) -> None:
        self._state, self._look = state, look
        self._left: dict[int, int] = {}  # queue: the last packet that was in it at `_when`
        self._when = 0
        self._lost = -1

    def concluded(self, last: Mapping[int, bytes], now: int) -> None:
        """Packets of these queues, up to those with these ids (4 octets), are out."""
        seen = self._look()
        if not seen:
            return
        lost = sum(one.lost for one in seen.values())
        if lost > self._lost >= 0:
            self._state.lost = now
        self._lost = lost
        waiting = {number: one.last for number, one in seen.items() if one.waiting}
        self._left = {
            number: then
            for number, then in self._left.items()
            if number in waiting and not (number in last and _reached(last[number], then))
        }
        if self._left and waiting:
            return
        self._state.drained = max(self._state.drained, self._when if waiting else now)
        self._left, self._when = waiting, now


def _reached(last: bytes, then: int) -> bool:
    """Ids begin anew."""
    return (int.from_bytes(last, "big") - then) & 0xFFFFFFFF < 1 << 31
