"""IPv4 to IPv6: header, options, fragments, sizes, transports (RFC 7915 4, 4.1, 4.5)."""

from functools import partial
from typing import Any

import packets
import pytest
from packets import A4, B4, one6, summary, translator
from scapy.layers.inet import ICMP, IP, TCP, UDP, in4_chksum
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, in6_chksum
from scapy.packet import Raw

from nfxlat.outcome import Action, Outcome, Reason

ipv4 = partial(packets.ipv4, flags="DF")


# 4.1-07
@pytest.mark.parametrize(("option", "result"), [("copy", 0xB9), ("zero", 0), (7, 7), ("dscp-0", 1), ("dscp-10", 41)])
def test_traffic_class_option(option: str | int, result: int) -> None:
    assert one6(translator(traffic_class=option).translate(ipv4(UDP(), tos=0xB9))).tc == result


# 4.1-11
@pytest.mark.parametrize("ttl", [0, 1])
def test_ttl_that_runs_out_is_rejected(ttl: int) -> None:
    outcome = translator().translate(ipv4(UDP(), ttl=ttl))
    assert summary(outcome) == (Action.REJECTED, Reason.HOP_LIMIT_EXCEEDED)


def test_hops_0_leaves_the_ttl_and_its_check_to_forwarding() -> None:
    assert [one6(translator().translate(ipv4(UDP(), ttl=n), hops=0)).hlim for n in (0, 1, 255)] == [0, 1, 255]


# 4.1-16, 4.1-17
def test_unexpired_source_route_is_rejected() -> None:
    outcome = translator().translate(ipv4(UDP(), options=b"\x83\x07\x04\xc0\0\x02\x01\0"))
    assert summary(outcome) == (Action.REJECTED, Reason.SOURCE_ROUTE)


# 4.1-A1
def test_malformed_options_are_dropped() -> None:
    outcome = translator().translate(ipv4(UDP(), options=b"\x94\x00\0\0"))
    assert summary(outcome) == (Action.DROPPED, Reason.BAD_OPTIONS)


# 4.1-A7
@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", Reason.NOT_IP),
        (b"\x50" + bytes(40), Reason.NOT_IP),
        (b"\x45" + bytes(18), Reason.TRUNCATED),
        (b"\x44" + ipv4(UDP())[1:], Reason.TRUNCATED),  # IHL 4
        (b"\x4f" + ipv4(UDP())[1:], Reason.TRUNCATED),  # IHL beyond Total Length
        (ipv4(UDP())[:-1], Reason.TRUNCATED),
        (ipv4(UDP(), len=19), Reason.TRUNCATED),
        (ipv4(UDP(), chksum=1), Reason.HEADER_CHECKSUM),
    ],
)
def test_malformed_headers_are_dropped(packet: bytes, reason: Reason) -> None:
    assert translator().translate(packet) == Outcome(Action.DROPPED, reason)


# 4.1-A6
@pytest.mark.parametrize("fields", [{"flags": "MF", "frag": 1}, {"flags": 0, "frag": 8191}])
def test_fragment_that_cannot_be_reassembled_is_dropped(fields: dict[str, Any]) -> None:
    outcome = translator().translate(ipv4(Raw(bytes(9)), proto=17, **fields))
    assert summary(outcome) == (Action.DROPPED, Reason.BAD_FRAGMENT)


def sizes(outcome: Outcome) -> list[int]:
    assert outcome.action is Action.TRANSLATED
    return [len(packet) for packet in outcome.packets]


def udp(total_length: int, **fields: Any) -> bytes:
    return ipv4(UDP() / bytes(total_length - 28), **fields)


