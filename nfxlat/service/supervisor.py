"""The supervisor: forks the workers, and starts a worker again that dies. It knows processes, not what they do.

Since the queues' sockets are this process's, a worker that dies loses the batch in its hands and nothing that waits in
the queue. A worker whose supervisor dies reads the end of its control socket and stops; the queues then close, and the
kernel drops.

A worker gets another configuration by being succeeded: its successor is forked, with what the supervisor knows by then
(memory is shared, however large a table), makes itself ready and waits; then the old one stops after its batch, and the
new one goes on. First retire, then go: two readers of one queue would let a flow overtake itself.

A worker that hangs is noticed: each is asked every PING_SECONDS, and one that has not answered HUNG_PINGS in a row is
killed, and so started again. They are counted, and what it has said is heard first, so that a supervisor that was busy
or stopped itself blames nobody.

What a worker cannot take now, because it is too busy to read, is kept for it, in order, and sent again at the next
ping: one that missed the last word of a change would not know of it until the next.
"""

import contextlib
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from nfxlat.errors import OperatorError
from nfxlat.service.control import Control
from nfxlat.service.loop import HasDescriptor, Loop
from nfxlat.service.messages import (
    Go,
    Message,
    MessageError,
    PathMtu,
    Ping,
    Pong,
    Ready,
    Retired,
    Stop,
    Told,
    Trace,
    Untrace,
)
from nfxlat.terms import Report

Main = Callable[[int, Control], None]  # a worker's life: its number, its end of the control socket

STOP_SECONDS = 5.0
PREPARE_SECONDS = 30.0
PING_SECONDS, HUNG_PINGS = 1.0, 5
SEND_AGAIN_SECONDS = 0.05  # while its end is waited for
RESTART_SECONDS = 1.0  # a worker that lived shorter is started again only after this
TRACEBACK = 1 << 13  # octets of a dying worker's traceback that are told: its end
RESTART_AT_MOST = 30.0  # seconds, where it cannot be forked: each time twice as long


@dataclass(slots=True, eq=False)
class _Child:
    """A worker. `pid` 0 and no `control`: it has ended. `unsent`: what it could not take yet."""

    number: int
    pid: int = 0
    control: Control | None = None
    started: float = 0.0
    retired: bool = False
    killed: bool = False  # for it has hung
    unanswered: int = 0  # pings in a row
    refused: int = 0  # how often in a row it could not be forked
    unsent: list[Message] = field(default_factory=list)


