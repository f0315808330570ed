"""A service manager, as far as `nfxlat run` speaks with one: NOTIFY_SOCKET, a store of descriptors, LISTEN_FDS.

python manager.py NAMES NUMBER... -- COMMAND     the descriptors NUMBER are its from 3 on, as sd_listen_fds(3) says
"""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

from nfxlat.lab.netns import Namespace, wait_for

FIRST = 3
HIGH = 200  # above all that are to be 3 and on


class Manager:
    """`nfxlat run` as it starts it; `main`: the process that it takes for the service's. `told`: all states."""

    def __init__(self, namespace: Namespace, directory: Path, *arguments: str) -> None:
        self.namespace, self.log = namespace, directory / "manager.log"
        self.command = [sys.executable, "-m", "nfxlat", "run", "--setup", *arguments]
        self.store: dict[str, int] = {}
        self.told: list[str] = []
        self.main = 0
        self._path = str(directory / "notify.sock")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._path)
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()
        self.log.touch()

    def start(self) -> subprocess.Popen[str]:
        """One more process, not ready yet; it gets what is in the store."""
        self.told.clear()
        names, numbers = ":".join(self.store), list(self.store.values())
        command = [sys.executable, __file__, names, *map(str, numbers), "--", *self.command]
        environment = {**os.environ, "NOTIFY_SOCKET": self._path}
        with self.log.open("a") as log:
            process = self.namespace.popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=numbers, env=environment
            )
        self.main = process.pid
        return process

    def started(self) -> subprocess.Popen[str]:
        """The same, ready."""
        process = self.start()
        wait_for(lambda: self.ready or process.poll() is not None, "the service", 120)
        assert process.poll() is None, self.output()
        return process

    @property
    def ready(self) -> bool:
        return any("READY=1" in state for state in self.told)

    def make_way(self, process: subprocess.Popen[str]) -> None:
        """What the unit does when a restart follows: SIGUSR2, and SIGTERM behind it."""
        for number in (signal.SIGUSR2, signal.SIGTERM):
            os.kill(process.pid, number)
        assert process.wait(60) == 0, self.output()

    def output(self) -> list[str]:
        return self.log.read_text().splitlines()

    def _hear(self) -> None:
        while True:
            octets, descriptors, _, _ = socket.recv_fds(self._socket, 1 << 14, 4)
            if not octets:
                return
            values = dict(line.split("=", 1) for line in octets.decode().splitlines())
            if values.get("FDSTORE") == "1":
                (self.store[values["FDNAME"]],) = descriptors
                descriptors = []
            elif values.get("FDSTOREREMOVE") == "1":
                os.close(self.store.pop(values["FDNAME"]))
            self.main = int(values.get("MAINPID", self.main))
            for descriptor in descriptors:
                os.close(descriptor)
            self.told.append(octets.decode())

    def close(self) -> None:
        """All that it has started is ended by the namespace; one that has been taken for main, here."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.main, signal.SIGKILL)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self._path)
        self._thread.join()
        self._socket.close()
        for descriptor in self.store.values():
            os.close(descriptor)

    def __enter__(self) -> "Manager":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note("\n".join(self.output()[-60:]))
        self.close()


def main() -> None:
    names, *rest = sys.argv[1:]
    at = rest.index("--")
    given = [int(number) for number in rest[:at]]
    high = [fcntl.fcntl(number, fcntl.F_DUPFD, HIGH) for number in given]
    for number in given:
        os.close(number)
    for number, descriptor in enumerate(high, FIRST):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if high:
        os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(high)), "LISTEN_FDNAMES": names}
    os.execvp(rest[at + 1], rest[at + 1 :])


if __name__ == "__main__":
    main()
