"""What `nfxlat explain` says about packets that are not translated, and about answers of its own."""

import pytest
from explained import EAM4, EAM6, SYN, TOML, UDP, A, P, error4, error6, lines, told, v4
from packets import raw6

from nfxlat import config
from nfxlat.lab import topology
from nfxlat.offline.packet import explain_packet
from nfxlat.offline.summary import brief
from nfxlat.outcome import Action, Outcome, Reason
from nfxlat.wire import fragment, icmp
from nfxlat.xlat.translator import Translator

ROUTING = b"\x11\0\0\1\0\0\0\0"


@pytest.mark.parametrize(
    ("packet", "reason", "failed", "words"),
    [
        (b"", Reason.NOT_IP, [], "the packet is empty"),
        (b"\x50" + bytes(30), Reason.NOT_IP, [], "version 5 is neither 4 nor 6"),
        (SYN[:12], Reason.TRUNCATED, [], "12 octets are shorter than the header"),
        (SYN[:30], Reason.TRUNCATED, [], "the header says 44 octets, but there are 30"),
        (b"\x4f" + SYN[1:], Reason.TRUNCATED, [], "total_length 44 is less than the header's 60"),
        (b"\x44" + SYN[1:], Reason.TRUNCATED, [], "ihl 4 is less than 5"),
        (SYN[:10] + b"\0\0" + SYN[12:], Reason.HEADER_CHECKSUM, [], "header_checksum is 0x0000, should be 0xa3df"),
        (
            raw6(EAM6, "2001:db8:9::1", 6, b""),
            Reason.NOT_OURS,
            ["destination"],
            "neither 2001:db8:64::/96 nor an EAM covers",
        ),
        (raw6(EAM6, "ff02::1", 58, b""), Reason.NOT_OURS, ["destination"], "ff00::/8 (multicast)"),
        (v4("127.0.0.1", A, 17, UDP), Reason.MARTIAN_SOURCE, ["source"], "127.0.0.0/8 (loopback)"),
        (v4(A, "224.0.0.1", 17, UDP), Reason.NOT_OURS, ["destination"], "224.0.0.0/4 (multicast)"),
        (v4(A, "240.0.0.1", 17, UDP), Reason.MARTIAN_DESTINATION, ["destination"], "240.0.0.0/4 (reserved"),
        (v4("10.1.1.1", A, 17, UDP), Reason.DENYLISTED, ["source"], "10.1.1.1 is in 10.0.0.0/8 of denylist4"),
        (v4(A, "10.1.1.1", 17, UDP), Reason.DENYLISTED, ["destination"], "10.1.1.1 is in 10.0.0.0/8 of denylist4"),
        (
            raw6("2001:db8:9::1", P + A, 17, UDP),
            Reason.NO_MAPPING_SOURCE,
            ["source"],
            "nor an EAM covers 2001:db8:9::1",
        ),
        (v4(A, EAM4, 17, UDP, ttl=1), Reason.HOP_LIMIT_EXCEEDED, [], "ttl is 1, and one hop is taken off here"),
        (
            v4(A, EAM4, 17, UDP + bytes(1460), word=0x4000),
            Reason.PACKET_TOO_BIG,
            [],
            "1492 octets would become 1512, and DF",
        ),
        (
            v4(A, EAM4, 17, UDP, options=b"\x83\x07\x04\1\2\3\4\0"),
            Reason.SOURCE_ROUTE,
            [],
            "options 83 07 04 01 02 03 04 00",
        ),
        (v4(A, EAM4, 17, UDP, options=b"\x94\1\0\0"), Reason.BAD_OPTIONS, [], "options 94 01 00 00"),
        (raw6(EAM6, P + A, 43, ROUTING + UDP), Reason.ROUTING_HEADER, [], "Segments Left is 1"),
        (
            raw6(EAM6, P + A, 44, fragment.build(51, 0, False, 1) + bytes(8)),
            Reason.EXTENSION_AFTER_FRAGMENT,
            [],
            "the Fragment Header leads to AH",
        ),
        (raw6(EAM6, P + A, 60, b"\x11\xff" + bytes(6)), Reason.BAD_EXTENSION, [], "leads to octet 40 of 48"),
        (v4(A, EAM4, 17, UDP[:10], word=0x2000), Reason.BAD_FRAGMENT, [], "offset 0, 10 octets, more follow"),
        (v4(A, EAM4, 17, UDP[:4]), Reason.BAD_TRANSPORT, [], "4 octets of UDP"),
        (v4(A, EAM4, 1, bytes(8), word=1), Reason.FRAGMENTED_ICMP, [], "offset 8, 8 octets, the last"),
        (v4(A, EAM4, 17, UDP[:6] + b"\0\0"), Reason.UDP_ZERO_CHECKSUM, [], "udp-zero-checksum"),
        (v4(A, EAM4, 43, UDP), Reason.FORBIDDEN_PROTOCOL, [], "protocol 43 is Routing"),
        (v4(A, EAM4, 1, b"\x0b\0" + bytes(6)), Reason.ICMP_CHECKSUM, [], "ICMP checksum is 0x0000, should be 0xf4ff"),
        (
            raw6(EAM6, P + A, 58, b"\x01\0" + bytes(6)),
            Reason.ICMP_CHECKSUM,
            [],
            "ICMPv6 checksum is 0x0000, should be 0x",
        ),
        (v4(A, EAM4, 1, icmp.build4(13, 0, 0, b"")), Reason.ICMP_TYPE, [], "ICMP type (13/0) has no counterpart"),
        (error4(A, EAM4, 12, 0, 1 << 30, v4(EAM4, A, 17, UDP)), Reason.ICMP_POINTER, [], "pointer 64 marks a field"),
        (
            error4(A, EAM4, 11, 0, 99 << 16, v4(EAM4, A, 17, UDP)),
            Reason.ICMP_LENGTH,
            [],
            "length 99 means 396 octets of quote",
        ),
        (error4(A, EAM4, 11, 0, 0, v4(EAM4, A, 17, UDP)[:12]), Reason.INNER_TRUNCATED, [], "12 octets are quoted"),
        (error4(A, EAM4, 11, 0, 0, b"\x65" + bytes(39)), Reason.INNER_MALFORMED, [], "version 6"),
        (
            error4(A, EAM4, 11, 0, 0, error4(EAM4, A, 3, 1, 0, b"")),
            Reason.INNER_ICMP_ERROR,
            [],
            "ICMP host unreachable (3/1)",
        ),
        (
            error4(A, EAM4, 11, 0, 0, v4(EAM4, A, 1, icmp.build4(13, 0, 0, b""))),
            Reason.INNER_ICMP_TYPE,
            [],
            "ICMP type (13/0) has no counterpart",
        ),
        (
            error4(A, EAM4, 11, 0, 0, v4(EAM4, A, 44, UDP)),
            Reason.FORBIDDEN_PROTOCOL,
            [],
            "the quoted packet has protocol 44",
        ),
        (
            error4(A, EAM4, 11, 0, 0, v4(EAM4, "127.0.0.1", 17, UDP)),
            Reason.MARTIAN_INNER,
            ["quoted destination"],
            "127.0.0.0/8 (loopback)",
        ),
        (
            error6(EAM6, P + A, 3, 0, 0, raw6(P + A, "2001:db8:9::1", 17, UDP)),
            Reason.INNER_NO_MAPPING,
            ["quoted destination"],
            "nor an EAM covers 2001:db8:9::1",
        ),
        (
            error4(A, EAM4, 11, 0, 0, v4(EAM4, "10.9.9.9", 17, UDP)),
            Reason.DENYLISTED,
            ["quoted destination"],
            "10.9.9.9 is in 10.0.0.0/8 of denylist4",
        ),
    ],
)
def test_why_not(packet: bytes, reason: Reason, failed: list[str], words: str) -> None:
    found = told(packet)
    assert found.outcome.reason is reason
    assert found.failed == failed
    assert any(words in line for line in found.why)
    assert bool(failed) == any(line.endswith("<- this one failed") for line in found.lines(1))


