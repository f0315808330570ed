"""Lines for the operator as entries of the journal, with fields that can be asked for; where stderr is the journal.

    MESSAGE, PRIORITY, SYSLOG_IDENTIFIER=nfxlat, NFXLAT_DOMAIN, NFXLAT_EVENT, NFXLAT_REASON

systemd.exec(5) says by JOURNAL_STREAM whether it is; an entry is a datagram to its socket (systemd's Native Journal
Protocol). Which event a line tells is known by its first words: `EVENTS`. No packet makes a line by itself: workers
tell few of those that RFC 7915 asks to be told, and counters have all. Lines that come too fast are counted, and their
number is told when there is room again.
"""

import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from nfxlat.datapath.ratelimit import TokenBucket
from nfxlat.outcome import Reason

SOCKET: Final = Path("/run/systemd/journal/socket")
RATE, BURST = 20.0, 500  # lines a second, lines at once
ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6  # syslog(3)

EVENTS: Final = tuple(
    (re.compile(pattern), event, priority)
    for pattern, event, priority in (
        (r"ready: ", "ready", NOTICE),
        (r"reloaded in |reload: nothing", "reloaded", NOTICE),
        (r"reload refused", "reload-refused", ERROR),
        (r"worker \d+ \(pid \d+\) died", "worker-died", ERROR),
        (r"worker \d+ \(pid \d+\) has hung", "worker-hung", ERROR),
        (r"worker \d+ cannot be started", "worker-missing", ERROR),
        (r"worker \d+ is started", "worker-started", NOTICE),
        (r"(host|rules): .*(cannot be repaired|not repaired|is missing|any more)", "missing", ERROR),
        (r"host: .*yours to set", "missing", WARNING),
        (r"(host|rules): .*; repaired", "repaired", WARNING),
        (r"(host|rules): .*(is there again|found rules)", "there-again", NOTICE),
        (r".* \(told once\)$", "failure", ERROR),
        (r"nfxlat: |Traceback ", "ended", ERROR),
        (r"(no )?offload\b", "offload", INFO),
        (r"trace: ", "trace", INFO),
        (r"(queues?|device|address|route|neighbour|sysctl|rules|stamp|tun|taking over) ", "setup", INFO),
    )
)
_REASONS: Final = frozenset(reason.label for reason in Reason)


def fields(line: str, domain: str = "") -> dict[str, str]:
    """Of its entry."""
    found = {"MESSAGE": line, "SYSLOG_IDENTIFIER": "nfxlat"}
    if domain:
        found["NFXLAT_DOMAIN"] = domain
    event, priority = next(((event, level) for words, event, level in EVENTS if words.match(line)), ("note", INFO))
    if (reason := line.partition(":")[0]) in _REASONS:
        event, found["NFXLAT_REASON"] = "packet", reason
    return {**found, "NFXLAT_EVENT": event, "PRIORITY": str(priority)}


def is_journal(descriptor: int) -> bool:
    """Whether systemd has connected it to the journal."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class Journal:
    """Its socket. `domain` is told with each line from when it is set."""

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises OSError where there is none."""
        self.domain = ""
        self._path = str(path or SOCKET)
        self._bucket, self._suppressed = TokenBucket(RATE, BURST, clock), 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.connect(self._path)
        except BaseException:
            self._socket.close()
            raise

    def write(self, line: str) -> bool:
        """One line, without waiting; False where the limit leaves it out. Raises OSError where the journal does not
        take it."""
        if not self._bucket.take():
            self._suppressed += 1
            return False
        if self._suppressed:
            suppressed, self._suppressed = self._suppressed, 0
            self._send(f"{suppressed} lines were left out: more than {RATE:g} a second")
        self._send(line)
        return True

    def close(self) -> None:
        self._socket.close()

    def _send(self, line: str) -> None:
        entry = "".join(f"{name}={value}\n" for name, value in fields(line, self.domain).items())
        octets = entry.encode(errors="backslashreplace")
        try:
            self._socket.send(octets, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            raise
        except OSError:  # ECONNREFUSED, then ENOTCONN: another socket is there by now, perhaps
            self._socket.connect(self._path)
            self._socket.send(octets, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
