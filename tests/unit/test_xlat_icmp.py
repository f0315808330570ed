"""ICMP messages and errors: types, codes, pointers, MTUs, quotes, RFC 4884, RFC 6791 (RFC 7915 4.2, 4.3, 5.2, 5.3)."""

from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP, in4_chksum
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, in6_chksum
from scapy.packet import Raw
from scapy.utils import checksum as scapy_checksum

from nfxlat.outcome import NOT_OURS, Action, Outcome, Reason
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.icmp import mtu_4to6, mtu_6to4
from nfxlat.xlat.translator import Translator

P = "2001:db8:64::"
A4, B4, R4 = "198.51.100.7", "203.0.113.80", "192.0.2.129"
A6, B6, R6 = P + "c633:6407", P + "cb00:7150", P + "c000:281"
BARE6 = "2001:db8:fe::1"  # a router without a mapping


def translator(**keys: Any) -> Translator:
    return Translator(Domain(**({"prefix6": IPv6Network("2001:db8:64::/96")} | keys)))


T = translator()


def icmp4(
    icmp_type: int, code: int, rest: bytes = bytes(4), body: bytes = b"", damage: int = 0, **fields: Any
) -> bytes:
    message = bytes((icmp_type, code, 0, 0)) + rest + body
    checksum = scapy_checksum(message) ^ damage
    message = message[:2] + checksum.to_bytes(2, "big") + message[4:]
    return bytes(IP(**({"src": R4, "dst": A4, "proto": 1} | fields)) / Raw(message))


def icmp6(
    icmp_type: int, code: int, rest: bytes = bytes(4), body: bytes = b"", damage: int = 0, **fields: Any
) -> bytes:
    header = IPv6(**({"src": R6, "dst": A6, "nh": 58} | fields))
    message = bytes((icmp_type, code, 0, 0)) + rest + body
    checksum = in6_chksum(58, IPv6(src=header.src, dst=header.dst), message) ^ damage
    message = message[:2] + checksum.to_bytes(2, "big") + message[4:]
    return bytes(header / Raw(message))


def quote4(layer: Any = None, **fields: Any) -> bytes:
    return bytes(
        IP(**({"src": A4, "dst": B4, "id": 0} | fields)) / (UDP(sport=1, dport=2) / b"data" if layer is None else layer)
    )


def quote6(layer: Any = None, **fields: Any) -> bytes:
    return bytes(
        IPv6(**({"src": A6, "dst": B6} | fields)) / (UDP(sport=1, dport=2) / b"data" if layer is None else layer)
    )


def message6(outcome: Outcome) -> bytes:
    """The ICMPv6 message of the one packet that came out, its checksum judged."""
    assert outcome.action is Action.TRANSLATED, outcome
    (packet,) = outcome.packets
    header = IPv6(packet)
    assert (header.nh, header.plen, len(packet) <= 1280) == (58, len(packet) - 40, True)
    assert in6_chksum(58, header, packet[40:]) == 0
    return packet[40:]


def message4(outcome: Outcome) -> bytes:
    assert outcome.action is Action.TRANSLATED, outcome
    (packet,) = outcome.packets
    header = IP(packet)
    assert (header.proto, header.len, int(header.flags), len(packet) <= 576) == (1, len(packet), 0, True)
    assert scapy_checksum(packet[:20]) == scapy_checksum(packet[20:]) == 0
    return packet[20:]


def dropped(reason: Reason) -> Outcome:
    return Outcome(Action.DROPPED, reason)


# ---- types and codes -------------------------------------------------------------------------------------------

UNREACHABLE_4TO6 = {0: (1, 0), 1: (1, 0), 2: (4, 1), 3: (1, 4), 4: (2, 0), 5: (1, 0), 6: (1, 0), 7: (1, 0), 8: (1, 0)}
UNREACHABLE_4TO6 |= {9: (1, 1), 10: (1, 1), 11: (1, 0), 12: (1, 0), 13: (1, 1), 15: (1, 1)}
ERRORS_4TO6 = {(3, code): new for code, new in UNREACHABLE_4TO6.items()}
ERRORS_4TO6 |= {(11, 0): (3, 0), (11, 1): (3, 1), (11, 7): (3, 7), (12, 0): (4, 0), (12, 2): (4, 0)}


