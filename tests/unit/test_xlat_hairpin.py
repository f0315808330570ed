"""Hairpins (RFC 7757 4): two IPv6 hosts with EAMs that know each other by IPv4 addresses.

A 2001:db8:a::7 = 198.51.100.7        B 2001:db8:b::8 = 198.51.100.8        prefix6 P = 2001:db8:64::/96
"""

from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import packets
import pytest
from packets import P, ip6, only, transport_is_valid
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    in6_chksum,
)
from scapy.packet import Raw

from nfxlat.outcome import Action, Outcome, Reason
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.translator import Translator

A6, B6, A4, B4 = "2001:db8:a::7", "2001:db8:b::8", "198.51.100.7", "198.51.100.8"
PA, PB = P + "c633:6407", P + "c633:6408"
EAMT = Eamt([(IPv4Network(A4), IPv6Network(A6)), (IPv4Network(B4), IPv6Network(B6))])


translator = partial(packets.translator, eamt=EAMT)
T = translator()


def ipv6(layer: Any, src: str = A6, dst: str = PB, **fields: Any) -> bytes:
    return packets.ipv6(layer, src=src, dst=dst, **fields)


def hairpinned(packet: bytes, each: Translator = T) -> IPv6:
    outcome = each.translate(packet)
    assert (outcome.action, outcome.reason) == (Action.TRANSLATED, Reason.HAIRPINNED), outcome
    result = only(outcome)
    assert transport_is_valid(result) in (True, None)
    return ip6(result)


# Set A, S1: one hop for both passes
@pytest.mark.parametrize("layer", [UDP(sport=7) / b"data", TCP() / b"data", ICMPv6EchoRequest(id=1, seq=2, data=b"x")])
def test_packet_to_a_hairpin_destination(layer: Any) -> None:
    header = hairpinned(ipv6(layer, hlim=9, tc=5))
    assert (header.src, header.dst, header.hlim, header.tc) == (PA, B6, 8, 5)
    assert type(header.payload) is type(IPv6(ipv6(layer)).payload)


def test_answer_comes_from_the_address_that_was_asked() -> None:
    header = hairpinned(ipv6(UDP(), src=B6, dst=PA))
    assert (header.src, header.dst) == (PB, A6)


def test_extension_headers_go_and_a_fragment_header_stays() -> None:
    assert hairpinned(ipv6(IPv6ExtHdrDestOpt() / UDP())).nh == 17
    layer = IPv6ExtHdrFragment(nh=17, m=1, offset=4, id=0xABCD1234) / Raw(bytes(8))
    header = hairpinned(ipv6(layer))[IPv6ExtHdrFragment]
    assert (header.nh, header.m, header.offset, header.id) == (17, 1, 4, 0xABCD1234)
    assert hairpinned(ipv6(IPv6ExtHdrFragment() / UDP())).nh == 17  # atomic


def test_absent_udp_checksum_stays_absent() -> None:
    packet = bytearray(ipv6(UDP() / b"data"))
    packet[46:48] = bytes(2)
    assert T.translate(bytes(packet)).packets[0][46:48] == b"\0\0"


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (ipv6(UDP(), hlim=1), Reason.HOP_LIMIT_EXCEEDED),
        (ipv6(UDP() / bytes(1453)), Reason.PACKET_TOO_BIG),
    ],
)
def test_hairpin_errors_go_to_the_sender_about_his_packet(packet: bytes, reason: Reason) -> None:
    outcome = T.translate(packet)
    assert (outcome.action, outcome.reason) == (Action.REJECTED, reason)
    error = IPv6(outcome.packets[0])
    assert error.dst == A6
    assert outcome.packets[0][48:] == packet[:1232]
    if reason is Reason.PACKET_TOO_BIG:
        assert error[ICMPv6PacketTooBig].mtu == 1500
        assert T.translate(packet, next_hop_mtu=1280).packets[0][44:48] == (1280).to_bytes(4, "big")
        assert translator(mtu6=None).translate(packet).action is Action.TRANSLATED
        assert hairpinned(ipv6(UDP() / bytes(1452))).plen == 1460


def error(layer: Any, quote: Any = None, src: str = B6, dst: str = PA, **fields: Any) -> bytes:
    """What B, or a router before it, says about a packet that came to B from P+A."""
    return ipv6(layer / (quote or IPv6(src=PA, dst=B6, hlim=5) / UDP(sport=7) / b"data"), src, dst, **fields)


# Set B, S2, S3: A gets the error from the address it sent to, about the packet that it sent
def test_error_of_the_host_comes_from_the_address_that_was_asked() -> None:
    header = hairpinned(error(ICMPv6DestUnreach(code=4), hlim=9))
    assert (header.src, header.dst, header.hlim) == (PB, A6, 8)
    message = bytes(header)[40:]
    assert message[:2] == b"\x01\x04"
    quote = message[8:]
    assert (IPv6(quote).src, IPv6(quote).dst, IPv6(quote).hlim) == (A6, PB, 5)
    assert in6_chksum(17, IPv6(src=A6, dst=PB), quote[40:]) == 0


