"""ICMP errors that the translator makes itself: type, code, source, quote, silence (RFC 7915 4.4, 5.4)."""

from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import packets
import pytest
from packets import A6, B4, P, ip4, ip6, ipv4, ipv6, transport_is_valid
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrRouting,
)
from scapy.packet import Raw

from nfxlat.outcome import Action, Outcome, Reason
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.translator import Translator

EAMT = Eamt([(IPv4Network(B4), IPv6Network("2001:db8:b::80"))])


translator = partial(packets.translator, address4=IPv4Address("192.0.2.1"), address6=IPv6Address("2001:db8::1"))
T = translator()
ONLY_EAM = translator(prefix6=None, eamt=EAMT)


def error4(outcome: Outcome, reason: Reason, packet: bytes) -> tuple[int, int, int]:
    """Type, code and octets 4-7 of a well-formed ICMPv4 error about `packet`."""
    assert (outcome.action, outcome.reason) == (Action.REJECTED, reason)
    (error,) = outcome.packets
    header = ip4(error)
    assert (header.proto, header.ttl, int(header.flags)) == (1, 64, 0)
    assert (header.src, header.dst, header.tos) == ("192.0.2.1", IP(packet).src, 0xC0)
    assert transport_is_valid(error)
    assert len(error) <= 576
    assert error[28:] == packet[: 576 - 28]
    return error[20], error[21], int.from_bytes(error[24:28], "big")


def error6(outcome: Outcome, reason: Reason, packet: bytes) -> tuple[int, int, int]:
    assert (outcome.action, outcome.reason) == (Action.REJECTED, reason)
    (error,) = outcome.packets
    header = ip6(error)
    assert (header.nh, header.hlim, header.fl) == (58, 64, 0)
    assert header.tc == 0
    assert (header.src, header.dst) == ("2001:db8::1", IPv6(packet).src)
    assert transport_is_valid(error)
    assert len(error) <= 1280
    assert error[48:] == packet[: 1280 - 48]
    return error[40], error[41], int.from_bytes(error[44:48], "big")


# 4.1-11, 4.1-04, 4.1-17, 4.4-01, 4.4-03
@pytest.mark.parametrize(
    ("translator", "packet", "reason", "expected"),
    [
        (T, ipv4(ttl=1), Reason.HOP_LIMIT_EXCEEDED, (11, 0, 0)),
        (T, ipv4(UDP() / bytes(1472), flags="DF"), Reason.PACKET_TOO_BIG, (3, 4, 1480)),
        (T, ipv4(options=b"\x83\x07\x04\xc0\0\x02\x01\0"), Reason.SOURCE_ROUTE, (3, 5, 0)),
        (ONLY_EAM, ipv4(), Reason.NO_MAPPING_SOURCE, (3, 13, 0)),
    ],
)
def test_errors_about_ipv4(translator: Translator, packet: bytes, reason: Reason, expected: tuple[int, ...]) -> None:
    assert error4(translator.translate(packet), reason, packet) == expected


ROUTED = IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=1) / UDP()


# 5.1-07, 1.4-01, 5.1-14, 5.1.1-01, 5.4-01, 5.4-02
@pytest.mark.parametrize(
    ("packet", "reason", "expected"),
    [
        (ipv6(hlim=1), Reason.HOP_LIMIT_EXCEEDED, (3, 0, 0)),
        (ipv6(UDP() / bytes(1473)), Reason.PACKET_TOO_BIG, (2, 0, 1520)),
        (ipv6(ROUTED), Reason.ROUTING_HEADER, (4, 0, 43)),
        (ipv6(IPv6ExtHdrFragment() / IPv6ExtHdrDestOpt() / UDP()), Reason.EXTENSION_AFTER_FRAGMENT, (1, 1, 0)),
        (ipv6(src="2001:db8:fe::1"), Reason.NO_MAPPING_SOURCE, (1, 1, 0)),
    ],
)
def test_errors_about_ipv6(packet: bytes, reason: Reason, expected: tuple[int, ...]) -> None:
    assert error6(T.translate(packet), reason, packet) == expected


ROUTE = [(Reason.NO_ROUTE, (3, 0, 0), (1, 0, 0)), (Reason.HOST_UNREACHABLE, (3, 1, 0), (1, 3, 0))]
ROUTE += [(Reason.PROHIBITED, (3, 13, 0), (1, 1, 0))]


