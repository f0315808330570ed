"""The wire modules: checksums, headers, options, extension header chains, fragments, ICMP layout."""

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    in6_chksum,
)
from scapy.utils import checksum as scapy_checksum

from nfxlat.outcome import Reason
from nfxlat.wire import checksum, fragment, icmp, ipv4, ipv6, transport


def reference(data: bytes) -> int:
    """RFC 1071 word by word."""
    if len(data) & 1:
        data += b"\0"
    total = 0
    for at in range(0, len(data), 2):
        total += data[at] << 8 | data[at + 1]
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0\0\0\0",
        b"\xff\xff",
        b"\xff\xff\xff\xff",
        b"\x01",
        b"\x12\x34\x56",
        b"\xff\xfe\x00\x01",
        bytes(99),
    ],
)
def test_word_sum_is_that_of_a_loop_over_words(data: bytes) -> None:
    assert checksum.word_sum(data) == reference(data)
    assert checksum.internet_checksum(data) == scapy_checksum(data)


def test_fold_keeps_the_two_faces_of_zero_apart() -> None:
    assert [checksum.fold(n) for n in (0, 1, 0xFFFF, 0x10000, 0x1FFFE)] == [0, 1, 0xFFFF, 1, 0xFFFF]


# 1.16, checksum arithmetic: RFC 1624 equation 3
@pytest.mark.parametrize("stored", [0, 1, 0x1234, 0xFFFE, 0xFFFF])
@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 0xFFFF), (0xFFFF, 0), (0x5555, 0xAAAA), (7, 7), (0xFFFF, 1)])
def test_update_is_rfc_1624_equation_3(stored: int, old: int, new: int) -> None:
    total = (stored ^ 0xFFFF) + (old ^ 0xFFFF) + new
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    result = checksum.update(stored, checksum.difference(old, new))
    assert result % 0xFFFF == (total ^ 0xFFFF) % 0xFFFF
    assert result == total ^ 0xFFFF or not ((old ^ 0xFFFF) + new)  # all words zero: either face


def test_the_rfc_1624_example_does_not_fail() -> None:
    assert checksum.update(0xDD2F, checksum.difference(0x5555, 0x3285)) == 0x0000  # RFC 1624 4


def test_is_valid_wants_the_sum_0xffff() -> None:
    good = bytes(IP(src="192.0.2.1", dst="192.0.2.2"))
    assert checksum.is_valid(good)
    assert not checksum.is_valid(good[:8] + b"\x01" + good[9:])
    assert not checksum.is_valid(bytes(20))


def test_built_ipv4_header_is_what_scapy_builds() -> None:
    header = ipv4.build(0x28, 1260, 7, ipv4.DF | 3, 63, 17, bytes((192, 0, 2, 1, 192, 0, 2, 2)))
    scapy = IP(src="192.0.2.1", dst="192.0.2.2", tos=0x28, len=1260, id=7, flags="DF", frag=3, ttl=63, proto=17)
    assert header == bytes(scapy)


# 4.1-15, 4.1-16, 4.1-A1, 4.1-A2
@pytest.mark.parametrize(
    ("options", "result"),
    [
        ("", False),
        ("01010100", False),
        ("00ffffff", False),  # what follows the end of the list is no option
        ("94040000", False),  # router alert
        ("83070400000000" + "00", True),  # loose, pointer 4 of 7: one hop to go
        ("89070400000000" + "00", True),  # strict
        ("83070700000000" + "00", True),  # pointer 7 <= length 7
        ("83070800000000" + "00", False),  # expired
        ("94040000" + "83070400000000" + "00", True),
        ("83070400000000" + "8307080000000000" + "00", True),
        ("83070400000000" + "94", None),  # length octet missing
        ("9400", None),  # a length of 0 must not loop
        ("9401", None),
        ("94050000", None),  # beyond the header
        ("8302", None),  # a source route without a pointer
    ],
)
def test_source_route_options(options: str, result: bool | None) -> None:
    assert ipv4.source_route(bytes.fromhex(options)) is result


def chain(packet: IPv6) -> ipv6.Chain:
    raw = bytes(packet)
    return ipv6.walk(raw, len(raw))


# 5.1-08, 5.1-12, 5.1-A1
def test_walk_skips_hop_by_hop_destination_options_and_routing() -> None:
    packet = IPv6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting(segleft=0) / IPv6ExtHdrDestOpt() / UDP()
    assert chain(packet) == ipv6.Chain(17, 40 + 24)


def test_walk_finds_the_upper_layer_at_once() -> None:
    assert chain(IPv6() / UDP()) == ipv6.Chain(17, 40)
    assert chain(IPv6(nh=59)) == ipv6.Chain(59, 40)


