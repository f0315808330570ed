"""The loop that a service's process sleeps in: it calls a handler when a descriptor can be read, when a timer is due,
and when a signal has come. It knows nothing of what the handlers do.

One handler runs at a time, and each is called by `Loop._call`. A signal only wakes the loop (signal.set_wakeup_fd(2)):
its handler runs between two others, never within one.

A handler that raises does not end the loop: `failed` hears of it. What was due then is due again, and what could be
read is polled again, a second later, then each time after twice as long, at most a minute.
"""

import contextlib
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol

Handler = Callable[[], object]  # what it returns is of no account
Failed = Callable[[str, Exception], None]  # the handler's name, and what it has raised

AGAIN, AGAIN_AT_MOST = 1.0, 60.0  # seconds until a handler that has failed is called again


class HasDescriptor(Protocol):
    """What can be polled."""

    def fileno(self) -> int: ...


class Loop:
    """Register handlers, then `run` until one of them calls `stop`. For the main thread: signals come to no other.

    Without `failed`, what a handler raises goes to the caller of `run`.
    """

    def __init__(self, failed: Failed | None = None) -> None:
        self._failed = failed
        self._waits: dict[Handler, float] = {}  # of those that have failed: seconds until they are called again
        self._poll = select.poll()
        self._readers: dict[int, Handler] = {}
        self._timers: list[tuple[float, Handler]] = []
        self._signals: dict[int, Handler] = {}
        self._pending: set[int] = set()
        self._due: set[int] = set()  # of those that had come, while they are seen to
        self._wakeup: tuple[socket.socket, socket.socket] | None = None  # signals wake the loop by it, while taken
        self._stopped = False

    def on_readable(self, what: HasDescriptor, handler: Handler) -> None:
        """Call `handler` whenever `what` can be read, its end included, until it is forgotten."""
        self._readers[what.fileno()] = handler
        self._poll.register(what.fileno(), select.POLLIN)

    def forget(self, what: HasDescriptor) -> None:
        """Poll `what` no more; to be called before it is closed. Nothing happens where it is not polled."""
        self._forget(what.fileno())

    def later(self, seconds: float, handler: Handler) -> None:
        """Call `handler` once, after so many seconds."""
        self._timers.append((time.monotonic() + seconds, handler))

    def on_signal(self, number: int, handler: Handler) -> None:
        """Call `handler` when the signal has come, however often, while `signals_taken`.

        Of several that have come the one that was registered first is called first.
        """
        self._signals[number] = handler

    def stop(self) -> None:
        """Have `run` return, at once if it is still to come; no other handler is called before it does."""
        self._stopped = True

    @property
    def told_to_stop(self) -> bool:
        """Whether `run` would return at once: `stop` was called, or is the handler of a signal that has come."""
        # `_pending` may grow while this looks
        stopping = any(number in self._pending for number, handler in self._signals.items() if handler == self.stop)
        return self._stopped or stopping

    @contextlib.contextmanager
    def signals_taken(self, *, to_the_end: bool = False) -> Iterator[None]:
        """The registered signals wake the loop; at the end they do again what they did before. With `to_the_end`, where
        only the end of the process follows, they do nothing then: none kills it after all has been taken down."""
        before = {number: signal.signal(number, self._note) for number in self._signals}
        previous = self._wake_by_signals()
        try:
            yield
        finally:
            self._close_wakeup()
            signal.set_wakeup_fd(previous)
            if to_the_end:
                self._ignore_signals()
            else:
                for number, action in before.items():
                    signal.signal(number, action)

    def _wake_by_signals(self) -> int:
        """What signals were told to until now, as set_wakeup_fd(2) has it."""
        wakeup, waker = self._wakeup = socket.socketpair()
        for one in self._wakeup:
            one.setblocking(False)
        self.on_readable(wakeup, lambda: self._call_signals(wakeup))
        return signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)

    def _close_wakeup(self) -> None:
        assert self._wakeup is not None
        self.forget(self._wakeup[0])
        for one in self._wakeup:
            one.close()
        self._wakeup = None

    def leave_signals(self) -> None:
        """For a child just forked: what its parent takes does nothing here; children of its own are waited for."""
        signal.set_wakeup_fd(-1)
        self._ignore_signals()

    def renew_signals(self) -> None:
        """For a child just forked that goes on here, while `signals_taken`: those that have come were its parent's.

        The pair that signals wake by is its parent's too, and from Python 3.12 on asyncio, which pyroute2 imports,
        has a child's signals wake nobody (asyncio/events.py, on_fork).
        """
        self._due.clear()
        self._pending.clear()
        self._close_wakeup()
        self._wake_by_signals()

    def _ignore_signals(self) -> None:
        for number in self._signals:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)

    def run(self) -> None:
        """Call handlers until `stop`."""
        while not self._stopped:
            self._call_timers()
            if not self._stopped:
                self._call_readers(self._events())
        self._stopped = False

    def _call(self, handler: Handler) -> bool:
        """The one place where handlers are called; whether it did what it does."""
        if self._stopped:
            return True
        try:
            handler()
        except Exception as error:
            if self._failed is None:
                raise
            self._failed(_name(handler), error)
            self._waits[handler] = min(2 * self._waits.get(handler, AGAIN / 2), AGAIN_AT_MOST)
            return False
        if self._waits:
            self._waits.pop(handler, None)
        return True

    def _call_timers(self) -> None:
        now = time.monotonic()
        due = [timer for timer in self._timers if timer[0] <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for _, handler in sorted(due, key=lambda timer: timer[0]):
            # one that comes again by itself has seen to that before it failed, perhaps
            if not self._call(handler) and all(other != handler for _, other in self._timers):
                self.later(self._waits[handler], handler)

    def _wait(self) -> int | None:
        """Milliseconds until the next timer; None without one."""
        if not self._timers:
            return None
        first = min(deadline for deadline, _ in self._timers)
        return max(0, int((first - time.monotonic()) * 1000) + 1)

    def _events(self) -> list[tuple[int, int]]:
        try:
            return self._poll.poll(self._wait())
        except OSError as error:  # no memory, or a limit of descriptors that is lower than what is polled
            if self._failed is None:
                raise
            self._failed("poll", error)
            time.sleep(AGAIN)
            return [(self._wakeup[0].fileno(), select.POLLIN)] if self._wakeup and self._pending else []

    def _call_readers(self, events: list[tuple[int, int]]) -> None:
        ready = [(descriptor, event, self._readers[descriptor]) for descriptor, event in events]
        for descriptor, event, handler in ready:
            if self._readers.get(descriptor) is not handler:
                continue  # another handler has forgotten it, and may have opened something of the same number
            if event & select.POLLNVAL:  # closed and not forgotten: it would wake us for ever
                self._forget(descriptor)
            elif not self._call(handler):
                self._rest(descriptor, handler)

    def _rest(self, descriptor: int, handler: Handler) -> None:
        """Do not poll for a while: what was not read would wake us for ever."""
        if self._readers.get(descriptor) is not handler:
            return

        def again() -> None:
            if self._readers.get(descriptor) is handler:
                self._poll.register(descriptor, select.POLLIN)

        with contextlib.suppress(KeyError):
            self._poll.unregister(descriptor)
        self.later(self._waits[handler], again)

    def _forget(self, descriptor: int) -> None:
        if (handler := self._readers.pop(descriptor, None)) is not None:
            self._waits.pop(handler, None)
            with contextlib.suppress(KeyError):  # it rests
                self._poll.unregister(descriptor)

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Runs before whatever follows the call that reads the signal's octet. A full pipe loses octets, not this."""
        self._pending.add(number)

    def _call_signals(self, wakeup: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while wakeup.recv(1 << 12):
                pass
        self._due, self._pending = self._pending, set()
        for number, handler in self._signals.items():
            if number in self._due:
                self._call(handler)


def _name(handler: Handler) -> str:
    return getattr(handler, "__qualname__", type(handler).__qualname__).replace(".<locals>", "")
