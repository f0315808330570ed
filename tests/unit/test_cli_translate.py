"""`nfxlat translate`: JSON line by line, the table, the output, and mistakes in one line."""

import io
import json
import os
import sys
from pathlib import Path
from struct import pack
from typing import Any

import dpkt
import pytest
from packets import raw4, raw6

from nfxlat.cli import main
from nfxlat.outcome import Reason

MACS = bytes.fromhex("020000000002020000000001")
UDP = pack("!HHHH", 1000, 2000, 12, 0x1234) + b"data"
A, EAM4 = bytes((192, 0, 2, 2)), bytes((203, 0, 113, 2))
EAM6 = bytes.fromhex("20010db8000200000000000000000002")
A6 = bytes.fromhex("20010db8006400000000000000000000")[:12] + A
ELSEWHERE6 = bytes.fromhex("20010db8000900000000000000000001")


def v4(source: bytes, destination: bytes, payload: bytes = UDP, ttl: int = 64, word: int = 0) -> bytes:
    return raw4(source, destination, 17, payload, identification=7, word=word, ttl=ttl)


def v6(source: bytes, destination: bytes, payload: bytes = UDP) -> bytes:
    return raw6(source, destination, 17, payload)


PACKETS = [
    v4(A, EAM4),
    v6(EAM6, A6),
    v6(EAM6, ELSEWHERE6),
    v4(bytes((127, 0, 0, 1)), EAM4),
    v4(A, EAM4, ttl=1),
    v4(A, EAM4, UDP + bytes(1400)),
    b"\x50" + bytes(30),
    v6(EAM6, A6[:12] + EAM4),
]


LAB = ("--config", str(Path(__file__).parents[2] / "rules/xlat/router.toml"))  # the example's domain is the lab's


def write(path: Path, frames: list[bytes], link_type: int = 101) -> str:
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, 65535, link_type)
        for number, frame in enumerate(frames):
            writer.writepkt(frame, 1_700_000_000.25 + number)
    return str(path)


def read(path: Path) -> tuple[int, list[tuple[float, bytes]]]:
    with path.open("rb") as file:
        reader = dpkt.pcap.Reader(file)
        return reader.datalink(), list(reader)


