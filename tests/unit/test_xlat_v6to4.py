"""IPv6 to IPv4: header, extension headers, Fragment Header, sizes, transports (RFC 7915 5, 5.1, 5.1.1, 5.5)."""

from typing import Any

import pytest
from packets import A6, B6, T, ip4, ipv6, one4, only, summary, translator
from scapy.layers.inet import IP, TCP, UDP, in4_chksum
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    in6_chksum,
)
from scapy.packet import Raw
from scapy.utils import checksum as scapy_checksum

from nfxlat.outcome import Action, Outcome, Reason
from nfxlat.xlat.fragmentation4 import identification


# 5.1-03
@pytest.mark.parametrize(("option", "result"), [("copy", 0xB9), ("zero", 0), (7, 7)])
def test_traffic_class_option(option: str | int, result: int) -> None:
    assert one4(translator(traffic_class=option).translate(ipv6(UDP(), tc=0xB9))).tos == result


# 5.1-07
@pytest.mark.parametrize("hop_limit", [0, 1])
def test_hop_limit_that_runs_out_is_rejected(hop_limit: int) -> None:
    outcome = translator().translate(ipv6(UDP(), hlim=hop_limit))
    assert summary(outcome) == (Action.REJECTED, Reason.HOP_LIMIT_EXCEEDED)


def test_hops_0_leaves_the_hop_limit_and_its_check_to_forwarding() -> None:
    assert [one4(translator().translate(ipv6(UDP(), hlim=n), hops=0)).ttl for n in (0, 1, 255)] == [0, 1, 255]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"\x60" + bytes(38), Reason.TRUNCATED),
        (ipv6(UDP())[:-1], Reason.TRUNCATED),
        (ipv6(b"", nh=60), Reason.BAD_EXTENSION),
        (ipv6(b"\x11\x01" + bytes(6), nh=60), Reason.BAD_EXTENSION),  # 5.1-A2
        (ipv6(IPv6ExtHdrHopByHop(), plen=0), Reason.BAD_EXTENSION),  # 5.1-A4: a jumbogram
        (ipv6(IPv6ExtHdrFragment() / IPv6ExtHdrFragment() / UDP()), Reason.BAD_FRAGMENT),  # 5.1-A3
    ],
)
def test_malformed_headers_are_dropped(packet: bytes, reason: Reason) -> None:
    assert translator().translate(packet) == Outcome(Action.DROPPED, reason)


# 5.1-13, 5.1-14
@pytest.mark.parametrize(("before", "pointer"), [(None, 43), (IPv6ExtHdrHopByHop(), 51)])
def test_segments_left_are_rejected_with_an_absolute_pointer(before: Any, pointer: int) -> None:
    route = IPv6ExtHdrRouting(addresses=["2001:db8::1"], segleft=1) / UDP()
    outcome = translator().translate(ipv6(before / route if before else route))
    assert summary(outcome) == (Action.REJECTED, Reason.ROUTING_HEADER)
    error = IPv6(outcome.packets[0])[ICMPv6ParamProblem]
    assert (error.type, error.code, error.ptr) == (4, 0, pointer)


# 5.0-03, 5.1-06, 5.1-A6
@pytest.mark.parametrize(("total_length", "df"), [(28, 0), (1260, 0), (1261, 1), (1500, 1)])
def test_df_follows_the_1260_rule(total_length: int, df: int) -> None:
    packet = one4(translator().translate(ipv6(UDP() / bytes(total_length - 28))))
    assert (packet.len, int(packet.flags.DF), packet.frag) == (total_length, df, 0)
    assert bool(packet.id) is not bool(df)


# 5.1-05
def test_identification_depends_on_the_transport_header_and_is_never_zero() -> None:
    a, b = (one4(translator().translate(ipv6(TCP(seq=n)))).id for n in (1, 2))
    assert a != b
    assert identification(6, bytes(12) + b"a") == identification(6, bytes(12) + b"b")
    assert identification(6, bytes(8) + b"a") != identification(6, bytes(8) + b"b")
    assert identification(50, bytes(8) + b"a") == identification(50, bytes(8) + b"b")
    assert identification(50, bytes(7) + b"a") != identification(50, bytes(7) + b"b")
    assert identification(6, (65521).to_bytes(12, "big")) == identification(6, bytes(12)) == 1


# 5.1-05
def test_identification_of_udp_depends_on_ports_length_and_payload_but_not_on_the_checksum() -> None:
    """Whoever translates it, the checksum may not be finished yet."""
    header = bytes.fromhex("00010002000f")
    assert identification(17, header + b"ab" + b"payload") == identification(17, header + b"cd" + b"payload")
    assert identification(17, header + bytes(2) + b"payloadX") != identification(17, header + bytes(2) + b"payloadY")
    assert identification(17, header + bytes(2) + b"a") == identification(17, header + bytes(2) + b"a" + bytes(7))
    assert identification(17, header + bytes(2) + bytes(8) + b"a") == identification(17, header + bytes(2))


