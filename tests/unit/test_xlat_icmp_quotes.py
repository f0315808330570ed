"""ICMP errors: what they quote, and the packet around them (RFC 7915 4.3, 5.3)."""

from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest
from packets import (
    A4,
    A6,
    B4,
    B6,
    R4,
    R6,
    P,
    T,
    dropped,
    icmp4,
    icmp6,
    message4,
    message6,
    one4,
    quote4,
    quote6,
    translator,
)
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
)
from scapy.packet import Raw
from scapy.utils import checksum as scapy_checksum

from nfxlat.outcome import NOT_OURS, Action, Reason
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.translator import Translator

# ---- quotes ----------------------------------------------------------------------------------------------------


def inner6(quote: bytes, **keys: Any) -> bytes:
    return message6(T.translate(icmp4(11, 0, body=quote, **keys)))[8:]


def inner4(quote: bytes) -> bytes:
    return message4(T.translate(icmp6(3, 0, body=quote)))[8:]


# 5.3-01, 5.3-02, Q-01, Q-04, Q-06, Q-07, Q-08
@pytest.mark.parametrize("hop_limit", [0, 1, 64])
def test_quote_6to4_keeps_its_hop_limit_and_its_own_length(hop_limit: int) -> None:
    data = inner4(quote6(UDP() / bytes(100), hlim=hop_limit, tc=9)[:48])
    quote = IP(data)
    assert (quote.ttl, quote.len, quote.tos, quote.proto, quote.id) == (hop_limit, 128, 9, 17, 0)
    assert scapy_checksum(data[:20]) == 0
    assert [int(IP(inner4(quote6(plen=n))).flags.DF) for n in (1240, 1241)] == [0, 1]
    assert IP(inner4(quote6(plen=65515))).len == 65535


#
def test_quote_without_a_checksum_field_keeps_its_octets() -> None:
    assert inner6(quote4(TCP(seq=5))[:28])[40:] == bytes(TCP(seq=5))[:8]
    assert inner6(quote4()[:20])[40:] == b""
    assert inner4(quote6(TCP(seq=5))[:48])[20:] == bytes(TCP(seq=5))[:8]
    assert inner4(quote6()[:40])[20:] == b""


ECHO4 = icmp4(8, 0, b"\0\x01\0\x02", b"ping-data")[20:]
ECHO6 = bytes(icmp6(128, 0, b"\0\x01\0\x02", b"ping-data", src=A6, dst=B6))[40:]


#
def test_quoted_echo_of_unknown_length_changes_its_type_only() -> None:
    data = inner6(quote4(Raw(ECHO4), proto=1, flags="MF"))
    assert data[48:] == b"\x80" + ECHO4[1:]
    layer = IPv6ExtHdrFragment(nh=58, m=1) / Raw(ECHO6)
    assert inner4(quote6(layer))[20:] == b"\x08" + ECHO6[1:]
    assert inner6(quote4(Raw(ECHO4), proto=1)[:22])[40:] == b"\x80\0"
    assert inner6(quote4(Raw(ECHO4), proto=1)[:20])[40:] == b""


#
def test_quoted_later_fragment_of_icmp_is_data() -> None:
    assert inner6(quote4(Raw(b"\x03" + bytes(7)), proto=1, frag=1))[48:] == b"\x03" + bytes(7)
    assert inner4(quote6(IPv6ExtHdrFragment(nh=58, offset=1) / Raw(b"\x03" + bytes(7))))[20:] == b"\x03" + bytes(7)


