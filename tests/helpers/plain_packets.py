"""TCP and UDP packets, most of which the fast path takes, and translators for them."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.translator import Translator

HOSTS4 = [IPv4Address(a) for a in ("192.0.2.2", "198.51.100.2", "203.0.113.2", "127.0.0.1", "8.8.8.8")]
HOSTS6 = [
    IPv6Address(a)
    for a in ("2001:db8:64::c000:202", "2001:db8:64::c633:6402", "2001:db8:2::2", "::1", "2001:db8:ffff::1")
]


def domain(traffic_class: str | int = "copy") -> Domain:
    return Domain(
        prefix6=IPv6Network("2001:db8:64::/96"),
        eamt=Eamt([(IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2"))]),
        mtu4=None,
        mtu6=None,
        traffic_class=traffic_class,
    )


TRANSLATORS = [Translator(domain()), Translator(domain("zero")), Translator(domain(40)), Translator(domain("dscp-46"))]


def transport(kind: str, sport: int, dport: int, sequence: int, flags: str) -> TCP | UDP:
    return TCP(sport=sport, dport=dport, seq=sequence, flags=flags) if kind == "tcp" else UDP(sport=sport, dport=dport)


@st.composite
def packets(draw: st.DrawFn, kinds: tuple[str, ...] = ("tcp", "udp")) -> bytes:
    layer = transport(
        draw(st.sampled_from(kinds)),
        draw(st.integers(0, 65535)),
        draw(st.integers(0, 65535)),
        draw(st.integers(0, 2**32 - 1)),
        draw(st.sampled_from(["S", "A", "PA", "FPACE"])),
    )
    if draw(st.booleans()):
        header = IP(
            src=str(draw(st.sampled_from(HOSTS4))),
            dst=str(draw(st.sampled_from(HOSTS4))),
            tos=draw(st.integers(0, 255)),
            ttl=draw(st.integers(0, 255)),
            flags=draw(st.sampled_from(["", "DF"])),
            id=draw(st.integers(0, 65535)),
        )
    else:
        header = IPv6(
            src=str(draw(st.sampled_from(HOSTS6))),
            dst=str(draw(st.sampled_from(HOSTS6))),
            tc=draw(st.integers(0, 255)),
            fl=draw(st.integers(0, 2**20 - 1)),
            hlim=draw(st.integers(0, 255)),
        )
    payload = draw(st.one_of(st.binary(max_size=64), st.integers(0, 1500).map(lambda n: bytes(n))))
    return bytes(header / layer / Raw(payload))
