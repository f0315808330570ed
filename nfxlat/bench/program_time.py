"""How long a translator's BPF programs run, as the kernel counts it (BPF_ENABLE_STATS, linux/bpf.h; since Linux 5.8).

They are found by the links that its processes hold, so by cls_bpf, which has none, nothing is told.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from nfxlat.host import bpf

_FD_BY_ID, _ENABLE_STATS = 13, 32  # BPF_PROG_GET_FD_BY_ID, BPF_ENABLE_STATS
_RUN_TIME = struct.pack("=I", 0)  # BPF_STATS_RUN_TIME


@contextlib.contextmanager
def program_time(pids: Collection[int]) -> Iterator[Callable[[], float | None]]:
    """Seconds that one run has taken on average since the block began; None: there is no program, or none has run."""
    with contextlib.ExitStack() as stack:
        programs = []
        with contextlib.suppress(OSError):  # a kernel before 5.8, or one that is locked down
            if numbers := _programs(pids):
                stack.callback(os.close, bpf.call(_ENABLE_STATS, _RUN_TIME))
            for number in numbers:
                programs.append(bpf.call(_FD_BY_ID, struct.pack("=III", number, 0, 0)))
                stack.callback(os.close, programs[-1])
        before = _sum(programs)

        def spent() -> float | None:
            seconds, runs = (now - then for now, then in zip(_sum(programs), before, strict=True))
            return seconds / runs / 1e9 if runs else None

        yield spent


def _programs(pids: Collection[int]) -> set[int]:
    """Their ids."""
    found = set()
    for pid in pids:
        for path in Path(f"/proc/{pid}/fdinfo").iterdir():
            fields = _fields(path)
            if "link_id" in fields and "prog_id" in fields:
                found.add(int(fields["prog_id"]))
    return found


def _sum(programs: Collection[int]) -> tuple[int, int]:
    """Nanoseconds and runs of all of them."""
    found = [_fields(Path(f"/proc/self/fdinfo/{one}")) for one in programs]
    return sum(int(one["run_time_ns"]) for one in found), sum(int(one["run_cnt"]) for one in found)


def _fields(path: Path) -> dict[str, str]:
    with contextlib.suppress(OSError):
        pairs = (line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        return {name: value.strip() for name, value in pairs}
    return {}