# 4.2-01, 4.2-03: the table of RFC 7915 4.2
@pytest.mark.parametrize(("old", "new"), ERRORS_4TO6.items())
def test_icmpv4_error_types_and_codes(old: tuple[int, int], new: tuple[int, int]) -> None:
    message = message6(T.translate(icmp4(*old, body=quote4())))
    assert (message[0], message[1]) == new
    assert message[8:48] == quote6(hlim=64)[:40]
    if new == (4, 1):
        assert message[4:8] == b"\0\0\0\x06"
    elif new[0] in (1, 3):
        assert message[4:8] == bytes(4)


UNTRANSLATABLE4 = [(t, 0) for t in range(256) if t not in (0, 3, 8, 11, 12)]
UNTRANSLATABLE4 += [(3, 14), (3, 16), (3, 255), (12, 1), (12, 3), (12, 255)]


# 4.2-03: silent drop
@pytest.mark.parametrize("old", UNTRANSLATABLE4)
def test_icmpv4_without_a_counterpart_is_dropped(old: tuple[int, int]) -> None:
    assert T.translate(icmp4(*old, body=quote4())) == dropped(Reason.ICMP_TYPE)


ERRORS_6TO4 = {(1, 0): (3, 1), (1, 1): (3, 10), (1, 2): (3, 1), (1, 3): (3, 1), (1, 4): (3, 3), (2, 0): (3, 4)}
ERRORS_6TO4 |= {(2, 9): (3, 4), (3, 0): (11, 0), (3, 1): (11, 1), (3, 7): (11, 7), (4, 0): (12, 0), (4, 1): (3, 2)}


# 5.2-02: the table of RFC 7915 5.2
@pytest.mark.parametrize(("old", "new"), ERRORS_6TO4.items())
def test_icmpv6_error_types_and_codes(old: tuple[int, int], new: tuple[int, int]) -> None:
    message = message4(T.translate(icmp6(*old, body=quote6())))
    assert (message[0], message[1]) == new
    assert message[8:28] == quote4(ttl=64)[:20]
    if new[1] != 4:
        assert message[4:8] == bytes(4)


UNTRANSLATABLE6 = [(t, 0) for t in range(256) if t not in (1, 2, 3, 4, 128, 129)]
UNTRANSLATABLE6 += [(1, 5), (1, 6), (1, 7), (1, 255), (4, 2), (4, 3), (4, 255)]


# 5.2-02: silent drop; MLD and neighbour discovery among them
@pytest.mark.parametrize("old", UNTRANSLATABLE6)
def test_icmpv6_without_a_counterpart_is_dropped(old: tuple[int, int]) -> None:
    assert T.translate(icmp6(*old, body=quote6())) == dropped(Reason.ICMP_TYPE)


# 4.2-01, 4.2-02; the code of an echo becomes 0
@pytest.mark.parametrize(("old", "new"), [(8, 128), (0, 129)])
def test_echo_4to6(old: int, new: int) -> None:
    for body in (b"", b"odd", bytes(1200)):
        message = message6(T.translate(icmp4(old, 5, b"\x0a\x0b\0\x07", body)))
        assert (message[:2], message[4:]) == (bytes((new, 0)), b"\x0a\x0b\0\x07" + body)


# 5.2-01
@pytest.mark.parametrize(("old", "new"), [(128, 8), (129, 0)])
def test_echo_6to4(old: int, new: int) -> None:
    for body in (b"", b"odd", bytes(500)):
        message = message4(T.translate(icmp6(old, 5, b"\x0a\x0b\0\x07", body)))
        assert (message[:2], message[4:]) == (bytes((new, 0)), b"\x0a\x0b\0\x07" + body)


# Q-17, 1.13: an error's checksum is computed anew, so one that is wrong ends it
def test_icmp_error_with_a_wrong_checksum_is_dropped() -> None:
    for packet in (icmp4(3, 1, body=quote4(), damage=1), icmp6(1, 1, body=quote6(), damage=1)):
        assert T.translate(packet) == dropped(Reason.ICMP_CHECKSUM)