def test_well_known_prefix() -> None:
    found = told(v4("192.168.1.1", "8.8.8.8", 17, UDP), 'prefix6 = "64:ff9b::/96"')
    assert (found.outcome.reason, found.failed) == (Reason.WELL_KNOWN_PREFIX, ["source"])
    assert "192.168.1.1 is not global" in found.why[1]


def test_hairpin_off() -> None:
    found = told(raw6(EAM6, P + EAM4, 17, UDP), TOML + 'hairpin = "off"')
    assert found.outcome.reason is Reason.HAIRPIN_OFF
    assert "2001:db8:64::cb00:7102 maps to an IPv4 address that an EAM covers" in found.why


def test_own_error_tells_source_mtu_and_quote() -> None:
    packet = v4(A, EAM4, 17, UDP + bytes(1460), word=0x4000)
    assert lines(packet)[-5:] == [
        "source 192.0.0.8: the domain has no address4, so the dummy address 192.0.0.8 is used (RFC 7600)",
        "destination 198.51.100.7: the sender",
        "icmp.type 3 code 4: fragmentation needed (3/4)",
        "icmp.mtu 1480: 1500 of the next hop - 20, the difference of the headers",
        "quoted_octets 548: of 1492, as received",
    ]
    assert "source 192.0.2.1: address4 of the domain" in lines(packet, TOML + 'address4 = "192.0.2.1"')


