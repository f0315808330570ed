"""Capture files: formats, byte orders, resolutions, link types, and everything that can be wrong with one."""

import io
import os
import sys
from pathlib import Path
from struct import pack

import dpkt
import pytest
from dpkt import pcapng

from nfxlat.errors import OperatorError
from nfxlat.offline.capture import Capture, Writer, opened
from nfxlat.offline.link import split
from nfxlat.offline.record import MAX_LENGTH, Record

IP4 = b"\x45" + bytes(19)
IP6 = b"\x60" + bytes(39)
MACS = bytes.fromhex("020000000002 020000000001")
SECONDS, FRACTION = 1_700_000_000, 123_456


def pcap(
    frames: list[bytes], link_type: int = 101, order: str = "<", nano: bool = False, length: int | None = None
) -> bytes:
    """A classic capture; `length`: on the wire, if it is to differ from the frame's."""
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    octets = pack(order + "IHHIIII", magic, 2, 4, 0, 0, 65535, link_type)
    for frame in frames:
        octets += pack(order + "IIII", SECONDS, FRACTION, len(frame), length or len(frame)) + frame
    return octets


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return pack(order + "II", kind, len(body) + 12) + body + pack(order + "I", len(body) + 12)


def section(order: str = "<") -> bytes:
    return block(order, 0x0A0D0D0A, pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str = "<", link_type: int = 101, options: bytes = b"") -> bytes:
    return block(order, 1, pack(order + "HHI", link_type, 0, 0) + options)


def enhanced(frame: bytes, order: str = "<", number: int = 0, ticks: int = 0, length: int | None = None) -> bytes:
    head = pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), length or len(frame))
    return block(order, 6, head + frame)


def read(octets: bytes) -> list[Record]:
    return list(Capture(io.BytesIO(octets), "in.pcap"))


def fault(octets: bytes) -> str:
    with pytest.raises(OperatorError) as caught:
        read(octets)
    return str(caught.value)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("nano", "unit"), [(False, 1000), (True, 1)])
def test_classic_captures_of_both_byte_orders_and_resolutions(order: str, nano: bool, unit: int) -> None:
    time = SECONDS * 10**9 + FRACTION * unit
    assert read(pcap([IP4, IP6], order=order, nano=nano)) == [Record(101, time, IP4), Record(101, time, IP6)]


def test_capture_without_packets() -> None:
    assert read(pcap([])) == []
    assert read(section() + interface()) == []


def test_frame_check_sequence_bits_are_no_part_of_the_link_type() -> None:
    assert read(pcap([IP4], link_type=0x1400_0065))[0].link_type == 101


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_of_both_byte_orders(order: str) -> None:
    ticks = SECONDS * 10**6 + FRACTION
    octets = section(order) + interface(order) + enhanced(IP4, order, ticks=ticks)
    assert read(octets) == [Record(101, ticks * 1000, IP4)]


