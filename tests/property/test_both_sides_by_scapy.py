"""What comes out is what scapy builds for the other side, octet for octet, and what dpkt takes apart.

Each case is built twice, as IPv4 and as IPv6, from the same values; nothing of the project's has a hand in it.
"""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import only
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Raw

from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.translator import Translator

EAMS = [("203.0.113.2", "2001:db8:2::2"), ("203.0.113.64/27", "2001:db8:5:a0::/60")]
T = Translator(
    Domain(
        prefix6=IPv6Network("2001:db8:100::/40"),
        eamt=Eamt([(IPv4Network(a), IPv6Network(b)) for a, b in EAMS]),
        lowest_ipv6_mtu=1500,
        hairpin="simple",  # leaves alone what no EAM is the destination of
    )
)
# Both ways by the same rule, which the addresses of RFC 6052 2.4 and RFC 7757 3.3 show; 4 to 6, simple hairpinning
# maps no source by EAM, 6 to 4 it does, and a destination by prefix must not be in the EAMT.
SOURCES4TO6 = [("192.0.2.33", "2001:db8:1c0:2:21::"), ("198.51.100.7", "2001:db8:1c6:3364:7::")]
DESTINATIONS4TO6 = [*SOURCES4TO6, ("203.0.113.2", "2001:db8:2::2"), ("203.0.113.77", "2001:db8:5:a6:8000::")]


class Both(NamedTuple):
    """Addresses in both families."""

    src4: str
    dst4: str
    src6: str
    dst6: str


def pairs(sources: list[tuple[str, str]], destinations: list[tuple[str, str]]) -> Any:
    return st.builds(lambda s, d: Both(s[0], d[0], s[1], d[1]), st.sampled_from(sources), st.sampled_from(destinations))


to6, to4 = pairs(SOURCES4TO6, DESTINATIONS4TO6), pairs(DESTINATIONS4TO6, SOURCES4TO6)
octet, word = st.integers(0, 255), st.integers(0, 65535)
data = st.builds(lambda seed, n: (seed * 300)[:n], st.binary(min_size=5, max_size=9), st.integers(0, 1400))
# A transport for IPv4, and the same for IPv6.
transports = st.one_of(
    st.builds(lambda p, d: [TCP(sport=p, options=[("MSS", 1460)]) / Raw(d)] * 2, word, data),
    st.builds(lambda p, d: [UDP(dport=p) / Raw(d)] * 2, word, data),
    st.builds(lambda i, d: [ICMP(type=8, id=i) / Raw(d), ICMPv6EchoRequest(id=i, data=d)], word, data),
    st.builds(lambda i, d: [ICMP(type=0, id=i) / Raw(d), ICMPv6EchoReply(id=i, data=d)], word, data),
)
protocols = st.sampled_from([4, 41, 47, 50, 51, 88, 89, 103, 112, 132, 255])


def same4(found: bytes, expected: Any, *, any_identification: bool) -> None:
    """The identification is the translator's own where there was none; scapy sums up around it."""
    if any_identification:
        expected.id = int.from_bytes(found[4:6], "big")
    assert found == bytes(expected)
    parsed = dpkt.ip.IP(found)
    assert (parsed.v, parsed.hl, parsed.len) == (4, 5, len(found))
    assert dpkt.dpkt.in_cksum(found[:20]) == 0


def same6(found: bytes, expected: Any) -> None:
    assert found == bytes(expected)
    if expected.nh in (50, 51):
        return  # dpkt would have ESP and AH whole
    parsed = dpkt.ip6.IP6(found)
    assert (parsed.v, parsed.flow, 40 + parsed.plen) == (6, 0, len(found))


FEW = settings(max_examples=40)  # scapy takes milliseconds to build a packet


@FEW
@given(addresses=to6, layers=transports, tos=octet, ttl=st.integers(2, 255), identification=word, df=st.booleans())
def test_4_to_6(addresses: Both, layers: list[Any], tos: int, ttl: int, identification: int, df: bool) -> None:
    flags = "DF" if df else 0
    old = IP(src=addresses.src4, dst=addresses.dst4, tos=tos, ttl=ttl, id=identification, flags=flags) / layers[0]
    new = IPv6(src=addresses.src6, dst=addresses.dst6, tc=tos, hlim=ttl - 1) / layers[1]
    same6(only(T.translate(bytes(old))), new)


