"""Where packets are: among the kernel's losses, in the hands of killed workers, dropped by the machine itself."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from nfxlat.errors import OperatorError
from nfxlat.lab.netns import wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.stream import Stream, backlog_drops
from nfxlat.service.status import Running, ask

ORDINARY = {"translated", "fragmented", "packet_too_big"}


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    figures: str
    ok: bool


@dataclass(frozen=True)
class Account:
    """Counters of a translator, in packets; the difference of two is what happened between."""

    taken: int
    full: int
    socket: int
    killed: int  # in the hands of workers that were killed: what of it had not left is lost
    backlog: int  # by this machine's processors, of whomever
    restarts: int
    others: Counter[str]  # not translated, by reason

    def __sub__(self, other: Account) -> Account:
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return Account(*(one - two for one, two in pairs))

    def unexplained(self, lost: int, sent: int) -> int:
        """How many of the lost packets are nowhere in it. Nothing of the load is to be dropped for a reason; and this
        machine, which drops others' packets too, explains no more than the hundredth of what was sent."""
        return max(0, lost - self.full - self.socket - self.killed - min(self.backlog, sent // 100))

    def __str__(self) -> str:
        named = {
            "queue full": self.full,
            "socket": self.socket,
            "killed hands": self.killed,
            "this machine": self.backlog,
        }
        named |= {f"counted as {reason}": number for reason, number in self.others.most_common()}
        return ", ".join(f"{what} {number}" for what, number in named.items() if number) or "none"


def told(process: TranslatorProcess) -> dict[str, Any]:
    """What the translator says of itself; while it reloads it answers late."""
    answers: list[dict[str, Any]] = []

    def answered() -> bool:
        with process.namespace.entered(), contextlib.suppress(OperatorError):
            answers.append(ask(Running("siit0", process.pid)))
        return bool(answers) or not process.alive()

    wait_for(answered, "the translator's counters", 60)
    return answers[0]


def account(process: TranslatorProcess) -> Account:
    """As it is now."""
    said = told(process)
    queues, totals = said["queues"].values(), said["totals"]
    others = {reason: sum(row.values()) for reason, row in said["reasons"].items() if reason not in ORDINARY}
    return Account(
        totals["packets"],
        sum(one["full"] for one in queues),
        sum(one["socket"] for one in queues),
        totals["in_killed_hands"],
        backlog_drops(),
        said["workers_restarted"],
        Counter(others),
    )


def waiting(process: TranslatorProcess) -> int:
    """Packets that are still in queues."""
    return sum(one.get("waiting", 0) for one in told(process)["queues"].values())


def lost_of(stream: Stream) -> tuple[int, int]:
    """Datagrams lost, and sent."""
    return sum(map(len, stream.lost)), stream.sent * len(stream.arrived)


@dataclass(frozen=True)
class Size:
    """Of the supervisor: memory of its own (smaps_rollup, Private_*), octets; descriptors."""

    memory: int
    descriptors: int


def size(process: TranslatorProcess) -> Size:
    """As it is now."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    private = sum(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Private_"))
    return Size(private, len(os.listdir(f"/proc/{process.pid}/fd")))
