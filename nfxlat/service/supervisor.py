"""The supervisor: owns the bound sockets, forks the workers that use them, and starts a worker again that dies.

Since the sockets are the supervisor's, a worker that dies loses the batch in its hands and nothing that waits in the
queue. A worker whose supervisor dies reads the end of its control socket and stops; the queues then close, and the
kernel drops.

A worker gets another configuration by being succeeded: its successor is forked, with what the supervisor knows by then
(memory is shared, however large a table), makes itself ready and waits; then the old one stops after its batch, and the
new one goes on. First retire, then go: two readers of one queue would let a flow overtake itself.
"""

import contextlib
import json
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from nfxlat.errors import OperatorError
from nfxlat.terms import Report

Main = Callable[[int, socket.socket], None]  # the worker's life: its number, its control socket

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGHUP)
_STOP_SECONDS = 5.0
_PREPARE_SECONDS = 30.0
_RESTART_SECONDS = 1.0  # a worker that lived shorter is started again only after this
_CONTROL_BUFFER = 4 << 20


@dataclass
class _Child:
    number: int
    pid: int = 0
    control: socket.socket | None = None
    started: float = 0.0
    retired: bool = False


@dataclass
class Supervisor:
    """Runs `count` workers until SIGTERM or SIGINT.

    `watch` maps descriptors to what is called when they can be read; `on_usr1` is called at SIGUSR1, `on_hup` at
    SIGHUP. What a worker sends on its control socket goes to `heard` and to all others. `restarts` counts workers that
    had to be started again.
    """

    main: Main
    count: int
    report: Report
    on_usr1: Callable[[], None]
    on_hup: Callable[[], None] = lambda: None
    heard: Callable[[object], None] = lambda message: None
    watch: dict[int, Callable[[], None]] = field(default_factory=dict)
    restarts: int = 0
    _children: list[_Child] = field(default_factory=list)
    _successors: list[_Child] = field(default_factory=list)
    _timers: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    _poll: select.poll = field(default_factory=select.poll)

    def send(self, message: object, but: _Child | None = None) -> None:
        """Give every worker (`but` one) a message (JSON)."""
        data = json.dumps(message).encode()
        for child in (*self._children, *self._successors):
            if child.control is not None and child is not but:
                with contextlib.suppress(OSError):  # a worker that is just dying gets it from its successor's start
                    child.control.send(data)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call it once, after so many seconds."""
        self._timers.append((time.monotonic() + seconds, call))

    def prepare(self) -> None:
        """Fork a successor of each worker and have it make itself ready. Raises OperatorError; then none is left."""
        try:
            for child in self._children:
                successor = _Child(child.number)
                self._successors.append(successor)
                self._start(successor, go=False)
            for successor in self._successors:
                assert successor.control is not None
                readable, _, _ = select.select([successor.control], [], [], _PREPARE_SECONDS)
                if not readable or not successor.control.recv(_CONTROL_BUFFER):
                    raise OperatorError("a new worker does not get ready", where=f"worker {successor.number}")
        except OSError as error:
            self.discard()
            raise OperatorError(os.strerror(error.errno or 0), where="a new worker") from None
        except OperatorError:
            self.discard()
            raise

    def discard(self) -> None:
        """End the successors; the workers go on."""
        for successor in self._successors:
            self._end(successor, 0.0)
        self._successors.clear()

    def succeed(self) -> float:
        """Have the successors go on in the place of the workers; the longest time without one, in seconds."""
        longest = 0.0
        for index, successor in enumerate(self._successors):
            old, began = self._children[index], time.monotonic()
            if old.control is not None:
                with contextlib.suppress(OSError):
                    old.control.send(b'"stop"')
            self._children[index] = successor
            if not self._has_retired(old):
                self._end(old, 0.0)
            assert successor.control is not None
            with contextlib.suppress(OSError):  # one that has died meanwhile is started again like any other
                successor.control.send(b'"go"')
            successor.started = time.monotonic()
            longest = max(longest, successor.started - began)
            self._end(old, _STOP_SECONDS)
        self._successors.clear()
        return longest

    def _has_retired(self, child: _Child) -> bool:
        """Wait for a worker's word that its queues are another's; its process may take longer to end."""
        deadline = time.monotonic() + _STOP_SECONDS
        while child.control is not None and not child.retired:
            readable, _, _ = select.select([child.control], [], [], max(0.0, deadline - time.monotonic()))
            if not readable or not self._relay(child):
                break
        return child.retired

    def run(self, ready: Callable[[], None]) -> None:
        """Start the workers, call `ready`, and return when they have stopped after a signal."""
        wakeup, waker = socket.socketpair()
        wakeup.setblocking(False)
        waker.setblocking(False)
        before = {number: signal.signal(number, _ignore) for number in _SIGNALS}
        previous = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        try:
            for number in range(self.count):
                child = _Child(number)
                self._children.append(child)
                self._start(child)
            ready()
            self._loop(wakeup)
        finally:
            self._stop()
            signal.set_wakeup_fd(previous)
            for number, handler in before.items():
                signal.signal(number, handler)
            wakeup.close()
            waker.close()

    def _loop(self, wakeup: socket.socket) -> None:
        for watched in (wakeup.fileno(), *self.watch):
            self._poll.register(watched, select.POLLIN)
        while True:
            for descriptor, _ in self._poll.poll(self._due(self._revive())):
                if descriptor in self.watch:
                    self.watch[descriptor]()
                    continue
                if descriptor != wakeup.fileno():
                    for child in self._children:  # a dying worker's is read until `_revive` sees its end
                        if child.control is not None and child.control.fileno() == descriptor:
                            self._relay(child)
                    continue
                signals = wakeup.recv(64)
                if signal.SIGTERM in signals or signal.SIGINT in signals:
                    return
                if signal.SIGUSR1 in signals:
                    self.on_usr1()
                if signal.SIGHUP in signals:
                    self.on_hup()

    def _due(self, milliseconds: int | None) -> int | None:
        """Call the timers that are due; how long to wait for the next, or for what is due in `milliseconds`."""
        now = time.monotonic()
        due = [timer for timer in self._timers if timer[0] <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for _, call in due:
            call()
        waits = [int((deadline - time.monotonic()) * 1000) + 1 for deadline, _ in self._timers]
        waits += [milliseconds] if milliseconds is not None else []
        return max(0, min(waits)) if waits else None

    def _relay(self, child: _Child) -> bool:
        """Pass on what the worker says; False at its end."""
        assert child.control is not None
        with contextlib.suppress(OSError):
            data = child.control.recv(_CONTROL_BUFFER)
            if data:
                message = json.loads(data)
                if message == "retired":
                    child.retired = True
                elif message != "ready":
                    self.heard(message)
                    self.send(message, but=child)
                return True
            with contextlib.suppress(KeyError):
                self._poll.unregister(child.control)
        return False

    def _revive(self) -> int | None:
        """Start again what has died; milliseconds until there is more to do, None if nothing is due."""
        due: int | None = None
        for child in self._children:
            if child.pid:
                with contextlib.suppress(ChildProcessError):
                    pid, status = os.waitpid(child.pid, os.WNOHANG)
                    if not pid:
                        continue
                    self.report(f"worker {child.number} (pid {pid}) died: {_cause(status)}; starting it again")
                self._forget(child)
            wait = child.started + _RESTART_SECONDS - time.monotonic()
            if wait > 0:
                due = min(due or 1 << 30, int(wait * 1000) + 1)
                continue
            self.restarts += 1
            self._start(child)
        return due

    def _start(self, child: _Child, *, go: bool = True) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _CONTROL_BUFFER)
        pid = os.fork()
        if not pid:
            code = 1
            try:
                ours.close()
                for sibling in (*self._children, *self._successors):
                    if sibling.control is not None:
                        sibling.control.close()
                signal.set_wakeup_fd(-1)
                for number in _SIGNALS:
                    signal.signal(number, signal.SIG_IGN if number != signal.SIGCHLD else signal.SIG_DFL)
                self.main(child.number, theirs)
                tell(theirs, "retired")
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        theirs.close()
        ours.setblocking(False)
        self._poll.register(ours, select.POLLIN)
        child.pid, child.control, child.started = pid, ours, time.monotonic()
        if go:
            ours.send(b'"go"')

    def _forget(self, child: _Child) -> None:
        if child.control is not None:
            with contextlib.suppress(KeyError):
                self._poll.unregister(child.control)
            child.control.close()
        child.pid, child.control = 0, None

    def _stop(self) -> None:
        """Tell the workers to end, and make an end of those that do not."""
        self.send("stop")
        deadline = time.monotonic() + _STOP_SECONDS
        for child in self._children:
            self._end(child, max(0.0, deadline - time.monotonic()))
        self.discard()

    def _end(self, child: _Child, seconds: float) -> None:
        """Wait for a worker that was told to stop, at most so long; hear its last words."""
        if child.pid:
            try:
                ended = os.pidfd_open(child.pid)
                select.select([ended], [], [], seconds)
                os.close(ended)
                if os.waitpid(child.pid, os.WNOHANG) == (0, 0):
                    if seconds:
                        self.report(f"worker {child.number} (pid {child.pid}) does not stop; killing it")
                    os.kill(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
            except (ChildProcessError, ProcessLookupError):
                pass
        while child.control is not None and self._relay(child):
            pass
        self._forget(child)


def wait_for_go(control: socket.socket, command: Callable[[object], None]) -> bool:
    """A worker's last step before its work: say that it is ready, and do what it is told until it is told to go.

    False where it is told to stop instead.
    """
    tell(control, "ready")
    while True:
        message = receive(control)
        if message in ("go", "stop"):
            return message == "go"
        command(message)


def receive(control: socket.socket) -> object:
    """The message that waits on a worker's control socket; "stop" when the supervisor is gone."""
    data = control.recv(_CONTROL_BUFFER)
    return json.loads(data) if data else "stop"


def tell(control: socket.socket, message: object) -> None:
    """Tell all other workers."""
    with contextlib.suppress(OSError):  # the supervisor is gone, or too busy: each worker learns by itself as well
        control.send(json.dumps(message).encode(), socket.MSG_DONTWAIT)


def pack_addresses(addresses: Collection[bytes]) -> list[str]:
    """Packed addresses, fit for a message."""
    return sorted(address.hex() for address in addresses)


def unpack_addresses(message: object) -> frozenset[bytes]:
    """The inverse of `pack_addresses`."""
    assert isinstance(message, list)
    return frozenset(bytes.fromhex(text) for text in message)


def _cause(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit {os.waitstatus_to_exitcode(status)}"


def _ignore(number: int, frame: object) -> None:
    """The wakeup descriptor tells the loop."""
