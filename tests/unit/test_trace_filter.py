"""What a filter of `nfxlat trace` lets through, and what is no filter."""

import json
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packets import icmp4, icmp6, ipv4, ipv6, quote4, quote6, raw
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment

from nfxlat.cli.trace_words import filter_of
from nfxlat.datapath.trace_filter import Filter, FilterError, ends, quoted, transport
from nfxlat.errors import OperatorError
from nfxlat.outcome import Action, Outcome, Reason, dropped

A4, B4, B6 = (ip_address(text).packed for text in ("192.0.2.2", "198.51.100.2", "2001:db8::2"))
TRANSLATED = Outcome(Action.TRANSLATED, Reason.TRANSLATED, (b"x",))


def made(*words: str, dropped: bool = False, reasons: tuple[str, ...] = ()) -> Filter:
    return filter_of(words, dropped=dropped, reasons=reasons, rate=0, snap=0)


def mapped(address: bytes) -> bytes | None:
    return {B4: B6}.get(address)


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        ((), True),
        (("192.0.2.2",), True),
        (("192.0.2.0/24",), True),
        (("192.0.2.3",), False),
        (("198.51.100.2",), True),
        (("2001:db8::2",), True),  # what the destination maps to
        (("2001:db8::3",), False),
        (("192.0.2.2", "2001:db8::2"), True),
        (("2001:db8::/32", "192.0.2.2"), True),  # either way round
        (("192.0.2.2", "192.0.2.2"), False),  # one each
        (("192.0.2.2", "203.0.113.1"), False),
        (("0.0.0.0/0", "::/0"), True),
    ],
)
def test_ends(words: tuple[str, ...], fits: bool) -> None:
    assert made(*words).fits_ends(A4, B4, mapped) == fits


@pytest.mark.parametrize(
    ("words", "packet", "fits"),
    [
        (("tcp",), ipv4(TCP()), True),
        (("tcp",), ipv4(UDP()), False),
        (("tcp", "udp"), ipv4(UDP()), True),
        (("icmp",), ipv4(ICMP()), True),
        (("icmp",), ipv6(ICMPv6EchoRequest()), True),
        (("proto", "47"), raw("192.0.2.2", "198.51.100.2", 47, b"gre"), True),
        (("port", "443"), ipv4(TCP(dport=443)), True),
        (("port", "443"), ipv4(TCP(sport=443)), True),
        (("port", "443"), ipv4(TCP(sport=1, dport=2)), False),
        (("port", "443"), ipv4(ICMP()), False),
        (("port", "443", "udp"), ipv4(TCP(dport=443)), False),
        (("port", "443"), ipv4(TCP(dport=443), frag=5), False),  # octets of a later fragment are no ports
        (("port", "443"), ipv6(IPv6ExtHdrDestOpt() / TCP(dport=443)), True),
        (("port", "443"), ipv6(IPv6ExtHdrFragment(m=1) / TCP(dport=443)), True),
        (("port", "443"), ipv6(IPv6ExtHdrFragment(offset=5) / TCP(dport=443)), False),
        (("tcp",), ipv6(IPv6ExtHdrFragment(offset=5) / TCP(dport=443)), True),
        (("port", "443"), b"", False),
        (("port", "443"), raw("2001:db8::1", "2001:db8::2", 6, b"\x01"), False),
    ],
)
def test_protocols_and_ports(words: tuple[str, ...], packet: bytes, fits: bool) -> None:
    assert made(*words).fits_transport(packet) == fits


QUOTE4, QUOTE6 = quote4(TCP(sport=443, dport=5)), quote6(UDP(dport=53))


@pytest.mark.parametrize(
    ("packet", "quote"),
    [
        (icmp4(3, 4, body=QUOTE4), QUOTE4),
        (icmp4(11, 0, body=QUOTE4[:21]), QUOTE4[:21]),
        (icmp6(2, 0, body=QUOTE6), QUOTE6),
        (icmp6(1, 3), b""),
        (icmp4(8, 0, body=QUOTE4), b""),  # an echo quotes nothing
        (icmp6(128, 0, body=QUOTE6), b""),
        (icmp4(3, 4, body=QUOTE4, frag=5), b""),
        (ipv4(TCP()), b""),
        (b"\x45" * 20, b""),
        (b"\x60", b""),
    ],
)
def test_what_an_error_quotes(packet: bytes, quote: bytes) -> None:
    assert quoted(packet) == quote


