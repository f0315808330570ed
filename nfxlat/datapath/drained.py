"""Up to when all that was queued is translated and out, told to the program at ingress.

A worker gives verdicts in the order of ids, and behind the results (nfxlat.datapath.worker). So what waited at one
moment is out when a queue is empty, or holds no more packets than it got since: ids count what it got, less those that
did not fit into the socket. So there is an answer even where a queue is never empty, whoever reads it: a pair has flows
in the queues of all workers.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from nfxlat.netlink.bound_queues import Seen


class State(Protocol):
    """What is told, in nanoseconds of CLOCK_MONOTONIC (nfxlat.host.ingress.Table)."""

    drained: int
    lost: int


class Drained:
    """`look` gives what the kernel says of each of our queues; nothing: it does not tell."""

    def __init__(self, state: State, look: Callable[[], Mapping[int, Seen]]) -> None:
        self._state, self._look = state, look
        self._left: dict[int, Seen] = {}  # queues as they were at `_when`, of which not all is out
        self._when = 0
        self._lost = -1

    def look(self, now: int) -> None:
        """Tell how far it is, at this time or later."""
        seen = self._look()
        if not seen:
            return
        lost = sum(one.full + one.socket for one in seen.values())
        if lost > self._lost >= 0:
            self._state.lost = now
        self._lost = lost
        waiting = {number: one for number, one in seen.items() if one.waiting}
        self._left = {
            number: then
            for number, then in self._left.items()
            if number in waiting and not _is_out(then, waiting[number])
        }
        if self._left:
            return
        self._state.drained = max(self._state.drained, self._when if waiting else now)
        self._left, self._when = waiting, now


def _is_out(then: Seen, now: Seen) -> bool:
    """Whether what waited then has its verdict. Ids begin anew."""
    got = (now.last - then.last & 0xFFFFFFFF) - (now.socket - then.socket)
    return now.waiting <= got
