"""rules/xlat/reassemble: fragments that RFC 7915 drops cross where a rule asks for reassembly, the others as they are.

host4 --- router4 --- translator --- router6 --- host6
"""

import contextlib
import os
import re
import socket
from collections.abc import Iterator, Sequence

import pytest
from pinned import on_one_processor
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, fragment6
from scapy.packet import Packet, Raw

from nfxlat.lab.capture import Capture, send_packet
from nfxlat.lab.datagram import UdpEcho, exchange, path_mtu
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.rules import example
from nfxlat.lab.topology import (
    HOST4,
    HOST4_6,
    HOST4_NARROW_6,
    HOST6,
    HOST6_4,
    HOST6_EAM4,
    HOST6_NARROW,
    HOST6_NARROW_4,
    NARROW_MTU,
    PLAIN_HOST6,
    Lab,
)

SO_NO_CHECK = 11  # asm-generic/socket.h: IPv4 UDP without a checksum
LARGE = 3000


@pytest.fixture(scope="module")
def process(shared_bare_lab: Lab) -> Iterator[TranslatorProcess]:
    # what is started here inherits it: fragments arrive in order
    with on_one_processor([]), example(shared_bare_lab, "reassemble", {}) as processes:
        yield processes["siit0"]


@pytest.fixture
def lab(shared_bare_lab: Lab, process: TranslatorProcess) -> Lab:
    return shared_bare_lab


def unchecked(target: str, port: int, size: int, timeout: float = 5.0) -> bool:
    """Whether a datagram without a checksum comes back from an echo server."""
    payload = os.urandom(size)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        udp.settimeout(timeout)
        udp.sendto(payload, (target, port))
        with contextlib.suppress(TimeoutError):
            return udp.recv(65535) == payload
    return False


def count(process: TranslatorProcess, reason: str) -> int:
    return sum(process.summary()["reasons"].get(reason, {}).values())


def test_fragmented_icmp_crosses_both_ways(lab: Lab, process: TranslatorProcess) -> None:
    assert lab.host4.call(ping, HOST6_EAM4, size=LARGE).ok
    assert lab.host6.call(ping, HOST4_6, HOST6, size=LARGE).ok
    assert count(process, "fragmented_icmp") == 0


def test_datagrams_without_a_checksum_cross_in_fragments_where_asked_for(lab: Lab, process: TranslatorProcess) -> None:
    with UdpEcho(lab.host6, "::") as echo:
        assert lab.host4.call(unchecked, HOST6_EAM4, echo.port, LARGE)
        assert lab.host4.call(unchecked, HOST6_4, echo.port, 100)  # whole
        before = count(process, "udp_zero_checksum_fragment")
        assert not lab.host4.call(unchecked, HOST6_4, echo.port, LARGE, 0.5)
        wait_for(lambda: count(process, "udp_zero_checksum_fragment") > before, "it to be counted")
        assert count(process, "udp_zero_checksum_fragment") == before + 1


def arrived(lab: Lab, fragments: Sequence[Packet], target: str, payload: bytes) -> list[bytes]:
    """What comes out of fragments, up to a packet that is sent behind them; not what is answered."""
    is4 = ":" not in target
    sender, receiver, device = (lab.host4, lab.host6, "to-r6") if is4 else (lab.host6, lab.host4, "to-r4")
    source = socket.inet_pton(*((socket.AF_INET6, HOST4_6) if is4 else (socket.AF_INET, HOST6_EAM4)))
    at = 8 if is4 else 12
    with Capture(receiver, device) as capture:
        header = fragments[0].__class__(src=fragments[0].src, dst=target)
        for one in (*fragments, header / UDP(sport=9, dport=9) / Raw(b"the last")):
            sender.call(send_packet, bytes(one), target)
        capture.wait(lambda seen: b"the last" in seen)
        return [seen for seen in capture.drain() if payload[:8] in seen and seen[at : at + len(source)] == source]


def test_large_results_are_fragmented_anew_whatever_df_says(lab: Lab) -> None:
    """Each fragment with DF found its way: so did the datagram."""
    payload = b"reassemb" * 300
    whole = IP(src=HOST4, dst=HOST6_EAM4, id=7, flags="DF") / ICMP(id=1, seq=1) / Raw(payload)
    pieces = fragment(whole, 1200)
    for piece in pieces:
        piece.flags |= 2  # DF
    found = [IPv6(seen) for seen in arrived(lab, pieces, HOST6_EAM4, payload)]
    assert {IPv6ExtHdrFragment in piece for piece in found} == {True}
    assert {piece[IPv6ExtHdrFragment].id for piece in found} == {7}
    assert max(piece.plen for piece in found) + 40 <= 1280
    assert b"".join(bytes(piece[IPv6ExtHdrFragment].payload) for piece in found)[8:] == payload


