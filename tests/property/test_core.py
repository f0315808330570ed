"""What holds for every packet: no exception, consistent outcomes, checksums, sizes, identities, determinism.

scapy, which knows nothing of the core, judges what comes out.
"""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Any

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from packets import PREFIX6, P, pseudo6, transport_is_valid, with_checksum
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Raw
from scapy.utils import checksum as scapy_checksum

from nfxlat.outcome import Action, Outcome, Reason
from nfxlat.wire import checksum, ipv4, ipv6
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.special import martian4, martian6
from nfxlat.xlat.translator import Translator

EAMT = Eamt(
    [
        (IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2")),
        (IPv4Network("203.0.113.64/27"), IPv6Network("2001:db8:5:a0::/60")),
    ]
)


def domain(**keys: Any) -> Domain:
    return replace(Domain(prefix6=PREFIX6, eamt=EAMT), **keys)


PLAIN = Translator(domain())
NO_HAIRPIN = Translator(domain(hairpin="simple"))  # from IPv6 to IPv4, simple does nothing about hairpins
TRANSLATORS = [
    PLAIN,
    Translator(domain(mtu4=None, mtu6=None, udp_zero_checksum="compute", traffic_class="zero")),
    Translator(domain(mtu4=576, hairpin="simple", udp_zero_checksum="forward", lowest_ipv6_mtu=1400)),
    Translator(domain(hairpin="off", rfc6791_v4=(IPv4Network("192.0.2.0/24"),), traffic_class=9)),
    Translator(domain(prefix6=IPv6Network("64:ff9b::/96"), denylist4=(IPv4Network("198.51.100.0/25"),))),
    Translator(domain(prefix6=None, rfc6791_v6=(IPv6Network("2001:db8:6791::/96"),))),
]

GOOD4 = ["192.0.2.2", "198.51.100.2", "203.0.113.2", "203.0.113.77", "8.8.8.8"]
ODD4 = ["127.0.0.1", "224.0.0.1"]
GOOD6 = [P + a for a in GOOD4] + ["2001:db8:2::2", "2001:db8:5:a6:8000::"]
ODD6 = [P + a for a in ODD4] + ["2001:db8:fe::1", "::1", "64:ff9b::808:808"]
# Four in five are good, so that most packets get past the addresses.
hosts4 = st.sampled_from(GOOD4 * 2 + ODD4)
hosts6 = st.sampled_from(GOOD6 * 3 + ODD6)
hop_limits = st.one_of(st.sampled_from([0, 1, 2]), st.integers(2, 255), st.integers(2, 255))

transports = st.one_of(
    st.builds(
        lambda a, b, n: TCP(sport=a, seq=b) / bytes(n),
        st.integers(0, 65535),
        st.integers(0, 2**32 - 1),
        st.integers(0, 1600),
    ),
    st.builds(lambda a, n: UDP(sport=a) / bytes(n), st.integers(0, 65535), st.integers(0, 1600)),
    st.builds(lambda data: UDP(chksum=0) / data, st.binary(max_size=9)),
    st.builds(lambda data: Raw(data), st.binary(max_size=64)),
)
octet = st.integers(0, 255)


@st.composite
def ipv4_packets(draw: Callable[..., Any], depth: int = 1) -> Any:
    header = IP(
        src=draw(hosts4),
        dst=draw(hosts4),
        tos=draw(octet),
        ttl=draw(hop_limits),
        id=draw(st.integers(0, 65535)),
        flags=draw(st.sampled_from(["", "", "DF", "DF", "MF", "DF+MF"])) if depth else "",
        frag=draw(st.sampled_from([0, 0, 0, 0, 0, 1, 185])),
        options=draw(st.sampled_from([[]] * 6 + [b"\x94\x04\0\0", b"\x83\x07\x04\xc0\0\x02\x01\0", b"\x94\x00\0\0"])),
    )
    kind = draw(st.sampled_from(["transport", "echo", "error"] if depth else ["transport", "echo"]))
    if kind == "transport":
        return header / draw(transports)
    if kind == "echo":
        return header / ICMP(type=draw(st.sampled_from([0, 8, 13])), id=1) / draw(st.binary(max_size=40))
    quote = bytes(draw(ipv4_packets(depth=0)))[: draw(st.sampled_from([0, 20, 28, 64, 700, 700, 700]))]
    length = draw(st.sampled_from([0, 0, 32, 255]))
    body = quote.ljust(length * 4, b"\0") + draw(st.sampled_from([b"", bytes.fromhex("2000ca0d0008010103e81101")]))
    kind4 = bytes((draw(st.sampled_from([3, 11, 12, 4])), draw(st.integers(0, 16)), 0, 0))
    message = kind4 + bytes((draw(st.integers(0, 24)), length)) + draw(st.integers(0, 65535)).to_bytes(2, "big") + body
    header.proto = 1
    return header / Raw(with_checksum(message))


@st.composite
def ipv6_packets(draw: Callable[..., Any], depth: int = 1) -> Any:
    header = IPv6(
        src=draw(hosts6),
        dst=draw(hosts6),
        tc=draw(octet),
        fl=draw(st.integers(0, 2**20 - 1)),
        hlim=draw(hop_limits),
    )
    stack = header
    for name in draw(st.lists(st.sampled_from(["hop", "route", "destination", "fragment"]), max_size=2)):
        if name == "hop":
            stack = stack / IPv6ExtHdrHopByHop()
        elif name == "route":
            stack = stack / IPv6ExtHdrRouting(segleft=draw(st.sampled_from([0, 0, 1])))
        elif name == "destination":
            stack = stack / IPv6ExtHdrDestOpt()
        else:
            offset, more = draw(st.sampled_from([(0, 0), (0, 1), (3, 0), (3, 1)]))
            stack = stack / IPv6ExtHdrFragment(offset=offset, m=more, id=draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["transport", "echo", "error"] if depth else ["transport", "echo"]))
    if kind == "transport":
        return stack / draw(transports)
    if kind == "echo":
        return stack / ICMPv6EchoRequest(id=1, data=draw(st.binary(max_size=40)))
    quote = bytes(draw(ipv6_packets(depth=0)))[: draw(st.sampled_from([0, 40, 48, 64, 1200, 1200, 1200]))]
    length = draw(st.sampled_from([0, 0, 16, 255]))
    body = quote.ljust(length * 8, b"\0") + draw(st.sampled_from([b"", bytes.fromhex("2000ca0d0008010103e81101")]))
    first, code = draw(st.sampled_from([1, 2, 3, 4, 100])), draw(st.integers(0, 6))
    rest = bytes((length, 0, 0, 0)) if first in (1, 3) else draw(st.integers(0, 2000)).to_bytes(4, "big")
    message = bytes((first, code, 0, 0)) + rest + body
    last = stack.lastlayer()
    last.nh = 58
    return stack / Raw(with_checksum(message, pseudo6(header.src, header.dst, len(message), 58)))


