"""Network namespaces as context managers: for the demo, the benchmark and the tests.

A `Namespace` is a named one (`ip netns`), so that an operator can enter it. Python code runs inside by `setns(2)` on
the calling thread: a socket belongs for life to the namespace it was made in, so one process can hold both ends of a
test. Names carry the creator's pid; on exit, by whatever way, the processes started inside are ended by pid and the
name is removed. `signals_raise` turns SIGTERM and SIGHUP into an exception, so that the same way out is taken.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_interface
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

from nfxlat.errors import OperatorError
from nfxlat.host.netns import in_namespace

RUN_NETNS = "/run/netns"
PYTHON = (sys.executable, "-P")  # without the directory it is started in, which may hold something called nfxlat

P = ParamSpec("P")
R = TypeVar("R")


def ip(*arguments: str, lines: str = "") -> str:
    """Run ip(8), with `lines` as its input, and return its output; OperatorError with its first line of complaint."""
    try:
        # in a session of its own, so that a terminal's Ctrl-C does not end it halfway
        done = subprocess.run(
            ["ip", *arguments],
            input=lines,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise OperatorError("ip(8) is not installed", where="lab", hint="install the package iproute2") from None
    if done.returncode:
        complaint = (done.stderr.strip().splitlines() or ["failed"])[0]
        raise OperatorError(
            complaint, where=f"ip {' '.join(arguments)}", hint="" if os.geteuid() == 0 else "run as root"
        )
    return done.stdout


def wait_for(condition: Callable[[], object], what: str, timeout: float = 30.0) -> None:
    """Poll `condition` until it is true; TimeoutError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(0.005)


