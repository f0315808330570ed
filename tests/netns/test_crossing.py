"""What crosses, and how: every transport, fragments, both sources, both injectors, with and without the fast path.

host4 --- router4 --- translator --- router6 --- host6
"""

import random

import pytest
from both_ways import download_both_ways
from counted import Counted
from pinned import on_one_processor
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from nfxlat.lab.capture import Capture, icmp4, send_packet
from nfxlat.lab.datagram import UdpEcho, exchange
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6, HOST6_4, HOST6_EAM4, HOST6_PREFIX, TRANSLATOR, Lab
from nfxlat.lab.transfer import download, serving

PAYLOAD = random.Random(7915).randbytes(200)
MEBI = 1 << 20
ICMP_PROTOCOLS = 1, 58  # of IPv4, of IPv6
WAYS = pytest.mark.parametrize(
    "run_arguments",
    [
        (),
        ("--no-fast-path",),
        ("--inject", "ip"),
        ("--source", "netfilterqueue"),
        ("--source", "netfilterqueue", "--inject", "ip"),
        ("--model", "device"),
        ("--model", "device", "--no-fast-path"),
        ("--model", "route"),
        ("--model", "route", "--inject", "ip"),
    ],
    ids=" ".join,
)


@WAYS
def test_ping_udp_and_tcp_cross_both_ways(lab: Lab, process: TranslatorProcess) -> None:
    assert lab.host4.call(ping, HOST6_EAM4).ok
    assert lab.host6.call(ping, HOST4_6, HOST6).ok
    with UdpEcho(lab.host6, "::") as echo:
        assert lab.host4.call(exchange, HOST6_4, echo.port, 100).ok
        assert lab.host4.call(exchange, HOST6_4, echo.port, 3000).ok
    with UdpEcho(lab.host4, "0.0.0.0") as echo:
        assert lab.host6.call(exchange, HOST4_6, echo.port, 3000, HOST6_PREFIX).ok
    download_both_ways(lab, 4 * MEBI)
    summary = process.summary()
    dropped = {r: n for r, n in summary["reasons"].items() if r not in ("translated", "fragmented", "packet_too_big")}
    assert not dropped
    fast = summary["totals"]["fast"]
    assert (fast == 0) == ("--no-fast-path" in process.command)
    superframes = summary["totals"]["superframes"]
    assert (superframes > 0) == ("ip" not in process.command and "netfilterqueue" not in process.command)


def crossed(lab: Lab, packet: Packet) -> bytes:
    """The packet as it arrives on the other side's host."""
    from4, octets = isinstance(packet, IP), bytes(packet)
    protocol = octets[9] if from4 else octets[6]
    if protocol in ICMP_PROTOCOLS:
        protocol = sum(ICMP_PROTOCOLS) - protocol
    receiver, interface, at = (lab.host6, "to-r6", 6) if from4 else (lab.host4, "to-r4", 9)
    with Capture(receiver, interface) as capture:
        sender = lab.host4 if from4 else lab.host6
        sender.call(send_packet, octets, packet.dst)
        # an error about an earlier packet quotes the payload too
        return capture.wait(lambda seen: PAYLOAD in seen and seen[at] == protocol)


@pytest.mark.parametrize("protocol", [50, 47, 132, 51, 99], ids=["ESP", "GRE", "SCTP", "AH", "any"])
def test_other_protocols_pass_with_their_payload_unchanged(shared_lab: Lab, protocol: int) -> None:
    body = bytes(SCTP(sport=1, dport=2) / Raw(PAYLOAD)) if protocol == 132 else b"\x04\0\x08\0" + PAYLOAD
    out = crossed(shared_lab, IP(src=HOST4, dst=HOST6_EAM4, proto=protocol) / Raw(body))
    assert (out[6], out[40:]) == (protocol, body)
    out = crossed(shared_lab, IPv6(src=HOST6, dst=HOST4_6, nh=protocol) / Raw(body))
    assert (out[9], out[20:]) == (protocol, body)


def test_udp_lite_keeps_a_valid_checksum(shared_lab: Lab) -> None:
    """RFC 3828: the checksum covers the pseudo-header and what the coverage field says, here the header alone."""
    header = bytes.fromhex("03e807d0 0008 0000")
    pseudo = bytes(IP(src=HOST4, dst=HOST6_EAM4))[12:20] + bytes([0, 136]) + (8 + len(PAYLOAD)).to_bytes(2, "big")
    checksum = 0xFFFF - int.from_bytes(pseudo + header, "big") % 0xFFFF
    packet = IP(src=HOST4, dst=HOST6_EAM4, proto=136) / Raw(header[:6] + checksum.to_bytes(2, "big") + PAYLOAD)
    out = crossed(shared_lab, packet)
    pseudo6 = out[8:40] + (8 + len(PAYLOAD)).to_bytes(4, "big") + bytes([0, 0, 0, 136])
    assert int.from_bytes(pseudo6 + out[40:48], "big") % 0xFFFF == 0
    assert out[48:] == PAYLOAD