packets = st.one_of(ipv4_packets(), ipv6_packets()).map(bytes)


@st.composite
def damaged(draw: Callable[..., Any]) -> bytes:
    """A packet with some octets changed, its end perhaps cut, its IPv4 header checksum perhaps mended."""
    packet = bytearray(draw(packets))
    for _ in range(draw(st.integers(1, 4))):
        packet[draw(st.integers(0, min(len(packet) - 1, 120)))] = draw(octet)
    if draw(st.booleans()):
        packet = packet[: draw(st.integers(0, len(packet)))]
    header_length = (packet[0] & 15) * 4 if packet else 0
    if draw(st.booleans()) and 20 <= header_length <= len(packet) and packet[0] >> 4 == 4:
        packet[10:12] = bytes(2)
        packet[10:12] = scapy_checksum(bytes(packet[:header_length])).to_bytes(2, "big")
    return bytes(packet)


def is_whole4(packet: bytes) -> bool:
    return not int.from_bytes(packet[6:8], "big") & 0x3FFF


def is_well_formed(packet: bytes) -> bool:
    if packet[0] == 0x45:
        return len(packet) == int.from_bytes(packet[2:4], "big") and scapy_checksum(packet[:20]) == 0
    return packet[0] >> 4 == 6 and len(packet) == 40 + int.from_bytes(packet[4:6], "big")


def no_martians(packet: bytes) -> bool:
    if packet[0] >> 4 == 4:
        return not (martian4(packet[12:16]) or martian4(packet[16:20]))
    return not (martian6(packet[8:24]) or martian6(packet[24:40]))