# 5.1.1-A1
def test_atomic_fragment_is_a_whole_packet_with_df_0() -> None:
    layer = ICMPv6EchoRequest(id=1, seq=2, data=bytes(1300))
    packet = one4(translator().translate(ipv6(IPv6ExtHdrFragment(id=0x10007) / layer)))
    assert (packet.id, packet.frag, int(packet.flags), packet.proto) == (7, 0, 0, 1)
    assert scapy_checksum(bytes(packet.payload)) == 0


@pytest.mark.parametrize("fields", [{"m": 1, "offset": 1}, {"offset": 8191}, {"offset": 8189}])
def test_fragment_that_cannot_be_reassembled_is_dropped(fields: dict[str, Any]) -> None:
    outcome = translator().translate(ipv6(IPv6ExtHdrFragment(nh=17, **fields) / Raw(bytes(9))))
    assert summary(outcome) == (Action.DROPPED, Reason.BAD_FRAGMENT)


# 5.1.1-01
@pytest.mark.parametrize("protocol", [0, 43, 51, 60, 135, 139, 140, 253, 254])
def test_extension_header_behind_the_fragment_header_is_rejected(protocol: int) -> None:
    outcome = translator().translate(ipv6(IPv6ExtHdrFragment(nh=protocol, m=1) / Raw(b"\x11" + bytes(7))))
    assert summary(outcome) == (Action.REJECTED, Reason.EXTENSION_AFTER_FRAGMENT)
    error = IPv6(outcome.packets[0]).payload
    assert (error.type, error.code) == (1, 1)


# 1.2-03
@pytest.mark.parametrize("fields", [{"m": 1}, {"offset": 1}])
@pytest.mark.parametrize("icmp_type", [128, 1])
def test_fragmented_icmpv6_is_dropped(fields: dict[str, Any], icmp_type: int) -> None:
    outcome = translator().translate(ipv6(IPv6ExtHdrFragment(nh=58, **fields) / Raw(bytes((icmp_type, *bytes(31))))))
    assert summary(outcome) == (Action.DROPPED, Reason.FRAGMENTED_ICMP)


# 5.5-02
@pytest.mark.parametrize(("protocol", "length"), [(33, 12), (136, 8)])
def test_dccp_and_udp_lite_checksums_are_updated(protocol: int, length: int) -> None:
    payload = bytes(range(1, 7)) + bytes(2) + bytes(length - 8) + b"data"
    payload = payload[:6] + in6_chksum(protocol, IPv6(src=A6, dst=B6), payload).to_bytes(2, "big") + payload[8:]
    result = one4(translator().translate(ipv6(Raw(payload), nh=protocol)))
    assert in4_chksum(protocol, result, bytes(result)[20:]) == 0


# 5.5-A1
def test_absent_udp_checksum_stays_absent() -> None:
    packet = bytearray(ipv6(UDP() / b"data"))
    packet[46:48] = bytes(2)
    assert one4(translator().translate(bytes(packet)))[UDP].chksum == 0


# 4.1-A9
@pytest.mark.parametrize("layer", [Raw(bytes(8)), IPv6ExtHdrFragment(nh=1, m=1) / Raw(bytes(8))])
def test_icmpv4_in_ipv6_is_dropped(layer: Any) -> None:
    packet = ipv6(layer, nh=1) if isinstance(layer, Raw) else ipv6(layer)
    assert summary(translator().translate(packet)) == (Action.DROPPED, Reason.FORBIDDEN_PROTOCOL)


@pytest.mark.parametrize(("protocol", "whole", "first"), [(6, 19, 16), (17, 7, 0), (33, 11, 8), (136, 7, 0)])
def test_cut_transport_header_is_dropped(protocol: int, whole: int, first: int) -> None:
    for packet in (
        ipv6(Raw(bytes(whole)), nh=protocol),
        ipv6(IPv6ExtHdrFragment(nh=protocol, m=1) / Raw(bytes(first))),
    ):
        assert summary(translator().translate(packet)) == (Action.DROPPED, Reason.BAD_TRANSPORT)


@pytest.mark.parametrize("message", [b"", b"\x80" + bytes(6), b"\x01" + bytes(6)])
def test_cut_icmpv6_header_is_dropped(message: bytes) -> None:
    assert summary(translator().translate(ipv6(Raw(message), nh=58))) == (Action.DROPPED, Reason.BAD_TRANSPORT)


def udp(size: int, layer: Any = None) -> bytes:
    """An IPv6 packet of `size` octets."""
    extra = len(bytes(layer)) if layer else 0
    payload = UDP(sport=1, dport=2) / bytes(size - 48 - extra)
    return ipv6(layer / payload if layer else payload)


# 1.4-01, M-02
@pytest.mark.parametrize(("mtu4", "size", "mtu"), [(1400, 1421, 1420), (1300, 1500, 1320), (1000, 1281, 1280)])
def test_too_big_for_the_next_hop_is_rejected(mtu4: int, size: int, mtu: int) -> None:
    outcome = translator(mtu4=mtu4).translate(udp(size))
    assert summary(outcome) == (Action.REJECTED, Reason.PACKET_TOO_BIG)
    assert IPv6(outcome.packets[0])[ICMPv6PacketTooBig].mtu == mtu
    assert one4(translator(mtu4=mtu4).translate(udp(mtu4 + 20))).len == mtu4