def test_fragments_cross_one_by_one_and_keep_their_identification(
    shared_lab: Lab, shared_process: TranslatorProcess
) -> None:
    data = random.Random(1).randbytes(3000)
    pieces = fragment(IP(src=HOST4, dst=HOST6_EAM4, id=0x1234) / UDP(sport=9, dport=9) / Raw(data), fragsize=1024)
    with Capture(shared_lab.host6, "to-r6") as capture, on_one_processor(shared_process.workers()):
        for piece in pieces:
            shared_lab.host4.call(send_packet, bytes(piece), HOST6_EAM4)
        capture.wait(lambda seen: data[-100:] in seen)
        arrived = [IPv6(p)[IPv6ExtHdrFragment] for p in capture.packets if p[:1] == b"\x60" and p[6] == 44]
    assert [(f.id, f.offset, f.m) for f in arrived] == [(0x1234, 0, 1), (0x1234, 128, 1), (0x1234, 256, 0)]
    pieces6 = fragment6(
        IPv6(src=HOST6, dst=HOST4_6) / IPv6ExtHdrFragment(id=0xABCD5678, nh=17) / UDP(sport=9, dport=9) / Raw(data),
        1100,
    )
    with Capture(shared_lab.host4, "to-r4") as capture, on_one_processor(shared_process.workers()):
        for piece in pieces6:
            shared_lab.host6.call(send_packet, bytes(piece), HOST4_6)
        capture.wait(lambda seen: data[-100:] in seen)
        arrived4 = [IP(p) for p in capture.packets if p[:1] == b"\x45" and p[9] == 17]
    assert {p.id for p in arrived4} == {0x5678}
    assert [str(p.flags) for p in arrived4] == ["MF"] * (len(pieces6) - 1) + [""]
    assert b"".join(bytes(p.payload) for p in arrived4)[8:] == data


def test_a_fragmented_ping_is_dropped_and_counted(shared_lab: Lab, shared_process: TranslatorProcess) -> None:
    counted = Counted(shared_process)
    assert not shared_lab.host4.call(ping, HOST6_EAM4, size=3000, count=1, timeout=0.5).ok
    assert shared_lab.host4.call(ping, HOST6_EAM4, count=1).ok
    assert counted.reasons()["fragmented_icmp"] == {"4to6": 3}


def test_ipv4_without_df_is_fragmented_for_ipv6(shared_lab: Lab) -> None:
    """RFC 7915 4.1: no IPv6 packet above 1280 octets comes out of DF=0."""
    data = random.Random(2).randbytes(1400)
    packet = IP(src=HOST4, dst=HOST6_EAM4, flags="", id=77) / UDP(sport=9, dport=9) / Raw(data)
    with Capture(shared_lab.host6, "to-r6") as capture:
        shared_lab.host4.call(send_packet, bytes(packet), HOST6_EAM4)
        capture.wait(lambda seen: data[-64:] in seen)
        sizes = [len(p) for p in capture.packets if p[:1] == b"\x60" and p[6] == 44]
    assert sizes == [1280, 40 + 8 + 8 + 1400 - 1232]


@pytest.mark.parametrize("run_arguments", [(), ("--inject", "ip")], ids=["device", "ip"])
def test_a_packet_too_big_for_the_next_hop_is_told_to_its_sender(lab: Lab) -> None:
    with Capture(lab.host4, "to-r4") as capture:
        packet = IP(src=HOST4, dst=HOST6_EAM4, flags="DF") / UDP(sport=9, dport=9) / Raw(bytes(1500 - 28))
        lab.host4.call(send_packet, bytes(packet), HOST6_EAM4)
        error = IP(capture.wait(icmp4))
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, 1480)
    assert error.dst == HOST4


@pytest.mark.parametrize("run_arguments", [("--inject", "ip")], ids=["ip"])
def test_without_a_route_the_ip_injector_says_so(lab: Lab) -> None:
    lab.translator.ip("-6 route del 2001:db8:2::/64 via 2001:db8:1::2")
    with Capture(lab.host4, "to-r4") as capture:
        packet = IP(src=HOST4, dst=HOST6_EAM4) / UDP(sport=9, dport=9) / Raw(PAYLOAD)
        lab.host4.call(send_packet, bytes(packet), HOST6_EAM4)
        error = IP(capture.wait(icmp4))
    assert (error[ICMP].type, error[ICMP].code, error.src) == (3, 0, TRANSLATOR[0])


