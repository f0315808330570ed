"""Queue messages of a known layout are read as those are whose layout nobody knows."""

import struct
import sys
from typing import Any
from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st

from nfxlat.datapath import nfqueue
from nfxlat.datapath.layout import learn
from nfxlat.datapath.mmsg import ReceiveBatch
from nfxlat.datapath.nfqueue import NetlinkQueue
from nfxlat.datapath.source import HEADROOM, Kind, Record
from nfxlat.wire import netlink
from nfxlat.wire import nfqueue as nl

Message = tuple[bytes, int]  # its octets, and how many more or fewer its length tells

NUMBERS = (
    nl.NFQA_IFINDEX_INDEV,
    nl.NFQA_IFINDEX_OUTDEV,
    nl.NFQA_MARK,
    nl.NFQA_SKB_INFO,
    nl.NFQA_PRIORITY,
    nl.NFQA_CAP_LEN,
)
HWADDR = 9
MOST = 12  # messages a batch
PACKET = struct.pack("=H", nl.TYPE_PACKET)

u32 = st.integers(0, 0xFFFFFFFF).map(lambda value: struct.pack("!I", value))
attribute = st.one_of(
    st.tuples(st.sampled_from(NUMBERS), u32),
    st.tuples(st.just(HWADDR), st.binary(min_size=12, max_size=12)),
    st.tuples(st.sampled_from((*NUMBERS, HWADDR)), st.binary(max_size=9)),
)
shape = st.lists(attribute, max_size=5)
payload = st.binary(max_size=60)


def message(attributes: list[tuple[int, bytes]], packet_id: int, hook: int, data: bytes) -> bytes:
    body = bytes(4) + netlink.attribute(nl.NFQA_PACKET_HDR, struct.pack("!IHB", packet_id, 0x800, hook))
    body += b"".join(netlink.attribute(kind, value) for kind, value in attributes)
    body += struct.pack("=HH", 4 + len(data), nl.NFQA_PAYLOAD) + data
    return netlink.message(nl.TYPE_PACKET, 0, 0, body)


@st.composite
def batches(draw: st.DrawFn) -> list[Message]:
    """Messages of few shapes, with values of their own; some are cut off, some of another type."""
    shapes = draw(st.lists(shape, min_size=1, max_size=3))
    found = []
    for number in range(draw(st.integers(2, MOST))):
        attributes = [(kind, draw(u32) if len(value) == 4 else value) for kind, value in draw(st.sampled_from(shapes))]
        octets = bytearray(message(attributes, number, draw(st.integers(0, 4)), draw(payload)))
        if draw(st.integers(0, 7)) == 0:
            octets[4] ^= draw(st.sampled_from((1, 2)))
        found.append((bytes(octets), draw(st.sampled_from((0, 0, 0, -1, -4, -40, 7)))))
    return found


class _Batch(ReceiveBatch):
    def __init__(self) -> None:
        super().__init__(MOST, nfqueue.SLOT_SIZE, HEADROOM)
        self.waiting: list[Message] = []

    def receive(self, descriptor: int) -> int:
        for number, (octets, more) in enumerate(self.waiting):
            at = number * nfqueue.SLOT_SIZE + HEADROOM
            length = max(nl.HEADER_SIZE, len(octets) + more)
            self.buffer[at : at + len(octets) + 64] = octets + bytes(64)
            self.buffer[at : at + 4] = length.to_bytes(4, sys.byteorder)
        return len(self.waiting)


BATCH = _Batch()


Read = tuple[list[Record], list[bytes]]


def new_queue() -> Any:
    """A NetlinkQueue without a socket."""
    queue = object.__new__(NetlinkQueue)
    queue._batch, queue._layouts, queue._descriptor = BATCH, [], -1
    queue.buffer, queue.base = BATCH.buffer, BATCH.base
    return queue


def read(waiting: list[Message], layouts: int, kinds: int = nfqueue.KINDS) -> Read:
    """Records and packet ids of a batch, when so many layouts, and kinds of each, may be known."""
    queue = new_queue()
    BATCH.waiting = waiting
    with patch.object(nfqueue, "LAYOUTS", layouts), patch.object(nfqueue, "KINDS", kinds):
        queue.receive()
        return list(queue.receive()), queue._ids  # once more, now that all are known


