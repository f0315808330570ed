"""The systemd unit that this process belongs to: whether it is still to run.

Asked of systemctl(1) beside the service (nfxlat.service.aside), and only while a successor is awaited: a unit that is
stopped then has no process that systemd would tell. The next question comes a second behind the answer, which takes a
busy manager longer than that.
"""

import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from nfxlat.service.aside import Aside
from nfxlat.service.loop import Loop

EVERY, SECONDS = 1.0, 10.0
LOOKS = 2  # in a row, before it counts
_UNIT = re.compile(r"^0::.*/([^/\n]+\.service)$", re.MULTILINE)


def unit() -> str | None:
    """Its name; None where no unit has started us."""
    try:
        found = _UNIT.search(Path("/proc/self/cgroup").read_text())
    except OSError:
        return None
    return found[1] if found else None


class UnitWatch:
    """Calls `ended` when the unit has been stopped, and nobody is to start it again."""

    def __init__(self, loop: Loop, ended: Callable[[], None]) -> None:
        self._loop, self._ended = loop, ended
        self._unit = unit()
        self._aside: Aside | None = None
        self._looks = 0
        self._closed = False
        if self._unit is not None:
            loop.later(EVERY, self._look)

    def close(self) -> None:
        self._closed = True
        self._forget()

    def _look(self) -> None:
        if self._closed:
            return
        name = self._unit or ""
        self._aside = aside = Aside(lambda say: _tell(name, say), SECONDS)
        self._loop.on_readable(aside, lambda: self._hear(aside))

    def _hear(self, aside: Aside) -> None:
        said = aside.socket.recv(1 << 12, socket.MSG_DONTWAIT)
        self._forget()
        self._looks = self._looks + 1 if is_over(said.decode(errors="replace")) else 0
        if self._looks >= LOOKS:
            self._closed = True
            self._ended()
        else:
            self._loop.later(EVERY, self._look)

    def _forget(self) -> None:
        if self._aside is not None:
            self._loop.forget(self._aside)
            self._aside.end()
            self._aside = None


def is_over(shown: str) -> bool:
    """Whether `systemctl show` says that the unit does not run, and has no job that would change that."""
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    return values.get("ActiveState") == "inactive" and values.get("Job", "") in ("", "0")


def _tell(name: str, say: socket.socket) -> None:
    command = ["systemctl", "show", "-p", "ActiveState", "-p", "Job", "--", name]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS / 2, check=False, text=True
    )
    say.send(done.stdout.encode()[: 1 << 11] or b"-")