# 5.1-14: 43 directly behind the header, 51 behind eight octets more
def test_walk_points_at_the_first_segments_left_that_is_not_zero() -> None:
    route = IPv6ExtHdrRouting(addresses=["2001:db8::1"], segleft=1)
    assert chain(IPv6() / route / UDP()).segments_left == 43
    assert chain(IPv6() / IPv6ExtHdrHopByHop() / route / UDP()).segments_left == 51
    assert chain(IPv6() / route / route / UDP()).segments_left == 43


# 5.1.1-02, 5.1.1-03
def test_walk_reads_the_fragment_header_and_ignores_its_reserved_bits() -> None:
    raw = bytearray(bytes(IPv6() / IPv6ExtHdrFragment(offset=185, m=1, id=0xABCD1234, nh=17) / bytes(8)))
    raw[43] |= 6
    assert ipv6.walk(bytes(raw), len(raw)) == ipv6.Chain(17, 48, 185 << 3 | 1, 0xABCD1234)


# 5.1-A3
def test_a_second_fragment_header_is_a_fault() -> None:
    assert chain(IPv6() / IPv6ExtHdrFragment() / IPv6ExtHdrFragment() / UDP()).fault is Reason.BAD_FRAGMENT
    # behind a later fragment's it is data, but no IPv4 packet may claim to hold such a thing
    assert chain(IPv6() / IPv6ExtHdrFragment(nh=44, offset=1) / bytes(8)).fault is Reason.BAD_FRAGMENT


# 5.1.1-01, 5.1.1-A3
@pytest.mark.parametrize("protocol", [0, 43, 51, 60, 135, 139, 140, 253, 254])
def test_an_extension_header_behind_the_fragment_header_is_a_fault(protocol: int) -> None:
    first = chain(IPv6() / IPv6ExtHdrFragment(nh=protocol, m=1) / bytes((17, 0, 0, 0, 0, 0, 0, 0)))
    later = chain(IPv6() / IPv6ExtHdrFragment(nh=protocol, offset=1) / bytes(8))
    assert first.fault is later.fault is Reason.EXTENSION_AFTER_FRAGMENT
    assert first.protocol == (17 if protocol in ipv6.SKIPPED else protocol)
    assert later.protocol == protocol  # what follows is data


def test_esp_behind_the_fragment_header_is_no_fault() -> None:
    assert chain(IPv6() / IPv6ExtHdrFragment(nh=50) / bytes(8)).fault is None


# 5.1-A2, 5.1-A4
@pytest.mark.parametrize("protocol", [0, 43, 44, 60])
@pytest.mark.parametrize("octets", [b"", bytes(7)])
def test_a_header_that_is_cut_off_is_a_fault(protocol: int, octets: bytes) -> None:
    assert chain(IPv6(nh=protocol) / octets).fault is Reason.BAD_EXTENSION


def test_a_header_longer_than_the_packet_is_a_fault() -> None:
    assert chain(IPv6(nh=60) / bytes((17, 1, 0, 0, 0, 0, 0, 0))).fault is Reason.BAD_EXTENSION


# 4.1-A6
@pytest.mark.parametrize(
    ("arguments", "bad"),
    [
        ((0, True, 1480), False),
        ((0, True, 1479), True),
        ((185, False, 3), False),
        ((8191, False, 7), False),
        ((8191, False, 8), True),
        ((8189, False, 3, 20), False),
        ((8189, False, 4, 20), True),
    ],
)
def test_fragments_that_cannot_be_reassembled(arguments: tuple[int, bool, int], bad: bool) -> None:
    assert fragment.is_bad(*arguments) is bad


# 4.1-01, 4.1-A4
def test_pieces_keep_offset_and_the_last_m_flag() -> None:
    assert list(fragment.pieces(1480, 1232)) == [(0, 1232, 0, True), (1232, 1480, 154, False)]
    assert list(fragment.pieces(24, 15, 100, True)) == [(0, 8, 100, True), (8, 16, 101, True), (16, 24, 102, True)]
    assert list(fragment.pieces(13, 13, 5)) == [(0, 13, 5, False)]
    assert list(fragment.pieces(0, 8, 5, True)) == [(0, 0, 5, True)]


def test_built_fragment_header_is_what_scapy_builds() -> None:
    assert fragment.build(17, 185, True, 7) == bytes(IPv6ExtHdrFragment(nh=17, offset=185, m=1, id=7))


#
@pytest.mark.parametrize(
    ("quote", "extension", "unit", "room", "size", "length"),
    [
        (148, 12, 8, 1232, 152 + 12, 19),  # padded up to the unit
        (124, 12, 4, 548, 128 + 12, 32),  # and to 128 octets
        (28, 12, 8, 1232, 128 + 12, 16),
        (600, 12, 4, 548, 536 + 12, 134),  # the quote gives way to the extension
        (600, 0, 4, 548, 548, 0),
        (28, 0, 4, 548, 28, 0),
        (200, 421, 4, 548, 200, 0),  # an extension that leaves no 128 octets goes
        (600, 420, 4, 548, 548, 32),
    ],
)
def test_layout_of_quote_and_extension(
    quote: int, extension: int, unit: int, room: int, size: int, length: int
) -> None:
    q, x = b"\x11" * quote, b"\x22" * extension
    data, units = icmp.lay_out(q, x, unit, room)
    assert (len(data), units) == (size, length)
    if units:
        span = units * unit
        assert data[span:] == x
        assert data[:span] == q[:span].ljust(span, b"\0")
    else:
        assert data == q[:room]