def test_pcapng_resolution_and_offset_of_time() -> None:
    nano = interface(options=pack("<HHBxxx", 9, 1, 9) + pack("<HHq", 14, 8, 100) + pack("<HH", 0, 0))
    binary = interface(options=pack("<HHBxxx", 9, 1, 0x80 | 10) + pack("<HH", 0, 0))
    octets = section() + nano + binary + enhanced(IP4, ticks=5) + enhanced(IP4, number=1, ticks=512)
    assert [record.time for record in read(octets)] == [100 * 10**9 + 5, 10**9 // 2]


def test_pcapng_of_several_sections_and_interfaces() -> None:
    ethernet = MACS + b"\x08\x00" + IP4
    octets = section() + interface(link_type=101) + interface(link_type=1)
    octets += enhanced(IP4) + enhanced(ethernet, number=1)
    octets += section(">") + interface(">", link_type=229) + enhanced(IP6, ">")
    assert [(record.link_type, record.data) for record in read(octets)] == [(101, IP4), (1, ethernet), (229, IP6)]


def test_pcapng_simple_and_old_packet_blocks_and_unknown_ones() -> None:
    old = block("<", 2, pack("<HHIIII", 0, 0, 0, 7, len(IP6), len(IP6)) + IP6)
    octets = section() + interface() + block("<", 3, pack("<I", len(IP4)) + IP4) + block("<", 0xBAD, b"1234") + old
    assert read(octets) == [Record(101, 0, IP4), Record(101, 7000, IP6)]


def test_octets_that_were_not_captured_are_counted() -> None:
    assert read(pcap([IP4], length=1500)) == [Record(101, SECONDS * 10**9 + FRACTION * 1000, IP4, 1480)]
    assert read(section() + interface() + enhanced(IP4, length=99)) == [Record(101, 0, IP4, 79)]
    short = block("<", 1, pack("<HHI", 101, 0, 20))  # a snap length of 20
    simple = block("<", 3, pack("<I", 40) + IP4)
    assert read(section() + short + simple) == [Record(101, 0, IP4, 20)]


def test_pcapng_as_dpkt_writes_it() -> None:
    file = io.BytesIO()
    pcapng.Writer(file, linktype=101).writepkt(IP4, ts=2.5)
    assert read(file.getvalue()) == [Record(101, 2_500_000_000, IP4)]


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "in.pcap: the file is empty"),
        (b"GET / HTTP/1.1\r\n", "in.pcap: not a capture"),
        (b"\xd4\xc3", "in.pcap: not a capture"),
        (pcap([])[:20], "in.pcap: the file ends inside its header"),
        (pcap([IP4])[:30], "in.pcap: packet 1: the file ends inside a packet header"),
        (pcap([IP4, IP4])[:-5], "in.pcap: packet 2: the file ends inside a packet"),
        (pcap([]) + b"\xff" * 16, "in.pcap: packet 1: a packet of 4294967295 octets; the file is damaged"),
        (pcap([IP4], link_type=105), "in.pcap: unknown link type 105; supported: raw IP"),
        (section()[:10], "in.pcap: a section header without a byte order"),
        (section()[:-1], "in.pcap: the file ends inside a block"),
        (section() + enhanced(IP4), "in.pcap: packet 1: no description of interface 0"),
        (section() + interface() + enhanced(IP4)[:-1], "in.pcap: packet 1: the file ends inside a block"),
        (section() + interface() + b"\x06\0\0", "in.pcap: packet 1: the file ends inside a block"),
        (section() + interface() + pack("<II", 6, 8), "in.pcap: packet 1: a block of 8 octets"),
        (section() + interface() + block("<", 6, b"1234"), "in.pcap: packet 1: a malformed block of type 6"),
        (section() + block("<", 1, b""), "in.pcap: packet 1: a malformed block of type 1"),
        (section() + interface(link_type=105) + enhanced(IP4), "in.pcap: packet 1: unknown link type 105"),
        (section() + interface() + enhanced(IP4, ticks=1 << 63), "in.pcap: packet 1: a time before 1970 or after 2106"),
        (section() + block("<", 3, pack("<I", 4)), "in.pcap: packet 1: no description of interface 0"),
    ],
)
def test_broken_captures_are_one_line(octets: bytes, words: str) -> None:
    told = fault(octets)
    assert told.startswith(words)
    assert "\n" not in told


@pytest.mark.parametrize("path", ["/nonexistent/in.pcap", "/"])
def test_unreadable_file(path: str) -> None:
    with pytest.raises(OperatorError, match=f"^{path}: cannot be read: "), opened(path):
        pass


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pcap([IP4]))))
    with opened("-") as (capture, _):
        assert [record.data for record in capture] == [IP4]


TAG, SERVICE_TAG = b"\x81\x00\x20\x05", b"\x88\xa8\x00\x07"


@pytest.mark.parametrize(
    ("link_type", "before", "after"),
    [
        (1, MACS + b"\x08\x00", MACS + b"\x86\xdd"),
        (1, MACS + TAG + b"\x08\x00", MACS + TAG + b"\x86\xdd"),
        (1, MACS + SERVICE_TAG + TAG + b"\x08\x00", MACS + SERVICE_TAG + TAG + b"\x86\xdd"),
        (113, bytes(14) + b"\x08\x00", bytes(14) + b"\x86\xdd"),
        (113, bytes(14) + TAG + b"\x08\x00", bytes(14) + TAG + b"\x86\xdd"),
        (276, b"\x08\x00" + bytes(18), b"\x86\xdd" + bytes(18)),
        (101, b"", b""),
        (12, b"", b""),
        (14, b"", b""),
        (228, b"", b""),
    ],
)
def test_frame_keeps_its_link_addresses_and_tags(link_type: int, before: bytes, after: bytes) -> None:
    frame = split(link_type, before + IP4)
    assert frame.packet == IP4
    assert frame.around(IP6) == after + IP6
    assert frame.around(IP4) == before + IP4


# NULL: the family in the byte order of the machine; LOOP: in network order. AF_INET6 is 10, 24, 28 or 30.
@pytest.mark.parametrize("link_type", [0, 108])
@pytest.mark.parametrize(
    ("family", "packet"), [(2, IP4), (2 << 24, IP4), (10, IP6), (24, IP6), (28 << 24, IP6), (30, IP6)]
)
def test_loopback_frames_hold_a_family_and_a_packet(link_type: int, family: int, packet: bytes) -> None:
    frame = split(link_type, pack("<I", family) + packet)
    assert (frame.packet, frame.version) == (packet, 4 if packet is IP4 else 6)
    assert frame.around(IP6) == IP6
    assert read(pcap([pack("<I", family) + packet], link_type=link_type))[0].link_type == link_type


