"""The NFQUEUE queues that somebody has bound in the calling thread's network namespace, as the kernel lists them.

/proc/net/netfilter/nfnetlink_queue (nfnetlink_queue.c seq_show), a line each, numbers all:
queue, port id, waiting, copy mode, copy range, dropped (queue full), dropped (socket), id sequence, 1
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc/thread-self/net/netfilter/nfnetlink_queue")


class BoundQueue(NamedTuple):
    """`port` is the netlink port id of whoever bound it, mostly its process id; the rest counts packets."""

    number: int
    port: int
    waiting: int
    full: int  # dropped: the queue was full
    socket: int  # dropped: the socket's receive buffer was full
    last: int = 0  # id of the last packet that was not dropped for a full queue; ids begin anew behind 2^32 - 1

    @property
    def judged(self) -> int:
        """Packets that had a verdict, modulo 2^32."""
        return (self.last - self.socket - self.waiting) & 0xFFFFFFFF

    @property
    def holder(self) -> str:
        """ "NAME (pid N)", or "port id N" where no such process is seen from here."""
        try:
            name = Path(f"/proc/{self.port}/comm").read_text().strip()
        except OSError:
            return f"port id {self.port}"
        return f"{name} (pid {self.port})"


def bound_queues() -> list[BoundQueue]:
    """All of them; none where the kernel has no NFQUEUE, or does not tell."""
    try:
        lines = PROC.read_text().splitlines()
    except OSError:
        return []
    rows = ([int(field) for field in line.split()] for line in lines)
    return [BoundQueue(row[0], row[1], row[2], row[5], row[6], row[7]) for row in rows]


def held_by_others(numbers: Collection[int], ports: Collection[int]) -> bool:
    """Whether one of these queues is bound by another netlink port than these."""
    return any(one.number in numbers and one.port not in ports for one in bound_queues())


class Seen(NamedTuple):
    """A queue at one moment: packets without a verdict, all that were dropped since it or the socket was full, and the
    last one's id, which those have too that the socket had no room for."""

    waiting: int
    full: int
    socket: int
    last: int


class Watch:
    """Looks at `queues`, for whoever does so often: some 10 us."""

    def __init__(self, queues: Collection[int]) -> None:
        self._queues = {str(number).encode(): number for number in queues}
        try:
            self._descriptor = os.open(PROC, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._descriptor = -1

    def __call__(self) -> dict[int, Seen]:
        """Each of them; nothing where one is not bound, or the kernel does not tell."""
        try:
            lines = os.pread(self._descriptor, 1 << 16, 0).splitlines()
        except OSError:
            return {}
        rows = (line.split() for line in lines)
        found = {
            self._queues[row[0]]: Seen(int(row[2]), int(row[5]), int(row[6]), int(row[7]))
            for row in rows
            if row[0] in self._queues
        }
        return found if len(found) == len(self._queues) else {}

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
