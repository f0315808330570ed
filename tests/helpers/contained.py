"""`nfxlat run` as a container has it: its own user, network and mount namespaces, /run and /sys of its own.

host4 192.0.2.2 --- eth4 [ container: root there, nobody here ] eth6 --- host6 2001:db8:2::2 = 203.0.113.2
"""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT

from nfxlat.lab.netns import Namespace, end_processes, wait_for

DOMAIN = ("--prefix6", "2001:db8:64::/96", "--eam", "203.0.113.2=2001:db8:2::2")
ADDRESSES = (
    "ip link set lo up; ip address add 192.0.2.1/24 dev eth4; ip address add 2001:db8:2::1/64 dev eth6 nodad; "
    "ip link set eth4 up; ip link set eth6 up"
)
PRIVATE = "mount --make-rprivate /; mount -t tmpfs none /run; mount -t sysfs none /sys"
READ_ONLY = "mount -o bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys"


class Container:
    """`sh` in such namespaces, told line by line what to do. What runs in the background writes to `log`."""

    def __init__(self, log: Path) -> None:
        self.log = log
        log.touch()
        self.process = subprocess.Popen(
            ["unshare", "-Urnm", "sh", "-c", f'exec 3>>"$0"; {PRIVATE}; echo; exec sh', str(log)],
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        assert self.output.readline() == "\n"

    def run(self, command: str) -> list[str]:
        """What it prints."""
        self.input.write(f"{command}\necho done\n")
        lines: list[str] = []
        while (line := self.output.readline()) != "done\n":
            if not line:
                raise EOFError("\n".join(["the container has ended", *lines]))
            lines.append(line.rstrip("\n"))
        return lines

    def nfxlat(self, *arguments: str) -> str:
        """The command."""
        return " ".join((sys.executable, "-m", "nfxlat", *arguments))

    def start(self, *arguments: str) -> list[str]:
        """`nfxlat run` in the background, of DOMAIN; what it says until it is ready or has ended."""
        before = len(self.log.read_text())
        self.input.write(f"{{ {self.nfxlat('run', *DOMAIN, *arguments)}; echo ended; }} >&3 2>&3 &\n")

        def said() -> list[str]:
            """All of it, if it has said that."""
            lines = self.log.read_text()[before:].rpartition("\n")[0].splitlines()
            last = (number for number, line in enumerate(lines, 1) if line.startswith("ready:") or line == "ended")
            return lines[: next(last, 0)]

        wait_for(said, "ready, or the end, of nfxlat run", 60)
        return said()


@contextlib.contextmanager
def container() -> Iterator[tuple[Container, Namespace, Namespace]]:
    """One between two hosts, addresses given."""
    with tempfile.TemporaryDirectory() as folder, Namespace("host4") as host4, Namespace("host6") as host6:
        inside = Container(Path(folder) / "log")
        try:
            for host, name in ((host4, "eth4"), (host6, "eth6")):
                host.ip(f"link add eth0 type veth peer name {name} netns {inside.process.pid}")
                host.ip("link set eth0 up")
            host4.ip("address add 192.0.2.2/24 dev eth0")
            host4.ip("route add default via 192.0.2.1")
            host6.ip("-6 address add 2001:db8:2::2/64 dev eth0 nodad")
            host6.ip("-6 route add default via 2001:db8:2::1")
            inside.run(ADDRESSES)
            yield inside, host4, host6
        finally:
            end_processes([inside.process])
