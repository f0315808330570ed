"""Up to which number the packets of a pair that was taught are out, told to the program at ingress.

    program   packet, no superframe, of a pair that waits  --> stamp with the next number --> queue
    worker    1, 2, 3, ... all seen here, in this order     --> their results are out: "up to 3"
    program   3 was the last                                --> nothing waits: the next packet stays in the kernel

A time alone has to cover the way to the queue (ON_THE_WAY in ingress.c). A flow without a pause as long as that, a row
of requests and answers for one, would wait for ever.

Rules
- Only who taught the pair tells, and only where all numbers came here in their order. One that lacks was lost, or is
  another worker's, who may still have it. Then nothing is told until the time tells that all before is out.
- The first number is another one each time that a pair is taught: those of the time before do not count.
"""

import contextlib
from dataclasses import dataclass
from typing import Final, Protocol

from nfxlat.offload import table

Key = tuple[int, bytes, bytes]  # interface index; source and destination as in the header; `table.flow`, or nothing

ON_THE_WAY: Final = 200_000  # nanoseconds from the program to the queue at most: ingress.c
_LOW = 0xFFFF  # of a number is on the packet


class Arrived(Protocol):
    """The kernel's table (nfxlat.host.ingress.Table). Raises OSError."""

    def arrived(self, key: bytes, learnt: int, tcp: int, udp: int) -> None: ...


@dataclass(slots=True)
class _Lane:
    """TCP or UDP of a pair. `lacked`: when a number last was missing, 0: none is, or all before it is out."""

    last: int
    begun: bool = False
    lacked: int = 0

    def see(self, low: int, now: int) -> bool:
        """Whether it is the next one."""
        ahead = low - self.last & _LOW
        if not self.begun and ahead != 1:
            return True  # of the time before
        self.begun = True
        self.last = self.last + ahead - (0 if ahead <= _LOW >> 1 else _LOW + 1) & 0xFFFFFFFF
        if ahead != 1:
            self.lacked = now
        return ahead == 1

    def told(self, drained: int) -> int:
        """Up to which number all are out; 0: nobody knows."""
        if drained > self.lacked + ON_THE_WAY:
            self.lacked = 0
        return self.last if self.begun and not self.lacked else 0


class Numbers:
    """Of at most `capacity` pairs and flows; of more, all that were known go by time."""

    def __init__(self, arrived: Arrived, capacity: int) -> None:
        self._arrived, self._capacity = arrived, capacity
        self._of: dict[Key, tuple[int, _Lane, _Lane]] = {}  # learnt, TCP, UDP
        self._seen: set[Key] = set()  # since it was told

    @property
    def to_tell(self) -> bool:
        """Whether something was seen since `tell`."""
        return bool(self._seen)

    def forget(self) -> None:
        """All of them go by time."""
        self._of.clear()
        self._seen.clear()

    def begin(self, key: Key, pair: table.Pair) -> None:
        """It was taught now."""
        if len(self._of) >= self._capacity:
            self.forget()
        self._of[key] = pair.learnt, _Lane(pair.tcp_number), _Lane(pair.udp_number)

    def see(self, key: Key, udp: bool, low: int, now: int) -> None:
        """A packet with these low bits of a number is about to be translated."""
        if (known := self._of.get(key)) is None:
            return
        self._seen.add(key)
        learnt, *lanes = known
        if not lanes[udp].see(low, now):
            self._tell(key, learnt, 0, 0)  # at once: this very packet is not out

    def tell(self, drained: int) -> None:
        """The results of all that was seen are out, and of all others what was queued before that time."""
        for key in self._seen:
            learnt, tcp, udp = self._of[key]
            self._tell(key, learnt, tcp.told(drained), udp.told(drained))
        self._seen.clear()

    def _tell(self, key: Key, learnt: int, tcp: int, udp: int) -> None:
        with contextlib.suppress(OSError):  # no memory: it goes by time
            self._arrived.arrived(table.key(*key), learnt, tcp, udp)