# 4.0-03, 4.0-04, 4.1-01, 4.1-02
@pytest.mark.parametrize(
    ("lowest", "mtu6", "total_length", "result"),
    [
        (1280, 1500, 1260, [1280]),
        (1280, 1500, 1261, [1280, 57]),
        (1280, None, 1500, [1280, 296]),
        (1500, 1500, 1500, [1496, 80]),
        (1520, 9000, 1500, [1520]),
        (1520, None, 1500, [1520]),
        (1520, 1400, 1500, [1400, 176]),  # 4.1-A3: the next hop's MTU counts too
        (1280, 1500, 4000, [1280, 1280, 1280, 332]),
    ],
)
def test_df_0_is_cut_to_lowest_ipv6_mtu(lowest: int, mtu6: int | None, total_length: int, result: list[int]) -> None:
    outcome = translator(lowest_ipv6_mtu=lowest, mtu6=mtu6).translate(udp(total_length, flags=0, id=77))
    assert sizes(outcome) == result
    assert outcome.reason is (Reason.TRANSLATED if len(result) == 1 else Reason.FRAGMENTED)
    if len(result) > 1:
        headers = [IPv6(packet)[IPv6ExtHdrFragment] for packet in outcome.packets]
        assert {h.id for h in headers} == {77}
        assert [h.m for h in headers] == [1] * (len(result) - 1) + [0]


# 4.1-04, M-01
@pytest.mark.parametrize(("total_length", "fits"), [(1480, True), (1481, False), (1500, False)])
def test_df_1_goes_whole_or_is_refused(total_length: int, fits: bool) -> None:
    outcome = translator(lowest_ipv6_mtu=1280).translate(udp(total_length))
    if fits:
        assert sizes(outcome) == [total_length + 20]
    else:
        assert summary(outcome) == (Action.REJECTED, Reason.PACKET_TOO_BIG)
        error = IP(outcome.packets[0])[ICMP]
        assert (error.type, error.code, error.nexthopmtu) == (3, 4, 1480)


# 4.1-A5, M-01
def test_df_1_fragment_is_never_cut_and_is_refused_with_28_octets_less() -> None:
    fields = {"proto": 17, "flags": "DF+MF", "frag": 0}
    assert sizes(translator().translate(ipv4(Raw(b"\x01" * 1448), **fields))) == [1496]
    last = ipv4(Raw(bytes(1451)), proto=17, flags="DF", frag=8)
    assert sizes(translator().translate(last)) == [1499]
    outcome = translator().translate(ipv4(Raw(b"\x01" * 1456), **fields))
    assert summary(outcome) == (Action.REJECTED, Reason.PACKET_TOO_BIG)
    assert IP(outcome.packets[0])[ICMP].nexthopmtu == 1472


def test_next_hop_mtu_of_the_data_path_counts_instead_of_the_domain_s() -> None:
    assert sizes(translator().translate(udp(4000), next_hop_mtu=65535)) == [4020]
    assert translator().translate(udp(1400), next_hop_mtu=1400).reason is Reason.PACKET_TOO_BIG
    assert sizes(translator(mtu6=None).translate(udp(9000))) == [9020]


# 4.1-A3: no IPv6 link has less than 1280
def test_a_next_hop_mtu_below_1280_is_taken_for_1280() -> None:
    outcome = translator().translate(udp(1400), next_hop_mtu=1000)
    assert IP(outcome.packets[0])[ICMP].nexthopmtu == 1260
    assert sizes(translator().translate(udp(1400, flags=0), next_hop_mtu=1000)) == [1280, 196]


# 4.5-06, 4.5-A2
@pytest.mark.parametrize(("protocol", "length"), [(33, 12), (136, 8)])
def test_dccp_and_udp_lite_checksums_are_updated(protocol: int, length: int) -> None:
    header = IP(src=A4, dst=B4, proto=protocol)
    payload = bytes(range(1, 7)) + bytes(2) + bytes(length - 8) + b"data"
    payload = payload[:6] + in4_chksum(protocol, header, payload).to_bytes(2, "big") + payload[8:]
    result = one6(translator().translate(ipv4(Raw(payload), proto=protocol)))
    assert in6_chksum(protocol, result, bytes(result)[40:]) == 0


# 4.1-A8, 4.1-A9
@pytest.mark.parametrize("protocol", [0, 43, 44, 58, 60])
@pytest.mark.parametrize("fragment", [{}, {"flags": "MF"}, {"flags": 0, "frag": 2}])
def test_protocols_that_would_be_extension_headers_are_dropped(protocol: int, fragment: dict[str, Any]) -> None:
    outcome = translator().translate(ipv4(Raw(bytes(8)), proto=protocol, **fragment))
    assert summary(outcome) == (Action.DROPPED, Reason.FORBIDDEN_PROTOCOL)


