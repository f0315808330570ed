"""What a worker tells those who trace, and what they make of it."""

import json
import socket
from collections.abc import Iterator
from ipaddress import IPv6Network, ip_network
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from clock import Clock
from packets import icmp6, ipv4, quote6
from scapy.layers.inet import UDP

from nfxlat.cli.traced_packet import as_json, lines
from nfxlat.datapath.source import Kind
from nfxlat.datapath.trace import Tracing
from nfxlat.datapath.trace_filter import Filter
from nfxlat.offline.capture import opened
from nfxlat.offline.pcapng_writer import Writer
from nfxlat.outcome import Action, Outcome, Reason, dropped
from nfxlat.service import traced as reading
from nfxlat.service.traced import NotShown, Shown
from nfxlat.wire.nfqueue import PREROUTING, SKB_CSUMNOTREADY, SKB_GSO
from nfxlat.wire.stamp import MAGIC
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.translator import Translator

ADDRESSES = Translator(Domain(prefix6=IPv6Network("2001:db8:64::/96"))).addresses
PACKET = ipv4(UDP(sport=1, dport=2) / b"x")
RECORD = (0, len(PACKET), 0, Kind(PREROUTING, 0))
TRANSLATED = Outcome(Action.TRANSLATED, Reason.TRANSLATED, (b"\x60" + bytes(39),))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def traced(theirs: socket.socket, wanted: Filter, clock: Clock) -> Tracing:
    tracing = Tracing(3, ADDRESSES, clock)
    tracing.add(1, wanted, theirs.detach())
    return tracing


def test_what_the_rate_leaves_out_is_told_with_the_next(ends: tuple[socket.socket, socket.socket]) -> None:
    clock = Clock()
    tracing = traced(ends[1], Filter(rate=1), clock)
    for _ in range(5):
        tracing.show(PACKET, RECORD, (TRANSLATED,), fast=True)
    clock.now += 1
    tracing.show(PACKET, RECORD, (TRANSLATED,), fast=True)
    assert [Shown.of(ends[0].recv(1 << 18)).missed for _ in range(3)] == [0, 0, 3]
    tracing.remove(1)


def test_who_does_not_read_keeps_nobody_waiting(ends: tuple[socket.socket, socket.socket]) -> None:
    tracing = traced(ends[1], Filter(), Clock())
    for _ in range(5000):
        tracing.show(PACKET, RECORD, (TRANSLATED,), fast=True)
    read = 0
    while True:
        try:
            assert Shown.of(ends[0].recv(1 << 18)).missed == 0
        except BlockingIOError:
            break
        read += 1
    tracing.show(PACKET, RECORD, (TRANSLATED,), fast=True)
    assert Shown.of(ends[0].recv(1 << 18)).missed == 5000 - read > 0
    tracing.remove(1)


def test_who_has_gone_is_forgotten(ends: tuple[socket.socket, socket.socket]) -> None:
    tracing = traced(ends[1], Filter(), Clock())
    ends[0].close()
    tracing.show(PACKET, RECORD, (TRANSLATED,), fast=True)
    assert not tracing
    tracing.remove(1)


def test_pairs_that_are_asked_for_are_not_to_be_taught(ends: tuple[socket.socket, socket.socket]) -> None:
    tracing = traced(ends[1], Filter.decode(Filter().encode()), Clock())
    assert tracing.wants_pair(PACKET[12:20])
    tracing.remove(1)
    assert not tracing.wants_pair(PACKET[12:20])