@pytest.mark.parametrize(("reason", "expected4", "expected6"), ROUTE)
def test_unreachable(reason: Reason, expected4: tuple[int, ...], expected6: tuple[int, ...]) -> None:
    assert error4(T.unreachable(ipv4() + b"padding", reason), reason, ipv4()) == expected4
    assert error6(T.unreachable(ipv6() + b"padding", reason), reason, ipv6()) == expected6


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45" + bytes(18),
        ipv4()[:-1],
        b"\x44" + ipv4()[1:],
        b"\x60" + bytes(38),
        ipv6()[:-1],
        b"\x50" + bytes(60),
        ipv4(src="127.0.0.1"),
        ipv4(src="0.0.0.0"),
        ipv4(src="255.255.255.255"),
        ipv4(dst="224.0.0.1"),
        ipv6(src="::"),
        ipv6(src="ff02::1"),
        ipv6(dst="ff02::1"),
        ipv6(b"", nh=60),
        ipv6(IPv6ExtHdrFragment() / IPv6ExtHdrFragment() / UDP()),
    ],
)
def test_no_error_about_what_is_malformed_or_martian(packet: bytes) -> None:
    assert T.unreachable(packet, Reason.NO_ROUTE) == Outcome(Action.DROPPED, Reason.NO_ROUTE)


# 4.4-02, 1.15: never about an ICMP error
@pytest.mark.parametrize("icmp_type", [3, 4, 5, 11, 12])
def test_no_error_about_an_icmpv4_error(icmp_type: int) -> None:
    packet = ipv4(ICMP(type=icmp_type) / bytes(28), ttl=1)
    assert T.unreachable(packet, Reason.NO_ROUTE).action is Action.DROPPED
    assert T.translate(packet).action is Action.DROPPED
    assert ONLY_EAM.translate(ipv4(ICMP(type=icmp_type) / bytes(28))).action is Action.DROPPED


# 4.4-02: an echo may be answered
def test_error_about_an_ipv4_echo() -> None:
    assert T.translate(ipv4(ICMP(), ttl=1)).action is Action.REJECTED
    assert ONLY_EAM.translate(ipv4(ICMP())).action is Action.REJECTED
    assert T.unreachable(ipv4(Raw(b""), proto=1), Reason.NO_ROUTE).action is Action.DROPPED


# 5.4-01, 1.15
@pytest.mark.parametrize("icmp_type", [1, 2, 3, 4, 100, 127, 137])
def test_no_error_about_an_icmpv6_error_or_redirect(icmp_type: int) -> None:
    for layer in (Raw(bytes((icmp_type, *bytes(47)))), IPv6ExtHdrDestOpt(nh=58) / Raw(bytes((icmp_type, *bytes(47))))):
        packet = ipv6(layer, nh=58) if isinstance(layer, Raw) else ipv6(layer)
        assert T.unreachable(packet, Reason.NO_ROUTE).action is Action.DROPPED
    assert T.unreachable(ipv6(b"", nh=58), Reason.NO_ROUTE).action is Action.DROPPED


# 5.4-01, 5.4-A1: 1/1 about no ICMPv6 at all; a router's own duties about echo messages too
def test_errors_about_an_ipv6_echo() -> None:
    echo = ICMPv6EchoRequest(data=bytes(1500))
    assert T.translate(ipv6(echo, hlim=1)).action is Action.REJECTED
    assert T.translate(ipv6(echo)).reason is Reason.PACKET_TOO_BIG
    assert T.translate(ipv6(echo)).action is Action.REJECTED
    assert T.translate(ipv6(IPv6ExtHdrRouting(addresses=[A6], segleft=1) / echo)).action is Action.REJECTED
    assert T.unreachable(ipv6(echo), Reason.NO_ROUTE).action is Action.REJECTED
    assert T.unreachable(ipv6(echo), Reason.PROHIBITED).action is Action.DROPPED
    unmapped = T.translate(ipv6(echo, src="2001:db8:fe::1"))
    assert (unmapped.action, unmapped.reason) == (Action.DROPPED, Reason.NO_MAPPING_SOURCE)


# 1.15: the extension headers of an error do not hide it
def test_no_error_about_an_error_with_segments_left() -> None:
    packet = ipv6(IPv6ExtHdrRouting(addresses=[A6], segleft=1) / ICMPv6DestUnreach() / IPv6())
    assert T.translate(packet) == Outcome(Action.DROPPED, Reason.ROUTING_HEADER)


# 1.15: about a fragment other than the first, nothing in IPv4, and in IPv6 what every router owes its sender
def test_no_error_about_a_later_fragment_of_ipv4() -> None:
    packet = ipv4(Raw(bytes(8)), proto=17, ttl=1, frag=1)
    assert T.translate(packet) == Outcome(Action.DROPPED, Reason.HOP_LIMIT_EXCEEDED)
    assert T.translate(ipv4(Raw(bytes(8)), proto=17, ttl=1, flags="MF")).action is Action.REJECTED


