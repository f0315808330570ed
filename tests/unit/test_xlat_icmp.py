"""ICMP messages: types, codes, pointers and MTUs (RFC 7915 4.2, 5.2)."""

from ipaddress import IPv6Network

import pytest
from packets import T, dropped, icmp4, icmp6, message4, message6, quote4, quote6
from scapy.layers.inet6 import IPv6ExtHdrFragment
from scapy.packet import Raw

from nfxlat.outcome import Reason
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.icmp import mtu_4to6, mtu_6to4

# ---- types and codes -------------------------------------------------------------------------------------------

UNTRANSLATABLE4 = [(t, 0) for t in range(256) if t not in (0, 3, 8, 11, 12)]
UNTRANSLATABLE4 += [(3, 14), (3, 16), (3, 255), (12, 1), (12, 3), (12, 255)]


# 4.2-03: silent drop
@pytest.mark.parametrize("old", UNTRANSLATABLE4)
def test_icmpv4_without_a_counterpart_is_dropped(old: tuple[int, int]) -> None:
    assert T.translate(icmp4(*old, body=quote4())) == dropped(Reason.ICMP_TYPE)


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


# M-09
def test_the_link_that_an_error_came_over_can_be_told() -> None:
    needed = icmp4(3, 4, (9000).to_bytes(4, "big"), quote4())
    too_big = icmp6(2, 0, (9000).to_bytes(4, "big"), quote6())
    for mtu, back, told6, told4 in ((9000, 1400, 1420, 1380), (1400, 9000, 1400, 1400)):
        message = message6(T.translate(needed, next_hop_mtu=mtu, mtu_back=back))
        assert int.from_bytes(message[4:8], "big") == told6
        message = message4(T.translate(too_big, next_hop_mtu=mtu, mtu_back=back))
        assert int.from_bytes(message[6:8], "big") == told4
    assert int.from_bytes(message6(T.translate(needed))[4:8], "big") == 1500  # the domain's