MARKED = [(nl.NFQA_IFINDEX_INDEV, b"\0\0\0\5"), (nl.NFQA_MARK, b"\0\0\0\1"), (nl.NFQA_SKB_INFO, b"\0\0\0\3")]
SUPERFRAME = [(nl.NFQA_IFINDEX_INDEV, b"\0\0\0\5"), (nl.NFQA_PRIORITY, b"nf\5\xa8"), (nl.NFQA_SKB_INFO, b"\0\0\0\3")]


def told(octets: bytes) -> tuple[int, ...]:
    """Packet id, INDEV, SKB_INFO, PRIORITY, octets of payload and whether they are all, read attribute by attribute."""
    numbers, payload, whole = dict.fromkeys(NUMBERS, 0), 0, True
    for kind, value in netlink.attributes(octets[nl.HEADER_SIZE :]):
        if kind == nl.NFQA_PACKET_HDR:
            (packet_id,) = struct.unpack_from("!I", value)
        elif kind == nl.NFQA_PAYLOAD:
            payload = len(value)
        elif kind in NUMBERS and 1 <= len(value) <= 4:
            numbers[kind] = int.from_bytes(value.ljust(4, b"\0"), "big")
        whole = whole and kind != nl.NFQA_CAP_LEN
    values = (numbers[kind] for kind in (nl.NFQA_IFINDEX_INDEV, nl.NFQA_SKB_INFO, nl.NFQA_PRIORITY))
    return packet_id, *values, payload, whole


@given(batches())
@example([(message(SUPERFRAME, 7, 0, b"x"), 0), (message(SUPERFRAME, 8, 0, b"yz"), 0)])
@example([(message(MARKED, 7, 0, b"x"), 0), (message(SUPERFRAME, 8, 0, b"yz"), 0)])  # as long, in the same places
@example([(message(SUPERFRAME, 7, 0, b"x"), 0), (message(MARKED, 8, 0, b"yz"), 0)])
def test_a_known_shape_changes_nothing(waiting: list[Message]) -> None:
    records, ids = read(waiting, nfqueue.LAYOUTS)
    assert (records, ids) == read(waiting, 0) == read(waiting, nfqueue.LAYOUTS, 1)
    expected = {octets: told(octets) for octets, more in waiting if not more and octets[4:6] == PACKET}
    for (start, length, priority, kind), packet_id in zip(records, ids, strict=True):
        octets = waiting[start // nfqueue.SLOT_SIZE][0]
        if octets in expected:
            found = int.from_bytes(packet_id, "big"), kind.indev, kind.skb_info, priority, length, kind.whole
            assert found == expected.pop(octets)
    assert not expected, "a message without a record"


def test_one_layout_is_learnt_once() -> None:
    waiting = [(message(SUPERFRAME, number, 0, bytes(number)), 0) for number in range(MOST)]
    with patch("nfxlat.datapath.nfqueue.learn", side_effect=learn) as learning:
        records, ids = read(waiting, nfqueue.LAYOUTS)
    assert learning.call_count == 1
    assert [int.from_bytes(packet_id, "big") for packet_id in ids] == list(range(MOST))
    assert [record[1:] for record in records] == [(n, 0x6E6605A8, Kind(0, 5, 3)) for n in range(MOST)]


def test_thousands_of_interfaces_grow_no_memory() -> None:
    queue = new_queue()
    for first in range(0, 40 * MOST, MOST):
        waiting = [[(nl.NFQA_IFINDEX_INDEV, struct.pack("!I", first + number))] for number in range(MOST)]
        BATCH.waiting = [(message(attributes, 1, 0, b"x"), 0) for attributes in waiting]
        assert [kind.indev for *_, kind in queue.receive()] == list(range(first, first + MOST))
    (layout,) = queue._layouts
    assert len(layout.kinds) <= nfqueue.KINDS < 40 * MOST