extensions = st.lists(
    st.sampled_from([IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, lambda: IPv6ExtHdrRouting(segleft=0)]), max_size=3
)


@FEW
@given(addresses=to4, layers=transports, tc=octet, fl=word, hlim=st.integers(2, 255), chain=extensions)
def test_6_to_4(
    addresses: Both, layers: list[Any], tc: int, fl: int, hlim: int, chain: list[Callable[[], Any]]
) -> None:
    old = IPv6(src=addresses.src6, dst=addresses.dst6, tc=tc, fl=fl, hlim=hlim)
    for extension in chain:
        old = old / extension()
    df = len(layers[0]) + 20 > 1260
    new = IP(src=addresses.src4, dst=addresses.dst4, tos=tc, ttl=hlim - 1, id=0, flags="DF" if df else 0) / layers[0]
    same4(only(T.translate(bytes(old / layers[1]))), new, any_identification=not df)


@FEW
@given(addresses=to6, protocol=protocols, payload=data)
def test_other_protocols_4_to_6(addresses: Both, protocol: int, payload: bytes) -> None:
    old = IP(src=addresses.src4, dst=addresses.dst4, proto=protocol, flags="DF") / Raw(payload)
    new = IPv6(src=addresses.src6, dst=addresses.dst6, nh=protocol, hlim=63) / Raw(payload)
    same6(only(T.translate(bytes(old))), new)


@FEW
@given(addresses=to4, protocol=protocols, payload=data)
def test_other_protocols_6_to_4(addresses: Both, protocol: int, payload: bytes) -> None:
    old = IPv6(src=addresses.src6, dst=addresses.dst6, nh=protocol) / Raw(payload)
    flags = "DF" if len(payload) > 1240 else 0
    new = IP(src=addresses.src4, dst=addresses.dst4, proto=protocol, ttl=63, id=0, flags=flags) / Raw(payload)
    same4(only(T.translate(bytes(old))), new, any_identification=not flags)


