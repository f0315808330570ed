"""Path MTUs learnt from errors: what is believed, for how long, and how many."""

import pytest
from clock import Clock
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw

from nfxlat.datapath.pathmtu import PathMtus, fragmentation_needed

HOST, FAR, ROUTER = "198.51.100.2", "192.0.2.34", "192.0.2.33"
FAR_OCTETS = bytes([192, 0, 2, 34])


def needed(mtu: int, *, size: int = 1260, sender: str = HOST, kind: int = 3, code: int = 4) -> bytes:
    quoted = bytes(IP(src=sender, dst=FAR) / UDP() / Raw(bytes(size - 28)))[:28]
    return bytes(IP(src=ROUTER, dst=HOST) / ICMP(type=kind, code=code, nexthopmtu=mtu) / Raw(quoted))


@pytest.mark.parametrize(("told", "learnt"), [(1259, 1259), (576, 576), (552, 552), (551, 552), (68, 552)])
def test_a_plausible_error_is_believed_down_to_the_lowest(told: int, learnt: int) -> None:
    assert fragmentation_needed(needed(told)) == (FAR_OCTETS, learnt)


@pytest.mark.parametrize(
    "packet",
    [
        needed(1260),  # Packet Too Big can say that
        needed(67),
        needed(0),
        needed(576, size=576),  # it would have fitted
        needed(576, sender="198.51.100.3"),  # not the receiver's packet
        needed(576, code=3),
        needed(576, kind=11),
        needed(576)[:55],
        b"",
        bytes(IP(src=ROUTER, dst=HOST) / UDP() / Raw(bytes(60))),
        b"\x4f" + needed(576)[1:],
    ],
)
def test_anything_else_is_not(packet: bytes) -> None:
    assert fragmentation_needed(packet) is None


def test_what_was_learnt_is_forgotten_after_its_lifetime() -> None:
    clock = Clock()
    paths = PathMtus(clock, lifetime=600)
    assert paths.learn(needed(576)) == (FAR_OCTETS, 576)
    clock.now = 599
    paths.expire()
    assert paths.mtus == {FAR_OCTETS: 576}
    clock.now = 600
    paths.expire()
    assert paths.mtus == {}
    assert paths.learn(b"") is None


def test_the_oldest_gives_way_and_a_repeated_one_is_young_again() -> None:
    paths = PathMtus(Clock(), capacity=2)
    paths.set(b"a", 600)
    paths.set(b"b", 600)
    paths.set(b"a", 700)
    paths.set(b"c", 600)
    assert paths.mtus == {b"a": 700, b"c": 600}
