"""Superframes of captures: judged by segments, told as what they are; what is none is judged as before."""

import json
from pathlib import Path

import dpkt
import pytest
from packets import raw4
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.packet import Raw

from nfxlat import config
from nfxlat.cli import main
from nfxlat.lab.topology import DOMAIN, HOST4, HOST4_6, HOST6, HOST6_EAM4
from nfxlat.offline import superframe
from nfxlat.outcome import NOT_OURS, Action, Outcome, Reason
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.translator import Translator

LAB = ("--config", str(Path(__file__).parents[2] / "rules/xlat/router.toml"))  # the example's domain is the lab's
T = Translator(config.parse(DOMAIN, "lab").domain())
FOUR, SIX = IP(src=HOST4, dst=HOST6_EAM4, flags="DF"), IPv6(src=HOST6, dst=HOST4_6)
DATA = bytes(range(256)) * 20
TCP_HEADER = TCP(sport=4000, dport=443, seq=7, flags="PA")


def judged(packet: bytes, hops: int = 1) -> tuple[Outcome, superframe.Superframe | None]:
    return superframe.judge(T, packet, hops)


@pytest.mark.parametrize(
    ("packet", "no_length"),
    [
        (FOUR / TCP_HEADER / Raw(DATA), False),
        (FOUR / UDP(sport=1, dport=2) / Raw(DATA), False),
        (SIX / TCP_HEADER / Raw(DATA), False),
        (SIX / UDP(sport=1, dport=2) / Raw(DATA), False),
        (SIX / IPv6ExtHdrDestOpt() / TCP_HEADER / Raw(DATA), False),
        (IP(src=HOST4, dst=HOST6_EAM4, len=0) / TCP_HEADER / Raw(DATA), True),
        (IPv6(src=HOST6, dst=HOST4_6, plen=0) / TCP_HEADER / Raw(DATA), True),
        (IP(src=HOST4, dst=HOST6_EAM4, len=0) / TCP_HEADER / Raw(b"short"), True),
        (IPv6(src=HOST6, dst=HOST4_6, plen=0) / TCP_HEADER / Raw(DATA * 16), True),  # more than 65,535 octets
    ],
)
def test_a_superframe_passes_in_segments_that_hold_all_of_it(packet: IP | IPv6, no_length: bool) -> None:
    outcome, found = judged(bytes(packet) + bytes(3 if not no_length else 0))  # and what a link may have put behind
    assert outcome.action is Action.TRANSLATED
    assert found is not None
    assert (found.segments, found.no_length) == (len(outcome.packets), no_length)
    assert found.first[:1] == bytes(packet)[:1]
    assert max(map(len, outcome.packets)) <= 1280
    results = [(IPv6 if one[0] >> 4 == 6 else IP)(one) for one in outcome.packets]
    assert b"".join(bytes(one.lastlayer()) for one in results) == bytes(packet.lastlayer())
    for one in results:
        again = one.copy()
        del again[2 if again.haslayer(IPv6ExtHdrDestOpt) else 1].chksum
        assert bytes(again) == bytes(one)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (bytes(IP(src=HOST4, dst=HOST6_EAM4, flags="DF", chksum=1) / TCP_HEADER / Raw(DATA)), Reason.HEADER_CHECKSUM),
        (bytes(IP(src=HOST4, dst=HOST6_EAM4, flags="DF", proto=50) / Raw(DATA)), Reason.PACKET_TOO_BIG),
        (bytes(IP(src=HOST4, dst=HOST6_EAM4, frag=8) / TCP_HEADER / Raw(DATA)), Reason.FRAGMENTED),
        (bytes(SIX / IPv6ExtHdrFragment(offset=8) / TCP_HEADER / Raw(DATA)), Reason.PACKET_TOO_BIG),
        (bytes(FOUR / TCP_HEADER / Raw(DATA))[:-1], Reason.TRUNCATED),
        (bytes(SIX / TCP_HEADER / Raw(DATA))[:-1], Reason.TRUNCATED),
        (bytes(IP(src=HOST4, dst=HOST6_EAM4, len=0, proto=50) / Raw(DATA)), Reason.TRUNCATED),
        (bytes(FOUR / TCP(dataofs=1) / Raw(DATA)), Reason.PACKET_TOO_BIG),
        (b"", Reason.NOT_IP),
        (b"\x45", Reason.TRUNCATED),
    ],
)
def test_what_is_none_is_judged_as_it_is(packet: bytes, reason: Reason) -> None:
    outcome, found = judged(packet)
    assert found is None
    assert outcome.reason is reason
    assert outcome == T.translate(packet)