@pytest.mark.parametrize(
    ("quote", "reason"),
    [
        (quote4()[:19], Reason.INNER_TRUNCATED),
        (b"", Reason.INNER_TRUNCATED),
        (quote4(options=b"\x94\x04\0\0")[:23], Reason.INNER_TRUNCATED),
        (b"\x60" + quote4()[1:], Reason.INNER_MALFORMED),
        (b"\x44" + quote4()[1:], Reason.INNER_MALFORMED),
        (quote4(Raw(icmp4(3, 1)[20:]), proto=1), Reason.INNER_ICMP_ERROR),  # 4.3-03
        (quote4(Raw(icmp4(13, 0)[20:]), proto=1), Reason.INNER_ICMP_TYPE),
        (quote4(proto=58), Reason.FORBIDDEN_PROTOCOL),
        (quote4(proto=44), Reason.FORBIDDEN_PROTOCOL),
        (quote4(proto=2), Reason.IGMP),
        (quote4(src="127.0.0.1"), Reason.MARTIAN_INNER),
        (quote4(dst="224.0.0.1"), Reason.MARTIAN_INNER),
    ],
)
def test_quotes_that_end_an_icmpv4_error(quote: bytes, reason: Reason) -> None:
    assert T.translate(icmp4(11, 0, body=quote)) == dropped(reason)


@pytest.mark.parametrize(
    ("quote", "reason"),
    [
        (quote6()[:39], Reason.INNER_TRUNCATED),
        (quote6(IPv6ExtHdrDestOpt() / UDP())[:47], Reason.INNER_TRUNCATED),
        (b"\x40" + quote6()[1:], Reason.INNER_MALFORMED),
        (quote6(IPv6ExtHdrDestOpt(), plen=0), Reason.INNER_MALFORMED),
        (quote6(IPv6ExtHdrFragment() / IPv6ExtHdrFragment() / UDP()), Reason.INNER_MALFORMED),
        (quote6(IPv6ExtHdrFragment() / IPv6ExtHdrDestOpt() / UDP()), Reason.INNER_MALFORMED),
        (quote6(plen=65516), Reason.INNER_MALFORMED),  # no IPv4 packet can have been that large
        (quote6(Raw(icmp6(1, 1)[40:]), nh=58), Reason.INNER_ICMP_ERROR),  # 5.3-03
        (quote6(Raw(icmp6(135, 0)[40:]), nh=58), Reason.INNER_ICMP_TYPE),
        (quote6(nh=1), Reason.FORBIDDEN_PROTOCOL),
        (quote6(src="::1"), Reason.MARTIAN_INNER),
        (quote6(dst="ff02::1"), Reason.MARTIAN_INNER),
        (quote6(src=P + "127.0.0.1"), Reason.MARTIAN_INNER),
        (quote6(dst=P + "224.0.0.1"), Reason.MARTIAN_INNER),
        (quote6(src="2001:db8:fe::1"), Reason.INNER_NO_MAPPING),
        (quote6(dst="2001:db8:fe::1"), Reason.INNER_NO_MAPPING),
    ],
)
def test_quotes_that_end_an_icmpv6_error(quote: bytes, reason: Reason) -> None:
    assert T.translate(icmp6(3, 0, body=quote)) == dropped(reason)


def test_quoted_addresses_that_are_denied_or_without_a_mapping_4to6() -> None:
    packet = icmp4(11, 0, body=quote4())
    eamt = Eamt([(IPv4Network(n), IPv6Network(f"2001:db8:{i}::1")) for i, n in enumerate((R4, A4))])
    only_eam = Translator(Domain(eamt=eamt))
    assert only_eam.translate(packet) == dropped(Reason.INNER_NO_MAPPING)
    denying = translator(denylist4=(IPv4Network(B4),))
    assert denying.translate(packet) == dropped(Reason.DENYLISTED)


def test_a_quoted_address_whose_mapping_is_martian_is_dropped() -> None:
    eamt = Eamt([(IPv4Network("192.0.2.0/28"), IPv6Network("fe00::/8"))])  # 192.0.2.9 is fe90::
    odd = translator(eamt=eamt)
    assert odd.translate(icmp4(11, 0, body=quote4(dst="192.0.2.9"))) == dropped(Reason.MARTIAN_INNER)