# 4.2-02, 5.2-01: an echo's is updated, so one that is wrong stays wrong by as much
@pytest.mark.parametrize("damage", [1, 0x100, 0xFFFE])
def test_echo_with_a_wrong_checksum_keeps_it_wrong(damage: int) -> None:
    for right, wrong in ((icmp4(8, 0), icmp4(8, 0, damage=damage)), (icmp6(128, 0), icmp6(128, 0, damage=damage))):
        (good,), (bad,) = T.translate(right).packets, T.translate(wrong).packets
        start = 40 if good[0] >> 4 == 6 else 20
        assert good[start + 4 :] == bad[start + 4 :]
        assert good[start + 2 : start + 4] != bad[start + 2 : start + 4]
        old = [int.from_bytes(p[-len(good) + start :][2:4], "big") for p in (right, wrong)]
        new = [int.from_bytes(p[start + 2 : start + 4], "big") for p in (good, bad)]
        assert (old[0] - old[1] - new[0] + new[1]) % 0xFFFF == 0


# The sum of zeros alone is 0, which is no valid checksum's: an update must not leave it there (RFC 1071 1)
def test_an_echo_reply_of_zeros_has_checksum_0xffff() -> None:
    assert message4(T.translate(icmp6(129, 0, bytes(4), bytes(9))))[:4] == b"\0\0\xff\xff"
    assert message4(T.translate(icmp6(129, 0, bytes(4), b"\0\1")))[:4] == b"\0\0\xff\xfe"


# ---- pointers --------------------------------------------------------------------------------------------------

POINTER_4TO6 = {0: 0, 1: 1, 2: 4, 3: 4, 8: 7, 9: 6, 12: 8, 13: 8, 14: 8, 15: 8, 16: 24, 17: 24, 18: 24, 19: 24}
POINTER_6TO4 = {0: 0, 1: 1, 4: 2, 5: 2, 6: 9, 7: 8} | dict.fromkeys(range(8, 24), 12) | dict.fromkeys(range(24, 40), 16)


# 4.2-03: RFC 7915 figure 3
@pytest.mark.parametrize("pointer", [*range(24), 255])
@pytest.mark.parametrize("code", [0, 2])
def test_pointer_4to6(pointer: int, code: int) -> None:
    outcome = T.translate(icmp4(12, code, bytes((pointer, 0, 0, 0)), quote4()))
    if pointer in POINTER_4TO6:
        assert message6(outcome)[4:8] == POINTER_4TO6[pointer].to_bytes(4, "big")
    else:
        assert outcome == dropped(Reason.ICMP_POINTER)


# 5.2-02: RFC 7915 figure 6
@pytest.mark.parametrize("pointer", [*range(42), 0x01000000, 0xFFFFFFFF])
def test_pointer_6to4(pointer: int) -> None:
    outcome = T.translate(icmp6(4, 0, pointer.to_bytes(4, "big"), quote6()))
    if pointer in POINTER_6TO4:
        assert message4(outcome)[4:8] == bytes((POINTER_6TO4[pointer], 0, 0, 0))
    else:
        assert outcome == dropped(Reason.ICMP_POINTER)


# ---- MTUs ------------------------------------------------------------------------------------------------------


# M-03, M-04, 4.2-04, 4.2-05, 5.0-02
@pytest.mark.parametrize(
    ("mtu", "quoted", "result"),
    [
        (1480, 1500, 1500),
        (1400, 1500, 1420),
        (1260, 1500, 1280),
        (576, 1500, 1280),
        (68, 1500, 1280),
        (65535, 1500, 1500),
        (0, 1500, 1500),
        (67, 1500, 1500),  # M-07
        (0, 1493, 1500),
        (0, 1492, 1280),
        (0, 1400, 1280),
        (0, 4400, 1500),
    ],
)
def test_fragmentation_needed_becomes_packet_too_big(mtu: int, quoted: int, result: int) -> None:
    body = quote4(len=quoted)
    message = message6(T.translate(icmp4(3, 4, bytes(2) + mtu.to_bytes(2, "big"), body)))
    assert int.from_bytes(message[4:8], "big") == result


