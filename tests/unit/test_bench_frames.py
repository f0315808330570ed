"""Frames of the UDP generator, against a decoder that is not ours."""

import dataclasses

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from nfxlat.bench.frames import FIRST_PORT, Stream
from nfxlat.wire import vnet
from nfxlat.wire.checksum import fold, word_sum

MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
STREAM4 = Stream("to-x", MACS, "192.0.2.17", "198.51.100.9", 4000, 64, flows=3)
STREAM6 = dataclasses.replace(STREAM4, source="2001:db8::1", target="2001:db8::2")


@pytest.mark.parametrize("stream", [STREAM4, STREAM6], ids=["IPv4", "IPv6"])
def test_a_frame_is_a_datagram_whose_checksum_the_kernel_completes(stream: Stream) -> None:
    frame = next(stream.frames(1))
    flags, kind, _, _, start, offset = vnet.unpack(frame[: vnet.SIZE])
    assert (flags, kind) == (vnet.NEEDS_CSUM, vnet.GSO_NONE)
    ethernet = Ether(frame[vnet.SIZE :])
    assert (ethernet.dst, ethernet.src) == MACS
    assert (ethernet.payload.src, ethernet.payload.dst) == (stream.source, stream.target)
    datagram = bytearray(frame[vnet.SIZE + start :])
    pseudo = int.from_bytes(datagram[offset : offset + 2], "big")
    datagram[offset : offset + 2] = bytes(2)
    checksum = 0xFFFF - fold(word_sum(bytes(datagram)) + pseudo)
    whole = ethernet.payload.copy()
    del whole[UDP].chksum
    layer = IPv6 if ":" in stream.source else IP
    assert layer(bytes(whole))[UDP].chksum == checksum
    assert len(bytes(ethernet[UDP].payload)) == stream.size


def test_the_ipv4_header_is_whole() -> None:
    packet = Ether(next(STREAM4.frames(1))[vnet.SIZE :])[IP]
    given = packet.chksum
    del packet.chksum
    assert IP(bytes(packet)).chksum == given
    assert packet.len == 20 + 8 + 64


def test_flows_take_turns() -> None:
    ports = [Ether(frame[vnet.SIZE :])[UDP].sport for frame in STREAM4.frames(7)]
    assert ports == [FIRST_PORT + number for number in (0, 1, 2, 0, 1, 2, 0)]


def test_pairs_differ_in_their_source_address() -> None:
    stream = dataclasses.replace(STREAM4, flows=1, source="198.19.0.254", pairs=3)
    sources = [Ether(frame[vnet.SIZE :])[IP].src for frame in stream.frames(3)]
    assert sources == ["198.19.0.254", "198.19.0.255", "198.19.1.0"]


@pytest.mark.parametrize(("flows", "senders", "sizes"), [(1, 2, [1]), (16, 2, [8, 8]), (5, 2, [3, 2]), (5, 1, [5])])
def test_a_flow_has_one_sender(flows: int, senders: int, sizes: list[int]) -> None:
    shares = dataclasses.replace(STREAM4, flows=flows).shares(senders)
    assert [share.flows for share in shares] == sizes
    ports = [share.first_port + number for share in shares for number in range(share.flows)]
    assert ports == list(range(FIRST_PORT, FIRST_PORT + flows))


def test_a_stream_survives_json() -> None:
    assert Stream.from_json({**dataclasses.asdict(STREAM4), "macs": list(MACS)}) == STREAM4
