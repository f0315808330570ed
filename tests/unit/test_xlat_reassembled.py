"""What was put together of fragments before it comes to the core (`reassembled`): cut anew, whatever DF says."""

from functools import partial
from ipaddress import IPv4Network, IPv6Network

import packets
import pytest
from packets import P, ip4, ip6, ipv4, ipv6, one4, only, summary, translator, transport_is_valid
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment
from scapy.packet import Raw

from nfxlat.outcome import Action, Outcome, Reason
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.fragmentation4 import identification, identification_of_whole

DATA = bytes(range(256)) * 12
A6, B6, PB = "2001:db8:a::7", "2001:db8:b::8", P + "c633:6408"
EAMT = Eamt(
    [(IPv4Network("198.51.100.7"), IPv6Network(A6)), (IPv4Network("198.51.100.8"), IPv6Network(B6))],
)


def joined(pieces: list[IP] | list[IPv6]) -> bytes:
    """The data of all fragments, in order."""
    headers = 20 if isinstance(pieces[0], IP) else 48
    return b"".join(bytes(piece)[headers:] for piece in pieces)


@pytest.mark.parametrize("flags", [0, "DF"])
@pytest.mark.parametrize("layer", [UDP(sport=1, dport=2), ICMP(id=1), TCP(sport=1, dport=2)])
def test_ipv4_is_cut_whether_df_or_not(flags: int | str, layer: UDP | ICMP | TCP) -> None:
    packet = ipv4(layer / Raw(DATA), flags=flags, id=7)
    outcome = translator().translate(packet, next_hop_mtu=65535, reassembled=True)
    assert summary(outcome) == (Action.TRANSLATED, Reason.FRAGMENTED)
    assert max(map(len, outcome.packets)) <= 1280
    pieces = [IPv6(piece) for piece in outcome.packets]
    assert {piece[IPv6ExtHdrFragment].id for piece in pieces} == {7}
    whole = IPv6(src=pieces[0].src, dst=pieces[0].dst, nh=pieces[0][IPv6ExtHdrFragment].nh) / Raw(joined(pieces))
    assert transport_is_valid(bytes(whole))


def test_ipv4_with_df_that_is_told_an_error_is_quoted_as_sound() -> None:
    packet = ipv4(UDP() / Raw(DATA), flags="DF", ttl=1)
    outcome = translator().translate(packet, reassembled=True)
    assert summary(outcome) == (Action.REJECTED, Reason.HOP_LIMIT_EXCEEDED)
    quoted = bytes(ip4(outcome.packets[0])[ICMP].payload)
    assert int.from_bytes(quoted[:20], "big") % 0xFFFF == 0


def test_a_fragment_that_was_not_put_together_is_none() -> None:
    """Of what is not tracked, say, the kernel does not put fragments together."""
    piece = IPv6ExtHdrFragment(nh=17, offset=181, m=1, id=7) / Raw(b"\1" * 1448)
    for packet, translate in (
        (ipv4(Raw(b"\1" * 1448), proto=17, flags="DF+MF", frag=0), translator().translate),
        (ipv6(piece), partial(translator().translate, next_hop_mtu=1400)),
        (ipv6(piece, src=A6, dst=PB), packets.translator(eamt=EAMT).translate),
    ):
        assert translate(packet, reassembled=True) == translate(packet)


def test_a_header_that_is_damaged_is_not_mended() -> None:
    packet = bytearray(ipv4(UDP() / Raw(DATA), flags="DF"))
    packet[10] ^= 1
    assert summary(translator().translate(bytes(packet), reassembled=True)) == (Action.DROPPED, Reason.HEADER_CHECKSUM)


@pytest.mark.parametrize("mtu", [65535, 1400, 576])
@pytest.mark.parametrize("layer", [UDP(sport=1, dport=2) / Raw(DATA), ICMPv6EchoRequest(id=1, data=DATA)])
def test_ipv6_has_no_df_and_is_cut_where_it_does_not_fit(mtu: int, layer: UDP | ICMPv6EchoRequest) -> None:
    outcome = translator().translate(ipv6(layer), next_hop_mtu=mtu, reassembled=True)
    assert outcome.action is Action.TRANSLATED
    assert max(map(len, outcome.packets)) <= mtu
    pieces = [IP(piece) for piece in outcome.packets]
    assert {int(piece.flags) & 2 for piece in pieces} == {0}
    assert len({piece.id for piece in pieces} - {0}) == 1
    whole = IP(src=pieces[0].src, dst=pieces[0].dst, proto=pieces[0].proto) / Raw(joined(pieces))
    assert transport_is_valid(bytes(whole))


def test_a_small_one_is_translated_like_others() -> None:
    assert one4(translator().translate(ipv6(UDP() / b"data"), reassembled=True)).flags == 0
    packet = ipv4(UDP() / b"data")
    assert translator().translate(packet, reassembled=True) == translator().translate(packet)


def test_its_identification_tells_datagrams_apart_that_begin_alike() -> None:
    one, other = (bytes(UDP(sport=1, dport=2, chksum=n) / Raw(bytes(16))) for n in (1, 2))
    assert identification(17, one) == identification(17, other)
    assert identification_of_whole(one) != identification_of_whole(other)
    assert 1 <= identification_of_whole(b"") <= 65521


@pytest.mark.parametrize("mode", ["intrinsic", "simple"])
def test_a_hairpin_is_cut_anew(mode: str) -> None:
    turn = partial(packets.translator(eamt=EAMT, hairpin=mode).translate, reassembled=True)

    def turned(size: int) -> Outcome:
        return turn(ipv6(ICMPv6EchoRequest(id=1, data=DATA[:size]), src=A6, dst=PB), next_hop_mtu=65535)

    assert ip6(only(turned(100))).dst == B6
    outcome = turned(len(DATA))
    assert summary(outcome) == (Action.TRANSLATED, Reason.HAIRPINNED)
    pieces = [IPv6(piece) for piece in outcome.packets]
    assert max(map(len, outcome.packets)) <= 1280
    assert len({piece[IPv6ExtHdrFragment].id for piece in pieces}) == 1
    assert transport_is_valid(bytes(IPv6(src=pieces[0].src, dst=B6, nh=58) / Raw(joined(pieces))))