PLATEAUS = Domain(prefix6=IPv6Network("2001:db8:64::/96")).mtu_plateaus


# M-04, M-08
@pytest.mark.parametrize(
    ("quoted", "result"), [(65535, 32020), (20000, 17934), (17914, 8186), (8000, 4372), (4352, 2022), (2002, 1512)]
)
def test_plateaus_without_known_next_hops(quoted: int, result: int) -> None:
    assert mtu_4to6(0, quoted, PLATEAUS, None, None) == result


def test_both_next_hops_bound_a_packet_too_big() -> None:
    assert mtu_4to6(9000, 9000, PLATEAUS, 1500, None) == 1520
    assert mtu_4to6(9000, 9000, PLATEAUS, None, 1500) == 1500


# M-05, M-07, 5.2-03
MTUS_6TO4 = [(1500, 1480), (1400, 1380), (1280, 1260), (9000, 1480), (70000, 1480)]
MTUS_6TO4 += [(1279, 1259), (88, 68), (87, 1260), (0, 1260)]  # no floor in the formula but IPv4's own


@pytest.mark.parametrize(("mtu", "result"), MTUS_6TO4)
def test_packet_too_big_becomes_fragmentation_needed(mtu: int, result: int) -> None:
    message = message4(T.translate(icmp6(2, 0, mtu.to_bytes(4, "big"), quote6())))
    assert message[4:8] == bytes(2) + result.to_bytes(2, "big")


# M-06
def test_packet_too_big_about_a_fragment_counts_its_header() -> None:
    quote = quote6(IPv6ExtHdrFragment(nh=17, offset=3, m=1) / Raw(bytes(8)))
    assert message4(T.translate(icmp6(2, 0, (1400).to_bytes(4, "big"), quote)))[6:8] == (1372).to_bytes(2, "big")


# M-08
def test_unknown_next_hops_are_left_out() -> None:
    assert mtu_6to4(70000, False, 65535, None) == 65535
    assert mtu_6to4(9000, False, 65535, None) == 8980
    assert mtu_6to4(9000, False, 1500, None) == 1500


# ---- quotes ----------------------------------------------------------------------------------------------------


def inner6(quote: bytes, **keys: Any) -> bytes:
    return message6(T.translate(icmp4(11, 0, body=quote, **keys)))[8:]


def inner4(quote: bytes) -> bytes:
    return message4(T.translate(icmp6(3, 0, body=quote)))[8:]


# 4.3-01, 4.3-02, Q-01, Q-04
@pytest.mark.parametrize("ttl", [0, 1, 64])
def test_quote_4to6_keeps_its_ttl_and_its_own_length(ttl: int) -> None:
    quote = IPv6(inner6(quote4(UDP() / bytes(100), ttl=ttl, tos=9, flags="DF")[:28]))
    assert (quote.hlim, quote.plen, quote.tc, quote.nh, quote.src, quote.dst) == (ttl, 108, 9, 17, A6, B6)


# 5.3-01, 5.3-02, Q-01, Q-04, Q-06, Q-07, Q-08
@pytest.mark.parametrize("hop_limit", [0, 1, 64])
def test_quote_6to4_keeps_its_hop_limit_and_its_own_length(hop_limit: int) -> None:
    data = inner4(quote6(UDP() / bytes(100), hlim=hop_limit, tc=9)[:48])
    quote = IP(data)
    assert (quote.ttl, quote.len, quote.tos, quote.proto, quote.id) == (hop_limit, 128, 9, 17, 0)
    assert scapy_checksum(data[:20]) == 0
    assert [int(IP(inner4(quote6(plen=n))).flags.DF) for n in (1240, 1241)] == [0, 1]
    assert IP(inner4(quote6(plen=65515))).len == 65535


