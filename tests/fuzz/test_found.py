"""What the fuzzers have found, each as a test of its own."""

import struct

import fuzz_core
import fuzz_datapath
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from nfxlat.datapath.counters import Counters, Total
from nfxlat.datapath.fastpath import FastPath
from nfxlat.datapath.inject import Injector, Injectors
from nfxlat.datapath.pathmtu import PathMtus
from nfxlat.datapath.superframe import segments
from nfxlat.datapath.worker import Worker
from nfxlat.outcome import Reason
from nfxlat.wire import netlink
from nfxlat.wire import nfqueue as nl
from nfxlat.wire.btf import MAGIC, Place, member_places
from nfxlat.xlat.translator import Translator

TRANSLATOR = fuzz_core.TRANSLATORS[0]
HEADER = netlink.attribute(nl.NFQA_PACKET_HDR, bytes((0, 0, 0, 1, 8, 0, nl.PREROUTING)))
FLOWS = {4: IP(src="192.0.2.2", dst="203.0.113.2"), 6: IPv6(src="2001:db8:2::2", dst="2001:db8:64::c000:202")}


def worker(fast: bool, injector: Injector, translator: Translator = TRANSLATOR) -> tuple[Worker, Counters]:
    counters = Counters()
    made = Worker(
        [],
        translator,
        Injectors(injector, injector, True),
        counters,
        fast=FastPath(translator, injector.frame) if fast else None,
        paths=PathMtus(lambda: 0.0),
    )
    return made, counters


@pytest.fixture
def injector() -> Injector:
    return fuzz_datapath.Collector(fuzz_datapath.QUEUE.buffer)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("version", [4, 6])
def test_a_tcp_data_offset_beyond_the_packet_does_not_end_the_worker(
    fast: bool, version: int, injector: Injector
) -> None:
    made, counters = worker(fast, injector)
    packet = bytes(FLOWS[version] / TCP(dataofs=15))
    fuzz_datapath.deliver([fuzz_datapath.message(HEADER, netlink.attribute(nl.NFQA_PAYLOAD, packet))])
    made.batch(fuzz_datapath.QUEUE)
    assert counters.totals[Total.INJECTED] == 1
    assert counters.totals[Total.TCP_PAYLOAD] == 0


@pytest.mark.parametrize("hook", [nl.PREROUTING, nl.FORWARD])
@pytest.mark.parametrize("payload", [(), (netlink.attribute(nl.NFQA_PAYLOAD, b""),)])
def test_a_message_without_a_packet_is_counted_and_dropped(
    payload: tuple[bytes, ...], hook: int, injector: Injector
) -> None:
    made, counters = worker(True, injector)
    made._slow.local = {bytes(4)}
    header = netlink.attribute(nl.NFQA_PACKET_HDR, bytes((0, 0, 0, 1, 8, 0, hook)))
    fuzz_datapath.deliver([fuzz_datapath.message(header, *payload)])
    assert made.batch(fuzz_datapath.QUEUE) == 1
    counted = fuzz_datapath.counted(counters)
    assert counted == {Reason.NOT_IP: 1}


def test_an_attribute_without_length_does_not_stop_the_walk() -> None:
    empty = struct.pack("=HH", 0, 99)
    message = fuzz_datapath.message(HEADER, empty, netlink.attribute(nl.NFQA_PAYLOAD, b"packet"))
    ((start, length, _, kind),) = fuzz_datapath.deliver([message])
    assert bytes(fuzz_datapath.QUEUE.buffer[start : start + length]) == b"packet"
    assert kind.whole


@pytest.mark.parametrize("size", [0, 3, 12, 65535])
def test_a_payload_that_leaves_its_message_is_not_whole(size: int) -> None:
    ((_, length, _, kind),) = fuzz_datapath.deliver(
        [fuzz_datapath.message(HEADER, struct.pack("=HH", size, nl.NFQA_PAYLOAD) + b"four")]
    )
    assert (length, kind.whole) == (0, False)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("data_offset", [0, 4])
def test_a_superframe_whose_tcp_header_is_too_short_is_not_cut(version: int, data_offset: int) -> None:
    packet = bytes(FLOWS[version] / TCP(dataofs=data_offset) / bytes(5000))
    assert list(segments(packet)) == [packet]


STRINGS = b"\0sk_buff\0gso\xff\0len\0"


def type_information(strings: bytes = STRINGS, members: int = 1) -> bytes:
    types = struct.pack("=III", 1, 4 << 24 | members, 16) + struct.pack("=III", 14, 0, 64)
    return struct.pack("=HBBIIIII", MAGIC, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings


def test_a_member_name_that_is_not_utf8_is_none_of_those_wanted() -> None:
    assert member_places(type_information(), "sk_buff", ("len",)) == (Place(8, 0),)
    assert member_places(type_information(), "sk_buff", ("gso",)) is None
    gone = STRINGS.replace(b"\0len\0", b"\xff\xfe\xfd\xfc\0")
    assert member_places(type_information(gone), "sk_buff", ("len",)) is None


def test_a_structure_that_is_cut_off_has_no_members() -> None:
    assert member_places(type_information(members=2), "sk_buff", ("len",)) is None
