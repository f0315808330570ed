"""What a translator shows to who traces: messages of known shape. They were read, so they are not believed.

{"time": seconds since 1970, "worker": n, "hook": name, "interface": index, "action": action, "reason": label,
 "fast": bool, "unfinished": bool, "packet": hex, "length": n, "packets": [hex], "lengths": [n], "missed": n,
 "superframe": {"gso_size": n, "segments": n, 0: in one piece} (may be missing)}
"""

import json
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nfxlat.datapath.trace import HOOKS
from nfxlat.outcome import Action, Reason

_LARGEST = 1 << 18
_MOST = (1 << 64) - 1


class NotShown(ValueError):
    """What came is not what a translator shows."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One packet. `packet`, `packets`: as much of them as was asked for, octets; `lengths`: of all that came out, which
    may be more; `gso_size`, `segments`: of a superframe, else None; 0: not known, in one piece."""

    time: float
    worker: int
    hook: str
    interface: int
    action: Action
    reason: Reason
    fast: bool
    unfinished: bool
    packet: bytes
    length: int
    packets: tuple[bytes, ...]
    lengths: tuple[int, ...]
    missed: int
    gso_size: int | None = None
    segments: int | None = None

    @classmethod
    def of(cls, octets: bytes) -> "Shown":
        """Raises NotShown."""
        try:
            found = json.loads(octets)
            superframe = found.get("superframe", {"gso_size": None, "segments": None})
            made = cls(
                _seconds(found["time"]),
                _number(found["worker"]),
                HOOKS[HOOKS.index(found["hook"])],
                _number(found["interface"]),
                Action(found["action"]),
                Reason[found["reason"].upper()],
                bool(found["fast"]),
                bool(found["unfinished"]),
                bytes.fromhex(found["packet"]),
                _number(found["length"]),
                tuple(bytes.fromhex(packet) for packet in found["packets"]),
                tuple(_number(length) for length in found["lengths"]),
                _number(found["missed"]),
                *(None if one is None else _number(one) for one in (superframe["gso_size"], superframe["segments"])),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise NotShown(str(error)) from None
        if len(made.packets) > len(made.lengths):
            raise NotShown("lengths")
        return made


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise NotShown("not a number")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 32:
        raise NotShown("not a time")
    return float(value)


def shown(connection: socket.socket, seconds: float | None = None) -> Iterator[Shown]:
    """What is shown behind the request "trace" (nfxlat.service.tracing), until the translator ends, or for so long,
    however much still waits. Raises NotShown."""
    deadline = None if seconds is None else time.monotonic() + seconds
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if left == 0 or not poll.poll(left):
            return
        try:
            octets = connection.recv(_LARGEST)
        except ConnectionError:
            return
        if not octets:
            return
        yield Shown.of(octets)
