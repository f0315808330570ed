"""Hex dumps: what tcpdump, xxd, hexdump, od and Wireshark print, and what is no dump."""

import gzip
import io
from collections.abc import Callable

import pytest
from packets import raw4, raw6

from nfxlat.errors import OperatorError
from nfxlat.offline import text
from nfxlat.offline.capture import Capture
from nfxlat.offline.record import MAX_LENGTH, Record

A, B = "192.0.2.2", "203.0.113.2"
# data that looks like hex digits, where a dump shows it as text
P = raw4(A, B, 17, bytes(6) + b"ab cd ef 0123 beef  dead")
Q = raw6("2001:db8:2::2", "2001:db8:64::c000:202", 17, b"\x00\x01\x00\x02\x00\x0a\x12\x34be")
ETHERNET = bytes.fromhex("020000000002 450000000001 0800")


def shown(octets: bytes) -> str:
    return "".join(chr(one) if 32 <= one < 127 else "." for one in octets)


def rows(packet: bytes) -> list[tuple[int, bytes]]:
    return [(at, packet[at : at + 16]) for at in range(0, len(packet), 16)]


def words(row: bytes) -> str:
    return " ".join(row[at : at + 2].hex() for at in range(0, len(row), 2))


def tcpdump(packet: bytes, ascii_too: bool = True) -> str:
    head = "12:34:56.789012 IP 192.0.2.2.0 > 203.0.113.2.0: UDP, length 24\n"
    lines = (f"\t0x{at:04x}:  {words(row):<39}{'  ' + shown(row) if ascii_too else ''}" for at, row in rows(packet))
    return head + "\n".join(lines) + "\n"


def xxd(packet: bytes) -> str:
    return "\n".join(f"{at:08x}: {words(row):<39}  {shown(row)}" for at, row in rows(packet)) + "\n"


def hexdump(packet: bytes) -> str:
    lines = (f"{at:08x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  |{shown(row)}|" for at, row in rows(packet))
    return "\n".join(lines) + f"\n{len(packet):08x}\n"


def od(packet: bytes) -> str:
    return "\n".join(f"{at:07o} {row.hex(' ')}" for at, row in rows(packet)) + f"\n{len(packet):07o}\n"


def wireshark(packet: bytes) -> str:
    return "\n".join(f"{at:04x}  {row.hex(' '):<47}   {shown(row)}" for at, row in rows(packet)) + "\n\n"


EACH = pytest.mark.parametrize("dump", [tcpdump, xxd, hexdump, od, wireshark])


def read(octets: bytes) -> list[Record]:
    return list(Capture(io.BytesIO(octets), "in.txt"))


def fault(octets: bytes) -> str:
    with pytest.raises(OperatorError) as caught:
        read(octets)
    return str(caught.value)


@EACH
def test_each_dump_gives_its_packets(dump: Callable[[bytes], str]) -> None:
    written = dump(P) + dump(Q)
    assert [record.data for record in read(written.encode())] == [P, Q]
    assert text.packets(written) == [P, Q]


def test_without_text_behind_and_with_every_length() -> None:
    for size in range(20, 60):
        packet = raw4(A, B, 17, bytes(range(size - 20)))
        assert text.packets(tcpdump(packet, ascii_too=False)) == [packet]
        assert text.packets(hexdump(packet)) == [packet]


def test_a_packet_a_line_without_offsets() -> None:
    lines = f"{P.hex()}\nremark\n{Q.hex(' ')}\n{P.hex(':')}\n{tcpdump(Q)}{P.hex()}\n"
    assert text.packets(lines) == [P, Q, P, Q, P]


def test_ethernet_is_told_from_ip() -> None:
    assert [record.link_type for record in read(xxd(ETHERNET + P).encode())] == [1]
    assert [record.link_type for record in read((tcpdump(P) + tcpdump(Q)).encode())] == [101, 101]
    assert text.link_type_of(Q[:12] + b"\x08\x00\x45" + Q[15:]) == 101  # an address that looks like a type
    assert text.link_type_of(b"") == 101


def test_capture_knows_the_link_type_before_the_first_packet() -> None:
    capture = Capture(io.BytesIO(xxd(ETHERNET + P).encode()), "in.txt")
    assert (capture.link_type, capture.nanoseconds) == (1, False)


@pytest.mark.parametrize("octets", [b"some text\n", b"\x00\x01\x02\x03\x04", b"beef", b"2001:db8::1 is an address\n"])
def test_what_is_no_dump_is_no_capture(octets: bytes) -> None:
    assert fault(octets).startswith("in.txt: not a capture; give pcap, pcapng or a hex dump")


def test_a_dump_with_a_hole_is_refused() -> None:
    lines = xxd(P).splitlines()
    assert "a dump that goes on at 00000020 behind 16 octets" in fault("\n".join((lines[0], *lines[2:])).encode())
    assert "a dump that goes on at 00000010 behind 0 octets" in fault("\n".join(lines[1:]).encode())


def test_a_packet_without_end_is_refused() -> None:
    endless = "\n".join(f"{at:08x}: {'00' * 16}" for at in range(0, MAX_LENGTH + 32, 16))
    assert "a packet of" in fault(endless.encode().replace(b"00" * 16, b" ".join([b"0000"] * 8)))


@EACH
def test_gzip_is_unpacked(dump: Callable[[bytes], str]) -> None:
    assert read(gzip.compress(dump(P).encode())) == read(dump(P).encode())


def test_what_gzip_cannot_unpack_is_one_line() -> None:
    packed = gzip.compress(tcpdump(P).encode() * 50)
    assert "the file ends inside what gzip has packed" in fault(packed[:-9])
    assert "gzip cannot unpack it" in fault(packed[:10] + bytes(5) + b"\xff" * 40)
    assert "gzip cannot unpack it" in fault(b"\x1f\x8b\x01" + bytes(30))
    assert "the file is empty" in fault(gzip.compress(b""))
    assert "not a capture" in fault(gzip.compress(packed))  # once