@pytest.mark.parametrize(
    ("packet", "toml", "words"),
    [
        (
            raw6(EAM6, P + A, 17, UDP + bytes(1460)),
            "mtu4 = 1400",
            "1400 of the next hop + 20, the difference of the headers",
        ),
        (raw6(EAM6, P + A, 17, UDP + bytes(1460)), "mtu4 = 576", "never below 1280, which every IPv6 link carries"),
        (raw6(EAM6, P + EAM4, 17, UDP + bytes(1460)), "mtu6 = 1400", "1400 of the next hop"),
        (
            v4(A, EAM4, 17, UDP + bytes(1468), word=0x6000),
            "",
            "1500 of the next hop - 28, the difference of the headers and a Fragment Header",
        ),
    ],
)
def test_mtu_of_own_errors(packet: bytes, toml: str, words: str) -> None:
    assert any(line.partition(": ")[2].startswith(words) for line in lines(packet, TOML + toml) if "mtu " in line)


def test_pointer_of_own_error() -> None:
    found = lines(raw6(EAM6, P + A, 43, ROUTING + UDP))
    assert "icmpv6.pointer 43: the offending octet, counted from the start of the IPv6 header (RFC 7915 5.1)" in found


def test_silence_is_explained() -> None:
    found = told(v4(A, EAM4, 17, bytes(8), word=5, ttl=1))
    assert found.outcome == Outcome(Action.DROPPED, Reason.HOP_LIMIT_EXCEEDED)
    assert found.why[-1].startswith("no ICMP error is sent about ICMP errors, fragments other than the first")


def test_frame_without_ip() -> None:
    translator = Translator(config.parse(topology.DOMAIN, "lab").domain())
    found = explain_packet(translator.addresses, None, None, Outcome(Action.PASSED, Reason.NOT_IP))
    assert found.lines(2)[0] == "packet 2  not an IP packet"
    assert found.as_json(2)["fields"] == []


def test_brief() -> None:
    assert brief(SYN) == "198.51.100.7 port 40001 > 203.0.113.80 port 443 TCP, 44 octets"
    assert brief(v4(A, EAM4, 99, b"")) == "198.51.100.7 > 203.0.113.2 protocol 99, 20 octets"
    assert brief(v4(A, EAM4, 17, bytes(8), word=0x2001)) == (
        "198.51.100.7 > 203.0.113.2 UDP fragment at 8 and more, 28 octets"
    )
    assert brief(b"abc") == "3 octets, not an IP packet"


def test_explanation_tells_what_came_out_and_not_what_should_have() -> None:
    """A broken core would show: nothing is called unchanged, or mapped by a rule, that is not."""
    translator = Translator(config.parse(f"[domain.siit0]\n{TOML}", "test").domain())
    right = translator.translate(SYN).packets[0]

    def explained(packet: bytes) -> list[str]:
        outcome = Outcome(Action.TRANSLATED, Reason.TRANSLATED, (packet,))
        return [line.strip() for line in explain_packet(translator.addresses, SYN, None, outcome).lines(1)]

    data = explained(right[:-3] + b"\xff\xff" + right[-1:])
    assert "payload 24 octets: octets 21-22 changed" in data
    longer = explained(right[:4] + (26).to_bytes(2, "big") + right[6:] + b"xx")
    assert "payload 24 octets -> 26 octets: 2 octets longer" in longer
    address = explained(right[:8] + bytes(15) + b"\x07" + right[24:])
    assert "source 198.51.100.7 -> ::7: mapped by the domain" in address
    hops = explained(right[:7] + b"\x3d" + right[8:])
    assert "ttl 64 -> hop_limit 61: 3 hops are taken off (RFC 7915 4.1)" in hops
