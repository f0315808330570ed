"""Path MTUs learnt from errors: what is believed, for how long, and how many."""

from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest
from clock import Clock
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPv6, IPv6ExtHdrDestOpt
from scapy.packet import Raw

from nfxlat.datapath.pathmtu import Learnt, News, PathMtus, fragmentation_needed, narrowed
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.translator import Translator

HOST, FAR, ROUTER = "198.51.100.2", "192.0.2.34", "192.0.2.33"
ROUTER6 = "2001:db8:fe::1"
TRANSLATOR = Translator(
    Domain(
        prefix6=IPv6Network("2001:db8:64::/96"),
        eamt=Eamt([(IPv4Network("198.51.100.2"), IPv6Network("2001:db8:2::2"))]),
    )
)
PAIR = bytes([198, 51, 100, 2, 192, 0, 2, 34])


def needed(mtu: int, *, size: int = 1260, sender: str = HOST, kind: int = 3, code: int = 4) -> bytes:
    quoted = bytes(IP(src=sender, dst=FAR) / UDP() / Raw(bytes(size - 28)))[:28]
    return bytes(IP(src=ROUTER, dst=HOST) / ICMP(type=kind, code=code, nexthopmtu=mtu) / Raw(quoted))


@pytest.mark.parametrize(("told", "learnt"), [(1259, 1259), (576, 576), (552, 552), (551, 552), (68, 552)])
def test_a_plausible_error_is_believed_down_to_the_lowest(told: int, learnt: int) -> None:
    assert fragmentation_needed(needed(told)) == (PAIR, learnt)


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
    assert paths.learn(needed(576)) == (PAIR, 576)
    clock.now = 599
    paths.expire()
    assert paths.mtus == {PAIR: 576}
    clock.now = 600
    paths.expire()
    assert paths.mtus == {}
    assert paths.learn(b"") is None


def test_only_what_was_not_known_is_news() -> None:
    clock = Clock()
    paths = PathMtus(clock, lifetime=600)
    assert [paths.learn(needed(mtu)) for mtu in (576, 576, 600)] == [(PAIR, 576), None, (PAIR, 600)]
    clock.now = 300
    assert paths.learn(needed(600)) == (PAIR, 600)  # half its life is over
    clock.now = 899
    paths.expire()
    assert paths.mtus == {PAIR: 600}


def test_news_are_told_at_once_and_then_in_batches() -> None:
    clock, told = Clock(), list[tuple[Learnt, ...]]()
    news = News(told.append, clock, interval=0.5, most=3)
    for number in range(6):
        news.add(bytes([number]), 600)
    assert told == [((b"\0", 600),)]
    clock.now = 0.5
    news.flush()
    news.flush()
    assert told[1:] == [tuple((bytes([number]), 600) for number in (3, 4, 5))]  # the latest
    news.add(b"\3", 700)
    news.add(b"\3", 800)
    clock.now = 1
    news.flush()
    assert told[2:] == [((b"\3", 800),)]


def test_a_storm_of_forged_errors_is_a_few_messages() -> None:
    clock, told = Clock(), list[tuple[Learnt, ...]]()
    paths, news = PathMtus(clock), News(told.append, clock)
    error = bytearray(needed(576))
    for number in range(10_000):  # in two seconds
        clock.now += 0.0002
        error[16:20] = error[40:44] = bytes((10, 1, number >> 8, number & 255))
        if found := paths.learn(bytes(error)):
            news.add(*found)
    assert len(told) <= 11
    assert max(map(len, told)) == 256


FAR6, HOST6 = "2001:db8:64::c000:222", "2001:db8:2::2"


@pytest.mark.parametrize(
    ("packet", "quoted"),
    [
        (needed(576), FAR),
        (bytes(IPv6(src=ROUTER6, dst=HOST6) / ICMPv6PacketTooBig(mtu=1400) / IPv6(src=HOST6, dst=FAR6) / UDP()), FAR6),
        (
            bytes(
                IPv6(src=ROUTER6, dst=HOST6)
                / IPv6ExtHdrDestOpt()
                / ICMPv6PacketTooBig(mtu=1400)
                / IPv6(src=HOST6, dst=FAR6)
                / UDP()
            ),
            FAR6,
        ),
        (needed(576, code=3), None),
        (bytes(IP(src=ROUTER, dst=HOST) / UDP()), None),
        (bytes(IPv6(src=ROUTER6, dst=HOST6) / ICMPv6TimeExceeded() / IPv6(src=HOST6, dst=FAR6) / UDP()), None),
        (bytes(IPv6(src=HOST6, dst=FAR6) / UDP()), None),
    ],
)
def test_which_destination_has_a_narrow_way(packet: bytes, quoted: str | None) -> None:
    (result,) = TRANSLATOR.translate(packet).packets
    assert narrowed(packet, result) == (ip_address(quoted).packed if quoted else b"")


def test_a_hairpin_says_nothing_of_the_sort() -> None:
    packet = bytes(IPv6(src=FAR6, dst=HOST6) / ICMPv6PacketTooBig(mtu=1400) / IPv6(src=HOST6, dst=FAR6) / UDP())
    assert narrowed(packet, packet) == b""


def test_the_oldest_gives_way_and_a_repeated_one_is_young_again() -> None:
    paths = PathMtus(Clock(), capacity=2)
    paths.set(b"a", 600)
    paths.set(b"b", 600)
    paths.set(b"a", 700)
    paths.set(b"c", 600)
    assert paths.mtus == {b"a": 700, b"c": 600}
