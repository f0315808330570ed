"""The TUN's vnet header, both ways; a pair of sockets that keeps boundaries stands in for the device."""

import os
import socket
from collections.abc import Iterator

import pytest
from packets import ipv4, ipv6
from scapy.layers.inet import TCP, UDP

from nfxlat.datapath.counters import PART, Direction, cell
from nfxlat.datapath.source import HEADROOM, Kind
from nfxlat.datapath.tun import INDEV, TunInjector, TunSource
from nfxlat.outcome import Reason
from nfxlat.wire import stamp, vnet
from nfxlat.wire.nfqueue import FORWARD, SKB_CSUMNOTREADY, SKB_GSO

PACKET4 = b"\x45" + bytes(19) + b"payload"
PACKET6 = b"\x60" + bytes(7) + b"\x20\x01" + bytes(30) + b"payload"


@pytest.fixture
def kernel() -> Iterator[tuple[socket.socket, TunSource]]:
    """The kernel's side of the device, and ours."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.settimeout(5)
    source = TunSource(ours.detach(), slots=4)
    with theirs:
        yield theirs, source
        source.close()


def header(flags: int, kind: int = 0, gso_size: int = 0) -> bytes:
    return vnet.pack(flags, kind, 40, gso_size, 20, 16)


def test_a_packet_comes_with_room_in_front(kernel: tuple[socket.socket, TunSource]) -> None:
    device, source = kernel
    device.send(vnet.NOTHING + PACKET6)
    ((start, length, _, kind),) = source.receive()
    assert source.buffer[start : start + length] == PACKET6
    assert start >= HEADROOM
    assert kind == Kind(FORWARD, INDEV)
    assert list(source.receive()) == []


def test_a_batch_holds_no_more_than_there_are_slots(kernel: tuple[socket.socket, TunSource]) -> None:
    device, source = kernel
    for _ in range(5):
        device.send(vnet.NOTHING + PACKET6)
    assert [len(source.receive()) for _ in range(3)] == [4, 1, 0]


@pytest.mark.parametrize(
    ("kind", "priority"),
    [
        (vnet.GSO_TCPV4, stamp.MAGIC | 1000),
        (vnet.GSO_TCPV6 | vnet.GSO_ECN, stamp.MAGIC | 1000),
        (vnet.GSO_UDP_L4, stamp.MAGIC | stamp.UDP | 1000),
        (3, 0),  # UFO is cut elsewhere
    ],
)
def test_a_superframe_s_size_is_a_stamp(kernel: tuple[socket.socket, TunSource], kind: int, priority: int) -> None:
    device, source = kernel
    device.send(header(vnet.NEEDS_CSUM, kind, 1000) + PACKET6)
    (record,) = source.receive()
    assert record[2:] == (priority, Kind(FORWARD, INDEV, SKB_GSO | SKB_CSUMNOTREADY))


def test_an_unfinished_checksum_is_told(kernel: tuple[socket.socket, TunSource]) -> None:
    device, source = kernel
    for packet, start in ((ipv6(TCP() / b"x"), 40), (ipv4(TCP() / b"x"), 20)):
        device.send(vnet.pack(vnet.NEEDS_CSUM, 0, 0, 0, start, 16) + packet)
        ((at, length, _, kind),) = source.receive()
        assert (bytes(source.buffer[at : at + length]), kind) == (packet, Kind(FORWARD, INDEV, SKB_CSUMNOTREADY))


@pytest.mark.parametrize("payload", [b"", b"x", b"even"])
@pytest.mark.parametrize("options", [b"", bytes((1, 1, 1, 0))], ids=["plain", "options"])
def test_an_unfinished_checksum_that_is_not_the_packet_s_own_is_finished(
    kernel: tuple[socket.socket, TunSource], payload: bytes, options: bytes
) -> None:
    """Of an inner header, or behind options, which the fast path does not take."""
    device, source = kernel
    for layer, field in ((TCP(sport=1, dport=2), 16), (UDP(sport=1, dport=2), 6)):
        inner = ipv4(layer / payload, options=options)
        for outer in (b"", ipv4(b"", proto=4, len=20 + len(inner)), ipv6(b"", nh=4, plen=len(inner))):
            whole = outer + inner
            start = len(outer) + 20 + len(options)
            if start == 20:
                continue
            pseudo = (int.from_bytes(inner[12:20], "big") + inner[9] + len(whole) - start) % 0xFFFF
            partial = whole[: start + field] + pseudo.to_bytes(2, "big") + whole[start + field + 2 :]
            device.send(vnet.pack(vnet.NEEDS_CSUM, 0, 0, 0, start, field) + partial)
            ((at, length, _, kind),) = source.receive()
            assert (bytes(source.buffer[at : at + length]), kind) == (whole, Kind(FORWARD, INDEV))


def test_an_offset_beyond_the_packet_touches_nothing(kernel: tuple[socket.socket, TunSource]) -> None:
    device, source = kernel
    device.send(vnet.pack(vnet.NEEDS_CSUM, 0, 0, 0, len(PACKET4) - 8, 7) + PACKET4)
    before = bytes(source.buffer)
    ((at, length, _, kind),) = source.receive()
    assert (bytes(source.buffer[at : at + length]), kind) == (PACKET4, Kind(FORWARD, INDEV))
    assert source.buffer[at + length :] == before[at + length :]


def test_a_result_leaves_as_it_was_made(kernel: tuple[socket.socket, TunSource]) -> None:
    device, source = kernel
    injector = TunInjector(source, lambda *refused: pytest.fail(str(refused)))
    begin = HEADROOM
    made = injector.frame.superframe(6, 6, 20, 1000) + PACKET6
    for _ in range(2):
        source.buffer[begin : begin + len(made)] = made
        injector.put_all([source.base + begin, len(made)], [])
        assert device.recv(4096) == vnet.pack(vnet.NEEDS_CSUM, vnet.GSO_TCPV6, 60, 1000, 40, 16) + PACKET6


def test_a_whole_packet_leaves_as_it_is(kernel: tuple[socket.socket, TunSource]) -> None:
    device, source = kernel
    TunInjector(source, lambda *refused: pytest.fail(str(refused))).put_packet(PACKET4, PART)
    assert device.recv(4096) == vnet.NOTHING + PACKET4


def test_what_the_device_refuses_is_counted() -> None:
    refused: list[tuple[Reason, int]] = []
    full, other = os.pipe()
    os.set_blocking(other, False)
    while True:
        try:
            os.write(other, bytes(65536))
        except BlockingIOError:
            break
    source = TunSource(other, slots=1)
    writer = TunInjector(source, lambda *one: refused.append(one))
    writer.put_packet(PACKET4, 7)
    for packet in (PACKET4, PACKET6):
        made = writer.frame.whole(4) + packet
        source.buffer[: len(made)] = made
        writer.put_all([source.base, len(made)], [])
    writer.put_all([source.base, 100], [], [source.base])
    whats = [7, cell(Reason.TRANSLATED, Direction.V6TO4), cell(Reason.TRANSLATED, Direction.V4TO6), PART]
    assert refused == [(Reason.INJECT_NO_BUFFER, what) for what in whats]
    os.close(full)
    os.close(other)
