"""Packets in one line: what they stand for, held by scapy and by packets computed elsewhere; and what is no packet."""

from ipaddress import IPv6Network

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.packet import Raw

from nfxlat.conformance.fields import differences, fields_of, named_in
from nfxlat.conformance.hosts import PLACES, Hosts, embed
from nfxlat.conformance.notation import parse
from nfxlat.conformance.octets import Builder
from nfxlat.conformance.parts import ones_sum, pattern
from nfxlat.errors import OperatorError

PREFIX6 = IPv6Network("2001:db8:64::/96")
HOSTS = Hosts(17, PREFIX6, (b"\xc0\0\2\1",), (bytes.fromhex("20010db8000100000000000000000001"),))


def built(text: str) -> bytes:
    return Builder(HOSTS).build(parse(text))


def wanted(text: str, received: bytes, hop: int = 63) -> bytes:
    return Builder(HOSTS, want=True, hop=hop, received=received).build(parse(text))


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        (
            "ip A > B tos 0x28 df ttl 9 / udp 4000 > 53 / 20",
            IP(src="198.18.0.17", dst="198.19.0.17", tos=0x28, flags="DF", ttl=9, id=0x4D2)
            / UDP(sport=4000, dport=53)
            / Raw(pattern(20)),
        ),
        (
            "ip 192.0.2.1 > E id 7 / tcp 1 > 2 flags 0x002 opt 020405b4 / 3",
            IP(src="192.0.2.1", dst="198.19.128.17", id=7)
            / TCP(sport=1, dport=2, seq=1000, flags="S", window=0xFAF0, options=[("MSS", 1460)])
            / Raw(pattern(3)),
        ),
        (
            "ip A > B / icmp 8/0 id 1 seq 2 / 9",
            IP(src="198.18.0.17", dst="198.19.0.17", id=0x4D2) / ICMP(type=8, id=1, seq=2) / Raw(pattern(9)),
        ),
        (
            "ip6 E > A hlim 5 tclass 3 flow 0x12345 / udp 1 > 2 / 4",
            IPv6(src="2001:db8:e::11", dst="2001:db8:64::c612:11", hlim=5, tc=3, fl=0x12345)
            / UDP(sport=1, dport=2)
            / Raw(pattern(4)),
        ),
        (
            "ip6 U > 10.0.0.1 / frag id 0x12345678 part 0-8 / udp 1 > 2 len 8 sum 0 / 8",
            IPv6(src="2001:db8:bad::11", dst="2001:db8:64::a00:1")
            / IPv6ExtHdrFragment(nh=17, m=1, id=0x12345678)
            / Raw(bytes.fromhex("0001000200080000")),
        ),
    ],
)
def test_packets_are_those_that_scapy_builds(text: str, packet: object) -> None:
    assert built(text) == bytes(packet)  # type: ignore[call-overload]


def test_a_quote_has_its_whole_length_and_is_cut() -> None:
    whole = built("ip A > B ttl 55 / udp / 100")
    assert built("ip R > B / icmp 11/0 / [ ip A > B / udp / 100 ] cut 28")[28:] == whole[:28]
    short = built("ip A > B ttl 55 / udp / 1")
    assert built("ip R > B / icmp 11/0 / [ ip A > B / udp / 1 ] pad 40")[28:] == short.ljust(40, b"\0")


def test_an_extension_has_its_structure_and_checksum() -> None:
    octets = built("ip R > B / icmp 11/0 len 32 / [ ip A > B / udp / 100 ] / obj 1/1 data 03e81101 / obj 5/4 node U")
    extension = octets[28 + 128 :]
    assert extension[:2] == b"\x20\0"
    assert ones_sum(extension) == 0xFFFF
    assert extension[4:12] == bytes.fromhex("0008010103e81101")
    assert extension[12:20] == bytes.fromhex("0018050400020000")


def test_parts_are_those_of_the_datagram_with_its_checksum() -> None:
    whole = built("ip A > B / udp / 100")[20:]
    first, last = built("ip A > B part 0-56 / udp / 100"), built("ip A > B part 56-108 / udp / 100")
    assert first[20:] + last[20:] == whole
    assert (int.from_bytes(first[6:8], "big"), int.from_bytes(last[6:8], "big")) == (0x2000, 7)


def test_a_wrong_checksum_is_wrong_by_as_much_in_both_families() -> None:
    off = [ones_sum(built(f"{ends} / udp sum wrong / 7")[-15:-7] + bytes(1)) for ends in ("ip A > B", "ip6 A > B")]
    right = [ones_sum(built(f"{ends} / udp / 7")[-15:-7] + bytes(1)) for ends in ("ip A > B", "ip6 A > B")]
    assert off != right
    assert (off[0] - right[0]) % 0xFFFF == (off[1] - right[1]) % 0xFFFF


def test_the_checksum_of_what_is_fitted_comes_to_zero_in_ipv6() -> None:
    assert built("ip6 A > B / udp sum ? / 20 / fit")[46:48] == b"\0\0"
    segment = built("ip6 A > B / udp / 20 / fit")
    assert segment[46:48] == b"\xff\xff"