# A datagram that its sender cut: the checksum in the first piece spans all of them.
@FEW
@given(
    layer=st.one_of(
        st.builds(lambda d: TCP() / Raw(d), data.filter(lambda d: len(d) > 60)),
        st.builds(lambda d: UDP() / Raw(d), data.filter(lambda d: len(d) > 60)),
    ),
    number=word,
    cut=st.integers(3, 8).map(lambda n: n * 8),
    direction=st.sampled_from([4, 6]),
    addresses=pairs(SOURCES4TO6, SOURCES4TO6),
)
def test_fragments(layer: Any, number: int, cut: int, direction: int, addresses: Both) -> None:
    header4, header6 = IP(src=addresses.src4, dst=addresses.dst4), IPv6(src=addresses.src6, dst=addresses.dst6)
    protocol = 6 if layer.haslayer(TCP) else 17
    whole4, whole6 = bytes(header4 / layer)[20:], bytes(header6 / layer)[40:]
    for start, end, more in ((0, cut, 1), (cut, cut + 8, 1), (cut + 8, len(whole4), 0)):
        hop = 64 if direction == 4 else 63, 63 if direction == 4 else 64
        piece4 = IP(
            src=addresses.src4,
            dst=addresses.dst4,
            id=number,
            proto=protocol,
            frag=start // 8,
            flags="MF" if more else 0,
            ttl=hop[0],
        ) / Raw(whole4[start:end])
        high = 0 if direction == 4 else 0xABCD0000  # lost on the way to IPv4
        extension = IPv6ExtHdrFragment(nh=protocol, offset=start // 8, m=more, id=number | high)
        piece6 = IPv6(src=addresses.src6, dst=addresses.dst6, hlim=hop[1]) / extension / Raw(whole6[start:end])
        if direction == 4:
            same6(only(T.translate(bytes(piece4))), piece6)
        else:
            same4(only(T.translate(bytes(piece6))), piece4, any_identification=False)


ERRORS4TO6 = [
    *((ICMP(type=3, code=code), ICMPv6DestUnreach(code=0)) for code in (0, 1, 5, 6, 7, 8, 11, 12)),
    *((ICMP(type=3, code=code), ICMPv6DestUnreach(code=1)) for code in (9, 10, 13, 15)),
    (ICMP(type=3, code=2), ICMPv6ParamProblem(code=1, ptr=6)),
    (ICMP(type=3, code=3), ICMPv6DestUnreach(code=4)),
    (ICMP(type=3, code=4, nexthopmtu=1400), ICMPv6PacketTooBig(mtu=1420)),
    *((ICMP(type=11, code=code), ICMPv6TimeExceeded(code=code)) for code in (0, 1)),
    *((ICMP(type=12, code=code, ptr=9), ICMPv6ParamProblem(code=0, ptr=6)) for code in (0, 2)),
]
ERRORS6TO4 = [
    *((ICMPv6DestUnreach(code=code), ICMP(type=3, code=1)) for code in (0, 2, 3)),
    (ICMPv6DestUnreach(code=1), ICMP(type=3, code=10)),
    (ICMPv6DestUnreach(code=4), ICMP(type=3, code=3)),
    (ICMPv6PacketTooBig(mtu=1400), ICMP(type=3, code=4, nexthopmtu=1380)),
    *((ICMPv6TimeExceeded(code=code), ICMP(type=11, code=code)) for code in (0, 1)),
    (ICMPv6ParamProblem(code=0, ptr=7), ICMP(type=12, code=0, ptr=8)),
    (ICMPv6ParamProblem(code=1, ptr=40), ICMP(type=3, code=2)),
]
# octets behind the IP header of the packet in the error; half of TCP's checksum (17) cannot be updated, and stays
quoted = st.one_of(st.integers(8, 16), st.integers(18, 500))
inner_ttls = st.integers(0, 255)


def ident(case: Any) -> str:
    return f"{case[0].type}/{case[0].code}"


@pytest.mark.parametrize("case", ERRORS4TO6, ids=ident)
@settings(max_examples=12)
@given(addresses=to6, layers=transports, most=quoted, ttl=inner_ttls)
def test_errors_4_to_6(case: Any, addresses: Both, layers: list[Any], most: int, ttl: int) -> None:
    inner4 = bytes(IP(src=addresses.dst4, dst=addresses.src4, ttl=ttl, tos=7) / layers[0])[: 20 + most]
    # RFC 7757 4.2.1, S2: the inner destination is not mapped by EAM either
    inner6 = bytes(IPv6(src=addresses.dst6, dst=addresses.src6, hlim=ttl, tc=7) / layers[1])[: 40 + most]
    old = IP(src=addresses.src4, dst=addresses.dst4) / case[0] / Raw(inner4)
    new = IPv6(src=addresses.src6, dst=addresses.dst6, hlim=63) / case[1] / Raw(inner6)
    same6(only(T.translate(bytes(old))), new)


@pytest.mark.parametrize("case", ERRORS6TO4, ids=ident)
@settings(max_examples=12)
@given(addresses=to4, layers=transports, most=quoted, ttl=inner_ttls)
def test_errors_6_to_4(case: Any, addresses: Both, layers: list[Any], most: int, ttl: int) -> None:
    inner6 = bytes(IPv6(src=addresses.dst6, dst=addresses.src6, hlim=ttl, tc=7) / layers[1])[: 40 + most]
    flags = "DF" if len(layers[0]) > 1240 else 0
    inner4 = bytes(IP(src=addresses.dst4, dst=addresses.src4, ttl=ttl, tos=7, id=0, flags=flags) / layers[0])
    old = IPv6(src=addresses.src6, dst=addresses.dst6) / case[0] / Raw(inner6)
    new = IP(src=addresses.src4, dst=addresses.dst4, ttl=63) / case[1] / Raw(inner4[: 20 + most])
    same4(only(T.translate(bytes(old))), new, any_identification=True)
