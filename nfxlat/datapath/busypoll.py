"""Looking again before going to sleep: packets come in conversations, and being woken costs more than a few looks.

A process that sleeps is woken through an interrupt of another processor, finds its caches cold, and on a virtual
machine has left its processor to others in the meantime. So `BusyPoll` looks again for a while, as the kernel's
busy_poll does for sockets that it knows (net/core/dev.c, napi_busy_loop), which netlink's are not.

Rules
- It pays only where the next packet comes soon: after a few looks in vain it sleeps at once, and tries again later.
- Only behind a batch of one packet: with more, one waking is for many, and what would be looked for is no conversation.
- Whoever else wants the processor has it: between two looks the worker gives way, and when somebody took the offer it
  sleeps.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Protocol

CONTENDED = 20_000  # nanoseconds: a look takes 2 to 4 us; if it took longer somebody else has run
_MISS, _PATIENCE, _REST = 2, 6, 64  # a miss weighs as much as two hits; at 6 sleep at once for so many times

Events = Sequence[tuple[int, int]]


class Poll(Protocol):
    """select.epoll, as far as it is needed."""

    def poll(self, timeout: float | None = ...) -> Events: ...


class BusyPoll:
    """`wait` is epoll's, but for looking again during `limit` nanoseconds; 0: never."""

    def __init__(
        self,
        poll: Poll,
        limit: int,
        clock: Callable[[], int] = time.monotonic_ns,
        give_way: Callable[[], None] = os.sched_yield,
    ) -> None:
        self._poll = poll.poll
        self._limit, self._clock, self._give_way = limit, clock, give_way
        self._misses = self._rest = 0

    def wait(self, taken: int) -> Events:
        """(descriptor, event mask) of what can be read, as soon as there is something.

        `taken`: packets since the last call.
        """
        looking = taken == 1 and self._limit and not self._resting()
        return (looking and self._look()) or self._poll()

    def _resting(self) -> bool:
        if not self._rest:
            return False
        self._rest -= 1
        return True

    def _look(self) -> Events:
        """What can be read within the limit, if anything."""
        now = self._clock()
        until = now + self._limit
        if events := self._poll(0):
            return events  # it would not have slept
        while now < until:
            self._give_way()
            if events := self._poll(0):
                self._misses = max(0, self._misses - 1)
                return events
            before, now = now, self._clock()
            if now - before > CONTENDED:
                break
        self._misses += _MISS
        if self._misses >= _PATIENCE:
            self._misses -= _MISS
            self._rest = _REST
        return ()
