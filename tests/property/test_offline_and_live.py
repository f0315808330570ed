"""`nfxlat translate` and `nfxlat run` agree in everything that does not depend on the host.

Live is a worker without a fast path (which equals the core by tests of its own) and without a domain device, whose
routes have the MTUs that offline takes for granted. Packets: those of the fuzzers' corpus in each domain, and whole
ones and superframes that hypothesis makes. What comes out, what is answered and what is counted is the same.
"""

from dataclasses import replace
from pathlib import Path

import fuzz_core
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_packets import packets
from worker_ends import Injector, Source

from nfxlat.datapath.counters import REASONS, Counters
from nfxlat.datapath.inject import Injectors
from nfxlat.datapath.pathmtu import PathMtus
from nfxlat.datapath.routecache import RouteCache
from nfxlat.datapath.source import Kind
from nfxlat.datapath.worker import Worker
from nfxlat.offline import link
from nfxlat.offline.record import Record as Captured
from nfxlat.offline.translation import Judgement, judge
from nfxlat.outcome import Action, Reason
from nfxlat.wire import stamp
from nfxlat.wire.nfqueue import PREROUTING, SKB_GSO
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.node import OwnAddresses, translator_for
from nfxlat.xlat.special import martian4
from nfxlat.xlat.translator import Translator

CORPUS = sorted((Path(fuzz_core.__file__).parent / "corpus/core").iterdir())
# an MTU that is not known is left out offline, and has no route live
DOMAINS = [replace(one, mtu4=one.mtu4 or 1500, mtu6=one.mtu6 or 1500) for one in fuzz_core.DOMAINS]
INTERFACE = 2


def live(domain: Domain, packet: bytes, superframe: int) -> tuple[list[bytes], bool, dict[Reason, int]]:
    """What left, whether the original goes on, and what was counted."""

    def route(destination: bytes) -> tuple[int, bytes]:
        return (domain.mtu4 if len(destination) == 4 else domain.mtu6) or 0, bytes(len(destination))

    own = OwnAddresses(frozenset(), frozenset(), lambda receiver: None)
    kind = Kind(PREROUTING, INTERFACE, SKB_GSO if superframe else 0)
    counters, queue = Counters(), Source([(packet, kind)], priority=stamp.MAGIC | stamp.UDP | superframe)
    sent = Injector(queue)
    worker = Worker(
        [],
        translator_for(domain, own, frozenset()),
        Injectors(sent, sent, device=False),
        counters,
        fast=None,
        paths=PathMtus(lambda: 0.0),
        routes=RouteCache(route, lambda: 0.0),
    )
    worker.trust_stamps({INTERFACE})
    worker.batch(queue)
    cells = ((reason, sum(counters.reasons[column :: len(REASONS)])) for column, reason in enumerate(REASONS))
    return sent.packets, bool(queue.accepted), {reason: number for reason, number in cells if number}


def compare(domain: Domain, packet: bytes) -> Judgement:
    offline = judge(Translator(domain), Captured(link.RAW, 0, packet))
    action, reason, made = offline.outcome
    if action is Action.TRANSLATED and packet[0] >> 4 == 4 and martian4(packet[12:16]):
        action, reason, made = Action.DROPPED, Reason.MARTIAN_SOURCE, ()  # live, where RFC 7915 4.1 would have it pass
    count, size = (offline.superframe.segments, offline.superframe.gso_size) if offline.superframe else (1, 0)
    sent, accepted, counted = live(domain, packet, size)
    assert accepted == (action is Action.PASSED)
    if action is Action.REJECTED and count > 1:  # offline, the first error stands for all
        assert len(sent) == count
        sent = sent[:1]
    assert sent == list(made)
    if count == 1 or len(counted) == 1:
        assert counted == {reason: count}
    return offline


@pytest.mark.parametrize("which", range(len(DOMAINS)))
def test_the_corpus_in_each_domain(which: int) -> None:
    for file in CORPUS:
        data = bytearray(file.read_bytes())
        data[:1] = bytes([which])
        if (case := fuzz_core.shaped(bytes(data))) is not None and len(case.packet) < 65000:
            compare(DOMAINS[which], case.packet)


@given(packet=packets(), which=st.integers(0, len(DOMAINS) - 1))
def test_whole_packets(packet: bytes, which: int) -> None:
    compare(DOMAINS[which], packet)


@given(packet=packets(), which=st.integers(0, len(DOMAINS) - 1), more=st.integers(1500, 20000))
def test_superframes(packet: bytes, which: int, more: int) -> None:
    octets = bytearray(packet + bytes(more))
    if octets[0] >> 4 == 4:
        octets[2:4] = len(octets).to_bytes(2, "big")
        octets[10:12] = bytes(2)
        fuzz_core._sum_up(octets, 0, 20, 10, 0)
    else:
        octets[4:6] = (len(octets) - 40).to_bytes(2, "big")
    compare(DOMAINS[which], bytes(octets))


def test_all_fates_are_met() -> None:
    """Or the comparison shows nothing."""
    met = set()
    for file in CORPUS:
        if (case := fuzz_core.shaped(file.read_bytes())) is not None and len(case.packet) < 65000:
            met |= {compare(DOMAINS[which], case.packet).outcome.action for which in (0, 4)}
    assert met == set(Action)
