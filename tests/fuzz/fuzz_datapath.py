"""The data path under the fuzzer: queue messages, the worker, the fast path with the core as its oracle, superframes.

A packet for the fast path has a block of its own in front of fuzz_core's:

    | info | hook | stamp u16 | control block | packet ...      info: 1 unfinished checksum, 2 GSO, 4 stamped
"""

import sys
from collections.abc import Collection, Sequence
from typing import Any

import fuzz_core

from nfxlat.datapath import nfqueue
from nfxlat.datapath.counters import REASONS, Counters
from nfxlat.datapath.fastpath import FastPath, Taken
from nfxlat.datapath.frame import ethernet
from nfxlat.datapath.inject import Injectors
from nfxlat.datapath.pathmtu import PathMtus, fragmentation_needed
from nfxlat.datapath.source import HEADROOM, TAILROOM, Kind, Record
from nfxlat.datapath.superframe import complete_checksum, segments, transport
from nfxlat.datapath.worker import Worker
from nfxlat.outcome import Action, Reason
from nfxlat.wire import netlink, stamp, vnet
from nfxlat.wire import nfqueue as nl

_BLOCK = 4
_BEHIND = TAILROOM + 64
_UNFINISHED, _GSO, _STAMPED = 1, 2, 4
_INTERFACE = 2
_DIRT = b"\xa5"
_SLOTS = 4
_STRETCH = 5000  # octets: a few segments
_LEAST = 0x40  # octets a stamped segment, so that they do not become thousands
FRAME = ethernet(bytes(6), bytes(6))
_FAST = {
    (which, hops): FastPath(translator, FRAME, device=not hops)
    for which, translator in enumerate(fuzz_core.TRANSLATORS)
    for hops in (0, 1)
}
for _each in _FAST.values():
    _each.trust_stamps({_INTERFACE})


def fast_path(data: bytes) -> None:
    """What the fast path takes comes out as from the core; what it does not take it leaves as it was."""
    case = fuzz_core.shaped(data[_BLOCK:], _STRETCH)
    if case is None or not case.packet:
        return
    asked, hook = data[0], nl.PREROUTING if data[1] & 1 else nl.LOCAL_OUT
    packet, info, priority = case.packet, 0, 0
    protocol, at = transport(packet)
    if asked & (_UNFINISHED | _GSO):
        if not _is_trimmed(packet):
            return  # ip_rcv and ip6_rcv trim packets before the hooks
        info = nl.SKB_CSUMNOTREADY
        packet = _unfinished(packet, protocol, at)
    if asked & _GSO:
        info |= nl.SKB_GSO
        if asked & _STAMPED:
            size = int.from_bytes(data[2:4], "big") | _LEAST
            priority = stamp.MAGIC | (stamp.UDP if protocol == 17 else 0) | size
    buffer = bytearray(_DIRT * HEADROOM + packet + _DIRT * _BEHIND)
    end = HEADROOM + len(packet)
    record = HEADROOM, len(packet), priority, Kind(hook, _INTERFACE, info)
    fast, taken = _FAST[case.which, case.hops], Taken()
    assert fast.run(buffer, 0, [record], 0, taken) == len(taken.destinations) - len(taken.parts)
    if not taken.messages:
        assert buffer == _DIRT * HEADROOM + packet + _DIRT * _BEHIND, "refused, but changed"
        return
    begin, length, *tail = taken.messages
    assert begin >= 0
    assert begin + length <= end, "longer than what came in"
    if tail:
        assert taken.parts == [begin]
        assert tail[0] == end
        end = sum(tail)
    assert buffer[end:] == _DIRT * (len(buffer) - end), "written behind the packet"
    made = bytes(buffer[begin : begin + length])
    trusted = priority if hook == nl.PREROUTING else 0
    whole = case._replace(packet=packet)
    last = bytes(buffer[tail[0] : end]) if tail else b""
    _same_as_core(whole, asked, trusted, made[: vnet.SIZE], made[FRAME.size :], last[FRAME.size :])