# S3 is false: the router keeps its own address, and its error all of its octets
@pytest.mark.parametrize("router", ["2001:db8:fe::1"])
def test_error_of_a_router_keeps_the_router(router: str) -> None:
    quote = IPv6(src=PA, dst=B6) / UDP() / bytes(1100)
    header = hairpinned(error(ICMPv6TimeExceeded(), quote, src=router))
    assert (header.src, header.dst, header.plen) == (router, A6, 8 + 48 + 1100)
    quote = IPv6(src=PA, dst=B6) / UDP() / bytes(1400)
    assert len(hairpinned(error(ICMPv6TimeExceeded(), quote, src=router))) == 1280  # RFC 4443 2.4(c)


def test_error_of_a_router_with_a_mapping() -> None:
    header = hairpinned(error(ICMPv6TimeExceeded(), src=P + "c000:201"))
    assert header.src == P + "c000:201"
    header = hairpinned(error(ICMPv6TimeExceeded(), src=A6))
    assert header.src == A6  # S3 does not hold: the inner destination is another


def test_extension_survives() -> None:
    extension = bytes.fromhex("2000ca0d 00080101 03e81101")
    body = bytes(IPv6(src=PA, dst=B6) / UDP() / b"data").ljust(128, b"\0") + extension
    message = bytes(hairpinned(error(ICMPv6TimeExceeded(length=16), Raw(body))))[40:]
    assert (message[4], message[8 + 128 :]) == (16, extension)


@pytest.mark.parametrize(("mtu", "result"), [(1400, 1400), (1000, 1280), (70000, 65535)])
def test_packet_too_big_keeps_its_mtu(mtu: int, result: int) -> None:
    assert hairpinned(error(ICMPv6PacketTooBig(mtu=mtu)))[ICMPv6PacketTooBig].mtu == result


@pytest.mark.parametrize(
    ("code", "pointer", "result"), [(0, 8, 8), (0, 30, 24), (0, 6, 6), (0, 7, 7), (0, 5, 4), (1, 40, 6)]
)
def test_parameter_problem_takes_both_pointer_tables(code: int, pointer: int, result: int) -> None:
    message = bytes(hairpinned(error(ICMPv6ParamProblem(code=code, ptr=pointer))))[40:]
    assert (message[:2], message[4:8]) == (bytes((4, code)), result.to_bytes(4, "big"))


def dropped(reason: Reason) -> Outcome:
    return Outcome(Action.DROPPED, reason)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (error(ICMPv6ParamProblem(ptr=2)), Reason.ICMP_POINTER),
        (error(ICMPv6DestUnreach(code=4), IPv6(src=PA, dst=B6, nh=0) / bytes(2)), Reason.INNER_MALFORMED),
        (ipv6(Raw(bytes(8)), nh=1), Reason.FORBIDDEN_PROTOCOL),
        (ipv6(IPv6ExtHdrFragment(nh=58, m=1) / Raw(bytes(8))), Reason.FRAGMENTED_ICMP),
    ],
)
def test_what_does_not_cross_does_not_hairpin(packet: bytes, reason: Reason) -> None:
    assert T.translate(packet) == dropped(reason)


def test_off_drops() -> None:
    for packet in (ipv6(UDP()), error(ICMPv6DestUnreach(code=4))):
        assert translator(hairpin="off").translate(packet) == dropped(Reason.HAIRPIN_OFF)


SIMPLE = translator(hairpin="simple", address4=IPv4Address("192.0.2.1"), address6=IPv6Address("2001:db8::1"))


# 4.2.1: the same in the end, but for the hop that the way there takes, behind which nobody forwards
@pytest.mark.parametrize("hops", [0, 1])
@pytest.mark.parametrize("packet", [ipv6(UDP(sport=7) / b"data", hlim=9), error(ICMPv6DestUnreach(code=4), hlim=9)])
def test_the_way_round_in_simple_mode_comes_to_the_same(packet: bytes, hops: int) -> None:
    outcome = SIMPLE.translate(packet, hops)
    (intrinsic,) = T.translate(packet, hops).packets
    assert outcome.reason is Reason.HAIRPINNED
    assert outcome.packets == (intrinsic[:7] + bytes((9 - 1 - hops,)) + intrinsic[8:],)


def test_the_way_there_takes_its_hop_where_the_kernel_takes_the_other() -> None:
    assert IPv6(SIMPLE.translate(ipv6(UDP(), hlim=2), 0).packets[0]).hlim == 1
    outcome = SIMPLE.translate(ipv6(UDP(), hlim=1), 0)
    assert (outcome.action, outcome.reason) == (Action.REJECTED, Reason.HOP_LIMIT_EXCEEDED)