class Supervisor:
    """`count` workers, each of which runs `main`; `restarts` counts those that had to be started again.

    To be used while `loop` takes signals. What a worker says goes to `heard`, and path MTUs to all others. `main` has
    to let go of what it has inherited, the others' control sockets among it (nfxlat.service.inherited).
    """

    def __init__(self, main: Main, count: int, *, loop: Loop, report: Report, heard: Callable[[Message], None]) -> None:
        self.restarts = 0
        self._main, self._count, self._loop, self._report, self._heard = main, count, loop, report, heard
        self._children: list[_Child] = []
        self._successors: list[_Child] = []
        self._retired: list[_Child] = []  # who may not have ended yet
        loop.on_signal(signal.SIGCHLD, self._revive)

    @property
    def missing(self) -> list[int]:
        """The numbers of workers that have ended, or hang and are to, and are still to be started again."""
        return [child.number for child in self._children if not child.pid or child.killed]

    def start(self, before: Callable[[], None] | None = None) -> None:
        """Fork the workers and let them go, with `before` when it has returned: it is called once all are ready. Raises
        OperatorError where one cannot be had."""
        for number in range(self._count):
            child = _Child(number)
            self._children.append(child)
            try:
                self._fork(child)
            except OSError as error:
                raise OperatorError(f"cannot be started: {error.strerror}", where=f"worker {number}") from None
        if before is not None:
            for child in self._children:
                self._wait_until_ready(child)
            before()
        for child in self._children:
            self._send(child, Go())
        self._watch()

    def retire(self) -> None:
        """Have the workers take no packet any more: their queues are another's when this returns."""
        children, self._children = self._children, []
        self.discard()
        for child in children:
            self._send(child, Stop())
        for child in children:
            if not self._has_retired(child):
                self._end(child, 0.0)
        self._retired = children

    def stop(self) -> None:
        """Tell the workers to end, and make an end of those that do not."""
        self.send(Stop())
        deadline = time.monotonic() + STOP_SECONDS
        for child in (*self._children, *self._retired):
            self._end(child, max(0.0, deadline - time.monotonic()))
        self.discard()
        self._children.clear()
        self._retired.clear()

    def send(self, message: Message) -> None:
        """Tell every worker and every successor."""
        for child in self._all():
            self._send(child, message)

    def prepare(self) -> None:
        """Fork a successor of each worker and have it make itself ready. Raises OperatorError; then none is left."""
        try:
            for child in self._children:
                successor = _Child(child.number)
                self._successors.append(successor)
                self._fork(successor)
            for successor in self._successors:
                self._wait_until_ready(successor)
        except OSError as error:
            self.discard()
            raise OperatorError(os.strerror(error.errno or 0), where="a new worker") from None
        except BaseException:
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
        for index, successor in enumerate(tuple(self._successors)):
            old, began = self._children[index], time.monotonic()
            self._send(old, Stop())
            self._children[index] = successor
            self._successors.remove(successor)
            if not self._has_retired(old):
                self._end(old, 0.0)
            self._send(successor, Go())
            successor.started = time.monotonic()
            longest = max(longest, successor.started - began)
            self._end(old, STOP_SECONDS)
        return longest

    def _all(self) -> tuple[_Child, ...]:
        return (*self._children, *self._successors)

    def _send(self, child: _Child, message: Message) -> None:
        if child.control is None or child.killed:  # whoever comes after it is forked with all of this
            return
        if isinstance(message, Stop):
            child.unsent.clear()
        elif isinstance(message, Untrace):  # the descriptor that goes beside it may be another's by then
            child.unsent = [one for one in child.unsent if not isinstance(one, Trace) or one.number != message.number]
        child.unsent.append(message)
        self._send_again(child)

    @staticmethod
    def _send_again(child: _Child) -> None:
        """Send what it could not take before, as far as it does now."""
        while child.control is not None and child.unsent:
            try:
                child.control.send(child.unsent[0])
            except ConnectionError:  # it is dying
                child.unsent.clear()
                return
            except OSError:  # too busy to read, or no memory; where it stays so, pings are not answered either
                return
            del child.unsent[0]

    def _wait_until_ready(self, successor: _Child) -> None:
        """Raises OperatorError where it does not become that; its last words are told."""
        assert successor.control is not None
        deadline = time.monotonic() + PREPARE_SECONDS
        message: Message | None = None
        while _readable(successor.control, deadline - time.monotonic()):
            message = successor.control.receive()
            if not isinstance(message, Told):
                break
            self._report(message.text)
        if message is None or isinstance(message, Told):
            raise OperatorError("the new worker did not become ready", where=f"worker {successor.number}")
        if message != Ready():
            raise MessageError(f"{message} from worker {successor.number}, which is not ready yet")

    def _has_retired(self, child: _Child) -> bool:
        """Wait for a worker's word that its queues are another's; its process may take longer to end."""
        deadline = time.monotonic() + STOP_SECONDS
        while child.control is not None and not child.retired:
            self._send_again(child)  # that it is to stop, where that could not be sent
            left = deadline - time.monotonic()
            if _readable(child.control, min(left, SEND_AGAIN_SECONDS) if child.unsent else left):
                if not self._relay(child):
                    break
            elif not child.unsent or left <= 0:
                break
        return child.retired

    def _relay(self, child: _Child) -> bool:
        """Take what the worker says, and tell the others; False where it says nothing more."""
        assert child.control is not None
        try:
            message = child.control.receive()
        except ConnectionResetError:  # once, where it has ended with something unread: its last words are behind that
            return True
        except OSError:
            return False
        if message is None:
            self._loop.forget(child.control)
            return False
        if isinstance(message, Retired):
            child.retired = True
        elif isinstance(message, Pong):
            child.unanswered = 0
        elif isinstance(message, Told):
            self._report(message.text)
        elif not isinstance(message, Ready):
            self._heard(message)
            for other in self._all() if isinstance(message, PathMtu) else ():
                if other is not child:
                    self._send(other, message)
        return True

    def _revive(self) -> None:
        """Start again what has died, or see to it that this is done when it is time to."""
        for child in self._children:
            if not child.pid:
                continue
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(child.pid, os.WNOHANG)
                if not pid:
                    continue
                self._hear_out(child)
                self._report(f"worker {child.number} (pid {pid}) died: {_cause(status)}; restarting it")
            self._hang_up(child)
            self._start_again(child)

    def _watch(self) -> None:
        """Ask the workers whether they work, make an end of those that do not, and start what is dead."""
        if not self._children:  # all were told to stop
            return
        self._loop.later(PING_SECONDS, self._watch)
        for child in self._children:
            if child.control is None:
                continue
            if child.unanswered >= HUNG_PINGS:
                self._hear_out(child)
            if child.unanswered >= HUNG_PINGS:
                if not child.killed:  # one that is stuck in the kernel may take its time to end
                    seconds = HUNG_PINGS * PING_SECONDS
                    self._report(f"worker {child.number} (pid {child.pid}) has hung for {seconds:g} s; killing it")
                child.killed = True
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
            child.unanswered += 1
            self._send(child, Ping())  # behind what it could not take before
        self._revive()

    def _start_again(self, child: _Child) -> None:
        if child.pid or child not in self._children:  # it has been succeeded, or all were told to stop
            return
        wait = child.started + min(RESTART_SECONDS * 2**child.refused, RESTART_AT_MOST) - time.monotonic()
        if wait <= 0:
            self.restarts += 1
            try:
                self._fork(child)
            except OSError as error:
                self.restarts -= 1
                if not child.refused:
                    self._report(f"worker {child.number} cannot be started: {error.strerror}; trying again")
                child.started, child.refused = time.monotonic(), child.refused + 1
                wait = 0.0
            else:
                if child.refused:
                    self._report(f"worker {child.number} is started")
                child.refused = 0
                self._send(child, Go())
                return
        self._loop.later(wait, lambda: self._start_again(child))

    def _fork(self, child: _Child) -> None:
        """Start it: it makes itself ready, and waits to be told to go."""
        ours, theirs = Control.pair()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if not pid:
            ours.close()
            self._live(child.number, theirs)
        theirs.close()
        child.retired, child.killed, child.unanswered = False, False, 0
        child.unsent.clear()
        child.pid, child.control, child.started = pid, ours, time.monotonic()
        self._loop.on_readable(ours, lambda: self._relay(child))

    def _live(self, number: int, control: Control) -> None:
        """All that happens in a worker's process; does not return."""
        code = 1
        try:
            self._loop.leave_signals()
            self._main(number, control)
            with contextlib.suppress(OSError):  # the supervisor is gone
                control.send(Retired())
            code = 0
        except BaseException:
            with contextlib.suppress(Exception):
                control.send(Told(traceback.format_exc()[-TRACEBACK:]))
        finally:
            os._exit(code)

    def _hang_up(self, child: _Child) -> None:
        """Hear a dead worker's last words."""
        if child.control is not None:
            self._hear_out(child)
            self._loop.forget(child.control)
            child.control.close()
        child.pid, child.control = 0, None

    def _hear_out(self, child: _Child) -> None:
        """Take all that the worker has said."""
        more = True
        while more:
            try:
                more = self._relay(child)
            except MessageError as error:
                self._report(f"worker {child.number}: {error}")

    def _end(self, child: _Child, seconds: float) -> None:
        """Wait for a worker that was told to stop, at most so long."""
        if child.pid:
            try:
                if not ended_within(child.pid, seconds):
                    if seconds:
                        self._report(f"worker {child.number} (pid {child.pid}) did not stop; killing it")
                    os.kill(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
            except (ChildProcessError, ProcessLookupError):
                pass
        self._hang_up(child)


def _readable(what: HasDescriptor | int, seconds: float) -> bool:
    """Whether it can be read within so long; select(2) knows no descriptor above 1023."""
    poll = select.poll()
    poll.register(what, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))


def ended_within(pid: int, seconds: float) -> bool:
    """Wait for a child of ours, at most so long; whether it has ended, and is no more. Raises ChildProcessError."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(OSError):  # no descriptor is left
        ended = os.pidfd_open(pid)
        _readable(ended, seconds)
        os.close(ended)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True


def _cause(status: int) -> str:
    if os.WIFSIGNALED(status):
        try:
            return signal.Signals(os.WTERMSIG(status)).name
        except ValueError:  # a real-time signal between SIGRTMIN and SIGRTMAX has no name
            return f"signal {os.WTERMSIG(status)}"
    return f"exit {os.waitstatus_to_exitcode(status)}"
