"""The parts of the data path that need no kernel queue."""

import ctypes
import errno
import os
import socket

import pytest

from nfxlat.datapath.counters import Counters, Direction, Total, summary
from nfxlat.datapath.hops import hops_of
from nfxlat.datapath.inject import local_source, reason_of
from nfxlat.datapath.mmsg import ReceiveBatch, SendBatch, address_of
from nfxlat.datapath.ratelimit import TokenBucket
from nfxlat.datapath.routecache import RouteCache
from nfxlat.outcome import Reason
from nfxlat.wire.nfqueue import LOCAL_OUT, POSTROUTING, PREROUTING


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("hook", "indev", "device", "local", "hops"),
    [
        (PREROUTING, 3, True, False, 0),  # the kernel's forwarding takes one off
        (PREROUTING, 3, True, True, 1),  # nobody forwards what ends here
        (PREROUTING, 3, False, False, 1),
        (LOCAL_OUT, 0, True, False, 0),
        (LOCAL_OUT, 0, False, False, 1),
        (POSTROUTING, 0, False, False, 1),  # the host's own
        (POSTROUTING, 3, False, False, 0),  # forwarded: one is off already
        (POSTROUTING, 0, True, False, 0),
    ],
)
def test_each_translation_point_takes_its_share_of_one_hop(
    hook: int, indev: int, device: bool, local: bool, hops: int
) -> None:
    assert hops_of(hook, indev, device=device, result_is_local=local) == hops


def test_batches_cross_a_socket_in_place() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        data = bytearray(b"onetwothree")
        sender = SendBatch(left.fileno(), 8, failed=lambda code: pytest.fail(os.strerror(code)))
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
        sender = SendBatch(left.fileno(), 2, failed=lambda code: pytest.fail(os.strerror(code)))
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
        sender = SendBatch(left.fileno(), 3, failed=lambda code: pytest.fail(os.strerror(code)))
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
        refused: list[int] = []
        sender = SendBatch(left.fileno(), 8, failed=refused.append)
        base = address_of(data)
        for length in (1, 1 << 21, 2):
            sender.put(base, length)
        sender.flush()
        assert refused == [errno.EMSGSIZE]
        assert [len(right.recv(8)), len(right.recv(8))] == [1, 2]


def test_receiving_from_what_is_no_socket_is_an_error() -> None:
    descriptor = os.open("/dev/null", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=os.strerror(errno.ENOTSOCK)):
            ReceiveBatch(1, 64, 16).receive(descriptor)
    finally:
        os.close(descriptor)


def test_token_bucket_allows_the_burst_and_then_the_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(rate=10, burst=3, clock=clock)
    assert [bucket.take() for _ in range(5)] == [True, True, True, False, False]
    clock.now = 0.1
    assert [bucket.take(), bucket.take()] == [True, False]
    clock.now = 100
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


def test_a_rate_of_zero_allows_nothing() -> None:
    assert not TokenBucket(rate=0, burst=5, clock=Clock()).take()


def test_routes_are_looked_up_once_in_their_lifetime() -> None:
    clock, asked = Clock(), []
    answers: dict[bytes, int | OSError] = {
        b"a": 1400,
        b"n": OSError(errno.ENETUNREACH, ""),
        b"h": OSError(errno.EHOSTUNREACH, ""),
        b"p": OSError(errno.EACCES, ""),
    }

    def lookup(destination: bytes) -> int:
        asked.append(destination)
        answer = answers[destination]
        if isinstance(answer, OSError):
            raise answer
        return answer

    routes = RouteCache(lookup, clock, lifetime=1)
    routes.refresh()
    assert [routes.mtu(b"a"), routes.mtu(b"a"), asked] == [1400, 1400, [b"a"]]
    assert [routes.route(d) for d in (b"n", b"h", b"p")] == [
        Reason.NO_ROUTE,
        Reason.HOST_UNREACHABLE,
        Reason.PROHIBITED,
    ]
    assert routes.mtu(b"n") == 0  # larger than that is every packet: the slow path looks closer
    clock.now = 1
    routes.refresh()
    answers[b"a"] = 1280
    assert routes.mtu(b"a") == 1280


def test_errnos_of_the_injectors_have_their_reasons() -> None:
    assert reason_of(errno.EMSGSIZE) is Reason.INJECT_TOO_BIG
    assert reason_of(errno.ENOBUFS) is Reason.INJECT_NO_BUFFER
    assert reason_of(errno.ENETDOWN) is Reason.INJECT_FAILED


def test_local_source_looks_at_the_source_of_either_family() -> None:
    local = frozenset({bytes([192, 0, 2, 1]), bytes(15) + b"\x07"})
    assert local_source(bytes([0x45]) + bytes(11) + bytes([192, 0, 2, 1]) + bytes(4), local)
    assert not local_source(bytes([0x45]) + bytes(15) + bytes([192, 0, 2, 1]), local)
    assert local_source(bytes([0x60]) + bytes(7) + bytes(15) + b"\x07" + bytes(16), local)


def test_counters_of_a_forked_child_are_read_by_its_parent() -> None:
    counters = Counters()
    child = os.fork()
    if not child:
        counters.count(Reason.IGMP, Direction.V4TO6, 3)
        counters.totals[Total.PACKETS] = 5
        os._exit(0)
    os.waitpid(child, 0)
    result = summary([counters, counters])
    assert result["reasons"] == {"igmp": {"4to6": 6}}
    assert result["totals"]["packets"] == 10