# ---- the outer packet of an error ------------------------------------------------------------------------------


# 4.1-11, 5.1-07: an error is not answered
@pytest.mark.parametrize("packet", [icmp4(3, 1, body=quote4(), ttl=1), icmp6(1, 4, body=quote6(), hlim=1)])
def test_an_error_whose_hop_limit_runs_out_is_dropped(packet: bytes) -> None:
    assert T.translate(packet) == dropped(Reason.HOP_LIMIT_EXCEEDED)
    assert T.translate(packet, hops=0).action is Action.TRANSLATED


@pytest.mark.parametrize(
    ("options", "reason"), [(b"\x83\x07\x04\xc0\0\x02\x01\0", Reason.SOURCE_ROUTE), (b"\x94\0\0\0", Reason.BAD_OPTIONS)]
)
def test_options_of_an_error(options: bytes, reason: Reason) -> None:
    assert T.translate(icmp4(3, 1, body=quote4(), options=options)) == dropped(reason)
    message6(T.translate(icmp4(3, 1, body=quote4(), options=b"\x94\x04\0\0")))


def test_traffic_class_option_holds_for_errors_and_quotes() -> None:
    seven = translator(traffic_class=7)
    (packet,) = seven.translate(icmp4(3, 1, body=quote4(tos=9), tos=9)).packets
    assert (IPv6(packet).tc, IPv6(packet[48:]).tc) == (7, 7)
    (packet,) = seven.translate(icmp6(1, 4, body=quote6(tc=9), tc=9)).packets
    assert (IP(packet).tos, IP(packet[28:]).tos) == (7, 7)
    keeps_ecn = translator(traffic_class="dscp-46")
    (packet,) = keeps_ecn.translate(icmp4(3, 1, body=quote4(tos=11), tos=9)).packets
    assert (IPv6(packet).tc, IPv6(packet[48:]).tc) == (46 << 2 | 1, 46 << 2 | 3)


# 5.1-12, 5.1.1-A1
def test_error_behind_extension_headers() -> None:
    message = icmp6(1, 4, body=quote6())[40:]
    packet = bytes(IPv6(src=R6, dst=A6) / IPv6ExtHdrDestOpt(nh=58) / Raw(message))
    assert message4(T.translate(packet))[:2] == b"\x03\x03"
    assert IP(T.translate(packet).packets[0]).id != 0  # made up: there is no Fragment Header
    atomic = bytes(IPv6(src=R6, dst=A6) / IPv6ExtHdrFragment(nh=58, id=0x10203) / Raw(message))
    assert IP(T.translate(atomic).packets[0]).id == 0x0203


# 4.6-02, 5.6-02
def test_error_to_nobody_of_ours_passes() -> None:
    assert T.translate(icmp6(1, 4, body=quote6(), dst="2001:db8:fe::2")) == NOT_OURS
    only_eam = Translator(Domain(eamt=Eamt([(IPv4Network(R4), IPv6Network("2001:db8::1"))])))
    assert only_eam.translate(icmp4(3, 1, body=quote4())) == NOT_OURS


#
def test_translated_errors_are_capped() -> None:
    (packet,) = T.translate(icmp4(3, 1, body=quote4(UDP() / bytes(1400))), next_hop_mtu=65535).packets
    assert len(packet) == 1280
    (packet,) = T.translate(icmp6(1, 4, body=quote6(UDP() / bytes(1100)))).packets
    assert (len(packet), IP(packet[28:]).len) == (576, 1128)


# Q-19, and no output above the MTU of the way
def test_an_error_is_cut_to_a_narrow_path() -> None:
    (packet,) = T.translate(icmp6(1, 4, body=quote6(UDP() / bytes(1100))), path_mtu4=300).packets
    assert (len(packet), int(IP(packet).flags)) == (300, 0)


