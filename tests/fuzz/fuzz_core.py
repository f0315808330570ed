"""The core under the fuzzer: octets become a case, and what must hold for every case is asserted.

    control block, 14 octets                                              then the packet
    | domain | flags | path_mtu4 u16 | next_hop_mtu u16 | outer | inner | stretch u16 | 4 unused | packet ...

Octets that a fuzzer changes one by one would hardly ever meet a mapped address or a right checksum, so the flags ask
for these to be put into the packet: addresses out of a table (a nibble each for source and destination, of the packet
and of the packet quoted in it), lengths that fit, checksums that are right. Without flags it is taken as it is.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from struct import Struct
from typing import Any, NamedTuple

from nfxlat.outcome import Action, Outcome, Reason
from nfxlat.wire import ipv6
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.special import martian4, martian6
from nfxlat.xlat.translator import Translator

CONTROL = Struct("!BBHHBBH4x")
ONE_HOP, OUTER, INNER, LENGTHS, CHECKSUMS, STRETCH = 1, 2, 4, 8, 16, 32
FITTING = OUTER | INNER | LENGTHS | CHECKSUMS

# What an operator can do wrong: mappings so wide that they reach addresses that must never be seen.
ODD = Eamt(
    [
        (IPv4Network("192.0.2.0/30"), IPv6Network("fe00::/8")),  # 192.0.2.2 is fe80::
        (IPv4Network("126.0.0.0/7"), IPv6Network("2001:db8::/46")),  # 2001:db8:2::2 is 127.0.0.0
        (IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::3")),
        (IPv4Network("203.0.113.0/30"), IPv6Network("fc00::/6")),  # 203.0.113.3 is ff00::
    ]
)
EAMT = Eamt(
    [
        (IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2")),
        (IPv4Network("203.0.113.3"), IPv6Network("2001:db8:2::3")),
        (IPv4Network("203.0.113.64/27"), IPv6Network("2001:db8:5:a0::/60")),
        (IPv4Network("203.0.112.0/20"), IPv6Network("2001:db8:6::/48")),
    ]
)


def domain(prefix6: str | None = "2001:db8:64::/96", **keys: Any) -> Domain:
    return Domain(**({"prefix6": IPv6Network(prefix6) if prefix6 else None, "eamt": EAMT} | keys))


DOMAINS = (
    domain(),
    domain(hairpin="simple", mtu4=None, mtu6=None, udp_zero_checksum="compute", traffic_class="zero"),
    domain(
        hairpin="off",
        udp_zero_checksum="forward",
        rfc6791_v4=(IPv4Network("192.0.2.0/24"),),
        rfc6791_v6=(IPv6Network("2001:db8:6791::/96"),),
        traffic_class=9,
        mtu4=576,
    ),
    domain("64:ff9b::/96", denylist4=(IPv4Network("198.51.100.0/25"),), lowest_ipv6_mtu=1400),
    domain(None, rfc6791_v6=(IPv6Network("2001:db8:6791::/112"),), address6=IPv6Address("2001:db8::1")),
    domain("2001:db8:4000::/40", address4=IPv4Address("192.0.2.1"), mtu4=9000, mtu6=9000, udp_zero_checksum="compute"),
    domain("64:ff9b::/96", well_known_prefix="lax", eamt=Eamt(), rfc6791_v4=(IPv4Network("203.0.113.8/30"),)),
    domain("2001:db8::/32", mtu6=None, mtu4=None, lowest_ipv6_mtu=65535, mtu_plateaus=(1300,)),
    domain(eamt=ODD, denylist4=(IPv4Network("203.0.112.0/24"),)),
)
OWN6 = (IPv6Address("2001:db8:fe::1").packed,)
TRANSLATORS = tuple(Translator(each, OWN6) for each in DOMAINS)

HOSTS4 = tuple(
    IPv4Address(text).packed
    for text in (
        *("192.0.2.2", "198.51.100.2", "203.0.113.2", "203.0.113.3", "203.0.113.77", "203.0.112.1", "8.8.8.8"),
        *("198.51.100.200", "192.0.0.9", "10.0.0.1", "127.0.0.1", "224.0.0.1", "0.0.0.0", "240.0.0.1", "192.0.0.8"),
        "1.1.1.1",
    )
)
HOSTS6 = tuple(
    IPv6Address(text).packed
    for text in (
        *("2001:db8:64::c000:202", "2001:db8:64::cb00:7102", "2001:db8:2::2", "2001:db8:2::3", "2001:db8:64::808:808"),
        *("2001:db8:5:a6:8000::", "2001:db8:6::1", "64:ff9b::808:808", "64:ff9b::cb00:7102", "64:ff9b::a00:1"),
        *("2001:db8:40c6:3364:2::", "2001:db8:fe::1", "2001:db8:64::7f00:1", "fe80::1", "ff02::1", "::ffff:1.1.1.1"),
    )
)

_TRANSLATED = {
    Reason.TRANSLATED,
    Reason.FRAGMENTED,
    Reason.HAIRPINNED,
    Reason.UDP_CHECKSUM_COMPUTED,
    Reason.UDP_CHECKSUM_FORWARDED,
}
_REJECTED = {
    Reason.HOP_LIMIT_EXCEEDED,
    Reason.PACKET_TOO_BIG,
    Reason.SOURCE_ROUTE,
    Reason.ROUTING_HEADER,
    Reason.EXTENSION_AFTER_FRAGMENT,
    Reason.NO_MAPPING_SOURCE,
    Reason.NO_ROUTE,
    Reason.HOST_UNREACHABLE,
    Reason.PROHIBITED,
}
UNREACHABLE = (Reason.NO_ROUTE, Reason.HOST_UNREACHABLE, Reason.PROHIBITED)
_ICMP = {4: 1, 6: 58}
_SUMMED = (6, 17, 33, 136)  # their checksum covers the addresses, and an update keeps the sum
_EVERY = 64  # how often what is slow to check is checked


class Case(NamedTuple):
    """One call of the core. MTUs: None if not given."""

    which: int
    packet: bytes
    hops: int
    path_mtu4: int | None
    next_hop_mtu: int | None


def shaped(data: bytes, stretch_most: int = 65535) -> Case | None:
    """The case that `data` stands for; None if it is shorter than a control block."""
    if len(data) < CONTROL.size:
        return None
    which, flags, path_mtu4, next_hop_mtu, outer, inner, stretch = CONTROL.unpack_from(data)
    packet = bytearray(data[CONTROL.size :])
    if flags & STRETCH:
        packet += bytes(min(stretch, stretch_most))
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        _shape4(packet, flags, outer, inner)
    elif version == 6 and len(packet) >= 40:
        _shape6(packet, flags, outer, inner)
    return Case(which % len(TRANSLATORS), bytes(packet), flags & ONE_HOP, path_mtu4 or None, next_hop_mtu or None)


def _shape4(packet: bytearray, flags: int, outer: int, inner: int) -> None:
    header = (packet[0] & 15) * 4
    if flags & OUTER:
        packet[12:20] = HOSTS4[outer >> 4] + HOSTS4[outer & 15]
    if flags & INNER and len(packet) >= header + 28:
        packet[header + 20 : header + 28] = HOSTS4[inner >> 4] + HOSTS4[inner & 15]
    if flags & LENGTHS:
        packet[2:4] = min(len(packet), 65535).to_bytes(2, "big")
    if flags & CHECKSUMS:
        end = int.from_bytes(packet[2:4], "big")
        if packet[9] == 1 and end >= header + 4:
            _sum_up(packet, header, end, header + 2, 0)
        if 20 <= header <= len(packet):
            _sum_up(packet, 0, header, 10, 0)


def _shape6(packet: bytearray, flags: int, outer: int, inner: int) -> None:
    if flags & OUTER:
        packet[8:40] = HOSTS6[outer >> 4] + HOSTS6[outer & 15]
    if flags & LENGTHS:
        packet[4:6] = min(len(packet) - 40, 65535).to_bytes(2, "big")
    end = min(len(packet), 40 + int.from_bytes(packet[4:6], "big"))
    chain = ipv6.walk(bytes(packet), end)
    if flags & INNER and len(packet) >= chain.offset + 48:
        packet[chain.offset + 16 : chain.offset + 48] = HOSTS6[inner >> 4] + HOSTS6[inner & 15]
    if flags & CHECKSUMS and chain.protocol == 58 and end >= chain.offset + 4:
        pseudo = _words(packet[8:40]) + end - chain.offset + 58
        _sum_up(packet, chain.offset, end, chain.offset + 2, pseudo)


def _words(data: bytes | bytearray) -> int:
    return int.from_bytes(data + b"\0" if len(data) & 1 else data, "big")


def _sum_up(packet: bytearray, start: int, end: int, at: int, pseudo: int) -> None:
    packet[at : at + 2] = b"\0\0"
    packet[at : at + 2] = (0xFFFF - (_words(packet[start:end]) + pseudo) % 0xFFFF).to_bytes(2, "big")


class Header(NamedTuple):
    """A packet that came out (or went in, once it is known to be in order), as far as it is judged."""

    version: int
    hop_limit: int
    protocol: int
    addresses: bytes
    payload: bytes  # behind the IP header and the extension headers
    offset: int  # of a fragment, in octets
    more: bool


def parsed(packet: bytes) -> Header:
    """Header and payload of a packet that is in order; AssertionError for any other."""
    if packet[0] >> 4 == 4:
        header = (packet[0] & 15) * 4
        assert 20 <= header <= len(packet) == int.from_bytes(packet[2:4], "big"), "IPv4 lengths"
        assert _words(packet[:header]) % 0xFFFF == 0, "IPv4 header checksum"
        word = int.from_bytes(packet[6:8], "big")
        return Header(4, packet[8], packet[9], packet[12:20], packet[header:], (word & 0x1FFF) * 8, bool(word & 0x2000))
    assert packet[0] >> 4 == 6, "version"
    assert len(packet) == 40 + int.from_bytes(packet[4:6], "big"), "IPv6 length"
    protocol, at, offset, more = packet[6], 40, 0, False
    while protocol in (0, 43, 44, 60) and not offset:
        assert at + 8 <= len(packet), "extension header"
        if protocol == 44:
            word = int.from_bytes(packet[at + 2 : at + 4], "big")
            offset, more = word & 0xFFF8, bool(word & 1)
        length = 8 if protocol == 44 else (packet[at + 1] + 1) * 8
        protocol, at = packet[at], at + length
        assert at <= len(packet), "extension header"
    return Header(6, packet[7], protocol, packet[8:40], packet[at:], offset, more)


def judge(case: Case, outcome: Outcome) -> None:
    """What holds for the outcome of any packet whatever."""
    action, reason, packets = outcome
    if action in (Action.DROPPED, Action.PASSED):
        assert not packets, "DROPPED or PASSED with a packet"
        assert reason not in _TRANSLATED, "DROPPED or PASSED for a reason to translate"
        assert action is Action.DROPPED or reason is Reason.NOT_OURS, "PASSED but ours"
        return
    family = case.packet[0] >> 4
    if action is Action.REJECTED:
        assert reason in _REJECTED, "REJECTED for a reason to drop"
        assert len(packets) == 1, "more than one ICMP error"
        _judge_error(case.packet, packets[0], family)
        return
    assert action is Action.TRANSLATED
    assert reason in _TRANSLATED, "TRANSLATED for a reason to drop"
    assert reason is Reason.HAIRPINNED or (len(packets) > 1) == (reason is Reason.FRAGMENTED), "fragments"
    old = _original(case.packet)
    results = [parsed(packet) for packet in packets]
    limit = _limit(case, results[0].version)
    round_trip = reason is Reason.HAIRPINNED and DOMAINS[case.which].hairpin == "simple"
    taken = case.hops + round_trip  # the way there takes one always
    for packet, new in zip(packets, results, strict=True):
        assert (new.version == family) == (reason is Reason.HAIRPINNED), "family"
        assert new.version == 6 or packet[0] == 0x45, "IPv4 options"
        assert limit is None or len(packet) <= limit, "larger than the MTU"
        assert new.hop_limit == old.hop_limit - taken >= case.hops - 1, "hop limit"
        assert new.protocol == (_ICMP[new.version] if old.protocol == _ICMP[family] else old.protocol), "protocol"
        _no_martians(new)
    _judge_payload(old, results)
    if len(results) == 1 and reason is not Reason.UDP_CHECKSUM_COMPUTED:
        _judge_checksum(old, results[0], computed=reason is Reason.HAIRPINNED and _computes(case))
    if family == 6 and results[0].version == 4:
        _judge_df(case.packet, packets)


def _original(packet: bytes) -> Header:
    """What went in, without link-layer padding."""
    if packet[0] >> 4 == 4:
        return parsed(packet[: int.from_bytes(packet[2:4], "big")])
    return parsed(packet[: 40 + int.from_bytes(packet[4:6], "big")])


def _limit(case: Case, version: int) -> int | None:
    """The size that nothing may exceed, None if no MTU is known."""
    configured = DOMAINS[case.which]
    if version == 6:
        mtu6 = configured.mtu6 if case.next_hop_mtu is None else case.next_hop_mtu
        return None if mtu6 is None else max(1280, mtu6)
    mtu4 = configured.mtu4 if case.next_hop_mtu is None else case.next_hop_mtu
    known = [mtu for mtu in (mtu4, case.path_mtu4) if mtu is not None]
    return max(68, min(known)) if known else 65535


def _judge_error(packet: bytes, error: bytes, family: int) -> None:
    new = parsed(error)
    assert (new.version, new.protocol) == (family, _ICMP[family]), "an ICMP error of the other family"
    assert len(error) <= (576 if family == 4 else 1280), "an ICMP error that is too large"
    assert _icmp_is_valid(new), "ICMP checksum"
    assert packet.startswith(new.payload[8:]), "the quote is not the packet"
    assert new.payload[8:], "no quote"
    _no_martians(new)


def _no_martians(header: Header) -> None:
    half = len(header.addresses) // 2
    martian = martian4 if header.version == 4 else martian6
    assert not martian(header.addresses[:half]), "martian source"
    assert not martian(header.addresses[half:]), "martian destination"


def _pseudo(header: Header) -> int:
    return _words(header.addresses) + len(header.payload) + header.protocol


def _icmp_is_valid(header: Header) -> bool:
    return (_words(header.payload) + (_pseudo(header) if header.version == 6 else 0)) % 0xFFFF == 0


def _judge_payload(old: Header, results: list[Header]) -> None:
    """Nothing is lost, doubled or moved."""
    if old.protocol == _ICMP[old.version]:
        whole = old.offset == 0 and not old.more
        assert whole, "fragmented ICMP"
        if len(results) == 1:
            assert _icmp_is_valid(results[0]) == _icmp_is_valid(old), "ICMP checksum"
        return
    at = old.offset
    for new in results:
        assert new.offset == at, "fragments that do not follow one another"
        at += len(new.payload)
        assert new.more == (old.more or new is not results[-1]), "more fragments"
        assert not new.more or not len(new.payload) & 7, "a fragment that is no multiple of 8"
    payload = b"".join(new.payload for new in results)
    assert len(payload) == len(old.payload), "payload length"
    assert payload[20:] == old.payload[20:], "payload"


def _computes(case: Case) -> bool:
    """Whether IPv4's absent UDP checksum is computed: on a way through IPv4 and back IPv6's becomes absent first."""
    return DOMAINS[case.which].udp_zero_checksum == "compute"


def _judge_checksum(old: Header, new: Header, *, computed: bool) -> None:
    """A checksum over the addresses says of the result what it said of the packet: right, or wrong by as much."""
    if old.protocol in _SUMMED and not old.offset and not old.more:
        if old.protocol in (17, 136) and old.payload[6:8] == b"\0\0":
            if computed and old.protocol == 17:
                datagram = new.payload[: int.from_bytes(new.payload[4:6], "big")]  # padding may follow it
                assert not (_words(datagram) + _pseudo(new._replace(payload=datagram))) % 0xFFFF, (
                    "the checksum computed"
                )
                return
            assert new.payload == old.payload, "an absent checksum was changed"
            return
        before = (_words(old.payload) + _pseudo(old)) % 0xFFFF
        assert before == (_words(new.payload) + _pseudo(new)) % 0xFFFF, "transport checksum"


def _judge_df(packet: bytes, results: tuple[bytes, ...]) -> None:
    """RFC 7915 5.1, 5.1.1: DF=1 for what is larger than 1260 octets and no fragment, DF=0 else."""
    end = 40 + int.from_bytes(packet[4:6], "big")
    is_fragment = ipv6.walk(packet, end).fragment is not None
    for result in results:
        df = bool(result[6] & 0x40)
        assert df == (len(result) > 1260 and not is_fragment and len(results) == 1), "DF"


def run(case: Case) -> Outcome:
    """The core's outcome, judged."""
    translator = TRANSLATORS[case.which]
    outcome = translator.translate(case.packet, case.hops, case.path_mtu4, next_hop_mtu=case.next_hop_mtu)
    judge(case, outcome)
    return outcome


def _counted() -> Callable[[], bool]:
    count = 0

    def due() -> bool:
        nonlocal count
        count += 1
        return count % _EVERY == 0

    return due


_due = _counted()


def core(data: bytes) -> None:
    """One packet through the core; now and then through a fresh one, and through `unreachable`."""
    case = shaped(data)
    if case is None:
        return
    outcome = run(case)
    if not _due():
        return
    again = Translator(DOMAINS[case.which], OWN6)
    assert outcome == again.translate(case.packet, case.hops, case.path_mtu4, next_hop_mtu=case.next_hop_mtu)
    for reason in UNREACHABLE:
        refused = again.unreachable(case.packet, reason)
        assert refused.action in (Action.DROPPED, Action.REJECTED), "unreachable, but not refused"
        judge(case, refused)
