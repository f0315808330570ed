"""The loop: handlers for descriptors, timers and signals, one at a time."""

import os
import resource
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from nfxlat.service import loop as module
from nfxlat.service.loop import Loop

MANY = 2000  # signals: more than a socket pair holds octets


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def send_to_self(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


Pair = tuple[socket.socket, socket.socket]


def test_timers_are_called_once_each_in_the_order_of_their_time() -> None:
    loop, called = Loop(), list[str]()
    loop.later(0.02, lambda: called.append("later"))
    loop.later(0.0, lambda: called.append("soon"))
    loop.later(0.01, lambda: called.append("between"))
    loop.later(0.03, loop.stop)
    loop.run()
    assert called == ["soon", "between", "later"]


def test_a_timer_may_set_another() -> None:
    loop, called = Loop(), list[int]()

    def again() -> None:
        called.append(len(called))
        loop.later(0.0, again if len(called) < 5 else loop.stop)

    loop.later(0.0, again)
    loop.run()
    assert called == [0, 1, 2, 3, 4]


def test_what_can_be_read_is_called_until_it_is_forgotten(pair: Pair) -> None:
    ours, theirs = pair
    loop, heard = Loop(), list[bytes]()

    def read() -> None:
        heard.append(ours.recv(1))
        if heard[-1] == b"c":
            loop.forget(ours)
            loop.later(0.0, loop.stop)

    loop.on_readable(ours, read)
    theirs.send(b"abcd")
    loop.run()
    assert heard == [b"a", b"b", b"c"]
    assert ours.recv(4) == b"d"
    loop.forget(ours)  # nothing to do


def test_the_end_of_a_descriptor_is_told_to_its_handler(pair: Pair) -> None:
    ours, theirs = pair
    loop, heard = Loop(), list[bytes]()

    def read() -> None:
        heard.append(ours.recv(8))
        if not heard[-1]:
            loop.forget(ours)
            loop.stop()

    loop.on_readable(ours, read)
    theirs.send(b"last")
    theirs.close()
    loop.run()
    assert heard == [b"last", b""]


def test_a_descriptor_that_was_closed_and_not_forgotten_is_dropped(pair: Pair) -> None:
    ours, _ = pair
    loop, called, turns = Loop(), list[str](), list[int]()
    loop.on_readable(ours, lambda: called.append("closed"))
    ours.close()

    def turn() -> None:
        turns.append(len(loop._readers))
        loop.later(0.0, loop.stop if len(turns) == 2 else turn)

    loop.later(0.0, turn)
    loop.run()
    assert called == []
    assert turns == [1, 0]  # it does not wake the loop for ever


def test_what_another_handler_forgets_is_not_called_any_more() -> None:
    loop, called = Loop(), list[str]()
    pairs = [socket.socketpair() for _ in range(2)]
    for index, (ours, theirs) in enumerate(pairs):
        other = pairs[1 - index][0]
        theirs.send(b"x")

        def read(index: int = index, other: socket.socket = other) -> None:
            called.append(f"{index}")
            loop.forget(other)
            loop.stop()

        loop.on_readable(ours, read)
    loop.run()
    assert len(called) == 1
    for each in pairs:
        for one in each:
            one.close()


def test_a_new_descriptor_of_an_old_number_does_not_get_the_event_of_the_old() -> None:
    loop, called = Loop(), list[str]()
    first, second, other = socket.socketpair(), socket.socketpair(), socket.socketpair()
    number = second[0].fileno()

    def exchange() -> None:
        loop.forget(first[0])
        loop.forget(second[0])
        os.dup2(other[0].fileno(), number)
        loop.on_readable(second[0], lambda: called.append("new"))
        loop.later(0.0, loop.stop)

    loop.on_readable(first[0], exchange)
    loop.on_readable(second[0], exchange)
    for pair in (first, second):
        pair[1].send(b"x")
    loop.run()
    assert called == []  # nobody has written to `other`
    for one in (*first, *second, *other):
        one.close()


def test_signals_are_called_between_handlers_and_never_within() -> None:
    loop, called = Loop(), list[str]()
    loop.on_signal(signal.SIGUSR1, lambda: called.append("signal"))

    def handler() -> None:
        send_to_self(signal.SIGUSR1)
        called.append("handler ends")
        loop.later(0.0, lambda: loop.later(0.0, loop.stop))

    loop.later(0.0, handler)
    with loop.signals_taken():
        loop.run()
    assert called == ["handler ends", "signal"]


def test_signals_that_come_together_are_called_in_the_order_of_registration_once_each() -> None:
    loop, called = Loop(), list[str]()
    loop.on_signal(signal.SIGUSR2, lambda: called.append("USR2"))
    loop.on_signal(signal.SIGUSR1, lambda: called.append("USR1"))
    with loop.signals_taken():
        send_to_self(signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1)
        loop.later(0.0, lambda: loop.later(0.0, loop.stop))
        loop.run()
    assert called == ["USR2", "USR1"]


def test_no_signal_is_lost_behind_many_others() -> None:
    loop, called = Loop(), list[str]()
    loop.on_signal(signal.SIGUSR1, lambda: called.append("USR1"))
    loop.on_signal(signal.SIGUSR2, loop.stop)
    with loop.signals_taken():
        send_to_self(*[signal.SIGUSR1] * MANY, signal.SIGUSR2)
        loop.run()
    assert called == ["USR1"]


def test_nothing_is_called_after_the_signal_that_stops() -> None:
    loop, called = Loop(), list[str]()
    loop.on_signal(signal.SIGUSR1, loop.stop)
    loop.on_signal(signal.SIGUSR2, lambda: called.append("USR2"))
    with loop.signals_taken():
        send_to_self(signal.SIGUSR2, signal.SIGUSR1)
        loop.run()
    assert called == []


def test_signals_do_again_afterwards_what_they_did_before(pair: Pair) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    descriptor = signal.set_wakeup_fd(pair[0].fileno())
    try:
        loop = Loop()
        loop.on_signal(signal.SIGUSR1, loop.stop)
        with loop.signals_taken():
            assert signal.getsignal(signal.SIGUSR1) != before
        assert signal.getsignal(signal.SIGUSR1) == before
    finally:
        assert signal.set_wakeup_fd(descriptor) == pair[0].fileno()


def test_to_the_end_of_the_process_signals_do_nothing() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    try:
        loop = Loop()
        loop.on_signal(signal.SIGUSR1, loop.stop)
        with loop.signals_taken(to_the_end=True):
            pass
        send_to_self(signal.SIGUSR1)
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_child_that_goes_on_hears_its_own_signals_and_takes_none_of_its_parent_s() -> None:
    """Whatever was done to what signals are told to: from Python 3.12 on asyncio does so in each child."""
    loop, called = Loop(), list[str]()
    loop.on_signal(signal.SIGUSR2, lambda: called.append("parent" if os.getpid() == parent else "child"))
    parent = os.getpid()
    loop.on_signal(signal.SIGUSR1, loop.stop)
    with loop.signals_taken():
        os.kill(parent, signal.SIGUSR2)  # it is the parent's
        if not (child := os.fork()):
            code = 1
            try:
                signal.alarm(20)
                signal.set_wakeup_fd(-1)
                loop.renew_signals()
                loop.later(0.01, lambda: os.kill(os.getpid(), signal.SIGUSR2))
                loop.later(0.05, lambda: os.kill(os.getpid(), signal.SIGUSR1))
                loop.run()
                code = 0 if called == ["child"] else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        loop.later(0, lambda: os.kill(parent, signal.SIGUSR1))
        loop.run()
    assert called == ["parent"]


def test_what_a_handler_raises_ends_the_loop() -> None:
    loop = Loop()

    def broken() -> None:
        raise ZeroDivisionError

    loop.later(0.0, broken)
    with pytest.raises(ZeroDivisionError):
        loop.run()


class Failing:
    """A loop whose handlers may fail, and what it heard of that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "AGAIN", 0.01)
        self.heard: list[tuple[str, str]] = []
        self.loop = Loop(lambda name, error: self.heard.append((name, type(error).__name__)))
        self.calls = 0

    def twice(self) -> None:
        """Fails twice, then succeeds and ends the loop."""
        self.calls += 1
        if self.calls < 3:
            raise ZeroDivisionError
        self.loop.stop()


def test_what_a_timer_raises_is_heard_and_it_is_due_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Failing(monkeypatch)
    failing.loop.later(0.0, failing.twice)
    failing.loop.run()
    assert failing.calls == 3
    assert failing.heard == [("Failing.twice", "ZeroDivisionError")] * 2
    assert failing.loop._waits == {}


def test_a_timer_that_comes_again_by_itself_does_not_multiply_while_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Failing(monkeypatch)
    loop = failing.loop

    def each_time() -> None:
        loop.later(0.0, each_time)
        failing.twice()

    loop.later(0.0, each_time)
    loop.run()
    assert failing.calls == 3
    assert len(loop._timers) == 1


def test_a_reader_that_fails_is_called_again_after_a_while_and_does_not_spin(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    failing = Failing(monkeypatch)
    theirs.send(b"x")  # is never read
    failing.loop.on_readable(ours, failing.twice)
    began = time.monotonic()
    failing.loop.run()
    assert failing.calls == 3
    assert time.monotonic() - began >= 0.01 + 0.02


def test_what_a_signal_raises_is_heard_and_other_signals_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Failing(monkeypatch)
    failing.loop.on_signal(signal.SIGUSR1, failing.twice)
    failing.loop.on_signal(signal.SIGUSR2, failing.loop.stop)
    with failing.loop.signals_taken():
        send_to_self(signal.SIGUSR1, signal.SIGUSR2)
        failing.loop.run()
    assert failing.heard == [("Failing.twice", "ZeroDivisionError")]


def test_a_reader_that_rests_can_be_forgotten(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pair
    failing = Failing(monkeypatch)
    theirs.send(b"x")

    def fails() -> None:
        failing.calls += 1
        failing.loop.later(0.0, lambda: failing.loop.forget(ours))
        failing.loop.later(0.05, failing.loop.stop)
        raise ZeroDivisionError

    failing.loop.on_readable(ours, fails)
    failing.loop.run()
    assert failing.calls == 1
    assert failing.loop._waits == {}


def test_keyboard_interrupts_are_no_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Failing(monkeypatch)

    def interrupted() -> None:
        raise KeyboardInterrupt

    failing.loop.later(0.0, interrupted)
    with pytest.raises(KeyboardInterrupt):
        failing.loop.run()
    assert failing.heard == []


def test_that_a_signal_will_stop_it_is_known_before_it_runs() -> None:
    loop = Loop()
    loop.on_signal(signal.SIGUSR1, lambda: None)
    loop.on_signal(signal.SIGUSR2, loop.stop)
    with loop.signals_taken():
        send_to_self(signal.SIGUSR1)
        told = [loop.told_to_stop]
        send_to_self(*[signal.SIGUSR1] * MANY, signal.SIGUSR2)
        told.append(loop.told_to_stop)
        assert told == [False, True]
        loop.run()


def test_signals_that_come_while_it_looks_for_one_that_stops_are_no_failure() -> None:
    loop = Loop()
    loop.on_signal(signal.SIGUSR2, loop.stop)
    numbers = (signal.SIGUSR1, signal.SIGHUP, signal.SIGWINCH)

    class Arriving(set[int]):
        """A signal comes at each look into it."""

        def __contains__(self, number: object) -> bool:
            self.update(numbers[: len(self) + 1])
            return super().__contains__(number)

        def __iter__(self) -> Iterator[int]:
            for number in super().__iter__():
                self.update(numbers)
                yield number

    loop._pending = Arriving()
    for _ in numbers:
        assert not loop.told_to_stop
    assert len(loop._pending) == len(numbers)


def test_a_limit_below_what_is_polled_ends_nothing_and_signals_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Failing(monkeypatch)
    failing.loop.on_signal(signal.SIGUSR2, failing.loop.stop)
    pairs = [socket.socketpair() for _ in range(8)]
    for ours, _ in pairs:
        failing.loop.on_readable(ours, lambda: None)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with failing.loop.signals_taken():
        send_to_self(signal.SIGUSR2)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            failing.loop.run()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert failing.heard[0] == ("poll", "OSError")
    for each in pairs:
        for one in each:
            one.close()