def test_of_those_who_ask_for_losses_alone_none_is_kept_from_the_kernel(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    tracing = traced(ends[1], Filter(actions=frozenset((Action.DROPPED,))), Clock())
    assert not tracing.wants_pair(PACKET[12:20])
    tracing.remove(1)


def shown(ends: tuple[socket.socket, socket.socket], kind: Kind, *outcomes: Outcome, priority: int = 0) -> Shown:
    tracing = traced(ends[1], Filter(snap=64), Clock())
    tracing.show(PACKET, (0, len(PACKET), priority, kind), outcomes, fast=False)
    octets = ends[0].recv(1 << 18)
    tracing.remove(1)
    return Shown.of(octets)


def test_the_time_is_over_although_more_waits(ends: tuple[socket.socket, socket.socket]) -> None:
    tracing = traced(ends[1], Filter(), Clock())
    for _ in range(3):
        tracing.show(PACKET, RECORD, (TRANSLATED,), fast=True)
    assert len(list(islice(reading.shown(ends[0], 600), 2))) == 2
    assert list(reading.shown(ends[0], 1e-9)) == []
    tracing.remove(1)


def test_a_drop_says_why(ends: tuple[socket.socket, socket.socket]) -> None:
    one = shown(ends, Kind(PREROUTING, 0), dropped(Reason.UDP_ZERO_CHECKSUM))
    head, *rest = lines(one)
    assert head.endswith("UDP, 29 octets")
    assert rest == [
        "  dropped: udp_zero_checksum (RFC 7915 4.5); prerouting, worker 3",
        "  IPv4 UDP without a checksum",
    ]
    told = json.loads(as_json(one))
    assert (told["direction"], told["action"], told["reason"]) == ("4to6", "dropped", "udp_zero_checksum")


def test_an_error_of_a_router_is_shown_to_who_asks_for_the_conversation_and_says_what_it_is_about() -> None:
    quote = quote6(UDP(sport=53, dport=7), src="2001:db8:64::192.0.2.2", dst="2001:db8::2")
    packet = icmp6(2, 0, (1400).to_bytes(4, "big"), quote, src="2001:db8:1::1", dst="2001:db8:64::192.0.2.2")
    filters = (("192.0.2.2", "2001:db8::2", True), ("192.0.2.2", "2001:db8::3", False), ("::", "2001:db8::2", False))
    for first, second, asked in filters:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            wanted = Filter((ip_network(first), ip_network(second)), frozenset((17,)), 53)
            tracing = traced(theirs, wanted, Clock())
            assert tracing.wants(packet) == asked
            tracing.show(packet, (0, len(packet), 0, Kind(PREROUTING, 0)), (TRANSLATED,), fast=False)
            tracing.remove(1)
            octets = ours.recv(1 << 18)
            assert bool(octets) == asked
            if asked:
                head, about, *_ = lines(Shown.of(octets))
                assert head.endswith("> 2001:db8:64::c000:202 ICMPv6 packet too big (2/0), MTU 1400, 96 octets"), head
                assert about == "  about 2001:db8:64::c000:202 port 53 > 2001:db8::2 port 7 UDP, 48 octets"


def test_of_a_superframe_what_is_not_plain_is_told(ends: tuple[socket.socket, socket.socket]) -> None:
    kind = Kind(PREROUTING, 1, SKB_GSO | SKB_CSUMNOTREADY)
    one = shown(ends, kind, TRANSLATED, dropped(Reason.IGMP), TRANSLATED, priority=MAGIC | 1400)
    assert (one.reason, one.gso_size, one.segments, len(one.packets)) == (Reason.IGMP, 1400, 3, 2)
    facts = lines(one)[1]
    assert "prerouting lo" in facts
    assert "superframe, segments of 1400 octets, cut here, checksum left to the hardware" in facts


def test_a_capture_has_both_sides_and_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "two.pcapng"
    with path.open("wb") as file:
        writer = Writer(file, ("in", "out"))
        writer.write(0, 1_700_000_000_123_456_789, PACKET, 1500, "why")
        writer.write(1, 1_700_000_000_123_456_789, PACKET, len(PACKET))
    with opened(str(path)) as (capture, _):
        first, second = capture
    assert (first.link_type, first.time, first.data) == (101, 1_700_000_000_123_456_789, PACKET)
    assert (first.missing, second.missing) == (1500 - len(PACKET), 0)
    assert b"why" in path.read_bytes()
    assert capture.nanoseconds


GOOD: dict[str, Any] = {
    "time": 1.5,
    "worker": 0,
    "hook": "prerouting",
    "interface": 0,
    "action": "dropped",
    "reason": "igmp",
    "fast": False,
    "unfinished": False,
    "packet": "45",
    "length": 1,
    "packets": [],
    "lengths": [],
    "missed": 0,
}


@pytest.mark.parametrize(
    "change",
    [
        {"time": "1"},
        {"time": -1},
        {"time": True},
        {"worker": -1},
        {"worker": 1.5},
        {"hook": "\x1b[2J"},
        {"action": "foo"},
        {"reason": "foo"},
        {"packet": "4"},
        {"packet": 4},
        {"packets": ["00"]},
        {"lengths": [True]},
        {"missed": None},
        {"superframe": 5},
        {"superframe": {}},
    ],
)
def test_what_is_read_is_not_believed(change: dict[str, Any]) -> None:
    Shown.of(json.dumps(GOOD).encode())
    with pytest.raises(NotShown):
        Shown.of(json.dumps({**GOOD, **change}).encode())


@pytest.mark.parametrize("octets", [b"", b"[]", b"\xff", b"[" * 100000])
def test_octets_that_are_nothing(octets: bytes) -> None:
    with pytest.raises(NotShown):
        Shown.of(octets)
