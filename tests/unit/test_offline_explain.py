"""What `nfxlat explain` says about packets that are translated, word for word where it matters."""

from struct import pack

import pytest
from explained import EAM4, EAM6, SYN, TOML, UDP, A, B, P, error4, error6, lines, told, v4
from packets import raw6

from nfxlat.wire import fragment, icmp


def test_tcp_to_ipv6_field_by_field() -> None:
    assert told(SYN).lines(3) == [
        "packet 3  198.51.100.7 port 40001 > 203.0.113.80 port 443 TCP, 44 octets",
        "  translated (RFC 7915 4, 5)",
        "  => 2001:db8:64::c633:6407 port 40001 > 2001:db8:5:a8:: port 443 TCP, 64 octets",
        "    version 4 -> 6: the other family (RFC 7915 4.1)",
        "    ihl 5 -> removed: an IPv6 header has 40 octets (RFC 7915 4.1)",
        "    tos 0x28 -> traffic_class 0x28: copied (RFC 7915 4.1)",
        "    flow_label 0x00000: set to zero (RFC 7915 4.1)",
        "    total_length 44 -> payload_length 24: 44 - 20 of IPv4 header (RFC 7915 4.1)",
        "    identification 0x3039 -> removed: the packet is sent whole, without a Fragment Header (RFC 7915 4.1)",
        "    df 1 -> removed: IPv6 has no such flag: its routers never fragment (RFC 7915 4.1)",
        "    ttl 64 -> hop_limit 63: one hop is taken off (RFC 7915 4.1)",
        "    protocol 6 -> next_header 6: copied: TCP (RFC 7915 4.1)",
        "    header_checksum 0xa3df -> removed: IPv6 has none (RFC 7915 4.1)",
        (
            "    source 198.51.100.7 -> 2001:db8:64::c633:6407: prefix6 2001:db8:64::/96: octets c6 33 64 07 "
            "(198.51.100.7) put at octets 12-15, after 2001:db8:64::/96 (RFC 6052 2.3)"
        ),
        (
            "    destination 203.0.113.80 -> 2001:db8:5:a8::: eam 203.0.113.64/27 2001:db8:5:a0::/60: suffix bits "
            "10000 after 203.0.113.64/27 appended to 2001:db8:5:a0::/60, then 63 zero bits (RFC 7757 3.3)"
        ),
        "    tcp.checksum 0x5447 -> 0x3415: pseudo-header changed: updated incrementally (RFC 7915 4.5, RFC 1624)",
        "    payload 24 octets: TCP header and data, otherwise unchanged",
    ]


def test_df_by_the_length_of_the_ipv4_packet() -> None:
    long, short = (raw6(EAM6, P + A, 17, UDP + bytes(more)) for more in (1240, 1228))
    assert "df 1: DF is set because 1272 > 1260 (RFC 7915 5.1)" in lines(long)
    assert "df 0: DF is not set because 1260 <= 1260: routers may fragment it (RFC 7915 5.1)" in lines(short)
    assert "identification 0x0000: zero: a packet with DF set needs none (RFC 6864 4.1)" in lines(long)


def test_hops_zero_keeps_the_hop_limit() -> None:
    packet = raw6(EAM6, P + A, 17, UDP, hop_limit=1)
    assert "hop_limit 1 -> ttl 1: kept: forwarding takes the hop off (RFC 7915 5.1)" in lines(packet, hops=0)


def test_dropped_options_and_extension_headers_are_named() -> None:
    options = v4(A, EAM4, 17, UDP, options=b"\x94\x04\0\0")
    assert "options 94 04 00 00 -> removed: IPv4 options are not translated (RFC 7915 4.1)" in lines(options)
    assert "total_length 36 -> payload_length 12: 36 - 24 of IPv4 header (RFC 7915 4.1)" in lines(options)
    extension = lines(raw6(EAM6, P + A, 60, b"\x11\0\x01\x04\0\0\0\0" + UDP))
    assert (
        "destination_options 11 00 01 04 00 00 00 00 -> removed: extension headers are not translated (RFC 7915 5.1)"
        in (extension)
    )
    assert "payload_length 20 -> total_length 32: 20 - 8 of extension headers + 20 of IPv4 header (RFC 7915 5.1)" in (
        extension
    )
    assert "next_header 60 -> protocol 17: UDP: what the extension headers led to (RFC 7915 5.1)" in extension