@pytest.mark.parametrize("run_arguments", [("--source", "netfilterqueue")], ids=["netfilterqueue"])
def test_a_packet_that_the_binding_cuts_is_refused_and_counted(lab: Lab, process: TranslatorProcess) -> None:
    """python-netfilterqueue copies 4,016 octets at most and does not say so."""
    for namespace, interface in ((lab.host4, "to-r4"), (lab.router4, "to-h4"), (lab.router4, "to-x")):
        namespace.ip(f"link set {interface} mtu 9000")
    lab.translator.ip("link set to-r4 mtu 9000")
    packet = IP(src=HOST4, dst=HOST6_EAM4) / UDP(sport=9, dport=9) / Raw(bytes(5000))
    with on_one_processor(process.workers()):  # what answers has not overtaken the other
        lab.host4.call(send_packet, bytes(packet), HOST6_EAM4)
        assert lab.host4.call(ping, HOST6_EAM4, count=1).ok
    assert process.summary()["reasons"]["queue_truncated"] == {"4to6": 1}


@pytest.mark.parametrize(
    "run_arguments", [("--icmp-rate", "0.001", "--icmp-burst", "2", "--inject", "ip")], ids=["limited"]
)
def test_own_errors_are_rate_limited_and_counted(lab: Lab, process: TranslatorProcess) -> None:
    with on_one_processor(process.workers()):
        for number in range(5):
            packet = IP(src=HOST4, dst=HOST6_EAM4, ttl=2) / UDP(sport=number, dport=9) / Raw(PAYLOAD)
            lab.host4.call(send_packet, bytes(packet), HOST6_EAM4)
        assert lab.host4.call(ping, HOST6_EAM4, count=1).ok
    reasons = process.summary()["reasons"]
    assert reasons["hop_limit_exceeded"] == {"4to6": 2}
    assert reasons["error_rate_limited"] == {"4to6": 3}


def test_udp_without_a_checksum_is_dropped_and_told_with_both_ends(lab: Lab, process: TranslatorProcess) -> None:
    """RFC 7915 4.5: an event that names addresses and ports, and not more of them than one can read."""
    packet = IP(src=HOST4, dst=HOST6_EAM4) / UDP(sport=4000, dport=4001, chksum=0) / Raw(PAYLOAD)
    with on_one_processor(process.workers()):
        for _ in range(20):
            lab.host4.call(send_packet, bytes(packet), HOST6_EAM4)
        assert lab.host4.call(ping, HOST6_EAM4, count=1).ok
    assert process.summary()["reasons"]["udp_zero_checksum"] == {"4to6": 20}

    def lines() -> list[str]:
        return [line for line in process.output() if line.startswith("udp_zero_checksum: ")]

    wait_for(lines, "a line about them")
    told = lines()
    assert 1 <= len(told) <= 8
    assert "192.0.2.2 port 4000 > 203.0.113.2 port 4001" in told[0]


def test_a_corrupt_checksum_stays_corrupt(shared_lab: Lab) -> None:
    packet = bytearray(bytes(IP(src=HOST4, dst=HOST6_EAM4) / UDP(sport=9, dport=9) / Raw(PAYLOAD)))
    packet[26] ^= 0x55
    with Capture(shared_lab.host6, "to-r6") as capture:
        shared_lab.host4.call(send_packet, bytes(packet), HOST6_EAM4)
        out = IPv6(capture.wait(lambda seen: PAYLOAD in seen))
    stored = out[UDP].chksum
    del out[UDP].chksum
    assert stored != IPv6(bytes(out))[UDP].chksum


def test_a_large_download_arrives_whole_while_addresses_change(lab: Lab, process: TranslatorProcess) -> None:
    with serving(lab.host6, 64 * MEBI) as ready:
        for number in range(4):
            lab.translator.ip(f"addr add 192.0.2.{100 + number}/32 dev to-r4")
            assert lab.host4.call(download, HOST6_4, ready).intact
    assert process.summary()["workers_restarted"] == 0


def test_echo_carries_its_payload_and_a_valid_checksum(shared_lab: Lab) -> None:
    out = IP(crossed(shared_lab, IPv6(src=HOST6, dst=HOST4_6) / ICMPv6EchoRequest(id=3, seq=4, data=PAYLOAD)))
    assert (out[ICMP].type, out[ICMP].id, out[ICMP].seq, bytes(out[ICMP].payload)) == (8, 3, 4, PAYLOAD)
    assert int.from_bytes(bytes(out[ICMP]), "big") % 0xFFFF == 0