# 4.2-06
@pytest.mark.parametrize("fragment", [{}, {"flags": "MF"}])
def test_igmp_is_dropped(fragment: dict[str, Any]) -> None:
    outcome = translator().translate(ipv4(Raw(bytes(8)), proto=2, **fragment))
    assert summary(outcome) == (Action.DROPPED, Reason.IGMP)


# 1.16: a header that lacks its checksum
@pytest.mark.parametrize(("protocol", "whole", "first"), [(6, 19, 16), (17, 7, 0), (33, 11, 8), (136, 7, 0)])
def test_cut_transport_header_is_dropped(protocol: int, whole: int, first: int) -> None:
    for length, flags in ((whole, "DF"), (first, "MF")):
        outcome = translator().translate(ipv4(Raw(bytes(length)), proto=protocol, flags=flags))
        assert summary(outcome) == (Action.DROPPED, Reason.BAD_TRANSPORT)


@pytest.mark.parametrize("message", [b"", b"\x08\0\xf7\xff\0\0\0", b"\x03\x01\xfc\xfe\0\0\0"])
def test_cut_icmp_header_is_dropped(message: bytes) -> None:
    outcome = translator().translate(ipv4(Raw(message), proto=1))
    assert summary(outcome) == (Action.DROPPED, Reason.BAD_TRANSPORT)


ZERO = UDP(sport=5, dport=6, chksum=0) / b"data"


# 4.5-02, 4.5-03
def test_absent_udp_checksum_is_dropped_by_default() -> None:
    assert summary(translator().translate(ipv4(ZERO))) == (Action.DROPPED, Reason.UDP_ZERO_CHECKSUM)


# 4.5-04
def test_absent_udp_checksum_is_computed() -> None:
    outcome = translator(udp_zero_checksum="compute").translate(ipv4(ZERO))
    assert outcome.reason is Reason.UDP_CHECKSUM_COMPUTED
    result = one6(outcome)
    assert result[UDP].chksum
    assert in6_chksum(17, result, bytes(result.payload)) == 0


def test_absent_udp_checksum_with_a_wrong_length_cannot_be_computed() -> None:
    packet = ipv4(UDP(chksum=0, len=99) / b"data")
    assert translator(udp_zero_checksum="compute").translate(packet).reason is Reason.BAD_TRANSPORT
    assert translator(udp_zero_checksum="forward").translate(packet).action is Action.TRANSLATED


# 1.2-02
def test_absent_udp_checksum_is_forwarded() -> None:
    for fields in ({}, {"flags": "MF"}):
        packet = ipv4(UDP(chksum=0) / bytes(8), **fields)
        outcome = translator(udp_zero_checksum="forward").translate(packet)
        assert outcome.reason is Reason.UDP_CHECKSUM_FORWARDED
        assert one6(outcome)[UDP].chksum == 0


# 4.5-05
@pytest.mark.parametrize("mode", ["drop", "compute"])
def test_first_fragment_without_udp_checksum_is_dropped(mode: str) -> None:
    outcome = translator(udp_zero_checksum=mode).translate(ipv4(UDP(chksum=0) / bytes(8), flags="MF"))
    assert summary(outcome) == (Action.DROPPED, Reason.UDP_ZERO_CHECKSUM_FRAGMENT)


# 1.2-03
@pytest.mark.parametrize("fields", [{"flags": "MF"}, {"flags": 0, "frag": 1}])
@pytest.mark.parametrize("icmp_type", [8, 3])
def test_fragmented_icmp_is_dropped(fields: dict[str, Any], icmp_type: int) -> None:
    outcome = translator().translate(ipv4(ICMP(type=icmp_type) / bytes(32), **fields))
    assert summary(outcome) == (Action.DROPPED, Reason.FRAGMENTED_ICMP)


# 1.3-01
def test_same_packet_same_outcome() -> None:
    packet = ipv4(TCP() / b"data")
    assert translator().translate(packet) == translator().translate(packet)