def _is_trimmed(packet: bytes) -> bool:
    """Whether the packet ends where its header says, and can come out of a queue."""
    if len(packet) > nfqueue.COPY_RANGE:
        return False
    length = int.from_bytes(packet[2:4] if packet[0] >> 4 == 4 else packet[4:6], "big")
    return len(packet) == length + (0 if packet[0] >> 4 == 4 else 40)


def _unfinished(packet: bytes, protocol: int, at: int) -> bytes:
    """The packet with the folded pseudo-header sum in its checksum field, as F_GSO hands it over."""
    field = {6: 16, 17: 6}.get(protocol)
    if field is None or at + field + 2 > len(packet):
        return packet
    addresses = packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]
    total = int.from_bytes(addresses, "big") + protocol + len(packet) - at
    return packet[: at + field] + ((total - 1) % 0xFFFF + 1).to_bytes(2, "big") + packet[at + field + 2 :]


def _same_as_core(case: fuzz_core.Case, asked: int, priority: int, header: bytes, made: bytes, last: bytes) -> None:
    """Octet for octet, but for the identification where the kernel finishes the work (decisions/core.md)."""
    translator = fuzz_core.TRANSLATORS[case.which]
    packet, version = case.packet, made[0] >> 4
    if not _is_in_order(packet):
        return  # the IPv4 header checksum is the kernel's to verify
    if not asked & (_UNFINISHED | _GSO):
        outcome = translator.translate(packet, case.hops, next_hop_mtu=65535)
        assert outcome.action is Action.TRANSLATED
        assert (header, (made,)) == (vnet.NOTHING, outcome.packets), "the fast path differs from the core"
        return
    flags, kind, _, gso_size, start, offset = vnet.unpack(header)
    assert (flags, start) == (vnet.NEEDS_CSUM, 34 if version == 4 else 54)
    if kind or last:
        assert asked & _GSO, "a superframe out of a packet"
        if not kind:
            protocol, at = transport(made)
            gso_size = len(made) - at - (8 if protocol == 17 else (made[at + 12] >> 4) * 4)
        _same_segments(case, priority, made, last, gso_size, offset)
        return
    outcome = translator.translate(complete_checksum(packet), case.hops, next_hop_mtu=65535)
    assert outcome.action is Action.TRANSLATED
    (expected,) = outcome.packets
    assert _comparable(complete_checksum(made), offset) == _comparable(expected, offset), "unfinished checksum"


def _same_segments(case: fuzz_core.Case, priority: int, made: bytes, last: bytes, gso_size: int, offset: int) -> None:
    """The segments of the result are the results of the segments. The segment size is the stamp's or a safe one."""
    translator = fuzz_core.TRANSLATORS[case.which]
    udp = transport(made)[0] == 17
    assert gso_size > 0
    same = stamp.MAGIC | (stamp.UDP if udp else 0) | gso_size
    if priority and stamp.gso_size_of(priority) != gso_size:
        assert gso_size < stamp.gso_size_of(priority) or not stamp.gso_size_of(priority), "larger segments"
        assert not udp, "another size of datagrams"
    expected: list[bytes] = []
    for segment in segments(case.packet, same):
        outcome = translator.translate(segment, case.hops, next_hop_mtu=65535)
        assert outcome.action is Action.TRANSLATED
        expected += outcome.packets
    found = list(segments(made, same))
    if last:
        found.append(complete_checksum(last))
    assert [_comparable(p, offset) for p in found] == [_comparable(p, offset) for p in expected], "segments"


def _is_in_order(packet: bytes) -> bool:
    if packet[0] >> 4 == 6:
        return True
    return len(packet) >= 20 and int.from_bytes(packet[:20], "big") % 0xFFFF == 0