# M-02, 5.1.1-A2
def test_too_big_fragment_is_rejected_with_its_header_counted() -> None:
    packet = udp(1500, IPv6ExtHdrFragment(m=0))
    outcome = translator().translate(packet, next_hop_mtu=1400)
    assert IPv6(outcome.packets[0])[ICMPv6PacketTooBig].mtu == 1428
    later = ipv6(IPv6ExtHdrFragment(nh=17, offset=1) / Raw(bytes(1451)))
    outcome = translator().translate(later, next_hop_mtu=1400)
    assert summary(outcome) == (Action.REJECTED, Reason.PACKET_TOO_BIG)
    assert IPv6(outcome.packets[0])[ICMPv6PacketTooBig].mtu == 1428


# 5.1-A5
def test_what_no_ipv4_packet_can_hold_is_too_big() -> None:
    outcome = translator(mtu4=None).translate(udp(40 + 65516))
    assert summary(outcome) == (Action.REJECTED, Reason.PACKET_TOO_BIG)
    assert one4(translator(mtu4=None).translate(udp(40 + 65515))).len == 65535


def reassembled(packets: tuple[bytes, ...], mtu: int) -> tuple[IP, bytes]:
    data = b""
    parsed = [ip4(packet) for packet in packets]
    for piece in parsed:
        assert piece.len <= mtu
        assert (piece.frag * 8, int(piece.flags.DF)) == (len(data) + parsed[0].frag * 8, 0)
        data += bytes(piece)[20:]
    assert len({piece.id for piece in parsed}) == 1
    assert [int(piece.flags.MF) for piece in parsed[:-1]] == [1] * (len(parsed) - 1)
    return parsed[-1], data


# 5.0-04, 5.1.1-07, and the black hole below 1260
@pytest.mark.parametrize("keys", [{"next_hop_mtu": 576}, {"path_mtu4": 576}, {"path_mtu4": 576, "next_hop_mtu": 65535}])
def test_up_to_1280_octets_are_fragmented_for_a_narrow_way(keys: dict[str, Any]) -> None:
    whole = one4(translator().translate(udp(1280)))
    outcome = translator().translate(udp(1280), **keys)
    assert outcome.reason is Reason.FRAGMENTED
    last, data = reassembled(outcome.packets, 576)
    assert data == bytes(whole.payload)
    assert not last.flags.MF
    assert (last.id, last.ttl) == (whole.id, whole.ttl)


# 5.1.1-07: with a Fragment Header too
def test_fragment_is_fragmented_again_and_keeps_its_place() -> None:
    packet = ipv6(IPv6ExtHdrFragment(nh=17, offset=10, m=1, id=0x50005) / Raw(bytes(range(200)) * 6))
    outcome = translator().translate(packet, path_mtu4=576)
    last, data = reassembled(outcome.packets, 576)
    assert data == bytes(range(200)) * 6
    assert (last.flags.MF, last.id, ip4(outcome.packets[0]).frag) == (True, 5, 10)


# 5.0-02: the floor of Packet Too Big is within the sender's reach
def test_more_than_1280_octets_are_refused_with_1280_on_a_narrow_path() -> None:
    outcome = translator().translate(udp(1281), path_mtu4=576)
    assert IPv6(outcome.packets[0])[ICMPv6PacketTooBig].mtu == 1280
    assert translator().translate(udp(1400), path_mtu4=1380).reason is Reason.TRANSLATED


def test_no_path_mtu_is_taken_for_less_than_68() -> None:
    assert all(len(p) <= 68 for p in translator().translate(udp(500), path_mtu4=1).packets)


# 1.3-01
def test_same_packet_same_outcome() -> None:
    packet = ipv6(TCP() / b"data")
    assert translator().translate(packet) == translator().translate(packet)


# 5.1-A4: the two highest bits of an unknown option would have a node that processes it refuse the packet
@pytest.mark.parametrize("option", [0x1E, 0x5E, 0x9E, 0xDE])
def test_unknown_hop_by_hop_options_are_ignored(option: int) -> None:
    header = bytes((17, 0, option, 4, 1, 2, 3, 4))
    packet = ip4(only(T.translate(ipv6(Raw(header + bytes(UDP(sport=7) / b"data")), nh=0))))
    assert (packet.proto, packet.len, packet[UDP].sport) == (17, 32, 7)


# 5.1-A2: RFC 8200 wants it in the first place
def test_hop_by_hop_behind_another_header_is_skipped() -> None:
    layer = IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / UDP(sport=7) / b"data"
    packet = ip4(only(T.translate(ipv6(layer))))
    assert (packet.proto, packet.len) == (17, 32)


# 5.1-A7: extension headers by IANA's list, but nothing that RFC 7915 lets us skip
@pytest.mark.parametrize("protocol", [135, 139, 140, 253, 254])
def test_mobility_hip_and_shim6_outside_a_fragment_are_copied(protocol: int) -> None:
    packet = only(T.translate(ipv6(Raw(b"as it is"), nh=protocol)))
    assert (packet[9], packet[20:]) == (protocol, b"as it is")