def test_large_ipv6_results_have_no_df_and_one_identification(lab: Lab) -> None:
    payload = b"reassemb" * 300
    whole = IPv6(src=HOST6, dst=HOST4_6) / IPv6ExtHdrFragment(id=5) / ICMPv6EchoRequest(id=1, data=payload)
    found = [IP(seen) for seen in arrived(lab, fragment6(whole, 1300), HOST4_6, payload)]
    assert len(found) > 1
    assert {int(piece.flags) & 2 for piece in found} == {0}
    assert len({piece.id for piece in found} - {0}) == 1
    assert b"".join(bytes(piece.payload) for piece in found)[8:] == payload


def test_the_rest_crosses_as_it_is(lab: Lab) -> None:
    """Other fragments stay the fragments that they are, with their identification."""
    payload = b"as it is" * 200
    pieces = fragment(IP(src=HOST4, dst=HOST6_4, id=77) / UDP(sport=5, dport=6) / Raw(payload), 600)
    found = [IPv6(seen) for seen in arrived(lab, pieces, HOST6_4, payload)]
    assert [piece[IPv6ExtHdrFragment].id for piece in found] == [77] * len(pieces)
    assert [piece[IPv6ExtHdrFragment].offset for piece in found] == [piece.frag for piece in pieces]
    with UdpEcho(lab.host6, "::") as echo:
        assert lab.host4.call(exchange, HOST6_4, echo.port, LARGE).ok
    with UdpEcho(lab.host6, HOST6) as echo:
        assert lab.host4.call(exchange, HOST6_EAM4, echo.port, LARGE).ok  # with a checksum, put together too


def test_errors_about_what_was_put_together_come_back(lab: Lab) -> None:
    """The narrow links are behind the translator, on either side."""
    with UdpEcho(lab.host6, HOST6_NARROW) as echo:
        assert lab.host4.call(path_mtu, HOST6_NARROW_4, echo.port).mtu == NARROW_MTU - 20
    assert lab.host6.call(ping, HOST4_NARROW_6, HOST6, size=LARGE).ok
    with Capture(lab.host4, "to-r4") as capture:
        payload = b"too many hops"
        whole = IP(src=HOST4, dst=HOST6_EAM4, id=9, ttl=3) / ICMP(id=2) / Raw(payload * 200)
        for piece in fragment(whole, 1200):
            lab.host4.call(send_packet, bytes(piece), HOST6_EAM4)
        error = IP(capture.wait(lambda seen: seen[9] == 1 and seen[20] == 11))  # Time Exceeded
    assert error[ICMP].payload.dst == HOST6_EAM4


def test_a_whole_packet_that_meets_such_a_rule_is_still_told_the_mtu(lab: Lab) -> None:
    """Only what was fragments has DF ignored."""
    insert = "insert rule ip reassemble prerouting ip protocol icmp accept"
    told = lab.translator.run(["nft", "--echo", "--handle", insert]).stdout
    lab.host4.ip("route flush cache")
    try:
        with Capture(lab.host4, "to-r4") as capture:
            packet = IP(src=HOST4, dst=HOST6_NARROW_4, flags="DF") / ICMP(id=3) / Raw(bytes(1400))
            lab.host4.call(send_packet, bytes(packet), HOST6_NARROW_4)
            error = IP(capture.wait(lambda seen: seen[9] == 1 and seen[20:22] == b"\3\4"))
        assert error[ICMP].nexthopmtu == NARROW_MTU - 20
    finally:
        handle = re.findall(r"# handle (\d+)", told)[-1]
        lab.translator.run(["nft", f"delete rule ip reassemble prerouting handle {handle}"])


def test_what_is_not_translated_is_neither_tracked_nor_put_together(lab: Lab) -> None:
    payload = b"forwards" * 200
    with lab.plain_ipv4(), Capture(lab.host6, "to-r6") as capture:
        pieces = fragment(IP(src=HOST4, dst=PLAIN_HOST6, id=78) / UDP(sport=5, dport=6) / Raw(payload), 600)[::-1]
        for piece in pieces:
            lab.host4.call(send_packet, bytes(piece), PLAIN_HOST6)
        capture.wait(lambda seen: seen[:1] == b"\x45" and IP(seen).frag == 0)
        found = [IP(seen) for seen in capture.drain() if payload[:8] in seen and seen[:1] == b"\x45"]
    assert [piece.frag for piece in found if piece.proto == 17] == [piece.frag for piece in pieces]  # not in order
    assert lab.translator.sysctl("net.netfilter.nf_conntrack_count") == "0"