def judge(packet: bytes, outcome: Outcome, mtu4: int | None, mtu6: int | None) -> None:
    if outcome.action in (Action.DROPPED, Action.PASSED):
        assert outcome.packets == ()
        return
    assert outcome.packets
    family = packet[0] >> 4
    for result in outcome.packets:
        assert is_well_formed(result)
        assert no_martians(result)
        if outcome.action is Action.REJECTED:
            assert (len(outcome.packets), result[0] >> 4) == (1, family)
            assert len(result) <= (576 if family == 4 else 1280)
            assert transport_is_valid(result)
        else:
            assert (result[0] >> 4 == family) == (outcome.reason is Reason.HAIRPINNED)
            mtu = mtu4 if result[0] >> 4 == 4 else mtu6
            assert mtu is None or len(result) <= mtu


mtus = st.sampled_from([None, 68, 300, 576, 1000, 1259])


@given(packet=st.binary(max_size=200), which=st.sampled_from(TRANSLATORS), hops=st.integers(0, 1))
@example(packet=b"", which=PLAIN, hops=1)
def test_random_octets_never_raise(packet: bytes, which: Translator, hops: int) -> None:
    judge(packet, which.translate(packet, hops), None, None)
    for reason in (Reason.NO_ROUTE, Reason.HOST_UNREACHABLE, Reason.PROHIBITED):
        assert which.unreachable(packet, reason).action in (Action.DROPPED, Action.REJECTED)


@given(packet=damaged(), which=st.sampled_from(TRANSLATORS), hops=st.integers(0, 1), path_mtu4=mtus)
def test_damaged_packets_never_raise(packet: bytes, which: Translator, hops: int, path_mtu4: int | None) -> None:
    judge(packet, which.translate(packet, hops, path_mtu4), path_mtu4 or which.domain.mtu4, which.domain.mtu6)
    which.unreachable(packet, Reason.NO_ROUTE)


@given(packet=packets, which=st.sampled_from(TRANSLATORS), hops=st.integers(0, 1), path_mtu4=mtus)
def test_outcomes_are_consistent(packet: bytes, which: Translator, hops: int, path_mtu4: int | None) -> None:
    outcome = which.translate(packet, hops, path_mtu4)
    judge(packet, outcome, path_mtu4 or which.domain.mtu4, which.domain.mtu6)
    assert outcome == which.translate(packet, hops, path_mtu4)
    assert outcome == Translator(which.domain).translate(packet, hops, path_mtu4)


@given(packet=packets, next_hop_mtu=st.integers(68, 2000))
def test_nothing_is_larger_than_the_next_hop_takes(packet: bytes, next_hop_mtu: int) -> None:
    judge(packet, PLAIN.translate(packet, next_hop_mtu=next_hop_mtu), next_hop_mtu, max(1280, next_hop_mtu))