@pytest.mark.parametrize(
    ("link_type", "data"),
    [
        (0, pack("<I", 7) + bytes(20)),
        (108, b"\0\0"),
        (1, MACS + b"\x08\x06" + bytes(28)),  # ARP
        (1, MACS + b"\x00\x26" + bytes(38)),  # 802.3
        (1, MACS + TAG),
        (1, MACS[:7]),
        (1, b""),
        (113, bytes(14) + b"\x08\x06"),
        (276, b"\x08\x00" + bytes(3)),
    ],
)
def test_frame_without_ip(link_type: int, data: bytes) -> None:
    assert split(link_type, data).packet is None


def written(path: Path) -> list[tuple[float, bytes]]:
    with path.open("rb") as file:
        return list(dpkt.pcap.Reader(file))


@pytest.mark.parametrize(("nano", "link_type", "out_type"), [(True, 1, 1), (False, 101, 101), (True, 228, 101)])
def test_output_keeps_time_and_link_type(tmp_path: Path, nano: bool, link_type: int, out_type: int) -> None:
    out, capture = tmp_path / "out.pcap", Capture(io.BytesIO(pcap([IP4], link_type, nano=nano)), "in.pcap")
    with Writer(str(out), "in.pcap") as writer:
        for record in capture:
            writer.begin(capture)
            writer.write(record, record.data)
    again = Capture(io.BytesIO(out.read_bytes()), "out.pcap")
    unit = 1 if nano else 1000
    assert list(again) == [Record(out_type, SECONDS * 10**9 + FRACTION * unit, IP4)]
    assert again.nanoseconds == nano
    assert [data for _, data in written(out)] == [IP4]


def test_nothing_is_left_of_an_output_that_failed(tmp_path: Path) -> None:
    out = tmp_path / "out.pcap"
    out.write_bytes(b"what was there")
    capture = Capture(io.BytesIO(pcap([IP4, IP4])[:-1]), "in.pcap")

    def copy() -> None:
        with Writer(str(out), "in.pcap") as writer:
            for record in capture:
                writer.begin(capture)
                writer.write(record, record.data)

    with pytest.raises(OperatorError, match="packet 2: the file ends inside a packet"):
        copy()
    assert out.read_bytes() == b"what was there"
    assert os.listdir(tmp_path) == ["out.pcap"]


def test_one_output_holds_one_link_type(tmp_path: Path) -> None:
    ethernet = MACS + b"\x08\x00" + IP4
    octets = (
        section() + interface(link_type=101) + interface(link_type=1) + enhanced(IP4) + enhanced(ethernet, number=1)
    )
    capture = Capture(io.BytesIO(octets), "in.pcap")

    def copy() -> None:
        with Writer(str(tmp_path / "out.pcap"), "in.pcap") as writer:
            for record in capture:
                writer.begin(capture)
                writer.write(record, record.data)

    with pytest.raises(OperatorError, match="link type 1 after 101"):
        copy()


def test_output_that_cannot_be(tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap([]))
    (tmp_path / "link.pcap").symlink_to(source)
    for path, words in (
        (str(source), "output and input are the same file"),
        (str(tmp_path / "link.pcap"), "output and input are the same file"),
        (str(tmp_path), "not a regular file"),
        ("/dev/null", "not a regular file"),
        ("-", "not a regular file"),
        (str(tmp_path / "none" / "out.pcap"), "cannot be written: No such file"),
    ):
        with pytest.raises(OperatorError, match=words), Writer(path, str(source)):
            pass
    assert sorted(os.listdir(tmp_path)) == ["in.pcap", "link.pcap"]


def test_longest_packet_is_read() -> None:
    assert len(read(pcap([IP4 + bytes(MAX_LENGTH - 20)]))[0].data) == MAX_LENGTH


PPPOE = bytes.fromhex("1100 0007")  # version and type, code, session


@pytest.mark.parametrize(
    ("link_type", "front", "version", "length"),
    [
        (1, MACS + b"\x88\x64" + PPPOE + b"\x00\x16\x00\x21", 4, True),
        (1, MACS + b"\x81\x00\x00\x05\x88\x64" + PPPOE + b"\x00\x2a\x00\x57", 6, True),
        (51, PPPOE + b"\x00\x16\x00\x21", 4, True),
        (9, b"\x00\x57", 6, False),
        (9, b"\xff\x03\x00\x21", 4, False),
    ],
)
def test_ppp_frames_and_the_other_family_in_them(link_type: int, front: bytes, version: int, length: bool) -> None:
    packet, other = (IP4, IP6) if version == 4 else (IP6, IP4)
    frame = split(link_type, front + packet)
    assert (frame.packet, frame.version) == (packet, version)
    assert frame.around(packet) == front + packet
    number = b"\x00\x57" if version == 4 else b"\x00\x21"
    size = (len(other) + 2).to_bytes(2, "big") if length else front[-4:-2]
    assert frame.around(other) == front[:-4] + size + number + other


@pytest.mark.parametrize("data", [PPPOE, PPPOE + b"\x00\x02", PPPOE + b"\x00\x08\xc0\x21" + bytes(8)])
def test_ppp_without_ip(data: bytes) -> None:
    assert split(51, data).packet is None
    assert split(1, MACS + b"\x88\x64" + data).packet is None