def translated(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["translate", *LAB, "--json", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["translate", *LAB, *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_json_has_one_object_a_packet_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = translated(capsys, write(tmp_path / "in.pcap", PACKETS))
    assert all(list(each) == ["n", "direction", "action", "reason", "rfc", "packets"] for each in found)
    assert [(each["n"], each["direction"], each["action"], each["reason"], len(each["packets"])) for each in found] == [
        (1, "4to6", "translated", "translated", 1),
        (2, "6to4", "translated", "translated", 1),
        (3, "6to4", "passed", "not_ours", 0),
        (4, "4to6", "dropped", "martian_source", 0),
        (5, "4to6", "rejected", "hop_limit_exceeded", 1),
        (6, "4to6", "translated", "fragmented", 2),
        (7, None, "dropped", "not_ip", 0),
        (8, "6to4", "translated", "hairpinned", 1),
    ]
    assert found[3]["rfc"] == Reason.MARTIAN_SOURCE.rfc
    assert found[0]["packets"] == [in_ipv6().hex()]
    assert found[1]["packets"][0].startswith("45000020")
    assert found[7]["packets"][0].startswith("60")


def in_ipv6() -> bytes:
    """What the first packet becomes; the UDP checksum by plain sums, in place of an update."""
    words = [int.from_bytes(octets[at : at + 2], "big") for octets in (A6, EAM6) for at in range(0, 16, 2)]
    gone = [int.from_bytes(octets[at : at + 2], "big") for octets in (A, EAM4) for at in (0, 2)]
    checksum = 0xFFFF - (0xFFFF - 0x1234 + sum(words) - sum(gone)) % 0xFFFF
    header = bytes.fromhex("60000000000c113f") + A6 + EAM6
    return header + UDP[:6] + checksum.to_bytes(2, "big") + UDP[8:]


def test_hops_zero_keeps_the_ttl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = translated(capsys, "--hops", "0", write(tmp_path / "in.pcap", [v4(A, EAM4, ttl=1)]))
    assert found[0]["packets"][0][14:16] == "01"


def test_next_hop_mtu_is_that_of_the_domain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "nfxlat.toml"
    config.write_text('[domain.siit0]\nprefix6 = "2001:db8:64::/96"\nmtu6 = 1300\naddress4 = "192.0.2.1"\n')
    source = write(tmp_path / "in.pcap", [v4(A, EAM4, UDP + bytes(1300), word=0x4000)])
    found = translated(capsys, "--config", str(config), source)
    assert (found[0]["action"], found[0]["reason"]) == ("rejected", "packet_too_big")
    assert found[0]["packets"][0][24:32] == "c0000201"
    assert int(found[0]["packets"][0][52:56], 16) == 1280


def test_ethernet_frames_keep_addresses_tags_and_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tag, arp = b"\x81\x00\x00\x05", MACS + b"\x08\x06" + bytes(28)
    frames = [
        MACS + b"\x08\x00" + PACKETS[0] + bytes(14),
        MACS + tag + b"\x86\xdd" + PACKETS[1],
        arp,
        MACS + b"\x08\x00" + PACKETS[3],
        MACS + b"\x86\xdd" + PACKETS[2],
        MACS + b"\x08\x00" + PACKETS[5],
        MACS + b"\x86\xdd" + PACKETS[0],
    ]
    out = tmp_path / "out.pcap"
    found = translated(capsys, write(tmp_path / "in.pcap", frames, 1), str(out))
    assert [(each["direction"], each["action"], each["reason"]) for each in found] == [
        ("4to6", "translated", "translated"),
        ("6to4", "translated", "translated"),
        (None, "passed", "not_ip"),
        ("4to6", "dropped", "martian_source"),
        ("6to4", "passed", "not_ours"),
        ("4to6", "translated", "fragmented"),
        ("4to6", "dropped", "not_ip"),  # the frame announces IPv6
    ]
    link_type, written = read(out)
    packets = [bytes.fromhex(packet) for each in found for packet in each["packets"]]
    assert link_type == 1
    assert [frame for _, frame in written] == [
        MACS + b"\x86\xdd" + packets[0],
        MACS + tag + b"\x08\x00" + packets[1],
        arp,
        frames[4],
        MACS + b"\x86\xdd" + packets[2],
        MACS + b"\x86\xdd" + packets[3],
    ]
    assert [time - 1_700_000_000 for time, _ in written] == [0.25, 1.25, 2.25, 4.25, 5.25, 5.25]


@pytest.mark.parametrize(("link_type", "packet"), [(228, PACKETS[0]), (229, PACKETS[1])])
def test_results_of_one_family_captures_are_raw_ip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], link_type: int, packet: bytes
) -> None:
    out = tmp_path / "out.pcap"
    found = translated(capsys, write(tmp_path / "in.pcap", [packet], link_type), str(out))
    assert read(out) == (101, [(1_700_000_000.25, bytes.fromhex(found[0]["packets"][0]))])


def test_capture_without_packets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.pcap"
    assert translated(capsys, write(tmp_path / "in.pcap", [], 1), str(out)) == []
    assert read(out) == (1, [])


def test_stdin(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    octets = Path(write(tmp_path / "in.pcap", PACKETS)).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))
    assert len(translated(capsys, "-")) == len(PACKETS)


