"""What may hang, done by a process of its own: a file on a mount that does not answer holds whoever touches it, and no
signal but SIGKILL ends that. The service forks, polls, and goes on without it where it takes too long.
"""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable

from nfxlat.host import capabilities
from nfxlat.service.inherited import hold_only
from nfxlat.service.supervisor import ended_within

Work = Callable[[socket.socket], None]  # says what it finds, a message at a time (SOCK_SEQPACKET)

_ALL_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


NAME = "nfxlat-aside"  # of its process, in ps and top
GRACE = 5.0  # seconds that its process may live longer than it is waited for, should its parent be gone


class Aside:
    """`work`, for at most `seconds`. Readable (`fileno`) when it has said something, its end included; then `end` is
    due. What it raises is said by nobody: it is to catch that. Raises OSError where there can be no process."""

    def __init__(self, work: Work, seconds: float) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._pid = os.fork()
            except OSError:
                self.socket.close()
                raise
            if not self._pid:
                self._live(work, theirs, seconds)
        self.socket.setblocking(False)

    def fileno(self) -> int:
        return self.socket.fileno()

    def wait(self, seconds: float) -> list[bytes] | None:
        """All that it says until its end, which is then made; None where that takes longer."""
        said: list[bytes] = []
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        try:
            while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                if not (message := self.socket.recv(1 << 16)):
                    return said
                said.append(message)
            return None
        finally:
            self.end()

    def end(self) -> None:
        """Make an end of it. One that the kernel cannot end now stays behind, without anything of ours."""
        if not self._pid:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self.socket.close()
        with contextlib.suppress(ChildProcessError):
            ended_within(self._pid, 1.0)
        self._pid = 0

    @staticmethod
    def _live(work: Work, theirs: socket.socket, seconds: float) -> None:
        """All that happens in its process; does not return."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            _named(NAME)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, seconds + GRACE)
            signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS - {signal.SIGALRM})  # those of our group are not its
            capabilities.keep_only("CAP_DAC_OVERRIDE")  # files of whomever
            hold_only((theirs.fileno(),))
            work(theirs)
            code = 0
        finally:
            os._exit(code)


def _named(name: str) -> None:
    """Name this process as the kernel does (proc_pid_comm(5)); where /proc is not to be written, it keeps its name."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write(name)
