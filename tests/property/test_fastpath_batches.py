"""A batch through the worker: with the fast path the same packets leave, in the same order, with the same verdicts."""

from collections.abc import Collection, Sequence

from batches import GUARD, kind, packet
from hypothesis import assume, given
from hypothesis import strategies as st
from plain_packets import TRANSLATORS, packets
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from worker_ends import Injector, Source, Waiting

from nfxlat.datapath.counters import Counters, Total
from nfxlat.datapath.fastpath import FastPath
from nfxlat.datapath.frame import TUN
from nfxlat.datapath.inject import Injectors
from nfxlat.datapath.pathmtu import PathMtus
from nfxlat.datapath.source import SLOTS, Kind, Record
from nfxlat.datapath.superframe import is_own_checksum_unfinished
from nfxlat.datapath.worker import Worker
from nfxlat.wire.nfqueue import POSTROUTING, PREROUTING, SKB_CSUMNOTREADY


def translated(
    waiting: Waiting,
    *,
    fast: bool,
    device: bool,
    plain: int | None = None,
    local: Collection[bytes] = frozenset(),
) -> tuple[tuple[list[bytes], list[int], list[int], list[int], list[int]], int]:
    """What left, what was accepted and what goes to the queue `plain`, the counters; how many the fast path took."""
    source = Source(waiting)
    source.plain = plain
    injector, counters = Injector(source, TUN), Counters()
    worker = Worker(
        [],
        TRANSLATORS[0],
        Injectors(injector, injector, device),
        counters,
        fast=FastPath(TRANSLATORS[0], TUN, device=device, guard=GUARD, local=local) if fast else None,
        paths=PathMtus(lambda: 0.0),
        device_index=GUARD,
        local=local,
    )
    assert worker.batch(source) == len(waiting)
    totals = list(counters.totals)
    totals[Total.FAST], taken = 0, totals[Total.FAST]
    return (injector.packets, source.accepted, source.again, totals, list(counters.reasons)), taken


@given(waiting=st.lists(st.tuples(packet, kind), min_size=1, max_size=12), device=st.booleans())
def test_a_batch_leaves_as_from_the_core(waiting: Waiting, device: bool) -> None:
    found, taken = translated(waiting, fast=True, device=device)
    assert (found, 0) == translated(waiting, fast=False, device=device)
    assume(taken)  # a fast path that takes nothing shows nothing


@given(packet=packets(), zero=st.booleans(), device=st.booleans())
def test_a_packet_whose_own_checksum_is_whole_has_another_finished_by_the_kernel(
    packet: bytes, zero: bool, device: bool
) -> None:
    """CHECKSUM_PARTIAL in an inner header: it goes to the plain queue, and is counted there."""
    at = 20 if packet[0] >> 4 == 4 else 40
    assume(packet[9 if at == 20 else 6] == 17)
    if zero:
        packet = packet[: at + 6] + bytes(2) + packet[at + 8 :]
    assume(TRANSLATORS[0].is_ours(packet) and not is_own_checksum_unfinished(packet))
    waiting = [(packet, Kind(PREROUTING, 2, SKB_CSUMNOTREADY))] * 2
    for fast in (True, False):
        (left, accepted, again, totals, reasons), taken = translated(waiting, fast=fast, device=device, plain=6)
        assert (left, accepted, again, taken) == ([], [], [0, 1], 0)
        assert (totals[Total.PACKETS], sum(reasons)) == (0, 0)


def test_a_worker_begins_each_batch_anew() -> None:
    """What one batch has accepted or counted is not the next one's."""
    octets = bytes(IP(src="192.0.2.2", dst="203.0.113.2", flags="DF") / UDP() / b"x")
    source = Source([(octets, Kind(POSTROUTING, 2)), (octets, Kind(PREROUTING, 2))])
    injector, counters = Injector(source, TUN), Counters()
    worker = Worker(
        [],
        TRANSLATORS[0],
        Injectors(injector, injector, device=True),
        counters,
        fast=FastPath(TRANSLATORS[0], TUN),
        paths=PathMtus(lambda: 0.0),
    )
    worker.batch(source)
    assert (source.accepted, len(injector.packets)) == ([0], 2)
    again = Source([(octets, Kind(PREROUTING, 2))])
    worker.batch(again)
    assert (again.accepted, len(injector.packets)) == ([], 3)
    assert (counters.totals[Total.PACKETS], counters.totals[Total.FAST]) == (3, 3)


@given(waiting=st.lists(st.tuples(packet, kind), min_size=1, max_size=12), own=st.integers(0, 11), end=st.booleans())
def test_addresses_of_this_node_are_the_same_to_both(waiting: Waiting, own: int, end: bool) -> None:
    """As source and as destination of what comes in."""
    octets = waiting[own % len(waiting)][0]
    assume(len(octets) >= 40)
    four = octets[0] >> 4 == 4
    at, size = (16 if end else 12, 4) if four else (24 if end else 8, 16)
    local = {octets[at : at + size]}
    found, _ = translated(waiting, fast=True, device=True, local=local)
    assert (found, 0) == translated(waiting, fast=False, device=True, local=local)


def test_for_this_node_no_second_hop_is_taken_where_forwarding_took_one() -> None:
    """Behind forwarding, either way."""
    for octets in (
        bytes(IP(src="192.0.2.2", dst="203.0.113.2", flags="DF", ttl=9) / UDP() / b"x"),
        bytes(IPv6(src="2001:db8:2::2", dst="2001:db8:64::c000:202", hlim=9) / UDP() / b"x"),
    ):
        (left,), *_ = translated([(octets, Kind(POSTROUTING, 2))], fast=False, device=True)[0]
        local = {left[24:40] if left[0] >> 4 == 6 else left[16:20]}
        for hook, indev in ((POSTROUTING, 2), (POSTROUTING, 0), (PREROUTING, 2)):
            found, taken = translated([(octets, Kind(hook, indev))], fast=True, device=True, local=local)
            assert taken
            assert (found, 0) == translated([(octets, Kind(hook, indev))], fast=False, device=True, local=local)


def test_what_a_killed_worker_may_have_received_counts_as_in_its_hands() -> None:
    """From before it can know how many they are, to when all are out."""
    counters, seen = Counters(), []

    class Watched(Source):
        def receive(self) -> Sequence[Record]:
            seen.append(counters.shown(Total.IN_HANDS))
            return super().receive()

        def conclude(self, accepted: Sequence[int], again: Sequence[int] = ()) -> None:
            seen.append(counters.shown(Total.IN_HANDS))
            super().conclude(accepted, again)

    octets = bytes(IP(src="192.0.2.2", dst="203.0.113.2", flags="DF") / UDP() / b"x")
    for waiting in ([(octets, Kind(PREROUTING, 2))] * 2, []):
        source = Watched(waiting)
        injector = Injector(source, TUN)
        worker = Worker(
            [],
            TRANSLATORS[0],
            Injectors(injector, injector, device=True),
            counters,
            fast=None,
            paths=PathMtus(lambda: 0.0),
        )
        worker.batch(source)
        seen.append(counters.shown(Total.IN_HANDS))
    assert seen == [SLOTS, 2, 0, SLOTS, 0]