# a fragment gets a Fragment Header, a large DF=0 packet none
def test_quoted_ipv4_fragment_gets_a_fragment_header() -> None:
    data = inner6(quote4(Raw(bytes(16)), proto=17, flags="MF", frag=2, id=0x1234))
    header = IPv6(data)[IPv6ExtHdrFragment]
    assert (IPv6(data).plen, header.nh, header.offset, header.m, header.id) == (24, 17, 2, 1, 0x1234)
    assert data[48:] == bytes(16)
    assert IPv6(inner6(quote4(flags=0, len=4000))).nh == 17


# 5.1.1-03, 5.1.1-04, Q-15
def test_quoted_ipv6_fragment_becomes_a_fragment() -> None:
    layer = IPv6ExtHdrFragment(nh=17, offset=185, m=1, id=0xABCD0007) / Raw(bytes(1400))
    quote = IP(inner4(quote6(layer)[:100]))
    assert (quote.id, quote.frag, str(quote.flags), quote.len, quote.proto) == (7, 185, "MF", 1420, 17)


# transport checksums
@pytest.mark.parametrize("layer", [TCP(sport=3, dport=4), UDP(sport=3, dport=4) / b"data"])
def test_quoted_transport_checksum_is_updated(layer: Any) -> None:
    data = inner6(quote4(layer))
    assert in6_chksum(data[6], IPv6(data), data[40:]) == 0
    data = inner4(quote6(layer))
    assert in4_chksum(data[9], IP(data), data[20:]) == 0


#
def test_quote_without_a_checksum_field_keeps_its_octets() -> None:
    assert inner6(quote4(TCP(seq=5))[:28])[40:] == bytes(TCP(seq=5))[:8]
    assert inner6(quote4()[:20])[40:] == b""
    assert inner4(quote6(TCP(seq=5))[:48])[20:] == bytes(TCP(seq=5))[:8]
    assert inner4(quote6()[:40])[20:] == b""


# dropping in `udp-zero-checksum` mode is for packets, not for quotes
def test_quoted_absent_udp_checksum_stays_absent() -> None:
    assert inner6(quote4(UDP(chksum=0) / b"x"))[46:48] == b"\0\0"
    assert inner4(quote6(UDP(chksum=0) / b"x")[:46] + b"\0\0" + b"x")[26:28] == b"\0\0"


ECHO4 = icmp4(8, 0, b"\0\x01\0\x02", b"ping-data")[20:]
ECHO6 = bytes(icmp6(128, 0, b"\0\x01\0\x02", b"ping-data", src=A6, dst=B6))[40:]


#
def test_quoted_echo() -> None:
    data = inner6(quote4(Raw(ECHO4), proto=1))
    assert (data[6], data[40:42], data[44:]) == (58, b"\x80\0", ECHO4[4:])
    assert in6_chksum(58, IPv6(data), data[40:]) == 0
    data = inner4(quote6(Raw(ECHO6), nh=58))
    assert (data[9], data[20:22], data[24:]) == (1, b"\x08\0", ECHO6[4:])
    assert scapy_checksum(data[20:]) == 0


# the length is the original one, so a cut quote has the same checksum
def test_quoted_echo_that_is_cut_has_the_checksum_of_the_whole() -> None:
    assert inner6(quote4(Raw(ECHO4), proto=1)[:28])[40:] == inner6(quote4(Raw(ECHO4), proto=1))[40:48]
    assert inner4(quote6(Raw(ECHO6), nh=58)[:48])[20:] == inner4(quote6(Raw(ECHO6), nh=58))[20:28]


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


#
def test_quoted_extension_headers_are_removed() -> None:
    data = inner4(quote6(IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(sport=7) / b"data"))
    assert (IP(data).len, IP(data)[UDP].sport) == (32, 7)


# 4.1-15 within a quote, and Q-01: no error about a quoted source route
def test_quoted_options_are_removed() -> None:
    data = inner6(quote4(options=b"\x83\x07\x04\xc0\0\x02\x01\0"))
    assert (data[6], IPv6(data).plen) == (17, 12)