CLAT6, CLAT4 = "2001:db8:4::2", "192.0.0.1"
NATIVE6 = "2001:db8:f::9"
CLAT = translator(eamt=Eamt([(IPv4Network(CLAT4), IPv6Network(CLAT6))]))


@pytest.mark.parametrize("source", ["2001:db8:f::1", P + "c000:201", "fe80::1"])
@pytest.mark.parametrize(
    ("icmp_type", "code"), [(1, 0), (1, 4), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2), (100, 0)], ids=str
)
@pytest.mark.parametrize(
    "quote",
    [
        quote6(src=CLAT6, dst=NATIVE6),
        quote6(src=CLAT6, dst="ff05::1:3"),
        quote6(src=CLAT6, dst=NATIVE6)[:40],
        quote6(ICMPv6EchoRequest(), src=CLAT6, dst=NATIVE6),
        quote6(IPv6ExtHdrFragment(offset=9, m=1) / Raw(bytes(16)), src=CLAT6, dst=NATIVE6),
        quote6(IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment() / IPv6ExtHdrFragment() / UDP(), src=CLAT6, dst=NATIVE6),
        quote6(src=NATIVE6, dst=A6),
    ],
    ids=range(7),
)
def test_an_error_about_what_was_never_translated_passes(source: str, icmp_type: int, code: int, quote: bytes) -> None:
    """Where a CLAT's address is a host's own (RFC 6877 6.3 allows it), whatever would be wrong with it otherwise."""
    for damage, hop_limit in ((0, 64), (1, 64), (0, 1)):
        packet = icmp6(icmp_type, code, body=quote, src=source, dst=CLAT6, damage=damage, hlim=hop_limit)
        assert CLAT.translate(packet) == NOT_OURS


@pytest.mark.parametrize(
    ("quote", "destination", "reason"),
    [
        (quote6(src=CLAT6, dst=NATIVE6)[:39], CLAT6, Reason.INNER_TRUNCATED),
        (b"\x45" + quote6(src=CLAT6, dst=NATIVE6)[1:], CLAT6, Reason.INNER_MALFORMED),
        (quote6(src=CLAT6, dst="::1"), CLAT6, Reason.MARTIAN_INNER),
        (quote6(src="fe80::1", dst=NATIVE6), CLAT6, Reason.MARTIAN_INNER),
        (quote6(src=CLAT6, dst=P + "127.0.0.1"), CLAT6, Reason.MARTIAN_INNER),
        (quote6(src=A6, dst=NATIVE6), A6, Reason.INNER_NO_MAPPING),  # A6 stands for an IPv4 host, which has no other
    ],
)
def test_an_error_that_may_be_about_translated_traffic_does_not(quote: bytes, destination: str, reason: Reason) -> None:
    assert CLAT.translate(icmp6(3, 0, body=quote, dst=destination)) == dropped(reason)


def test_an_error_about_translated_traffic_to_a_shared_address_is_translated() -> None:
    packet = icmp6(1, 4, body=quote6(src=CLAT6, dst=A6), src="2001:db8:f::1", dst=CLAT6)
    assert one4(CLAT.translate(packet)).dst == CLAT4


@pytest.mark.parametrize("data", [0, 4, 11])
@pytest.mark.parametrize("options", [b"", b"\x01\x01\x01\0"], ids=["plain", "options"])
def test_a_quote_whose_total_length_lacks_the_header_is_translated(data: int, options: bytes) -> None:
    """As 4.4BSD and others quote it; a longer packet's length is 20 short in the translation too, which nobody sees."""
    header = 20 + len(options)
    whole = quote4(UDP(sport=1, dport=2) / bytes(data), options=options)
    assert len(whole) - header < header
    short = whole[:2] + (len(whole) - header).to_bytes(2, "big") + whole[4:]
    made, expected = (message6(T.translate(icmp4(3, 3, body=quote))) for quote in (short, whole))
    assert made[8:] == expected[8:]