@pytest.mark.parametrize(("offset", "more"), [(0, 1), (1, 0), (1, 1), (8000, 0)])
def test_time_exceeded_and_packet_too_big_are_sent_about_each_ipv6_fragment(offset: int, more: int) -> None:
    """RFC 4443 3.2, 3.3."""
    packet = ipv6(IPv6ExtHdrFragment(nh=17, offset=offset, m=more) / Raw(bytes(8)), hlim=1)
    assert error6(T.translate(packet), Reason.HOP_LIMIT_EXCEEDED, packet) == (3, 0, 0)
    packet = ipv6(IPv6ExtHdrFragment(nh=17, offset=offset // 2, m=more) / Raw(bytes(1440)))
    told = T.translate(packet, next_hop_mtu=1400)
    assert error6(told, Reason.PACKET_TOO_BIG, packet) == (2, 0, 1428)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        # it may belong to an ICMPv6 error
        (ipv6(IPv6ExtHdrFragment(nh=58, offset=1) / Raw(b"\x80" + bytes(7)), hlim=1), Reason.HOP_LIMIT_EXCEEDED),
        (ipv6(IPv6ExtHdrFragment(nh=17, offset=1) / Raw(bytes(8)), src="2001:db8::9"), Reason.NO_MAPPING_SOURCE),
    ],
)
def test_no_other_error_is_sent_about_a_later_ipv6_fragment(packet: bytes, reason: Reason) -> None:
    assert T.translate(packet) == Outcome(Action.DROPPED, reason)


# 1.15: as much as fits, as received
def test_quote_is_the_packet_as_received() -> None:
    big4, big6 = ipv4(UDP() / bytes(3000), ttl=1), ipv6(UDP() / bytes(3000), hlim=1)
    assert len(T.translate(big4).packets[0]) == 576
    assert len(T.translate(big6).packets[0]) == 1280
    assert error4(T.translate(big4), Reason.HOP_LIMIT_EXCEEDED, big4) == (11, 0, 0)
    assert error6(T.translate(big6), Reason.HOP_LIMIT_EXCEEDED, big6) == (3, 0, 0)


def test_sources_without_configured_addresses() -> None:
    bare = translator(address4=None, address6=None)
    assert IP(bare.translate(ipv4(ttl=1)).packets[0]).src == "192.0.0.8"
    assert IPv6(bare.translate(ipv6(hlim=1)).packets[0]).src == P + "c000:8"


# 6052 3.1: 192.0.0.8 is not global, so it has no place in the well-known prefix
def test_no_source_for_an_icmpv6_error() -> None:
    packet = ipv6(src="2001:db8:b::80", dst="64:ff9b::8.8.8.8", hlim=1)
    strict = translator(prefix6=IPv6Network("64:ff9b::/96"), address6=None, eamt=EAMT)
    assert strict.translate(packet) == Outcome(Action.DROPPED, Reason.ERROR_NO_SOURCE)
    only_eam = translator(prefix6=None, address6=None, eamt=EAMT)
    lonely = ipv6(src="2001:db8:fe::1", dst="2001:db8:b::80")
    assert only_eam.translate(lonely) == Outcome(Action.DROPPED, Reason.ERROR_NO_SOURCE)


# 1.15; RFC 4443 2.4(f): the limit comes before all that an error costs
@pytest.mark.parametrize("packet", [ipv4(ttl=1), ipv6(hlim=1)])
def test_an_error_that_is_not_allowed_looks_for_no_source(packet: bytes) -> None:
    asked: list[tuple[Reason, bytes]] = []
    looked: list[bytes] = []
    allowed = False

    def allow(reason: Reason, receiver: bytes) -> bool:
        asked.append((reason, receiver))
        return allowed

    limited = Translator(packets.T.domain, routed=looked.append, allow=allow)
    source = packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]
    assert limited.translate(packet) == Outcome(Action.DROPPED, Reason.ERROR_RATE_LIMITED)
    assert (asked, looked) == ([(Reason.HOP_LIMIT_EXCEEDED, source)], [])
    allowed = True
    assert limited.translate(packet).action is Action.REJECTED
    assert (len(asked), looked) == (2, [source])


def test_of_an_error_that_is_never_sent_the_limit_is_not_asked() -> None:
    limited = Translator(packets.T.domain, allow=lambda reason, receiver: pytest.fail("asked"))
    assert limited.translate(ipv4(Raw(bytes(8)), proto=17, ttl=1, frag=1)).reason is Reason.HOP_LIMIT_EXCEEDED


def test_of_both_passes_of_a_hairpin_the_limit_is_asked_once() -> None:
    asked: list[bytes] = []
    looked: list[bytes] = []

    def allow(reason: Reason, receiver: bytes) -> bool:
        asked.append(receiver)
        return True

    limited = Translator(packets.translator(eamt=EAMT, hairpin="simple").domain, routed=looked.append, allow=allow)
    packet = ipv6(hlim=2)
    outcome = limited.translate(packet)
    assert (outcome.action, outcome.reason) == (Action.REJECTED, Reason.HOP_LIMIT_EXCEEDED)
    assert asked == looked == [packet[8:24]]