def test_what_is_not_ours_passes_in_one_piece() -> None:
    packet = bytes(IPv6(src=HOST6, dst="2001:db8:9::1") / TCP_HEADER / Raw(DATA))
    assert judged(packet) == (NOT_OURS, None)


def test_a_link_that_carries_it_makes_it_a_packet() -> None:
    packet = bytes(FOUR / TCP_HEADER / Raw(DATA))
    jumbo = Translator(Domain(prefix6=T.domain.prefix6, mtu4=9000))
    assert superframe.judge(jumbo, packet, 1)[0].reason is Reason.PACKET_TOO_BIG
    unknown = Translator(Domain(prefix6=T.domain.prefix6, mtu4=None))
    assert superframe.judge(unknown, packet, 1)[1] is None


def test_too_many_segments_are_dropped_as_live() -> None:
    packet = bytes(IPv6(src=HOST6, dst=HOST4_6, plen=0) / TCP_HEADER) + bytes(1 << 20)
    assert judged(packet) == (Outcome(Action.DROPPED, Reason.SUPERFRAME_SEGMENTS), None)


def test_what_is_refused_is_refused_with_one_error() -> None:
    outcome, found = judged(bytes(IP(src=HOST4, dst=HOST6_EAM4, ttl=1) / TCP_HEADER / Raw(DATA)))
    assert found is not None
    assert (outcome.action, outcome.reason, len(outcome.packets)) == (Action.REJECTED, Reason.HOP_LIMIT_EXCEEDED, 1)
    assert outcome == found.outcome


def test_translate_and_explain_tell_superframes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = raw4(HOST4, HOST6_EAM4, 17, bytes(8))
    frames = [bytes(FOUR / TCP_HEADER / Raw(DATA)), plain, bytes(SIX / TCP_HEADER / Raw(DATA))]
    source = str(tmp_path / "in.pcap")
    with open(source, "wb") as file:
        writer = dpkt.pcap.Writer(file, 65535, 101)
        for frame in frames:
            writer.writepkt(frame, 1.0)
    assert main(["translate", *LAB, "-v", source]) == 0
    told = capsys.readouterr().out
    assert "5160 octets, superframe of 5 segments: translated" in told
    assert "=> 3 more" in told
    assert "packet_too_big" not in told
    assert "2 superframes (longer than mtu4 or mtu6, or without a length: GRO, TSO), judged as 10 segments" in told
    assert main(["translate", *LAB, "--json", source]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line.get("segments"), len(line["packets"])) for line in lines] == [(5, 5), (None, 0), (5, 5)]
    assert main(["explain", *LAB, source]) == 0
    told = capsys.readouterr().out
    assert "  superframe of 5 segments, taken to be of 1220 octets each; this is the first\n  translated" in told
    assert main(["explain", *LAB, "--json", source]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("segments") for line in lines] == [5, None, 5]
    no_length = bytes(IPv6(src=HOST6, dst=HOST4_6, plen=0) / TCP_HEADER / Raw(b"data"))
    assert main(["explain", *LAB, no_length.hex()]) == 0
    assert "superframe without a length (TSO) of 1 segment," in capsys.readouterr().out
