"""`nfxlat explain`: addresses, packets as hex and in captures, JSON, and mistakes in one line."""

import json
from pathlib import Path
from typing import Any

import dpkt
import pytest

from nfxlat.cli import main

SYN = "4528002c303940004006a3dfc6336407cb0071509c4101bb11223344000000006002faf054470000020405b4"


LAB = ("--config", str(Path(__file__).parents[2] / "rules/xlat/router.toml"))  # the example's domain is the lab's


def explained(capsys: pytest.CaptureFixture[str], *arguments: str, domain: tuple[str, ...] = LAB) -> str:
    assert main(["explain", *domain, *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, domain: tuple[str, ...] = LAB) -> Any:
    return json.loads(explained(capsys, "--json", *arguments, domain=domain))


def test_address_by_prefix6(capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(capsys, "192.0.2.2") == (
        "192.0.2.2 is 2001:db8:64::c000:202\n"
        "  by prefix6 2001:db8:64::/96 (RFC 6052 2.3)\n"
        "  octets c0 00 02 02 (192.0.2.2) put at octets 12-15, after 2001:db8:64::/96\n"
    )


@pytest.mark.parametrize(
    ("address", "out", "rule", "reason", "rfc"),
    [
        ("203.0.113.2", "2001:db8:2::2", "eam", None, "RFC 7757 3.3"),
        ("2001:db8:2::2", "203.0.113.2", "eam", None, "RFC 7757 3.3"),
        ("2001:DB8:64::192.0.2.2", "192.0.2.2", "prefix6", None, "RFC 6052 2.3"),
        ("127.0.0.1", None, None, "martian_source", "RFC 7915 4.1, 5.1"),
        ("fe80::1%eth0", None, None, "martian_source", "RFC 7915 4.1, 5.1"),
        ("2001:db8:9::1", None, None, "no_mapping_source", "RFC 7915 4.4, 5.4"),
    ],
)
def test_address_as_json(
    capsys: pytest.CaptureFixture[str], address: str, out: str | None, rule: str | None, reason: str | None, rfc: str
) -> None:
    found = as_json(capsys, address)
    assert {key: found[key] for key in ("out", "rule", "reason", "rfc")} == {
        "out": out,
        "rule": rule,
        "reason": reason,
        "rfc": rfc,
    }
    assert found["in"] == address.lower().replace("192.0.2.2", "c000:202").partition("%")[0]


def test_refused_address_is_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(capsys, "127.0.0.1") == (
        "127.0.0.1 has no counterpart: martian_source (RFC 7915 4.1, 5.1)\n"
        "  127.0.0.1 is in 127.0.0.0/8 (loopback), never a valid source or destination\n"
    )


def test_address_as_the_source_of_an_icmp_error(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "--icmp-source", "60", "2001:db8:9::1")
    assert (found["out"], found["rule"], found["entry"]) == ("203.0.113.244", "rfc6791", "203.0.113.240/28")


def test_domain_by_file_and_by_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "nfxlat.toml"
    config.write_text('[domain.siit0]\nprefix6 = "2001:db8:100::/40"\n')
    by_file, by_flags = ("--config", str(config)), ("--prefix6", "2001:db8::/32")
    assert as_json(capsys, "192.0.2.33", domain=by_file)["out"] == "2001:db8:1c0:2:21::"
    assert as_json(capsys, "192.0.2.33", domain=by_flags)["out"] == "2001:db8:c000:221::"


@pytest.mark.parametrize("words", [["explain", "192.0.2.33"], ["translate", "in.pcap"], ["run"], ["run", "--setup"]])
def test_without_a_domain_the_three_ways_to_name_one_are_told(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("nfxlat: no domain given; use --config FILE")
    assert all(way in err for way in ("--config FILE", "--domain NAME", "nfxlat domain add", "--prefix6 PREFIX"))


def test_a_domain_is_told_in_one_way_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *LAB, "--eam", "192.0.2.2=2001:db8::2", "192.0.2.33"]) == 2
    assert "--config: cannot be used with --eam; give a file or flags, not both" in capsys.readouterr().err


def test_a_name_alone_is_that_of_an_added_domain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--domain", "nowhere0", "192.0.2.33"]) == 2
    assert "domain nowhere0: no such domain" in capsys.readouterr().err
    assert main(["explain", *LAB, "--domain", "nowhere0", "192.0.2.33"]) == 2
    assert "router.toml: there is no domain 'nowhere0'; it has siit0" in capsys.readouterr().err


def test_packet_as_hex(capsys: pytest.CaptureFixture[str]) -> None:
    lines = explained(capsys, SYN).splitlines()
    assert lines[:2] == [
        "packet 1  198.51.100.7 port 40001 > 203.0.113.80 port 443 TCP, 44 octets",
        "  translated (RFC 7915 4, 5)",
    ]
    assert "    ttl 64 -> hop_limit 63: one hop is taken off (RFC 7915 4.1)" in lines
    kept = "    ttl 64 -> hop_limit 64: kept: forwarding takes the hop off (RFC 7915 4.1)"
    assert kept in explained(capsys, "--hops", "0", SYN).splitlines()


def test_packet_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, f"{SYN[:40]} {SYN[40:]}")
    assert {key: found[key] for key in ("n", "direction", "action", "reason", "why", "failed")} == {
        "n": 1,
        "direction": "4to6",
        "action": "translated",
        "reason": "translated",
        "why": [],
        "failed": [],
    }
    assert {
        "from": "ttl",
        "old": "64",
        "field": "hop_limit",
        "new": "63",
        "why": "one hop is taken off",
        "rfc": "RFC 7915 4.1",
    } in found["fields"][0]


