"""Batches of messages over a socket: in place, in order, and what is refused."""

import ctypes
import errno
import os
import socket

import pytest

from nfxlat.datapath.mmsg import ReceiveBatch, SendBatch, address_of


def test_batches_cross_a_socket_in_place() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        data = bytearray(b"onetwothree")
        sender = SendBatch(left.fileno(), 8, failed=lambda code, address: pytest.fail(os.strerror(code)))
        base = address_of(data)
        for start, length in ((0, 3), (3, 3), (6, 5)):
            sender.put(base + start, length)
        sender.flush()
        receiver = ReceiveBatch(slots=2, slot_size=64, headroom=16)
        assert receiver.receive(right.fileno()) == 2
        assert bytes(receiver.buffer[16:19] + receiver.buffer[80:83]) == b"onetwo"
        assert receiver.receive(right.fileno()) == 1
        assert bytes(receiver.buffer[16:21]) == b"three"
        assert receiver.receive(right.fileno()) == 0
        assert receiver.base == ctypes.addressof(ctypes.c_char.from_buffer(receiver.buffer))


def test_a_full_batch_is_sent_at_once() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        data = bytearray(b"x")
        sender = SendBatch(left.fileno(), 2, failed=lambda code, address: pytest.fail(os.strerror(code)))
        sender.put(address_of(data), 1)
        assert sender.staged == 1
        sender.put(address_of(data), 1)
        assert sender.staged == 0
        assert right.recv(8) == b"x"


def test_several_are_staged_behind_what_waits_and_sent_where_they_would_not_fit() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        data = bytearray(b"abcdefgh")
        base = address_of(data)
        sender = SendBatch(left.fileno(), 3, failed=lambda code, address: pytest.fail(os.strerror(code)))
        sender.put(base, 1)
        sender.put(base + 1, 1)
        sender.put_all([base + 2, 2, base + 4, 1])  # 2 + 2 > 3
        assert (sender.staged, right.recv(8), right.recv(8)) == (2, b"a", b"b")
        sender.put(base + 5, 3)
        assert (sender.staged, [right.recv(8) for _ in range(3)]) == (0, [b"cd", b"e", b"fgh"])
        sender.put_all([base, 1] * 3)
        assert sender.staged == 0
        sender.send(2)  # of those sent last, once more
        assert [right.recv(8) for _ in range(5)] == [b"a"] * 5


def test_a_refused_message_is_reported_and_the_others_are_sent() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        data = bytearray(1 << 21)
        refused: list[tuple[int, int]] = []
        base = address_of(data)
        sender = SendBatch(left.fileno(), 8, failed=lambda code, address: refused.append((code, address - base)))
        for start, length in ((5, 1), (0, 1 << 21), (7, 2)):
            sender.put(base + start, length)
        sender.flush()
        assert refused == [(errno.EMSGSIZE, 0)]
        assert [len(right.recv(8)), len(right.recv(8))] == [1, 2]


def test_receiving_from_what_is_no_socket_is_an_error() -> None:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=os.strerror(errno.ENOTSOCK)):
            ReceiveBatch(1, 64, 16).receive(descriptor)
    finally:
        os.close(descriptor)
