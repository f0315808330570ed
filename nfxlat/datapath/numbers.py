"""Up to which number the packets of a pair that was taught are out, told to the program at ingress.

    program   packet, no superframe, of a pair that waits  --> stamp with the next number --> queue
    worker    1, 2, 3, ... all seen here, in this order     --> their batch is out: "up to 3"
    program   3 was the last                                --> nothing waits: the next packet stays in the kernel

A time alone has to cover the way to the queue (ON_THE_WAY in ingress.c). A flow without a pause as long as that, a row
of requests and answers for one, would wait for ever.

Rules
- Only who taught the pair tells, and only where all numbers came here in their order. One that lacks was lost, or is
  another worker's, who may still have it: then the time has to tell.
- Numbers of a time before the pair was taught may still come, in front of the first of this time.
"""

import contextlib
from typing import Protocol

from nfxlat.offload import table

Key = tuple[int, bytes, bytes]  # interface index; source and destination as in the header; `table.flow`, or nothing

_LOW = 0xFFFF  # of a number is on the packet


class Arrived(Protocol):
    """The kernel's table (nfxlat.host.ingress.Table). Raises OSError."""

    def arrived(self, key: bytes, learnt: int, tcp: int, udp: int) -> None: ...


class Numbers:
    """Of at most `capacity` pairs and flows; of more, all that were known go by time."""

    def __init__(self, arrived: Arrived, capacity: int) -> None:
        self._arrived, self._capacity = arrived, capacity
        self._of: dict[Key, tuple[int, list[int]]] = {}  # learnt; last number of TCP and UDP, -1: one lacks
        self._seen: set[Key] = set()  # since it was told

    def forget(self) -> None:
        """All of them go by time."""
        self._of.clear()
        self._seen.clear()

    def begin(self, key: Key, learnt: int) -> None:
        """It was taught now, at this time in the table."""
        if len(self._of) >= self._capacity:
            self.forget()
        self._of[key] = learnt, [0, 0]

    def see(self, key: Key, udp: bool, low: int) -> None:
        """A packet with these low bits of a number is about to be translated."""
        known = self._of.get(key)
        if known is None:
            return
        last = known[1][udp]
        if last + 1 & _LOW == low and last >= 0:
            known[1][udp] += 1
            self._seen.add(key)
        elif last > 0:
            known[1][udp] = -1
            self._tell(key)  # at once: this very packet is not out

    def tell(self) -> None:
        """All that was seen is out."""
        for key in self._seen:
            self._tell(key)
        self._seen.clear()

    def _tell(self, key: Key) -> None:
        learnt, (tcp, udp) = self._of[key]
        with contextlib.suppress(OSError):  # no memory: it goes by time
            self._arrived.arrived(table.key(*key), learnt, max(tcp, 0), max(udp, 0))