def test_packets_of_a_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "in.pcap"
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, 65535, 101)
        for packet in (SYN, SYN.replace("c6336407", "7f000001").replace("a3df", "4f19"), "50"):
            writer.writepkt(bytes.fromhex(packet), 0)
    found = [json.loads(line) for line in explained(capsys, "--json", str(path)).splitlines()]
    assert [(each["n"], each["action"], each["reason"], each["failed"]) for each in found] == [
        (1, "translated", "translated", []),
        (2, "dropped", "martian_source", ["source"]),
        (3, "dropped", "not_ip", []),
    ]
    roles = {each["role"]: (each["out"], each["reason"]) for each in found[1]["addresses"]}
    assert roles == {"source": (None, "martian_source"), "destination": ("2001:db8:64::cb00:7150", None)}
    text = explained(capsys, str(path))
    assert "    source 127.0.0.1 has no counterpart  <- this one failed\n" in text


@pytest.mark.parametrize("what", ["999.1.1.1", "192.0.2.0/24", "nonsense", "", "450", "2001:db8::1::2", "none.pcap"])
def test_what_is_neither_address_nor_packet_is_a_mistake(capsys: pytest.CaptureFixture[str], what: str) -> None:
    assert main(["explain", *LAB, what]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "not an address, a packet in hex digits or a file" in err


def test_hop_limit_of_an_icmp_error_is_an_octet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *LAB, "--icmp-source", "256", "192.0.2.1"]) == 2
    assert "--icmp-source: invalid TTL 256; 0 to 255" in capsys.readouterr().err


def test_file_that_is_no_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.pcap").write_bytes(b"junk")
    assert main(["explain", *LAB, str(tmp_path / "in.pcap")]) == 2
    assert "not a capture; give pcap, pcapng or a hex dump" in capsys.readouterr().err


@pytest.mark.parametrize(("role", "told"), [((), "well_known_prefix"), (("--role", "host"), "is 64:ff9b::a00:1")])
def test_a_host_s_well_known_prefix_is_lax(
    role: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *role, "--prefix6", "64:ff9b::/96", "10.0.0.1"]) == 0
    assert told in capsys.readouterr().out
