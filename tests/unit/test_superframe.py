"""Superframes taken apart: what comes out are the packets that the kernel would have made (scapy is the judge)."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, PadN
from scapy.packet import Packet, Raw

from nfxlat.datapath.source import Kind
from nfxlat.datapath.superframe import (
    Cutting,
    complete_checksum,
    cutting,
    is_own_checksum_unfinished,
    safe_gso_size,
    segments,
    stamp_of,
    transport,
)
from nfxlat.outcome import Reason
from nfxlat.wire.nfqueue import LOCAL_OUT, PREROUTING
from nfxlat.wire.stamp import MAGIC
from nfxlat.wire.stamp import UDP as STAMP_UDP

PAYLOAD = bytes(range(256)) * 20


def tcp(flags: str = "PA", **fields: object) -> TCP:
    return TCP(sport=1, dport=2, seq=0xFFFFFF00, flags=flags, options=[("Timestamp", (1, 2))], **fields)


def headers(version: int) -> Packet:
    return IP(src="192.0.2.2", dst="198.51.100.2", id=65535, flags="DF") if version == 4 else IPv6(src="::a", dst="::b")


def parsed(packet: bytes) -> Packet:
    return IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)


def with_valid_checksums(packet: Packet) -> bytes:
    """The packet as scapy computes its checksums afresh."""
    again = parsed(bytes(packet))
    if IP in again:
        del again[IP].chksum
    del again[TCP].chksum
    return bytes(again)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("gso_size", [1, 500, 1208, 5120, 9000])
def test_segments_carry_the_payload_once_and_in_order(version: int, gso_size: int) -> None:
    payload = PAYLOAD if gso_size > 1 else PAYLOAD[:5]
    out = [parsed(p) for p in segments(bytes(headers(version) / tcp() / Raw(payload)), MAGIC | gso_size)]
    assert b"".join(bytes(p[TCP].payload) for p in out) == payload
    assert [len(p[TCP].payload) for p in out[:-1]] == [gso_size] * (len(out) - 1)
    assert [p[TCP].seq for p in out] == [(0xFFFFFF00 + i * gso_size) & 0xFFFFFFFF for i in range(len(out))]
    assert all(bytes(p) == with_valid_checksums(p) for p in out)


def test_ipv4_identification_counts_up_and_wraps() -> None:
    out = [IP(p) for p in segments(bytes(headers(4) / tcp() / Raw(PAYLOAD)), MAGIC | 2000)]
    assert [p.id for p in out] == [65535, 0, 1]


def test_push_and_fin_are_on_the_last_segment_and_cwr_on_the_first() -> None:
    out = [IP(p) for p in segments(bytes(headers(4) / tcp("FPACE") / Raw(PAYLOAD)), MAGIC | 2000)]
    assert [str(p[TCP].flags) for p in out] == ["AEC", "AE", "FPAE"]


def test_unknown_size_means_segments_that_no_path_refuses() -> None:
    assert safe_gso_size(32) == 1208
    for version, limit in ((4, 1260), (6, 1280)):
        out = list(segments(bytes(headers(version) / tcp() / Raw(PAYLOAD))))
        assert max(map(len, out)) == limit


def test_a_superframe_without_payload_is_one_segment() -> None:
    packet = bytes(headers(4) / tcp())
    assert [bytes(IP(p)[TCP].payload) for p in segments(packet)] == [b""]


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        b"\x60" + bytes(20),
        bytes(headers(4) / tcp())[:30],
        bytes(headers(4) / tcp())[:45],
        bytes([0x41]) + bytes(30),
        bytes(headers(6) / IPv6ExtHdrDestOpt())[:44],
    ],
)
def test_what_is_no_tcp_superframe_comes_out_as_it_is(packet: bytes) -> None:
    assert list(segments(packet)) == [packet]


def test_udp_superframes_are_cut_where_their_datagrams_meet() -> None:
    for version in (4, 6):
        whole = bytes(headers(version) / UDP(sport=1, dport=2) / Raw(PAYLOAD))
        out = [parsed(p) for p in segments(whole, MAGIC | STAMP_UDP | 1000)]
        assert [bytes(p[UDP].payload) for p in out] == [PAYLOAD[i : i + 1000] for i in range(0, len(PAYLOAD), 1000)]
        assert [p[UDP].len for p in out] == [1008] * 5 + [128]
        for packet in out:
            stored = packet[UDP].chksum
            del packet[UDP].chksum
            assert parsed(bytes(packet))[UDP].chksum == stored


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("gso_size", [1, 2, 87, 88])
def test_a_superframe_has_no_more_segments_than_64_kb_of_the_smallest(kind: str, version: int, gso_size: int) -> None:
    header = tcp() if kind == "tcp" else UDP(sport=1, dport=2)
    stamp = MAGIC | gso_size | (STAMP_UDP if kind == "udp" else 0)
    most = 65536 // 88 * gso_size
    fits = bytes(headers(version) / header / Raw(bytes(min(most, 65000))))
    assert not isinstance(cutting(fits, stamp), Reason)
    if most < 65000:
        assert cutting(fits + b"x", stamp) is Reason.SUPERFRAME_SEGMENTS
        assert list(segments(fits + b"x", stamp)) == []


def test_headers_that_are_copied_into_each_segment_count_too() -> None:
    chain = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(252))])
    for number, most in ((1, 290), (40, 9)):
        whole = IPv6(src="::a", dst="::b")
        for _ in range(number):
            whole = whole / chain.copy()
        packet = bytes(whole / tcp())
        fits = packet + bytes(most * 100)
        assert isinstance(cutting(fits, MAGIC | 100), Cutting), number
        assert cutting(fits + b"x", MAGIC | 100) is Reason.SUPERFRAME_SEGMENTS


def test_a_segment_is_made_when_it_is_asked_for() -> None:
    out = segments(bytes(headers(4) / tcp() / Raw(PAYLOAD)), MAGIC | 500)
    assert isinstance(out, Iterator)
    assert IP(next(out))[TCP].seq == 0xFFFFFF00


@pytest.mark.parametrize("stamp", [0, 1000, MAGIC | 1000, STAMP_UDP | 1000])
def test_what_cannot_be_cut_does_not_come_out(stamp: int) -> None:
    assert list(segments(bytes(headers(4) / UDP() / Raw(PAYLOAD)), stamp)) == []
    assert list(segments(bytes(IP(proto=132) / Raw(PAYLOAD)), stamp)) == []


@pytest.mark.parametrize(
    ("hook", "indev", "counts"), [(PREROUTING, 3, True), (PREROUTING, 4, False), (LOCAL_OUT, 3, False)]
)
def test_a_stamp_counts_at_prerouting_of_a_stamped_interface_only(hook: int, indev: int, counts: bool) -> None:
    assert stamp_of(MAGIC | 1348, Kind(hook, indev), frozenset({3})) == (MAGIC | 1348 if counts else 0)


def test_transport_is_found_behind_extension_headers() -> None:
    assert transport(bytes(headers(6) / IPv6ExtHdrDestOpt() / tcp())) == (6, 48)
    assert transport(bytes(headers(4) / UDP())) == (17, 20)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("length", [0, 1, 2, 1399])
def test_unfinished_checksum_is_completed(version: int, length: int) -> None:
    """CHECKSUM_PARTIAL: the field holds the folded sum of the pseudo-header, not inverted."""
    whole = bytes(headers(version) / tcp() / Raw(PAYLOAD[:length]))
    offset = 20 if version == 4 else 40
    addresses = whole[12:20] if version == 4 else whole[8:40]
    pseudo = (int.from_bytes(addresses, "big") + 6 + len(whole) - offset) % 0xFFFF
    partial = whole[: offset + 16] + pseudo.to_bytes(2, "big") + whole[offset + 18 :]
    assert complete_checksum(partial) == with_valid_checksums(parsed(whole))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("layer", [tcp(), UDP(sport=1, dport=2)], ids=["tcp", "udp"])
def test_an_own_unfinished_checksum_is_told_from_a_whole_one(version: int, layer: Packet) -> None:
    whole = bytes(headers(version) / layer / Raw(b"payload"))
    offset = 20 if version == 4 else 40
    field = offset + (16 if TCP in layer else 6)
    addresses = whole[12:20] if version == 4 else whole[8:40]
    pseudo = (int.from_bytes(addresses, "big") + (6 if TCP in layer else 17) + len(whole) - offset) % 0xFFFF
    for value, unfinished in ((whole[field : field + 2], False), (bytes(2), False), (pseudo.to_bytes(2, "big"), True)):
        assert is_own_checksum_unfinished(whole[:field] + value + whole[field + 2 :]) == unfinished
    assert not is_own_checksum_unfinished(whole[: field + 1])


@pytest.mark.parametrize("packet", [b"", bytes(headers(4) / Raw(b"x" * 30)), bytes(IP(proto=132) / Raw(PAYLOAD))])
def test_where_no_checksum_is_known_none_is_unfinished(packet: bytes) -> None:
    assert not is_own_checksum_unfinished(packet)


def test_nothing_is_completed_where_no_checksum_is_known() -> None:
    for packet in (b"", bytes(headers(4) / Raw(b"x" * 30)), bytes(headers(4) / tcp())[:36]):
        assert complete_checksum(packet) == packet
