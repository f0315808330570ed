"""Lines for the operator, to stderr or stdout: writing them never raises and never waits.

What cannot be written at once (a full disk, a pipe whose reader has gone or does not read, a terminal that is held) is
lost and counted. A pipe or terminal is opened anew, so that not to wait holds for this process alone and not for
others that write to it; where it cannot be, and for sockets, the kernel is asked before each write. Lines are at most
LONGEST octets: a pipe takes so much whole or not at all (PIPE_BUF). What is connected to the journal gets entries with
fields (nfxlat.service.journal).
"""

import contextlib
import os
import select
import socket
import stat

from nfxlat.errors import printable
from nfxlat.service.journal import Journal, is_journal

LONGEST = 4096


class Log:
    """Call it with a line. `lost`: how many could not be written."""

    def __init__(self, descriptor: int = 2) -> None:
        self.lost = 0
        self._descriptor = descriptor
        self._opened = False
        self._socket: socket.socket | None = None
        self._journal: Journal | None = None
        if is_journal(descriptor):
            with contextlib.suppress(OSError):
                self._journal = Journal()
        with contextlib.suppress(OSError):  # closed: each line is lost
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISSOCK(mode):
                self._socket = socket.socket(fileno=os.dup(descriptor))
            elif stat.S_ISFIFO(mode) or os.isatty(descriptor):
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
                self._descriptor = os.open(f"/proc/self/fd/{descriptor}", flags)
                self._opened = True

    def __call__(self, text: str) -> None:
        """Write it, each of its lines by itself, without characters that would control a terminal."""
        for line in text.splitlines():
            shown = printable(line)[: LONGEST - 1]
            if self._journal is not None:
                with contextlib.suppress(OSError):  # then as text
                    self.lost += not self._journal.write(shown)
                    continue
            octets = shown.encode(errors="backslashreplace")[: LONGEST - 1] + b"\n"
            try:
                written = self._write(octets)
            except (OSError, ValueError):  # ValueError: it has been closed
                written = 0
            self.lost += written != len(octets)

    def name(self, domain: str) -> None:
        """Whose lines these are, for the journal."""
        if self._journal is not None:
            self._journal.domain = domain

    def close(self) -> None:
        """Close what was opened here."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        if self._socket is not None:
            self._socket.close()
        elif self._opened:
            os.close(self._descriptor)
        self._descriptor, self._socket, self._opened = -1, None, False

    def _write(self, octets: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(octets, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        if not self._opened:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            if not poll.poll(0):
                return 0
        return os.write(self._descriptor, octets)