def _comparable(packet: bytes, field: int) -> bytes:
    """Without identification and header checksum; a transport checksum of 0xffff is 0, which is the same number."""
    at = 40
    if packet[0] >> 4 == 4:
        at = 20
        packet = packet[:4] + bytes(2) + packet[6:10] + bytes(2) + packet[12:]
    at += field
    return packet[:at] + bytes(2) + packet[at + 2 :] if packet[at : at + 2] == b"\xff\xff" else packet


def superframe(data: bytes) -> None:
    """Segments together hold the payload, each is in order; what is told of path MTUs is in its bounds."""
    case = fuzz_core.shaped(data[_BLOCK:], _STRETCH)
    if case is None:
        return
    packet, size = case.packet, int.from_bytes(data[2:4], "big")
    assert len(complete_checksum(packet)) == len(packet)
    found = fragmentation_needed(packet)
    if found is not None:
        destination, mtu = found
        assert len(destination) == 4
        assert 552 <= mtu <= 1259
    if len(packet) // (size or 1) > 64:
        return
    for priority in (0, stamp.MAGIC | size, stamp.MAGIC | stamp.UDP | size):
        made = list(segments(packet, priority))
        if len(made) > 1:
            protocol, at = transport(packet)
            payload = at + (8 if protocol == 17 else (packet[at + 12] >> 4) * 4)
            assert b"".join(each[payload:] for each in made) == packet[payload:], "payload"
            assert all(complete_checksum(each) is not None for each in made)
            limit = stamp.gso_size_of(priority) or 1240
            assert all(len(each) - payload <= limit for each in made), "segment size"


class _Messages:
    """In place of recvmmsg: the messages lie in the slots already."""

    def __init__(self) -> None:
        self.buffer, self.base, self.count = bytearray(_SLOTS * nfqueue.SLOT_SIZE), 0, 0

    def receive(self, _: int) -> int:
        return self.count


class _Told:
    """In place of the socket: keeps the verdicts."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, message: bytes) -> int:
        self.sent.append(message)
        return len(message)


class Collector:
    """In place of a socket: looks at what is staged."""

    frame = FRAME

    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer

    def put_all(self, messages: list[int], destinations: list[bytes], parts: Collection[int] = ()) -> None:
        for address, length, destination in zip(messages[::2], messages[1::2], destinations, strict=True):
            frame = bytes(self._buffer[address : address + length])
            assert len(frame) == length > FRAME.size, "staged beyond the buffer"
            packet = frame[FRAME.size :]
            assert destination in (packet[16:20], packet[24:40]), "destination"

    def put_packet(self, packet: bytes, what: int) -> None:
        fuzz_core.parsed(packet)

    def flush(self) -> None: ...

    def close(self) -> None: ...


def _queue() -> Any:
    """A NetlinkQueue without a socket."""
    queue: Any = object.__new__(nfqueue.NetlinkQueue)
    queue.queue, queue.plain, queue._descriptor, queue._ids, queue._layouts = 7, 6, -1, [], []
    queue._batch, queue._socket = _Messages(), _Told()
    queue._drop, queue._cleared = bytearray(nl.verdict(7, nl.NF_DROP, 0, batch=True)), {7}
    queue.buffer, queue.base = queue._batch.buffer, 0
    return queue


QUEUE = _queue()


def _worker(which: int, *, fast: bool, device: bool) -> Worker:
    translator = fuzz_core.TRANSLATORS[which]
    injector = Collector(QUEUE.buffer)
    worker = Worker(
        [],
        translator,
        Injectors(injector, injector, device),
        Counters(),
        fast=FastPath(translator, FRAME, device=device, guard=9) if fast else None,
        paths=PathMtus(lambda: 0.0),
        device_index=9,
        local={fuzz_core.HOSTS4[5], fuzz_core.HOSTS6[6]},
    )
    worker.trust_stamps({_INTERFACE})
    return worker


_WORKERS = [
    _worker(which, fast=fast, device=device)
    for which in (0, 1, 5)
    for fast in (True, False)
    for device in (True, False)
]


def worker(data: bytes) -> None:
    """Queue messages from the buffer to the injector: | worker | as fuzz_core's block | attributes | packet.

    An odd first octet: messages as they are, each behind its length (u16); else one message, in order, about a packet.
    """
    if len(data) < 8:
        return
    messages = _raw_messages(data[2:]) if data[0] & 1 else _message_about(data[2:])
    records = deliver(messages)
    if data[0] & 2:  # counters as a worker finds them at its start
        _WORKERS[data[1] % len(_WORKERS)] = _worker((0, 1, 5)[data[1] % len(_WORKERS) // 4], fast=True, device=True)
    _WORKERS[data[1] % len(_WORKERS)].batch(QUEUE)
    assert len(QUEUE._socket.sent) <= 2 * len(records) + 1


def _raw_messages(data: bytes) -> list[bytes]:
    """The length in a message is the kernel's own (nlmsg_end), so it is right; all else is taken as it comes."""
    messages: list[bytes] = []
    while len(data) > 2 and len(messages) < _SLOTS:
        length = int.from_bytes(data[:2], "big")
        message = data[2 : 2 + length].ljust(nl.HEADER_SIZE, b"\0")
        messages.append(len(message).to_bytes(4, sys.byteorder) + message[4:])
        data = data[2 + length :]
    return messages