@pytest.mark.parametrize(
    ("words", "packet", "fits"),
    [
        (("tcp", "port", "443"), icmp4(3, 4, body=QUOTE4), True),
        (("tcp", "port", "53"), icmp4(3, 4, body=QUOTE4), False),
        (("udp", "port", "53"), icmp6(2, 0, body=QUOTE6), True),
        (("icmp",), icmp6(2, 0, body=QUOTE6), True),
        (("udp", "port", "53"), icmp6(128, 0, body=QUOTE6), False),
    ],
)
def test_an_error_is_of_the_flow_that_it_quotes(words: tuple[str, ...], packet: bytes, fits: bool) -> None:
    assert made(*words).fits_transport(packet) == fits


def test_what_became_of_it() -> None:
    lost = dropped(Reason.UDP_ZERO_CHECKSUM)
    assert made().fits_outcome([TRANSLATED])
    assert not made(dropped=True).fits_outcome([TRANSLATED])
    assert made(dropped=True).fits_outcome([TRANSLATED, lost])  # of a superframe's segments, one
    assert made(reasons=("udp_zero_checksum",)).fits_outcome([lost])
    assert not made(reasons=("udp_zero_checksum",)).fits_outcome([dropped(Reason.IGMP)])
    assert made().shows_translated
    assert made(reasons=("translated",)).shows_translated
    assert not made(dropped=True).shows_translated
    assert not made(reasons=("igmp",)).shows_translated


@given(st.binary(max_size=80))
def test_no_octets_are_too_odd_for_it(octets: bytes) -> None:
    source, destination = ends(octets)
    assert made("192.0.2.2").fits_ends(source, destination, lambda address: None) in (True, False)
    assert made("tcp", "port", "1").fits_transport(octets) in (True, False)
    assert quoted(octets) in octets
    protocol, at = transport(octets)
    assert 0 <= protocol <= 255
    assert at >= 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("foo",), "filter: foo: not a word of a filter; an address, a prefix, tcp, udp, icmp, proto N or port N"),
        (("192.0.2.2/24",), "filter: 192.0.2.2/24: an address with a prefix length; 192.0.2.0/24?"),
        (("port",), "filter: port: needs a number from 0 to 65535 behind it"),
        (("port", "65536"), "filter: port: needs a number from 0 to 65535 behind it"),
        (("proto", "x"), "filter: proto: needs a number from 0 to 255 behind it"),
        (("192.0.2.1", "192.0.2.2", "192.0.2.3"), "filter: more than two addresses, or more than one port"),
        (("port", "1", "port", "2"), "filter: more than two addresses, or more than one port"),
    ],
)
def test_what_is_no_filter_is_told(words: tuple[str, ...], line: str) -> None:
    with pytest.raises(OperatorError) as told:
        made(*words)
    assert str(told.value) == line


def test_a_reason_that_there_is_not() -> None:
    with pytest.raises(OperatorError, match="--reason foo: no such reason; nfxlat stats shows"):
        made(reasons=("foo",))
    with pytest.raises(OperatorError, match="--reason no_rout: no such reason; did you mean no_route"):
        made(reasons=("no_rout",))


def test_drops_for_a_reason_that_drops_nothing() -> None:
    with pytest.raises(OperatorError, match="--reason fragmented: is never a reason for a drop; leave --dropped out"):
        made(dropped=True, reasons=("translated", "fragmented"))
    assert made(dropped=True, reasons=("translated", "no_route")).reasons == {"translated", "no_route"}


def test_it_survives_the_way() -> None:
    for one in (
        Filter(),
        made("192.0.2.0/24", "::ffff:192.0.2.1", "tcp", "port", "80", dropped=True, reasons=("igmp",)),
        Filter((ip_network("::/0"),), rate=7, snap=64),
    ):
        assert Filter.decode(one.encode()) == one


GOOD = json.loads(Filter().encode())
CHANGES: list[dict[str, object]] = [
    {"networks": ["192.0.2.1/24"]},
    {"networks": ["::/0"] * 3},
    {"networks": 5},
    {"protocols": [256]},
    {"protocols": [True]},
    {"port": "80"},
    {"port": -1},
    {"reasons": ["foo"]},
    {"reasons": [{}]},
    {"actions": ["foo"]},
    {"rate": 1 << 40},
    {"snap": None},
]


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 10000,
        bytes(1 << 15),
        *(json.dumps({**GOOD, **change}).encode() for change in CHANGES),
    ],
)
def test_other_octets_are_none(octets: bytes) -> None:
    with pytest.raises(FilterError):
        Filter.decode(octets)
