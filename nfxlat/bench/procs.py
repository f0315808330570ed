"""What processes cost, out of proc(5): time on a CPU, and memory."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Memory:
    """Octets: resident, and the proportional share of it (pages in common with others are divided)."""

    rss: int
    pss: int


def session(leader: int) -> list[int]:
    """Pids of the session that `leader` leads: itself and what it has forked."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                # state, ppid, pgrp, session; the name in front, in brackets, may hold anything
                if int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[3]) == leader:
                    found.append(int(entry))
    return found


def cpu_seconds(pids: list[int]) -> float:
    """Time that all threads of the processes have spent on a CPU, softirqs that ran on their back included."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9


def memory(pids: list[int]) -> Memory:
    """The sum over the processes."""
    sums = {"Rss:": 0, "Pss:": 0}
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, *rest = line.split()
                if name in sums:
                    sums[name] += int(rest[0]) * 1024
    return Memory(sums["Rss:"], sums["Pss:"])