def test_table_of_outcomes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate", *LAB, write(tmp_path / "in.pcap", PACKETS + PACKETS[:1])]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [tuple(cell.strip() for cell in line.strip("│").split("│")) for line in lines if line.startswith("│")]
    assert rows[0][:4] == ("2", "4to6", "translated", "translated")
    assert ("1", "4to6", "dropped", "martian_source", Reason.MARTIAN_SOURCE.sentence, "RFC 7915 4.1, 5.1") in rows
    assert ("1", "-", "dropped", "not_ip") in [row[:4] for row in rows]
    assert lines[-1] == "9 packets in, 7 out"
    assert all(len(line) <= 160 for line in lines)


def test_verbose_has_a_line_a_packet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate", *LAB, "-v", write(tmp_path / "in.pcap", PACKETS)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "     1  192.0.2.2 port 1000 > 203.0.113.2 port 2000 UDP, 32 octets: translated",
        "        => 2001:db8:64::c000:202 port 1000 > 2001:db8:2::2 port 2000 UDP, 52 octets",
        "     2  2001:db8:2::2 port 1000 > 2001:db8:64::c000:202 port 2000 UDP, 52 octets: translated",
    ]
    assert "     4  127.0.0.1 port 1000 > 203.0.113.2 port 2000 UDP, 32 octets: dropped (martian_source)" in lines


def test_loopback_captures_become_raw_ip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.pcap"
    not_ours = v6(EAM6, ELSEWHERE6)
    frames = [b"\x02\0\0\0" + PACKETS[0], b"\x1e\0\0\0" + not_ours, b"\x07\0\0\0no IP"]
    found = translated(capsys, write(tmp_path / "in.pcap", frames, 0), str(out))
    assert [row["reason"] for row in found] == ["translated", "not_ours", "not_ip"]
    link_type, written = read(out)
    assert link_type == 101
    assert [packet.hex() for _, packet in written] == [*found[0]["packets"], not_ours.hex()]


# snap length: what the capture lacks is told packet by packet, and of the file as a whole on stderr
def test_packets_that_were_not_captured_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "in.pcap", [PACKETS[0], PACKETS[0]])
    octets = bytearray(Path(path).read_bytes())
    second = 24 + 16 + len(PACKETS[0])
    octets[second + 8 : second + 12] = (len(PACKETS[0]) - 4).to_bytes(4, "little")
    Path(path).write_bytes(octets[:-4])
    assert main(["translate", *LAB, "--json", path]) == 0
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert [(row["action"], row["reason"]) for row in found] == [("translated", "translated"), ("dropped", "truncated")]
    assert err == f"nfxlat: {path}: 1 of 2 packets were not captured whole; capture with tcpdump -s 0\n"


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "in.pcap", tmp_path / "out.pcap"
    write(source, PACKETS)
    assert "output and input are the same file" in mistake(capsys, str(source), str(source))
    assert "none.pcap: cannot be read" in mistake(capsys, str(tmp_path / "none.pcap"), str(out))
    assert "cannot be read" in mistake(capsys, "--config", str(tmp_path / "none.toml"), str(source))
    (tmp_path / "empty.pcap").write_bytes(b"")
    assert "the file is empty" in mistake(capsys, str(tmp_path / "empty.pcap"), str(out))
    (tmp_path / "junk.pcap").write_bytes(b"junk" * 100)
    assert "not a capture" in mistake(capsys, str(tmp_path / "junk.pcap"), str(out))
    source.write_bytes(source.read_bytes()[:-1])
    assert "packet 8: the file ends inside a packet" in mistake(capsys, "--json", str(source), str(out))
    assert sorted(os.listdir(tmp_path)) == ["empty.pcap", "in.pcap", "junk.pcap"]


def test_progress_on_a_terminal_only_for_large_captures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nfxlat.cli.translate._PROGRESS_FROM", 1000)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    large, small = (write(tmp_path / name, PACKETS[:number]) for name, number in (("large", 6), ("small", 1)))
    for path, shown in ((large, True), (small, False)):
        assert main(["translate", *LAB, "--json", path]) == 0
        out, err = capsys.readouterr()
        assert all(json.loads(line) for line in out.splitlines())
        assert ("packets" in err) is shown