@pytest.mark.parametrize(
    ("quote", "reason"),
    [
        (quote4()[:19], Reason.INNER_TRUNCATED),
        (b"", Reason.INNER_TRUNCATED),
        (quote4(options=b"\x94\x04\0\0")[:23], Reason.INNER_TRUNCATED),
        (b"\x60" + quote4()[1:], Reason.INNER_MALFORMED),
        (b"\x44" + quote4()[1:], Reason.INNER_MALFORMED),
        (quote4(len=19), Reason.INNER_MALFORMED),
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
    eamt = Eamt([(IPv4Network("192.0.2.9"), IPv6Network("fe80::9"))])
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


# ---- RFC 4884 --------------------------------------------------------------------------------------------------

EXTENSION = bytes.fromhex("2000ca0d 00080101 03e81101")


def with_extension4(quote: bytes, units: int | None = None) -> tuple[bytes, bytes]:
    """Octets 4-7 and the body of an ICMPv4 error."""
    padded = quote.ljust(max(128, -(-len(quote) // 4) * 4), b"\0")
    length = len(padded) // 4 if units is None else units
    return bytes((0, length, 0, 0)), padded + EXTENSION


# 4.2-07, 4.2-09, X-04, X-05
@pytest.mark.parametrize(("quoted", "padded"), [(32, 128), (100, 128), (128, 152), (200, 224), (528, 552)])
def test_extension_is_laid_out_again_4to6(quoted: int, padded: int) -> None:
    rest, body = with_extension4(quote4(UDP() / bytes(quoted - 28)))
    message = message6(T.translate(icmp4(11, 0, rest, body)))
    assert message[4:8] == bytes((padded // 8, 0, 0, 0))
    assert message[8 + padded :] == EXTENSION
    assert not any(message[8 + quoted + 20 : 8 + padded])


# 5.2-04, X-07
@pytest.mark.parametrize(("quoted", "padded"), [(48, 128), (144, 128), (152, 132)])
def test_extension_is_laid_out_again_6to4(quoted: int, padded: int) -> None:
    quote = quote6(UDP() / bytes(quoted - 48))
    span = max(128, -(-quoted // 8) * 8)
    packet = icmp6(3, 0, bytes((span // 8, 0, 0, 0)), quote.ljust(span, b"\0") + EXTENSION)
    message = message4(T.translate(packet))
    assert message[4:8] == bytes((0, padded // 4, 0, 0))
    assert message[8 + padded :] == EXTENSION


#
@pytest.mark.parametrize("old", [(3, 2), (3, 4), (12, 0)])
def test_extension_is_removed_where_the_type_has_no_length(old: tuple[int, int]) -> None:
    rest, body = with_extension4(quote4(UDP() / bytes(100)))
    message = message6(T.translate(icmp4(*old, rest, body)))
    assert message[8:] == quote6(UDP() / bytes(100), hlim=64)
    assert message[4:6] == bytes(2)


#
def test_length_beyond_the_message_is_dropped() -> None:
    rest, body = with_extension4(quote4(), units=36)
    assert T.translate(icmp4(11, 0, rest, body)) == dropped(Reason.ICMP_LENGTH)
    assert T.translate(icmp6(3, 0, b"\x0b\0\0\0", quote6())) == dropped(Reason.ICMP_LENGTH)


#
def test_length_of_the_whole_message_means_no_extension() -> None:
    quote = quote4(UDP() / bytes(100))
    message = message6(T.translate(icmp4(11, 0, b"\0\x20\0\0", quote)))
    assert (message[4:8], len(message)) == (bytes(4), 8 + 148)
    message = message4(T.translate(icmp6(3, 0, b"\x0a\0\0\0", quote6(UDP() / bytes(32)))))
    assert (message[4:8], len(message)) == (bytes(4), 8 + 60)


# routers that do not pad
def test_short_length_is_padded_up() -> None:
    quote = quote4(UDP() / bytes(12))
    message = message6(T.translate(icmp4(11, 0, b"\0\x0a\0\0", quote + EXTENSION)))
    assert (message[4], message[136:]) == (16, EXTENSION)


#
def test_length_0_means_that_all_is_quote() -> None:
    quote = quote4(UDP() / bytes(100))
    message = message6(T.translate(icmp4(11, 0, bytes(4), quote + EXTENSION)))
    assert (message[4:8], message[-12:]) == (bytes(4), EXTENSION)


# 4.2-08, X-09
def test_quote_gives_way_to_the_extension_and_a_huge_extension_is_left_out() -> None:
    rest, body = with_extension4(quote4(UDP() / bytes(992)))
    message = message6(T.translate(icmp4(11, 0, rest, body + bytes(400))))
    assert len(message) <= 1240
    assert message[8 + message[4] * 8 :] == EXTENSION + bytes(400)
    message = message6(T.translate(icmp4(11, 0, rest, body + bytes(1200)), next_hop_mtu=65535))
    assert (message[4], len(message)) == (0, 8 + 1020 + 20)


# ---- sources without a mapping ---------------------------------------------------------------------------------


# N-01, D-01, D-02, D-04
@pytest.mark.parametrize(("old", "new"), [((1, 0), 3), ((2, 0), 3), ((3, 0), 11), ((4, 0), 12), ((4, 1), 3)])
def test_router_without_a_mapping_becomes_192_0_0_8_and_is_named(old: tuple[int, int], new: int) -> None:
    outcome = T.translate(icmp6(*old, body=quote6(), src=BARE6))
    message = message4(outcome)
    assert IP(outcome.packets[0]).src == "192.0.0.8"
    assert (message[0], message[5], len(message)) == (new, 32, 8 + 128 + 28)
    extension = message[136:]
    assert scapy_checksum(extension) == 0
    assert extension[4:] == bytes.fromhex("0018050400020000") + bytes(IPv6(src=BARE6))[8:24]


# D-04: there is a structure already
def test_router_without_a_mapping_is_named_beside_other_objects() -> None:
    packet = icmp6(3, 0, b"\x10\0\0\0", quote6().ljust(128, b"\0") + EXTENSION, src=BARE6)
    message = message4(T.translate(packet))
    extension = message[8 + message[5] * 4 :]
    assert (extension[4:12], len(extension), scapy_checksum(extension)) == (EXTENSION[4:], 36, 0)


# N-02, D-05
def test_pool_address_instead_of_192_0_0_8() -> None:
    pooled = translator(rfc6791_v4=(IPv4Network("192.0.2.240/32"),))
    assert IP(pooled.translate(icmp6(3, 0, body=quote6(), src=BARE6)).packets[0]).src == "192.0.2.240"


# D-03
def test_router_with_a_mapping_keeps_it_and_is_not_named() -> None:
    outcome = T.translate(icmp6(3, 0, body=quote6()))
    assert (IP(outcome.packets[0]).src, message4(outcome)[5]) == (R4, 0)


# N-06
def test_ipv4_router_without_a_mapping() -> None:
    eamt = Eamt([(IPv4Network(a), IPv6Network(f"2001:db8:{i}::1")) for i, a in enumerate((A4, B4))])
    packet = icmp4(11, 0, body=quote4())
    assert Translator(Domain(eamt=eamt)).translate(packet) == dropped(Reason.NO_MAPPING_SOURCE)
    pooled = Translator(Domain(eamt=eamt, rfc6791_v6=(IPv6Network("2001:db8:6791::/96"),)))
    assert IPv6(pooled.translate(packet).packets[0]).src == "2001:db8:6791::c000:281"


#
def test_error_out_of_the_well_known_prefix() -> None:
    keys = {
        "prefix6": IPv6Network("64:ff9b::/96"),
        "eamt": Eamt([(IPv4Network("8.8.8.8"), IPv6Network("2001:db8::8"))]),
    }
    strict = translator(**keys)
    quote = quote6(src="2001:db8::8", dst="64:ff9b::808:404")
    packet = icmp6(3, 0, body=quote, src="64:ff9b::10.0.0.1", dst="64:ff9b::808:404")
    assert strict.translate(packet) == dropped(Reason.WELL_KNOWN_PREFIX)
    private = icmp4(11, 0, body=quote4(src="8.8.8.8", dst="8.8.4.4"), src="10.0.0.1", dst="8.8.8.8")
    assert strict.translate(private) == dropped(Reason.WELL_KNOWN_PREFIX)
    assert strict.translate(icmp6(3, 0, body=quote, src=BARE6, dst="64:ff9b::808:404")).action is Action.TRANSLATED