# most packets have no checksum on either side that can be judged
@settings(max_examples=50, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(packet=packets, flip=st.integers(0, 2**16 - 1), hops=st.integers(0, 1))
def test_checksum_is_valid_out_iff_it_is_valid_in(packet: bytes, flip: int, hops: int) -> None:
    start = 20 if packet[0] >> 4 == 4 else 40
    if packet[0] in (0x45, *range(0x60, 0x70)) and len(packet) >= start + 20:
        changed = bytearray(packet)
        changed[start + 18] ^= flip >> 8
        changed[start + 19] ^= flip & 255
        packet = bytes(changed)
    before = transport_is_valid(packet) if is_well_formed(packet) else None
    outcome = PLAIN.translate(packet, hops, next_hop_mtu=65535)
    assume(outcome.action is Action.TRANSLATED and len(outcome.packets) == 1)
    after = transport_is_valid(outcome.packets[0])
    assume(before is not None and after is not None)
    assert after is before


addresses4 = st.sampled_from(GOOD4)
layers = st.one_of(
    st.builds(lambda n, data: TCP(seq=n) / data, st.integers(0, 2**32 - 1), st.binary(max_size=99)),
    st.builds(lambda n, data: UDP(dport=n) / data, st.integers(0, 65535), st.binary(max_size=99)),
    st.builds(lambda n, data: ICMP(type=8, seq=n) / data, st.integers(0, 65535), st.binary(max_size=99)),
    st.builds(lambda data: Raw(data), st.binary(max_size=99)),
)


# Part 6, dual translation: a DF=0 packet loses its identification, DF is made again from the size
@given(
    source=addresses4,
    destination=addresses4,
    layer=layers,
    tos=octet,
    ttl=octet,
    protocol=st.sampled_from([47, 50, 132]),
)
def test_4_to_6_to_4_is_the_identity(
    source: str, destination: str, layer: Any, tos: int, ttl: int, protocol: int
) -> None:
    header = IP(src=source, dst=destination, tos=tos, ttl=ttl, flags=0)
    if isinstance(layer, Raw):
        header.proto = protocol
    packet = bytes(header / layer)
    (middle,) = PLAIN.translate(packet, 0).packets
    (result,) = NO_HAIRPIN.translate(middle, 0).packets
    assert result[:4] + result[6:10] + result[12:] == packet[:4] + packet[6:10] + packet[12:]


@given(
    source=addresses4,
    destination=addresses4,
    data=st.binary(min_size=8, max_size=160).map(lambda d: d[: len(d) // 8 * 8]),
    number=st.integers(0, 65535),
    offset=st.integers(0, 8000),
    more=st.booleans(),
)
def test_fragments_are_the_same_after_4_to_6_to_4(
    source: str, destination: str, data: bytes, number: int, offset: int, more: bool
) -> None:
    flags = "MF" if more else 0
    packet = bytes(IP(src=source, dst=destination, id=number, frag=offset, flags=flags, proto=50) / data)
    assume(offset or more)
    (middle,) = PLAIN.translate(packet, 0).packets
    assert NO_HAIRPIN.translate(middle, 0).packets == (packet,)


addresses6 = st.sampled_from([P + "192.0.2.2", P + "8.8.8.8", "2001:db8:2::2", "2001:db8:5:a6:8000::"])


@given(source=addresses6, destination=addresses6, layer=layers, tc=octet, hop_limit=octet)
def test_6_to_4_to_6_is_the_identity(source: str, destination: str, layer: Any, tc: int, hop_limit: int) -> None:
    if isinstance(layer, ICMP):
        layer = ICMPv6EchoRequest(seq=layer.seq, data=bytes(layer.payload))
    header = IPv6(src=source, dst=destination, tc=tc, hlim=hop_limit)
    if isinstance(layer, Raw):
        header.nh = 50
    packet = bytes(header / layer)
    (middle,) = PLAIN.translate(packet, 0).packets
    assert PLAIN.translate(middle, 0).packets == (packet,)


@given(data=st.binary(max_size=101), initial=st.integers(0, 2**20))
def test_big_integer_checksum_is_that_of_scapy(data: bytes, initial: int) -> None:
    assert checksum.internet_checksum(data) == scapy_checksum(data)
    assert checksum.fold(checksum.word_sum(data) + initial) % 0xFFFF == (checksum.word_sum(data) + initial) % 0xFFFF


@given(
    old=st.binary(min_size=8, max_size=8),
    new=st.binary(min_size=8, max_size=8),
    rest=st.binary(min_size=2, max_size=40),
)
def test_update_equals_recomputation(old: bytes, new: bytes, rest: bytes) -> None:
    before, after = checksum.internet_checksum(old + rest), checksum.internet_checksum(new + rest)
    updated = checksum.update(before, checksum.difference(checksum.word_sum(old), checksum.word_sum(new)))
    assert updated % 0xFFFF == after % 0xFFFF


@given(options=st.binary(max_size=40))
def test_option_lists_end(options: bytes) -> None:
    assert ipv4.source_route(options) in (True, False, None)


@given(data=st.binary(max_size=120), protocol=st.sampled_from([0, 43, 44, 60, 17]))
def test_extension_header_chains_end_within_the_packet(data: bytes, protocol: int) -> None:
    packet = bytes(IPv6(nh=protocol, src=str(IPv6Address(1)))) + data
    chain = ipv6.walk(packet, len(packet))
    assert 40 <= chain.offset <= len(packet)
    assert chain.segments_left < len(packet)