def test_fragments_of_ipv4_get_a_fragment_header() -> None:
    assert {
        "identification 0x3039 -> fragment.identification 0x00003039: 16 zero bits prepended (RFC 7915 4.1)",
        "mf 1 -> fragment.more 1: copied (RFC 7915 4.1)",
        "fragment_offset 2 -> fragment.offset 2: copied (RFC 7915 4.1)",
        "protocol 17 -> next_header 44: a Fragment Header comes next, then UDP (RFC 7915 4.1)",
        "total_length 36 -> payload_length 24: 36 - 20 of IPv4 header + 8 of Fragment Header (RFC 7915 4.1)",
        "payload 16 octets: octets 16 to 31 of the datagram, unchanged: no UDP header here",
    } <= set(lines(v4(A, EAM4, 17, bytes(16), word=0x2002)))


def test_fragments_of_ipv6_lose_it() -> None:
    header = fragment.build(17, 2, False, 0xABCD1234)
    assert {
        "fragment.identification 0xabcd1234 -> identification 0x1234: the low 16 bits (RFC 7915 5.1.1)",
        "fragment.more 0 -> mf 0: copied (RFC 7915 5.1.1)",
        "fragment.offset 2 -> fragment_offset 2: copied (RFC 7915 5.1.1)",
        "df 0: a fragment may be fragmented again (RFC 7915 5.1.1)",
        "payload_length 28 -> total_length 40: 28 - 8 of extension headers + 20 of IPv4 header (RFC 7915 5.1)",
    } <= set(lines(raw6(EAM6, P + A, 44, header + bytes(20))))


def test_fragments_made_here_differ_in_few_fields() -> None:
    found = lines(v4(A, EAM4, 17, UDP + bytes(1400)))
    first, second = (at for at, line in enumerate(found) if line.startswith("=>"))
    assert "mf 0 -> fragment.more 1: fragmented here (RFC 7915 4.1)" in found[first:second]
    assert found[second + 1 :] == [
        "total_length 1432 -> payload_length 188: 8 of Fragment Header + 180 of payload (RFC 7915 4.1)",
        "mf 0 -> fragment.more 0: copied (RFC 7915 4.1)",
        "fragment_offset 0 -> fragment.offset 154: fragmented here (RFC 7915 4.1)",
        "payload 180 octets: octets 1232 to 1411 of the datagram, unchanged: no UDP header here",
    ]


def test_echo() -> None:
    found = lines(v4(A, EAM4, 1, icmp.build4(8, 0, 0x0A0B0007, b"ping")))
    assert "icmp.type 8 -> icmpv6.type 128: echo request of ICMPv6 (RFC 7915 4.2)" in found
    assert "icmp.code 0 -> icmpv6.code 0: copied (RFC 7915 4.2)" in found
    assert any(
        line.startswith("icmp.checksum") and "covers a pseudo-header, now added: updated incrementally" in line
        for line in found
    )


@pytest.mark.parametrize(
    ("toml", "protocol", "payload", "words"),
    [
        ("", 50, bytes(24), "payload 24 octets: ESP unchanged: no checksum over addresses is known"),
        (
            "",
            51,
            bytes(24),
            "payload 24 octets: AH unchanged, but it protects the addresses too: the receiver will reject it",
        ),
        ('udp-zero-checksum = "compute"', 17, UDP[:6] + b"\0\0" + UDP[8:], "computed: IPv6 requires a UDP checksum"),
        ('udp-zero-checksum = "forward"', 17, UDP[:6] + b"\0\0" + UDP[8:], "missing, and stays missing"),
    ],
)
def test_transport(toml: str, protocol: int, payload: bytes, words: str) -> None:
    assert any(words in line for line in lines(v4(A, EAM4, protocol, payload), TOML + toml))


def test_neutral_addresses_keep_the_checksum() -> None:
    toml = 'prefix6 = "64:ff9b::/96"'
    found = lines(v4("8.8.8.8", "9.9.9.9", 17, UDP), toml)
    assert "udp.checksum 0x1234: kept: old and new addresses have the same sum (RFC 6052 4.1)" in found


QUOTE6 = raw6(P + A, P + B, 17, pack("!HHHH", 53124, 5060, 1460, 0x024F) + bytes(1452))[:104]