# The way through IPv4 leaves its traces: low 16 bits of the identification, fragments of at most lowest-ipv6-mtu
def test_fragments_on_the_way_round() -> None:
    layer = IPv6ExtHdrFragment(nh=17, m=1, offset=4, id=0xABCD1234) / Raw(bytes(1440))
    outcome = SIMPLE.translate(ipv6(layer))
    assert (outcome.action, outcome.reason) == (Action.TRANSLATED, Reason.HAIRPINNED)
    pieces = [IPv6(packet)[IPv6ExtHdrFragment] for packet in outcome.packets]
    assert [(each.offset, each.m, each.id) for each in pieces] == [(4, 1, 0x1234), (158, 1, 0x1234)]
    assert T.translate(ipv6(layer)).packets[0][40:48] == bytes.fromhex("11000021abcd1234")


@pytest.mark.parametrize(
    ("packet", "reason", "rest"),
    [
        (ipv6(UDP(), hlim=1), Reason.HOP_LIMIT_EXCEEDED, 0),
        (ipv6(UDP(), hlim=2), Reason.HOP_LIMIT_EXCEEDED, 0),
        (ipv6(UDP() / bytes(1453)), Reason.PACKET_TOO_BIG, 1500),
    ],
)
def test_errors_of_the_way_round_go_to_the_sender_about_his_packet(packet: bytes, reason: Reason, rest: int) -> None:
    outcome = SIMPLE.translate(packet + b"padding")
    assert (outcome.action, outcome.reason) == (Action.REJECTED, reason)
    made = IPv6(outcome.packets[0])
    assert (made.src, made.dst) == ("2001:db8::1", A6)
    assert bytes(made)[44:] == rest.to_bytes(4, "big") + packet[:1232]


def test_what_does_not_cross_does_not_go_round() -> None:
    assert SIMPLE.translate(ipv6(UDP(), src="fe80::1")) == dropped(Reason.MARTIAN_SOURCE)
    assert SIMPLE.translate(ipv6(UDP(chksum=0) / b"data")) == dropped(Reason.UDP_ZERO_CHECKSUM)


def test_the_core_sees_every_packet_that_goes_round() -> None:
    pair = IPv6Address(A6).packed + IPv6Address(PB).packed
    assert SIMPLE.template(pair) is None
    assert SIMPLE.template(pair[:16] + IPv6Address(P + "192.0.2.9").packed) is not None
    assert SIMPLE.template(IPv4Address(A4).packed + IPv4Address(B4).packed) is not None


# SIIT-DC edge relay, CLAT: what comes to an EAM's own IPv6 address ends at its IPv4 host
def test_a_destination_by_eam_does_not_go_round() -> None:
    outcome = SIMPLE.translate(ipv6(UDP(), src=P + "192.0.2.9", dst=B6))
    assert (outcome.reason, IP(outcome.packets[0]).dst) == (Reason.TRANSLATED, B4)


# S2 alone: an IPv4 router that answers keeps its own mapping
def test_error_of_an_ipv4_router_in_simple_mode() -> None:
    simple = translator(hairpin="simple")
    packet = bytes(IP(src="192.0.2.1", dst=A4) / ICMP(type=11) / IP(src=A4, dst=B4) / UDP())
    (result,) = simple.translate(packet).packets
    assert (IPv6(result).src, IPv6(result).dst) == (P + "c000:201", A6)
    assert (IPv6(result[48:]).src, IPv6(result[48:]).dst) == (A6, PB)


# RFC 6052 3.1: the way back puts the EAM host under the well-known prefix, where only global addresses may be
def test_no_way_back_through_the_well_known_prefix() -> None:
    w = "64:ff9b::"
    eamt = Eamt([(IPv4Network("8.8.8.8"), IPv6Network(A6)), (IPv4Network(B4), IPv6Network(B6))])
    strict = translator(prefix6=IPv6Network("64:ff9b::/96"), eamt=eamt)
    assert strict.translate(ipv6(UDP(), src=B6, dst=w + "808:808")) == dropped(Reason.WELL_KNOWN_PREFIX)
    quote = IPv6(src=w + "808:808", dst=B6) / UDP()
    for source in (B6, "2001:db8:fe::1"):
        packet = error(ICMPv6DestUnreach(code=4), quote, src=source, dst=w + "808:808")
        assert strict.translate(packet) == dropped(Reason.WELL_KNOWN_PREFIX)


def test_no_way_back_to_a_martian() -> None:
    martian = Eamt([(IPv4Network(A4), IPv6Network(A6)), (IPv4Network("198.51.100.0/28"), IPv6Network("fe00::/8"))])
    odd = translator(eamt=martian)
    assert odd.translate(ipv6(UDP())) == dropped(Reason.MARTIAN_DESTINATION)
    quote = IPv6(src=PA, dst=P + "808:808") / UDP()
    packet = error(ICMPv6DestUnreach(code=4), quote, src=P + "808:808", dst=PB)
    assert odd.translate(packet) == dropped(Reason.MARTIAN_DESTINATION)
