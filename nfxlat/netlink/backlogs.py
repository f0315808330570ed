"""Each processor's backlog: packets that one interface has handed to another of this machine, and that wait there.

/proc/net/softnet_stat (net/core/net-procs.c), a line each, numbers in hexadecimal:
packets taken, dropped, squeezed, 5 zeros, collisions, by RPS, by flow limit, waiting (since Linux 5.10), processor
"""

import ctypes
import os
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc/thread-self/net/softnet_stat")
_TAKEN, _WAITING, _PROCESSOR = 0, 11, 12

processor = ctypes.CDLL(None).sched_getcpu
"""The number of the one that the calling thread runs on (sched_getcpu(3))."""


class Backlog(NamedTuple):
    """Packets that the processor has taken from interfaces so far (32 bits), and that wait for it."""

    taken: int
    waiting: int


class Backlogs:
    """Looks at all of them, for whoever does so often: a few microseconds a processor."""

    def __init__(self) -> None:
        try:
            self._descriptor = os.open(PROC, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._descriptor = -1

    def __call__(self) -> dict[int, Backlog]:
        """By processor; nothing where the kernel does not tell."""
        try:
            rows = [line.split() for line in os.pread(self._descriptor, 1 << 20, 0).splitlines()]
        except OSError:
            return {}
        return {
            int(row[_PROCESSOR], 16): Backlog(int(row[_TAKEN], 16), int(row[_WAITING], 16))
            for row in rows
            if len(row) > _PROCESSOR
        }

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