def _message_about(data: bytes) -> list[bytes]:
    case = fuzz_core.shaped(data[6:], _STRETCH)
    if case is None:
        return []
    info, hook, indev = data[0] & 7, data[1] % 5, data[2] % 11
    attributes = [
        netlink.attribute(nl.NFQA_PACKET_HDR, bytes((0, 0, 0, 1, 8, 0, hook))),
        netlink.attribute(nl.NFQA_IFINDEX_INDEV, indev.to_bytes(4, "big")),
        netlink.attribute(nl.NFQA_SKB_INFO, info.to_bytes(4, "big")),
        netlink.attribute(
            nl.NFQA_PRIORITY, (stamp.MAGIC | int.from_bytes(data[3:6], "big") & 0x1FFFF | _LEAST).to_bytes(4, "big")
        ),
        netlink.attribute(nl.NFQA_PAYLOAD, case.packet[: nfqueue.COPY_RANGE]),
    ]
    return [message(*attributes)]


def message(*attributes: bytes) -> bytes:
    """A queue message of these attributes."""
    body = bytes(4) + b"".join(attributes)
    return netlink.message(nl.TYPE_PACKET, 0, 0, body)


def counted(counters: Counters) -> dict[Reason, int]:
    """How often each reason was counted, whatever the direction."""
    columns = ((reason, counters.reasons[column :: len(REASONS)]) for column, reason in enumerate(REASONS))
    return {reason: sum(cells) for reason, cells in columns if any(cells)}


def deliver(messages: Sequence[bytes]) -> Sequence[Record]:
    """The records of the messages, which lie in the slots of the queue's buffer now."""
    batch = QUEUE._batch
    batch.count = len(messages)
    if len(QUEUE._layouts) == nfqueue.LAYOUTS:
        QUEUE._layouts.clear()  # for new ones to be learnt
    QUEUE._socket.sent.clear()
    for number, message in enumerate(messages):
        at = number * nfqueue.SLOT_SIZE + HEADROOM
        room = nfqueue.SLOT_SIZE - HEADROOM - 64
        batch.buffer[at : at + len(message)] = message
        assert len(message) <= room
        batch.buffer[at + len(message) : at + len(message) + 64] = bytes(64)
    records: Sequence[Record] = QUEUE.receive()
    assert len(records) <= len(messages)
    for start, length, _, _ in records:
        slot = start // nfqueue.SLOT_SIZE * nfqueue.SLOT_SIZE
        assert slot + HEADROOM <= start, "no headroom"
        assert length >= 0
        assert start + length <= slot + nfqueue.SLOT_SIZE, "a packet beyond its slot"
    return records
