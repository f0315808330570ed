"""The netlink source against a socket of the test's own: what arrives, what is answered, and errors of the kernel."""

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from nfxlat.datapath.nfqueue import NetlinkQueue
from nfxlat.datapath.queue_pair import QueuePair
from nfxlat.datapath.source import Kind
from nfxlat.errors import OperatorError
from nfxlat.wire import netlink
from nfxlat.wire import nfqueue as nl
from nfxlat.wire.stamp import REASSEMBLED


class Kernel:
    """The other end: answers configuration with `errors` (0 when they run out) and keeps what it is told."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.errors: list[int] = []
        self.asked: list[bytes] = []

    def answer(self, message: bytes) -> int:
        self.asked.append(message)
        if message[6:8] == struct.pack("=H", netlink.NLM_F_REQUEST | netlink.NLM_F_ACK):
            code = self.errors.pop(0) if self.errors else 0
            self.ours.send(netlink.message(netlink.NLMSG_ERROR, 0, 0, struct.pack("=i", -code) + message[:16]))
        return len(message)

    def deliver(self, *attributes: bytes, kind: int = nl.TYPE_PACKET, queue: int = 0) -> None:
        self.ours.send(netlink.message(kind, 0, 0, netlink.nfgenmsg(0, queue) + b"".join(attributes)))

    def verdicts(self) -> list[tuple[str, int, int]]:
        """(single or batch, verdict, id) of all verdicts so far."""
        found = []
        for message in self.asked:
            (kind,) = struct.unpack_from("=H", message, 4)
            if kind & 0xFF in (nl.MSG_VERDICT, nl.MSG_VERDICT_BATCH):
                name = "batch" if kind & 0xFF == nl.MSG_VERDICT_BATCH else "single"
                found.append((name, *struct.unpack_from("!II", message, 24)))
        return found

    def queues_judged(self) -> list[int]:
        """The queue of each verdict so far."""
        kinds = (nl.TYPE_VERDICT, nl.TYPE_VERDICT_BATCH)
        judged = [message for message in self.asked if struct.unpack_from("=H", message, 4)[0] in kinds]
        return [struct.unpack_from("!H", message, 18)[0] for message in judged]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    kernel = Kernel()

    class Socket:
        """AF_NETLINK as the source uses it."""

        def __init__(self, *_: object) -> None: ...
        def bind(self, _: object) -> None: ...
        def setsockopt(self, *_: object) -> None: ...
        def setblocking(self, flag: bool) -> None: ...
        def send(self, message: bytes) -> int:
            return kernel.answer(message)

        def recv(self, size: int) -> bytes:
            return kernel.theirs.recv(size)

        def fileno(self) -> int:
            return kernel.theirs.fileno()

        def close(self) -> None: ...

    monkeypatch.setattr(socket, "socket", Socket)
    yield kernel
    kernel.ours.close()
    kernel.theirs.close()


def header(packet_id: int, hook: int = nl.PREROUTING) -> bytes:
    return netlink.attribute(nl.NFQA_PACKET_HDR, struct.pack("!IHB", packet_id, 0x800, hook))


def u32(kind: int, value: int) -> bytes:
    return netlink.be32(kind, value)


def test_the_queue_is_configured_before_packets_are_asked_for(kernel: Kernel) -> None:
    NetlinkQueue(9, superframes=True)
    assert kernel.asked == [
        nl.config(9, nl.config_command(nl.CMD_BIND)),
        nl.config(9, nl.config_maxlen(4096)),
        nl.config(9, nl.config_flags(nl.F_GSO, nl.F_GSO | nl.F_FAIL_OPEN)),
        nl.config(9, nl.config_copy(65531)),
    ]


def test_a_record_tells_what_the_queue_says_of_a_packet(kernel: Kernel) -> None:
    source = NetlinkQueue(9, superframes=False)
    kernel.deliver(header(1, nl.LOCAL_OUT), netlink.attribute(nl.NFQA_PAYLOAD, b"payload"))
    kernel.deliver(
        header(2),
        u32(nl.NFQA_IFINDEX_INDEV, 4),
        u32(nl.NFQA_MARK, 99),
        u32(nl.NFQA_PRIORITY, 1348),
        netlink.attribute(9, bytes(12)),
        u32(nl.NFQA_SKB_INFO, nl.SKB_GSO | nl.SKB_CSUMNOTREADY),
        netlink.attribute(nl.NFQA_PAYLOAD, b"odd"),
    )
    kernel.deliver(header(3), u32(nl.NFQA_CAP_LEN, 70000), netlink.attribute(nl.NFQA_PAYLOAD, b"cut"))
    first, second, third = source.receive()
    payloads = [bytes(source.buffer[start : start + length]) for start, length, _, _ in (first, second, third)]
    assert payloads == [b"payload", b"odd", b"cut"]
    assert first[2:] == (0, Kind(nl.LOCAL_OUT, indev=0))
    assert second[2:] == (1348, Kind(nl.PREROUTING, 4, nl.SKB_GSO | nl.SKB_CSUMNOTREADY))
    assert third[2:] == (0, Kind(nl.PREROUTING, 0, whole=False))
    source.conclude([0, 1, 2])
    assert kernel.verdicts() == [("single", nl.NF_ACCEPT, packet_id) for packet_id in (1, 2, 3)]


def test_a_packet_that_rules_know_to_have_been_fragments_is_of_a_kind_of_its_own(kernel: Kernel) -> None:
    source = NetlinkQueue(9, superframes=False)
    for number, priority in enumerate((1348, REASSEMBLED, 1348)):
        kernel.deliver(header(number), u32(nl.NFQA_PRIORITY, priority), netlink.attribute(nl.NFQA_PAYLOAD, b"payload"))
    assert [record[3].reassembled for record in source.receive()] == [False, True, False]


def test_messages_that_are_no_packets_are_passed_over(kernel: Kernel) -> None:
    source = NetlinkQueue(9, superframes=False)
    kernel.deliver(kind=netlink.NLMSG_ERROR)
    kernel.deliver(header(1), netlink.attribute(nl.NFQA_PAYLOAD, b"x"))
    assert len(source.receive()) == 1
    source.conclude([])
    assert kernel.verdicts() == [("batch", nl.NF_DROP, 1)]
    assert list(source.receive()) == []


BEFORE = "batch", nl.NF_DROP, 9  # what a killed worker had in its hands, of which nobody knows


def test_what_a_killed_worker_had_is_dropped_once_and_where_there_may_be_some(kernel: Kernel) -> None:
    """Else it waits until something is dropped: for ever, in the queue of a host that only sends."""
    source = NetlinkQueue(9, superframes=False)
    for packet_id in (10, 11):
        kernel.deliver(header(packet_id), netlink.attribute(nl.NFQA_PAYLOAD, b"x"))
        source.receive()
        source.conclude([0])
    assert kernel.verdicts() == [BEFORE, ("single", nl.NF_ACCEPT, 10), ("single", nl.NF_ACCEPT, 11)]
    assert kernel.queues_judged() == [9] * 3
    first = NetlinkQueue(8, superframes=False)
    kernel.deliver(header(1), netlink.attribute(nl.NFQA_PAYLOAD, b"x"))
    first.receive()
    first.conclude([0])
    assert kernel.verdicts()[3:] == [("single", nl.NF_ACCEPT, 1)]


@pytest.mark.parametrize(
    ("accepted", "verdicts"),
    [
        ([], [("batch", nl.NF_DROP, 14)]),
        ([4], [("batch", nl.NF_DROP, 13), ("single", nl.NF_ACCEPT, 14)]),
        ([0], [BEFORE, ("single", nl.NF_ACCEPT, 10), ("batch", nl.NF_DROP, 14)]),
        ([0, 1], [BEFORE, ("single", nl.NF_ACCEPT, 10), ("single", nl.NF_ACCEPT, 11), ("batch", nl.NF_DROP, 14)]),
        (
            [1, 3],
            [
                ("batch", nl.NF_DROP, 10),
                ("single", nl.NF_ACCEPT, 11),
                ("batch", nl.NF_DROP, 12),
                ("single", nl.NF_ACCEPT, 13),
                ("batch", nl.NF_DROP, 14),
            ],
        ),
    ],
)
def test_a_batch_verdict_is_flushed_wherever_the_verdict_changes(
    kernel: Kernel, accepted: list[int], verdicts: list[tuple[str, int, int]]
) -> None:
    source = NetlinkQueue(9, superframes=False)
    for packet_id in range(10, 15):
        kernel.deliver(header(packet_id), netlink.attribute(nl.NFQA_PAYLOAD, b"x"))
    assert len(source.receive()) == 5
    source.conclude(accepted)
    source.conclude([])  # there is nothing left to judge
    assert kernel.verdicts() == verdicts


def test_what_is_for_the_plain_queue_is_named_one_by_one(kernel: Kernel) -> None:
    source = NetlinkQueue(9, superframes=True, plain=8)
    for packet_id in range(10, 15):
        kernel.deliver(header(packet_id), netlink.attribute(nl.NFQA_PAYLOAD, b"x"))
    source.receive()
    source.conclude([3], [1, 4])
    assert kernel.verdicts() == [
        ("batch", nl.NF_DROP, 10),
        ("single", 8 << 16 | nl.NF_QUEUE, 11),
        ("batch", nl.NF_DROP, 12),
        ("single", nl.NF_ACCEPT, 13),
        ("single", 8 << 16 | nl.NF_QUEUE, 14),
    ]


PAIR = 255, 256  # plain and with superframes: numbers of two octets, of which both differ


def pair_of(kernel: Kernel, *queues: int) -> QueuePair:
    """A pair of queues that has received packets 10, 11 ... of these queues."""
    plain, superframes = PAIR
    source = QueuePair(superframes, plain=plain, superframes=True)
    for packet_id, queue in enumerate(queues, 10):
        kernel.deliver(header(packet_id), netlink.attribute(nl.NFQA_PAYLOAD, b"%d" % packet_id), queue=queue)
    payloads = [source.buffer[start : start + length] for start, length, *_ in source.receive()]
    assert payloads == [b"%d" % number for number in range(10, 10 + len(queues))]
    return source


def test_two_queues_are_bound_on_one_socket_and_one_has_superframes(kernel: Kernel) -> None:
    pair_of(kernel)
    flags = nl.F_GSO | nl.F_FAIL_OPEN
    assert nl.config(256, nl.config_flags(nl.F_GSO, flags)) in kernel.asked
    assert nl.config(255, nl.config_flags(0, flags)) in kernel.asked
    assert [nl.config(number, nl.config_copy(65531)) in kernel.asked for number in PAIR] == [True, True]


@pytest.mark.parametrize("queue", PAIR)
def test_a_batch_of_one_of_two_queues_is_judged_at_once(kernel: Kernel, queue: int) -> None:
    pair_of(kernel, queue, queue, queue).conclude([1])
    assert kernel.verdicts() == [("batch", nl.NF_DROP, 10), ("single", nl.NF_ACCEPT, 11), ("batch", nl.NF_DROP, 12)]
    assert kernel.queues_judged() == [queue] * 3


def test_packets_of_two_queues_come_in_order_and_each_queue_has_its_verdict(kernel: Kernel) -> None:
    plain, superframes = PAIR
    source = pair_of(kernel, superframes, plain, superframes, plain)
    source.conclude([])
    source.conclude([])  # there is nothing left to judge
    assert kernel.verdicts() == [("batch", nl.NF_DROP, 12), ("batch", nl.NF_DROP, 13)]
    assert kernel.queues_judged() == [superframes, plain]


def test_what_is_not_dropped_of_two_queues_is_judged_in_the_order_of_arrival(kernel: Kernel) -> None:
    plain, superframes = PAIR
    kernel.deliver(kind=netlink.NLMSG_ERROR)  # about a verdict that came too late
    source = pair_of(kernel, superframes, plain, superframes, plain, superframes)
    source.conclude([1, 2], [4])
    assert list(zip(kernel.verdicts(), kernel.queues_judged(), strict=True)) == [
        (("batch", nl.NF_DROP, 10), plain),
        (("single", nl.NF_ACCEPT, 11), plain),
        (("batch", nl.NF_DROP, 10), superframes),
        (("single", nl.NF_ACCEPT, 12), superframes),
        (("single", plain << 16 | nl.NF_QUEUE, 14), superframes),
        (("batch", nl.NF_DROP, 13), plain),
    ]


def test_where_the_second_queue_cannot_be_had_the_first_is_given_back(kernel: Kernel) -> None:
    kernel.errors = [0, 0, 0, 0, errno.EBUSY]
    with pytest.raises(OperatorError, match="queue 256: held by another process"):
        QueuePair(256, plain=255, superframes=True)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.EBUSY, "held by another process"),
        (errno.EPERM, "CAP_NET_ADMIN"),
        (errno.EINVAL, "the kernel has no NFQUEUE"),
        (errno.EOPNOTSUPP, "the kernel has no NFQUEUE"),
        (errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_a_refusal_of_the_kernel_is_one_line(kernel: Kernel, code: int, told: str) -> None:
    kernel.errors = [code]
    with pytest.raises(OperatorError) as caught:
        NetlinkQueue(9, superframes=False)
    assert str(caught.value).startswith("queue 9: ")
    assert told in str(caught.value)


def test_a_kernel_without_netfilter_netlink_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPROTONOSUPPORT, "")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(OperatorError, match="queue 9: the kernel has no netfilter netlink"):
        NetlinkQueue(9, superframes=False)
