"""A running translator tells its counters to whoever asks on the same network namespace.

It listens on an abstract Unix socket, @nfxlat/DOMAIN/PID (unix(7)): such a name belongs to the network namespace and
goes with the process, so there is nothing to find, to clean up or to mistake. One connection, one JSON object.
"""

import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nfxlat.errors import OperatorError

_PREFIX = "@nfxlat/"
_TIMEOUT = 2.0  # seconds that one who asks may keep the supervisor, or be kept by it
_BACKLOG = 8
_PEER = struct.Struct("=3i")  # struct ucred: pid, uid, gid


@dataclass(frozen=True, slots=True)
class Running:
    """A translator of `domain` on the calling thread's network namespace."""

    domain: str
    pid: int

    @property
    def address(self) -> str:
        return f"\0{_PREFIX[1:]}{self.domain}/{self.pid}"


class StatusSocket:
    """The listening end. `answer` when it can be read; only root and the translator's own user are told."""

    def __init__(self, domain: str, summary: Callable[[], dict[str, Any]]) -> None:
        self._summary = summary
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._listener.bind(Running(domain, os.getpid()).address)
        self._listener.listen(_BACKLOG)

    def fileno(self) -> int:
        return self._listener.fileno()

    def answer(self) -> None:
        """Tell the first who waits."""
        with contextlib.suppress(OSError):  # has gone again, or does not read: its own loss
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(_TIMEOUT)
                credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
                if _PEER.unpack(credentials)[1] in (0, os.geteuid()):
                    connection.sendall(json.dumps(self._summary()).encode())

    def close(self) -> None:
        self._listener.close()


def running() -> list[Running]:
    """All translators on this namespace, by name."""
    found = set()
    for line in Path("/proc/thread-self/net/unix").read_text().splitlines():
        domain, slash, pid = line.rpartition(" ")[2].removeprefix(_PREFIX).rpartition("/")
        if _PREFIX in line and slash and pid.isdecimal():
            found.add((domain, int(pid)))
    return [Running(*each) for each in sorted(found)]


def other(domain: str) -> Running | None:
    """A translator of `domain` on this namespace that lives and is not this process; None without one.

    A name outlives a killed translator for as long as its workers take to notice.
    """
    for one in running():
        if one.domain == domain and one.pid != os.getpid() and Path(f"/proc/{one.pid}").exists():
            return one
    return None


def ask(one: Running) -> dict[str, Any]:
    """Its counters, as `nfxlat run --summary` writes them. Raises OperatorError where it does not answer."""
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(one.address)
            while part := connection.recv(1 << 16):
                answer += part
        summary: dict[str, Any] = json.loads(answer)
    except (OSError, ValueError):
        raise OperatorError(
            "does not answer",
            where=f"domain {one.domain} (pid {one.pid})",
            hint="run as root or as the translator's user",
        ) from None
    return summary