def test_packet_too_big_with_its_mtu_quote_and_node_identification() -> None:
    found = lines(error6("2001:db8:fe::1", P + A, 2, 0, 1400, QUOTE6))
    assert {
        "icmpv6.type 2 -> icmp.type 3: packet too big (2/0) is fragmentation needed (3/4) (RFC 7915 5.2)",
        "icmpv6.code 0 -> icmp.code 4: follows from the type (RFC 7915 5.2)",
        "icmpv6.mtu 1400 -> icmp.mtu 1380: 1400 - 20, the difference of the headers (RFC 7915 5.2)",
        "quote.payload_length 1460 -> quote.total_length 1480: 1460 + 20 of IPv4 header (RFC 7915 5.1)",
        "quote.df 1: DF is set because 1480 > 1260 (RFC 7915 5.1)",
        "quote.hop_limit 64 -> quote.ttl 64: copied: in a quote it tells how far the packet got (RFC 7915 5.3)",
        (
            "quote.udp.checksum 0x024f -> 0x5e89: pseudo-header changed: updated incrementally, as the quote may be "
            "incomplete (RFC 1624)"
        ),
        "extension 28 octets: a Node Identification Object with the IPv6 address of the node is added (RFC 4884 7)",
    } <= set(found)
    source = next(line for line in found if line.startswith("source 2001:db8:fe::1 -> 192.0.0.8: "))
    assert "stands in for a node without a mapping (the error arrived with 64 hops left)" in source


@pytest.mark.parametrize(
    ("rest", "total_length", "words"),
    [
        (1300, 1500, "icmp.mtu 1300 -> icmpv6.mtu 1320: 1300 + 20, the difference of the headers"),
        (576, 1500, "icmp.mtu 576 -> icmpv6.mtu 1280: never below 1280, which every IPv6 link carries"),
        (1500, 1500, "icmp.mtu 1500 -> icmpv6.mtu 1500: mtu6 (1500) allows no more"),
        (0, 4400, "icmp.mtu 0 -> icmpv6.mtu 1500: mtu6 (1500) allows no more"),
        (0, 1400, "icmp.mtu 0 -> icmpv6.mtu 1280: never below 1280, which every IPv6 link carries"),
    ],
)
def test_mtu_from_fragmentation_needed(rest: int, total_length: int, words: str) -> None:
    quote = bytearray(v4(EAM4, A, 17, UDP))
    quote[2:4] = total_length.to_bytes(2, "big")
    assert any(line.startswith(words) for line in lines(error4("192.0.2.9", EAM4, 3, 4, rest, bytes(quote))))


def test_illegal_source_of_an_icmpv4_error() -> None:
    found = lines(error4("127.0.0.1", EAM4, 11, 0, 0, v4(EAM4, A, 17, UDP)))
    (line,) = [line for line in found if line.startswith("source 127.0.0.1 -> 2001:db8:64::7f00:1: prefix6 ")]
    assert line.endswith("as it may help in troubleshooting; `nfxlat run` drops it (RFC 7915 4.1)")


def test_mtu_by_plateau() -> None:
    quote = bytearray(v4(EAM4, A, 17, UDP))
    quote[2:4] = (4400).to_bytes(2, "big")
    found = lines(error4("192.0.2.9", EAM4, 3, 4, 0, bytes(quote)), TOML + "mtu4 = 9000\nmtu6 = 9000")
    assert (
        "icmp.mtu 0 -> icmpv6.mtu 4372: the router reported none; 4352 of mtu-plateaus is the next below the quoted "
        "length, + 20, the difference of the headers (RFC 7915 4.2)" in found
    )


@pytest.mark.parametrize(
    ("mtu", "words"),
    [
        (9000, "icmpv6.mtu 9000 -> icmp.mtu 1480: mtu6 (1500) allows no more"),
        (600, "icmpv6.mtu 600 -> icmp.mtu 580: 600 - 20, the difference of the headers"),
        (87, "icmpv6.mtu 87 -> icmp.mtu 1260: 87 is too small for an MTU and counts as 1280, - 20"),
    ],
)
def test_mtu_from_packet_too_big(mtu: int, words: str) -> None:
    assert any(line.startswith(words) for line in lines(error6(P + B, P + A, 2, 0, mtu, QUOTE6)))


