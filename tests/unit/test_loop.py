"""The loop: handlers for descriptors, timers and signals, one at a time."""

import os
import signal
import socket
from collections.abc import Iterator

import pytest

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


def test_what_a_handler_raises_ends_the_loop() -> None:
    loop = Loop()

    def broken() -> None:
        raise ZeroDivisionError

    loop.later(0.0, broken)
    with pytest.raises(ZeroDivisionError):
        loop.run()