def test_free_fields_are_those_received_and_checksums_follow() -> None:
    came = built("ip B > A id 0xbeef ttl 63 / udp / 20")
    assert wanted("ip B > A / udp / 20", came) == came
    assert wanted("ip B > A id 1 / udp / 20", came) != came
    corrupt = came[:10] + b"\0\0" + came[12:]
    assert wanted("ip B > A / udp / 20", corrupt) != corrupt


def test_what_the_translator_sends_itself_comes_from_its_own_addresses() -> None:
    text = "ip T > A / icmp 11/0 / [ ip A > B / udp / 20 ] cut ?"
    own = built("ip 192.0.2.1 > A tos 0xc0 ttl 200 / icmp 11/0 / [ ip A > B ttl 1 / udp / 20 ] cut 40")
    assert wanted(text, own) == own
    other = built("ip 192.0.2.77 > A / icmp 11/0 / [ ip A > B ttl 1 / udp / 20 ]")
    assert "ip.src" in named_in(differences(wanted(text, other), other))
    named = built("ip 192.0.2.1 > A / icmp 11/0 len 32 / [ ip A > B ttl 1 / udp / 20 ] pad 128 / obj 5/4 node U")
    assert wanted(text, named) == named
    broken = named[:-1] + b"\xff"
    assert wanted(text, broken) != broken


def test_a_quote_of_free_length_has_eight_octets_of_transport_at_least() -> None:
    text = "ip T > A / icmp 11/0 / [ ip A > B / udp / 20 ] cut ?"
    short = built("ip 192.0.2.1 > A / icmp 11/0 / [ ip A > B ttl 1 / udp / 20 ] cut 27")
    assert wanted(text, short) != short


def test_embedding_follows_the_table_of_rfc_6052() -> None:
    """RFC 6052 2.4."""
    examples = {
        "2001:db8::/32": "2001:db8:c000:221::",
        "2001:db8:100::/40": "2001:db8:1c0:2:21::",
        "2001:db8:122::/48": "2001:db8:122:c000:2:2100::",
        "2001:db8:122:300::/56": "2001:db8:122:3c0:0:221::",
        "2001:db8:122:344::/64": "2001:db8:122:344:c0:2:2100::",
        "2001:db8:122:344::/96": "2001:db8:122:344::192.0.2.33",
    }
    assert len(examples) == len(PLACES)
    for prefix, address in examples.items():
        assert embed(IPv6Network(prefix), bytes((192, 0, 2, 33))) == IPv6Network(address).network_address.packed


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("udp / 20", "begins with ip or ip6"),
        ("ip A B / udp", "needs SRC > DST"),
        ("ip A > B ttll 3", "has no field 'ttll'"),
        ("ip A > B ttl many", "'many' is not a number"),
        ("ip A > B / icmp 8", "needs TYPE/CODE"),
        ("ip A > B / icmp 3/1 / [ ip B > A / udp", "] is missing"),
        ("ip A > B / hex 0g", "not hexadecimal"),
        ("ip A > B part 8 / udp", "is not FIRST-END"),
        ("ip A > B /", "a layer is missing"),
        ("ip A > B / smtp", "no such layer 'smtp'"),
        ("ip A > B / udp ]", "unexpected ']'"),
    ],
)
def test_what_is_no_packet_is_told_in_one_line(text: str, fault: str) -> None:
    with pytest.raises(OperatorError) as told:
        parse(text)
    assert fault in str(told.value)
    assert text in str(told.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ip Z > B / udp", "'Z' is no host and no address"),
        ("ip U > B / udp", "U has no IPv4 address"),
        ("ip 2001:db8::1 > B / udp", "in an ip layer"),
        ("ip A > B ttl 256 / udp", "does not fit 8 bits"),
    ],
)
def test_what_cannot_be_built_is_told(text: str, fault: str) -> None:
    with pytest.raises(OperatorError, match="".join(f"[{sign}]" if sign in "?." else sign for sign in fault)):
        built(text)


def test_without_a_prefix_an_ipv4_address_has_no_place_in_ipv6() -> None:
    with pytest.raises(OperatorError, match="has no prefix6"):
        Hosts(17, None).address("A", 6)


def test_any_octets_are_told_field_by_field() -> None:
    for text in ("ip A > B / tcp / 30", "ip6 A > B / hbh / frag id 1 part 0-8 / udp / 20", "ip R > B / icmp 5/1 / 40"):
        octets = built(text)
        for length in range(1, len(octets)):
            assert fields_of(octets[:length])
    nested = "ip R > B / icmp 3/1 / [ ip B > A / icmp 3/1 / [ ip A > B / icmp 3/1 / [ ip B > A / udp / 8 ] ] ]"
    assert fields_of(built(nested))


def test_differences_name_field_value_and_clause() -> None:
    left, right = built("ip B > A ttl 63 / udp / 20"), built("ip B > A ttl 62 df / udp / 19")
    lines = differences(left, right)
    assert "ip.ttl 62, 63 wanted (RFC 7915 5.1)" in lines
    assert "ip.df 1, 0 wanted (RFC 7915 5, 5.1)" in lines
    assert "data: 19 octets, 20 wanted" in lines
    assert {"ip.ttl", "ip.df", "data"} <= named_in(lines)
    assert not {name for name in named_in(lines) if name.endswith(".sum")}
    changed = right[:-1] + b"\xff"
    assert differences(right, changed) == [f"data: ff from octet 18 on, {right[-1]:02x} wanted"]