# D-04
def test_node_identification_makes_a_structure_of_its_own() -> None:
    added = icmp.node_identification(bytes.fromhex("20010db800fe00000000000000000001"))
    expected = "2000ac29 00180504 00020000 20010db800fe00000000000000000001"
    assert icmp.append_object(b"", added) == bytes.fromhex(expected)


# D-04
def test_node_identification_is_appended_and_the_checksum_follows() -> None:
    mpls = bytes.fromhex("2000ca0d 00080101 03e81101")
    assert checksum.is_valid(mpls)
    longer = icmp.append_object(mpls, icmp.node_identification(bytes(range(16))))
    assert len(longer) == len(mpls) + 24
    assert longer[4:12] == mpls[4:]
    assert checksum.is_valid(longer)


def test_an_extension_without_a_checksum_keeps_none_and_a_wrong_one_stays_wrong() -> None:
    added = icmp.node_identification(bytes(16))
    assert icmp.append_object(bytes.fromhex("20000000 00080101 03e81101"), added)[2:4] == b"\0\0"
    assert not checksum.is_valid(icmp.append_object(bytes.fromhex("2000ca0e 00080101 03e81101"), added))


@pytest.mark.parametrize("extension", ["2000", "1000ca0d00080101", "2000ca0d0008"])
def test_an_extension_of_another_shape_is_left_alone(extension: str) -> None:
    data = bytes.fromhex(extension)
    assert icmp.append_object(data, icmp.node_identification(bytes(16))) == data


def test_icmpv6_checksum_is_that_of_scapy() -> None:
    header = IPv6(src="2001:db8::1", dst="2001:db8::2")
    addresses = checksum.word_sum(bytes(header)[8:40])
    message = icmp.build6(1, 4, 0, b"quote" * 7, addresses)
    assert in6_chksum(58, header, message) == 0


def test_who_may_be_answered() -> None:
    assert [t for t in range(256) if not icmp.is_answerable4(t)] == [3, 4, 5, 11, 12]
    assert [t for t in range(128, 256) if not icmp.is_answerable6(t)] == [137]
    assert not any(map(icmp.is_answerable6, range(128)))


# 1.16, 5.5-A1
def test_update_checksum_leaves_alone_what_has_none() -> None:
    for protocol, payload in ((17, bytes(8)), (136, bytes(8)), (6, bytes(17)), (17, bytes(7)), (132, bytes(12))):
        assert transport.update_checksum(protocol, payload, 5) is payload


# 1.16: only UDP and UDP-Lite map a result of zero
@pytest.mark.parametrize(("protocol", "result"), [(6, 0), (33, 0), (17, 0xFFFF), (136, 0xFFFF)])
def test_a_sum_that_comes_to_zero(protocol: int, result: int) -> None:
    at = transport.CHECKSUM_AT[protocol]
    payload = bytes(at) + b"\x12\x34" + bytes(20)
    updated = transport.update_checksum(protocol, payload, 0x1234)
    assert int.from_bytes(updated[at : at + 2], "big") == result
    assert updated[:at] + updated[at + 2 :] == bytes(at + 20)


# 4.5-04
def test_computed_udp_checksum_spans_the_udp_length_only() -> None:
    header = IPv6(src="2001:db8::1", dst="2001:db8::2")
    addresses = checksum.word_sum(bytes(header)[8:40])
    for data in (b"\1\2\3\4", b"odd", bytes(range(256)) * 4):
        datagram = bytes.fromhex("00350035") + (8 + len(data)).to_bytes(2, "big") + bytes(2) + data
        computed = transport.compute_udp_checksum(datagram + b"tail", addresses)
        assert computed is not None
        assert computed[:6] + computed[8:] == datagram[:6] + data + b"tail"
        assert in6_chksum(17, header, computed[:-4]) == 0


def test_a_computed_udp_checksum_of_zero_is_sent_as_0xffff() -> None:
    datagram = bytes.fromhex("0000 0000 0008 0000")
    assert transport.compute_udp_checksum(datagram, 0xFFFF - 8 - 8 - 17) == bytes.fromhex("0000 0000 0008 ffff")


@pytest.mark.parametrize("length", [0, 7, 13])
def test_a_wrong_udp_length_cannot_be_computed(length: int) -> None:
    assert transport.compute_udp_checksum(bytes(4) + length.to_bytes(2, "big") + bytes(6), 1) is None