class Namespace:
    """One named network namespace, with its loopback up, for as long as the `with` block lasts."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.name = f"nfx-{os.getpid():x}-{label}"
        self.path = f"{RUN_NETNS}/{self.name}"
        self.processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Namespace:
        try:
            ip("netns", "add", self.name)
            # no waiting for duplicate address detection, on any interface made later (addrconf.c: both count)
            for scope in ("all", "default"):
                self.sysctl(f"net.ipv6.conf.{scope}.accept_dad", 0)
                self.sysctl(f"net.ipv6.conf.{scope}.accept_ra", 0)
            self.sysctl("net.ipv6.conf.default.router_solicitations", 0)
            ip("-n", self.name, "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def inode(self) -> int:
        """The inode number that names the namespace in /proc/PID/ns/net."""
        return os.stat(self.path).st_ino

    def close(self) -> None:
        """End the processes started inside, then remove the name. Safe to call twice."""
        with signals_deferred():
            end_processes(self.processes)
            self.processes.clear()
            if os.path.exists(self.path):
                ip("netns", "del", self.name)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is inside; sockets and processes made meanwhile belong to this namespace."""
        with in_namespace(self.name):
            yield

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `function` inside, on this thread."""
        with self.entered():
            return function(*args, **kwargs)

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start `command` inside, in a session of its own (a terminal's Ctrl-C reaches us, not it); text pipes."""
        with signals_deferred():
            with self.entered():
                process = subprocess.Popen(command, text=True, start_new_session=True, **options)
            self.processes.append(process)
        return process

    def run(
        self, command: Sequence[str], *, timeout: float = 60.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` inside to its end; ends it on timeout and on any exception."""
        process = self.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            output, errors = process.communicate(timeout=timeout)
        finally:
            end_processes([process])
            self.processes.remove(process)
        if check and process.returncode:
            raise subprocess.CalledProcessError(process.returncode, list(command), output, errors)
        return subprocess.CompletedProcess(list(command), process.returncode, output, errors)

    def ip(self, arguments: str) -> str:
        """`ip -n NAME ARGUMENTS`, split at blanks. An IPv6 address that it adds is there then."""
        said = ip("-n", self.name, *arguments.split())
        self._wait_until_local([arguments])
        return said

    def ip_batch(self, lines: Sequence[str]) -> None:
        """`ip -n NAME LINE` for each line up to the first that fails, in one process, which is much faster."""
        ip("-n", self.name, "-batch", "-", lines="\n".join(lines))
        self._wait_until_local(lines)

    def sysctl(self, key: str, value: int | str | None = None) -> str:
        """Read a dotted sysctl, after writing `value` if given."""
        path = "/proc/sys/" + key.replace(".", "/")
        with self.entered():
            if value is not None:
                with open(path, "w") as file:
                    file.write(str(value))
            with open(path) as file:
                return file.read().strip()

    def mac(self, interface: str) -> bytes:
        """The address of its link layer."""
        (found,) = json.loads(self.ip(f"-j link show dev {interface}"))
        return bytes.fromhex(found["address"].replace(":", ""))

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Wait until every link that is up has its carrier, no address is tentative, and what is for one arrives."""
        wait_for(lambda: not self._unready(), f"links of {self.name}", timeout)

    def _unready(self) -> list[str]:
        unready = []
        links = json.loads(self.ip("-j address show"))
        for link in links:
            up, carrier = "UP" in link["flags"], "LOWER_UP" in link["flags"]
            tentative = any(address.get("tentative") for address in link["addr_info"])
            if up and (not carrier or tentative):
                unready.append(link["ifname"])
        return unready or self._not_local_yet(links)

    def _not_local_yet(self, links: Sequence[dict[str, Any]]) -> list[str]:
        """IPv6 addresses whose packets do not arrive: they are local, and told of, only a moment after ip(8) has
        returned, whether they are tentative or not (addrconf_dad_work)."""
        connected = [link for link in links if "LOWER_UP" in link["flags"]]
        found = {one["local"] for link in connected for one in link["addr_info"] if one["family"] == "inet6"}
        if not found:
            return []
        local = json.loads(self.ip("-j -6 route show table all type local"))  # a VRF has its own
        return sorted(found - {route["dst"] for route in local})

    def _wait_until_local(self, commands: Sequence[str]) -> None:
        added = {text for command in commands for text in _added6(command.split())}
        if added:

            def all_local() -> bool:
                return added.isdisjoint(self._not_local_yet(json.loads(self.ip("-j address show"))))

            wait_for(all_local, f"addresses of {self.name}")


def _added6(words: list[str]) -> list[str]:
    """The IPv6 address that arguments of ip(8) add."""
    match [word for word in words if not word.startswith("-")]:
        case ["address", "add" | "replace", text, *_] if ":" in text:
            return [str(ip_interface(text).ip)]
    return []


def link(left: Namespace, left_name: str, right: Namespace, right_name: str, mtu: int = 1500) -> None:
    """A veth pair, both ends up, between two namespaces; it goes with either of them."""
    ip("link", "add", *_ends(left, left_name, right, right_name, mtu).split())
    left.ip(f"link set dev {left_name} up")
    right.ip(f"link set dev {right_name} up")


def links(pairs: Sequence[tuple[Namespace, str, Namespace, str, int]]) -> None:
    """A `link` for each of these, with few processes."""
    ip("-batch", "-", lines="\n".join("link add " + _ends(*pair) for pair in pairs))
    up: dict[Namespace, list[str]] = {}
    for left, left_name, right, right_name, _ in pairs:
        up.setdefault(left, []).append(f"link set dev {left_name} up")
        up.setdefault(right, []).append(f"link set dev {right_name} up")
    for namespace, lines in up.items():
        namespace.ip_batch(lines)


def _ends(left: Namespace, left_name: str, right: Namespace, right_name: str, mtu: int) -> str:
    return f"name {left_name} mtu {mtu} netns {left.name} type veth peer name {right_name} mtu {mtu} netns {right.name}"


def end_processes(processes: Sequence[subprocess.Popen[str]], grace: float = 5.0) -> None:
    """SIGTERM each, wait up to `grace` seconds, then SIGKILL its process group; close the pipes."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + grace
    for process in processes:
        _wait_for_end(process, max(0.0, deadline - time.monotonic()))
        # the group outlives its leader when that was killed; the leader's pid is not reused before it is empty
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _wait_for_end(process: subprocess.Popen[str], seconds: float) -> None:
    """Until it has ended, at most so long. `Popen.wait` would sleep up to 50 ms between two looks."""
    if process.poll() is None:
        ended = os.pidfd_open(process.pid)  # not reaped yet, so the pid is its own
        try:
            select.select([ended], [], [], seconds)
        finally:
            os.close(ended)


class Terminated(BaseException):
    """SIGTERM or SIGHUP, `number` says which, arrived under `signals_raise`; no Exception, like KeyboardInterrupt."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """SIGTERM and SIGHUP raise Terminated in the main thread, as SIGINT raises KeyboardInterrupt."""

    def raise_terminated(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    numbers = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup(1)
        numbers.append(signal.SIGHUP)
    former = {number: signal.signal(number, raise_terminated) for number in numbers}
    # a shell starts background jobs with SIGINT ignored, and Python then leaves it so
    former[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def signals_deferred() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP take effect at the end of the block: what it makes or removes, it does so wholly.

    Other than a signal mask or SIG_IGN this is not inherited by the processes that the block starts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    former = {number: signal.signal(number, lambda signum, frame: caught.append(signum)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(caught[0])
