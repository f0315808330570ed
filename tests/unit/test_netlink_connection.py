"""The netlink socket against a kernel of the test's own, and a little against the real one."""

import errno
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import pytest

from nfxlat.netlink import connection
from nfxlat.netlink.connection import Connection
from nfxlat.wire import netlink
from nfxlat.wire.netlink import NLM_F_ACK, NLM_F_REQUEST, Message

Answer = bytes | OSError
LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
RTM_GETLINK, RTM_DELLINK = 18, 17


class Kernel:
    """Keeps what is sent and set; `answer` tells what a datagram is answered with."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.options: list[tuple[int, ...]] = []
        self.refused: set[int] = set()  # options that need a right
        self.waiting: deque[Answer] = deque()
        self.answer: Callable[[bytes], Iterable[Answer]] = lambda octets: ()
        self.bound = self.closed = False

    # what the connection makes of a socket
    def bind(self, address: tuple[int, int]) -> None:
        self.bound = True

    def setsockopt(self, level: int, option: int, value: int) -> None:
        if option in self.refused:
            raise PermissionError(errno.EPERM, "")
        self.options.append((level, option, value))

    def send(self, octets: bytes) -> int:
        self.sent.append(octets)
        self.waiting += self.answer(octets)
        return len(octets)

    def recv(self, size: int, flags: int = 0) -> bytes:
        if not self.waiting:
            assert flags & socket.MSG_DONTWAIT, "waits for ever"
            raise BlockingIOError
        found = self.waiting.popleft()
        if isinstance(found, OSError):
            raise found
        return found

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(socket, "socket", lambda *_: kernel)
    return kernel


def done(code: int = 0, flags: int = 0) -> bytes:
    return netlink.message(netlink.NLMSG_DONE, flags, 0, struct.pack("=i", -code))


def refusal(code: int, sequence: int = 0) -> bytes:
    return netlink.message(netlink.NLMSG_ERROR, 0, sequence, struct.pack("=i", -code) + bytes(16))


def listed(*bodies: bytes, flags: int = 0) -> bytes:
    return b"".join(netlink.message(16, flags, 0, body) for body in bodies)


def test_a_connection_is_bound_and_a_member_of_its_groups(kernel: Kernel) -> None:
    Connection(netlink.NETLINK_ROUTE, groups=(1, 9), receive_buffer=4096)
    assert kernel.bound
    assert (socket.SOL_SOCKET, connection.SO_RCVBUFFORCE, 4096) in kernel.options
    joined = [value for _, option, value in kernel.options if option == connection.NETLINK_ADD_MEMBERSHIP]
    assert joined == [1, 9]


def test_a_connection_that_fails_leaves_no_socket(kernel: Kernel) -> None:
    kernel.refused = {connection.NETLINK_ADD_MEMBERSHIP}
    with pytest.raises(PermissionError):
        Connection(netlink.NETLINK_ROUTE, groups=(1,))
    assert kernel.closed


def test_without_the_right_to_exceed_it_the_limit_holds_for_the_receive_buffer(kernel: Kernel) -> None:
    kernel.refused = {connection.SO_RCVBUFFORCE}
    Connection(netlink.NETLINK_ROUTE, receive_buffer=4096)
    assert (socket.SOL_SOCKET, socket.SO_RCVBUF, 4096) in kernel.options


@pytest.mark.parametrize("code", [0, errno.EBUSY])
def test_a_request_is_answered_by_its_errno(kernel: Kernel, code: int) -> None:
    kernel.answer = lambda octets: [listed(b"news"), listed(b"more") + refusal(code)]
    assert Connection(netlink.NETLINK_ROUTE).request(b"asked") == code
    assert kernel.sent == [b"asked"]


@pytest.mark.parametrize(("octets", "grows"), [(connection.SEND_SIZE, False), (connection.SEND_SIZE + 1, True)])
def test_a_large_batch_gets_a_send_buffer_that_holds_it(kernel: Kernel, octets: int, grows: bool) -> None:
    kernel.answer = lambda octets: [refusal(0)]
    assert Connection(netlink.NETLINK_NETFILTER).request(bytes(octets)) == 0
    assert ((socket.SOL_SOCKET, connection.SO_SNDBUFFORCE, 2 * octets) in kernel.options) == grows


def test_without_the_right_to_exceed_it_the_limit_holds_for_the_send_buffer(kernel: Kernel) -> None:
    kernel.refused = {connection.SO_SNDBUFFORCE}
    kernel.answer = lambda octets: [refusal(0)]
    octets = connection.SEND_SIZE + 1
    assert Connection(netlink.NETLINK_NETFILTER).request(bytes(octets)) == 0
    assert (socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * octets) in kernel.options


def test_a_batch_that_is_too_large_to_send_is_answered_by_an_errno(kernel: Kernel) -> None:
    def too_long(octets: bytes) -> list[bytes]:
        raise OSError(errno.EMSGSIZE, "Message too long")

    kernel.answer = too_long
    assert Connection(netlink.NETLINK_NETFILTER).request(b"asked") == errno.EMSGSIZE

    def broken(octets: bytes) -> list[bytes]:
        raise OSError(errno.EIO, "Input/output error")

    kernel.answer = broken
    with pytest.raises(OSError, match="Input"):
        Connection(netlink.NETLINK_NETFILTER).request(b"asked")


class Refusing:
    """A kernel that refuses some requests by their sequence, and answers those that ask for it."""

    def __init__(self, refused: dict[int, int]) -> None:
        self.refused = refused
        self.calls: list[list[Message]] = []

    def __call__(self, octets: bytes) -> Iterable[bytes]:
        self.calls.append(list(netlink.messages(octets)))
        for _, flags, sequence, _ in self.calls[-1]:
            code = self.refused.get(sequence, 0)
            if code or flags & NLM_F_ACK:
                yield refusal(code, sequence)


def test_many_requests_are_few_calls_and_each_refusal_is_told(kernel: Kernel) -> None:
    refused = {0: errno.EEXIST, 255: errno.ENODEV, 256: errno.EEXIST, 599: errno.EINVAL}
    kernel.answer = refusing = Refusing(refused)
    requests = [(24, netlink.NLM_F_CREATE, struct.pack("=I", number)) for number in range(600)]
    assert dict(Connection(netlink.NETLINK_ROUTE).apply(iter(requests))) == refused
    assert [len(call) for call in refusing.calls] == [256, 256, 88]
    told = [message for call in refusing.calls for message in call]
    assert [body for _, _, _, body in told] == [body for _, _, body in requests]
    acknowledged = [sequence for _, flags, sequence, _ in told if flags & NLM_F_ACK]
    assert acknowledged == [255, 511, 599]
    assert {flags & ~NLM_F_ACK for _, flags, _, _ in told} == {NLM_F_REQUEST | netlink.NLM_F_CREATE}


def test_whoever_stops_reading_stops_the_calls_that_follow(kernel: Kernel) -> None:
    kernel.answer = refusing = Refusing({300: errno.EEXIST, 301: errno.EEXIST})
    refusals = Connection(netlink.NETLINK_ROUTE).apply((24, 0, b"") for _ in range(2000))
    assert list(islice(refusals, 1)) == [(300, errno.EEXIST)]
    assert [len(call) for call in refusing.calls] == [256, 256]


def test_no_requests_are_no_call(kernel: Kernel) -> None:
    assert list(Connection(netlink.NETLINK_ROUTE).apply([])) == []
    assert kernel.sent == []


def read(body: bytes) -> str | None:
    return body.decode() if body != b"skip" else None


def test_a_dump_is_read_to_its_end(kernel: Kernel) -> None:
    kernel.answer = lambda octets: [listed(b"once", b"skip"), listed(b"more") + done()]
    assert Connection(netlink.NETLINK_ROUTE).dump(18, b"body", read) == ["once", "more"]
    assert kernel.sent == [netlink.message(18, NLM_F_REQUEST | netlink.NLM_F_DUMP, 0, b"body")]


@pytest.mark.parametrize("where", ["in an object", "at the end"])
def test_a_dump_that_was_interrupted_is_made_again(kernel: Kernel, where: str) -> None:
    flags = {place: netlink.NLM_F_DUMP_INTR * (place == where) for place in ("in an object", "at the end")}
    broken = [listed(b"gone", flags=flags["in an object"]), listed(b"here") + done(0, flags["at the end"])]
    answers = iter([broken, [listed(b"here"), done()]])
    kernel.answer = lambda octets: next(answers)
    assert Connection(netlink.NETLINK_ROUTE).dump(18, b"", read) == ["here"]
    assert len(kernel.sent) == 2


@pytest.mark.parametrize("answer", [refusal(errno.ENOENT), listed(b"some") + done(errno.ENOENT)])
def test_a_dump_that_is_refused_is_no_empty_one(kernel: Kernel, answer: bytes) -> None:
    kernel.answer = lambda octets: [answer]
    with pytest.raises(FileNotFoundError):
        Connection(netlink.NETLINK_ROUTE).dump(18, b"", read)


def test_what_waits_is_drained_without_waiting(kernel: Kernel) -> None:
    kernel.waiting += [listed(b"once", b"more"), listed(b"last")]
    found = Connection(netlink.NETLINK_ROUTE).drain()
    assert [body for _, _, _, body in found] == [b"once", b"more", b"last"]


def test_a_storm_is_drained_in_parts(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "DRAINED", 3)
    kernel.waiting += [listed(b"once", b"more"), listed(b"then", b"last"), OSError(errno.ENOBUFS, ""), listed(b"next")]
    found = Connection(netlink.NETLINK_ROUTE)
    assert [body for _, _, _, body in found.drain()] == [b"once", b"more", b"then", b"last"]
    assert [kind for kind, *_ in found.drain()] == [netlink.NLMSG_OVERRUN, 16]


@pytest.mark.parametrize("lost", [OSError(errno.ENOBUFS, ""), listed(b"cut off")[:-2]])
def test_what_was_lost_is_told_among_what_is_drained(kernel: Kernel, lost: Answer) -> None:
    kernel.waiting += [listed(b"once"), lost, listed(b"last")]
    kinds = [kind for kind, *_ in Connection(netlink.NETLINK_ROUTE).drain()]
    assert kinds == [16, netlink.NLMSG_OVERRUN, 16]


def test_another_error_while_draining_is_raised(kernel: Kernel) -> None:
    kernel.waiting.append(OSError(errno.EBADF, ""))
    with pytest.raises(OSError) as caught:
        Connection(netlink.NETLINK_ROUTE).drain()
    assert caught.value.errno == errno.EBADF


def test_the_kernel_lists_the_loopback_interface() -> None:
    def name(body: bytes) -> Any:
        return dict(netlink.attributes(body, LINK.size)).get(3)  # IFLA_IFNAME

    with Connection(netlink.NETLINK_ROUTE) as found:
        assert b"lo\0" in found.dump(RTM_GETLINK, LINK.pack(0, 0, 0, 0, 0), name)


def test_the_kernel_refuses_to_delete_an_interface_that_is_not_there() -> None:
    body = LINK.pack(0, 0, 0x7FFFFFFF, 0, 0)
    with Connection(netlink.NETLINK_ROUTE) as asked:
        code = asked.request(netlink.message(RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, 0, body))
        assert code in (errno.ENODEV, errno.EPERM)
        assert [one for _, one in asked.apply([(RTM_DELLINK, 0, body)] * 3)] == [code] * 3
