"""Packets that somebody traces leave as they would have left, and are told as they were."""

import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from ipaddress import ip_network

from batches import GUARD, kind, packet
from hypothesis import given
from hypothesis import strategies as st
from plain_packets import TRANSLATORS
from worker_ends import Injector, Source, Waiting

from nfxlat.datapath.counters import Counters
from nfxlat.datapath.fastpath import FastPath
from nfxlat.datapath.frame import TUN
from nfxlat.datapath.inject import Injectors
from nfxlat.datapath.pathmtu import PathMtus
from nfxlat.datapath.trace import Tracing
from nfxlat.datapath.trace_filter import Filter
from nfxlat.datapath.worker import Worker
from nfxlat.service.traced import Shown

HOST4, HOST6 = ip_network("192.0.2.2"), ip_network("2001:db8:64::c000:202")
FILTERS = [
    Filter(),
    Filter((HOST4,)),
    Filter((HOST6,)),
    Filter(protocols=frozenset((6,))),
    Filter(reasons=frozenset(("not_ours", "queue_truncated"))),
]


@contextmanager
def reading(wanted: Collection[Filter]) -> Iterator[tuple[Tracing, list[socket.socket]]]:
    tracing, ends = Tracing(0, TRANSLATORS[0].addresses), []
    for number, one in enumerate(wanted):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        tracing.add(number, one, theirs.detach())
        ends.append(ours)
    try:
        yield tracing, ends
    finally:
        for number, end in enumerate(ends):
            end.close()
            tracing.remove(number)


def told(end: socket.socket) -> list[Shown]:
    found = []
    while True:
        try:
            found.append(Shown.of(end.recv(1 << 18)))
        except BlockingIOError:
            return found


def translated(waiting: Waiting, *, fast: bool, tracing: Tracing | None) -> tuple[object, ...]:
    """What left, what was accepted, the counters."""
    source = Source(waiting)
    injector, counters = Injector(source, TUN), Counters()
    worker = Worker(
        [],
        TRANSLATORS[0],
        Injectors(injector, injector, device=True),
        counters,
        fast=FastPath(TRANSLATORS[0], TUN, guard=GUARD) if fast else None,
        paths=PathMtus(lambda: 0.0),
        device_index=GUARD,
    )
    worker.trace(tracing)
    worker.batch(source)
    return injector.packets, source.accepted, source.again, list(counters.totals), list(counters.reasons)


@given(
    waiting=st.lists(st.tuples(packet, kind), min_size=1, max_size=12),
    fast=st.booleans(),
    wanted=st.lists(st.sampled_from(FILTERS), min_size=1, max_size=3),
)
def test_traced_packets_leave_as_others(waiting: Waiting, fast: bool, wanted: list[Filter]) -> None:
    with reading(wanted) as (tracing, _):
        assert translated(waiting, fast=fast, tracing=tracing) == translated(waiting, fast=fast, tracing=None)


@given(waiting=st.lists(st.tuples(packet, kind), min_size=1, max_size=12), fast=st.booleans())
def test_all_that_came_and_left_is_told_in_order(waiting: Waiting, fast: bool) -> None:
    with reading([Filter()]) as (tracing, (end,)):
        left, *_ = translated(waiting, fast=fast, tracing=tracing)
        shown = told(end)
    assert [one.packet for one in shown] == [octets for octets, _ in waiting]
    assert [result for one in shown for result in one.packets] == left


@given(waiting=st.lists(st.tuples(packet, kind), min_size=1, max_size=12))
def test_both_families_name_the_same_host(waiting: Waiting) -> None:
    """192.0.2.2 is 2001:db8:64::c000:202 in this domain."""
    with reading([Filter((HOST4,)), Filter((HOST6,))]) as (tracing, (by4, by6)):
        translated(waiting, fast=True, tracing=tracing)
        shown = [[one.packet for one in told(end)] for end in (by4, by6)]
    assert shown[0] == shown[1]