def test_pointer_and_extension() -> None:
    quote = v4(EAM4, A, 17, UDP + bytes(108))
    objects = b"\x20\0\xca\x0d\0\x08\1\1\x03\xe8\x11\1"
    pointer = lines(error4("192.0.2.9", EAM4, 12, 0, 8 << 24, quote))
    assert "icmp.pointer 8 -> icmpv6.pointer 7: the same field of the other header (RFC 7915 4.2)" in pointer
    kept = lines(error4("192.0.2.9", EAM4, 11, 0, 35 << 16, quote + objects))
    assert "extension 12 octets: unchanged (RFC 7915 4.2, 5.2)" in kept
    assert any(line.startswith("icmp.length 35 -> icmpv6.length 20: octets of the quote") for line in kept)
    gone = lines(error4("192.0.2.9", EAM4, 12, 0, 8 << 24 | 35 << 16, quote + objects))
    assert any(line.startswith("extension 12 octets -> removed: left out") for line in gone)
    assert "icmp.length 35 -> removed: this message has no such field (RFC 4884 4)" in gone


def test_quote_cut_to_the_size_of_an_icmp_error() -> None:
    found = lines(error6(P + B, P + A, 1, 4, 0, raw6(P + A, P + B, 17, UDP + bytes(1000))))
    assert any("octets are cut off the end to keep the error small (RFC 1812 4.3.2.3)" in line for line in found)


def test_hairpin_tells_both_mappings() -> None:
    toml = 'prefix6 = "2001:db8:64::/96"\neam = [["192.0.2.1", "2001:db8:a::1"], ["192.0.2.2", "2001:db8:a::2"]]'
    found = lines(raw6("2001:db8:a::1", P + "192.0.2.2", 17, UDP), toml)
    assert (
        "source 2001:db8:a::1 -> 2001:db8:64::c000:201: 2001:db8:a::1 maps to 192.0.2.1, and that to "
        "2001:db8:64::c000:201 by 2001:db8:64::/96 (RFC 7757 4.2.2)" in found
    )
    assert (
        "destination 2001:db8:64::c000:202 -> 2001:db8:a::2: 2001:db8:64::c000:202 maps to 192.0.2.2, and that to "
        "2001:db8:a::2 by its EAM (RFC 7757 4.2.2)" in found
    )
    assert "udp.checksum 0x1234 -> 0x1234" not in found


def test_simple_hairpin_maps_sources_by_prefix6() -> None:
    found = lines(v4(EAM4, A, 17, UDP), TOML + 'hairpin = "simple"')
    assert (
        "source 203.0.113.2 -> 2001:db8:64::cb00:7102: by 2001:db8:64::/96 and not by the EAM, so that replies come "
        "back here (RFC 7757 4.2.1)" in found
    )


def test_the_way_round_of_simple_hairpinning_leaves_traces() -> None:
    toml = TOML + 'hairpin = "simple"\naddress6 = "2001:db8::1"'
    router = error6("2001:db8:fe::1", P + EAM4, 3, 0, 0, raw6(P + EAM4, EAM6, 17, UDP))
    assert (
        "source 2001:db8:fe::1 -> 2001:db8:64::c000:8: 2001:db8:fe::1 maps to 192.0.0.8, and that to "
        "2001:db8:64::c000:8 by 2001:db8:64::/96 (RFC 7757 4.2.2)"
    ) in lines(router, toml)
    piece = raw6(EAM6, P + EAM4, 44, bytes.fromhex("11000009abcd1234") + bytes(8))
    assert (
        "fragment.identification 0xabcd1234 -> 0x00001234: the low 16 bits, which is all that IPv4 carries"
    ) in lines(piece, toml)
    late = raw6(EAM6, P + EAM4, 17, UDP, hop_limit=2)
    assert "hop_limit is 2, and each of the two passes of the hairpin takes one hop off" in lines(late, toml)


@pytest.mark.parametrize(
    ("option", "became"),
    [
        ('"zero"', "0x00: set by traffic-class = zero, ECN too"),
        ("72", "0x48: set by traffic-class = 72, ECN too"),
        ('"dscp-46"', "0xb8: set by traffic-class = dscp-46, ECN copied"),
    ],
)
def test_traffic_class_as_configured(option: str, became: str) -> None:
    found = lines(SYN, f"{TOML}traffic-class = {option}")
    assert f"tos 0x28 -> traffic_class {became} (RFC 7915 4.1)" in found
