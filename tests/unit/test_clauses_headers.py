"""Clauses of RFC 7915 that no other test shows: tests/REQUIREMENTS.md names them."""

from ipaddress import IPv6Network
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.packet import Raw
from scapy.utils import checksum as scapy_checksum

from nfxlat.outcome import Action, Outcome
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.translator import Translator

P = "2001:db8:64::"
A4, B4, R4 = "198.51.100.7", "203.0.113.80", "192.0.2.129"
A6, B6 = P + A4, P + B4
T = Translator(Domain(prefix6=IPv6Network("2001:db8:64::/96")))


def ipv6(layer: Any, **fields: Any) -> bytes:
    return bytes(IPv6(**({"src": A6, "dst": B6} | fields)) / layer)


def one(outcome: Outcome) -> bytes:
    assert outcome.action is Action.TRANSLATED, outcome
    (packet,) = outcome.packets
    return packet


# 5.1-A4: the two highest bits of an unknown option would have a node that processes it refuse the packet
@pytest.mark.parametrize("option", [0x1E, 0x5E, 0x9E, 0xDE])
def test_unknown_hop_by_hop_options_are_ignored(option: int) -> None:
    header = bytes((17, 0, option, 4, 1, 2, 3, 4))
    packet = IP(one(T.translate(ipv6(Raw(header + bytes(UDP(sport=7) / b"data")), nh=0))))
    assert (packet.proto, packet.len, packet[UDP].sport) == (17, 32, 7)


# 5.1-A2: RFC 8200 wants it in the first place
def test_hop_by_hop_behind_another_header_is_skipped() -> None:
    layer = IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / UDP(sport=7) / b"data"
    packet = IP(one(T.translate(ipv6(layer))))
    assert (packet.proto, packet.len) == (17, 32)


# 5.1-A7: extension headers by IANA's list, but nothing that RFC 7915 lets us skip
@pytest.mark.parametrize("protocol", [135, 139, 140, 253, 254])
def test_mobility_hip_and_shim6_outside_a_fragment_are_copied(protocol: int) -> None:
    packet = one(T.translate(ipv6(Raw(b"as it is"), nh=protocol)))
    assert (packet[9], packet[20:]) == (protocol, b"as it is")


# 5.1-15
@pytest.mark.parametrize("label", [1, 0xFFFFF])
def test_flow_label_leaves_no_trace(label: int) -> None:
    assert T.translate(ipv6(UDP() / b"data", fl=label)) == T.translate(ipv6(UDP() / b"data"))


# 4.1-15: as many options as a header can hold
def test_forty_octets_of_options_vanish() -> None:
    packet = bytes(IP(src=A4, dst=B4, options=b"\x01" * 39 + b"\0") / UDP(sport=7) / b"data")
    plain = bytes(IP(src=A4, dst=B4) / UDP(sport=7) / b"data")
    assert packet[0] == 0x4F
    assert T.translate(packet) == T.translate(plain)


# RFC 5837: class 2, an interface with an IPv4 address; RFC 7915 4.2 and 5.2 take extensions for opaque bits
OBJECT = bytes.fromhex("000c 0204 0001 0000") + bytes((192, 0, 2, 129))


def extension() -> bytes:
    structure = bytes.fromhex("2000 0000") + OBJECT
    return with_checksum(structure)


def with_checksum(message: bytes, pseudo: bytes = b"") -> bytes:
    value: int = scapy_checksum(pseudo + message)
    return message[:2] + value.to_bytes(2, "big") + message[4:]


# 4.2-09
def test_addresses_in_an_icmpv4_extension_are_not_translated() -> None:
    quote = bytes(IP(src=A4, dst=B4) / UDP() / bytes(100))
    message = with_checksum(bytes((11, 0, 0, 0, 0, 32, 0, 0)) + quote + extension())
    packet = one(T.translate(bytes(IP(src=R4, dst=A4, proto=1) / Raw(message))))
    assert packet.endswith(extension())
    assert packet[44] * 8 == len(packet) - 48 - len(extension())


# 5.2-05
def test_addresses_in_an_icmpv6_extension_are_not_translated() -> None:
    quote = bytes(IPv6(src=A6, dst=B6) / UDP() / bytes(96))
    message = bytes((3, 0, 0, 0, 18, 0, 0, 0)) + quote + extension()
    header = bytes(IPv6(src=P + R4, dst=A6))
    pseudo = header[8:40] + len(message).to_bytes(4, "big") + bytes((0, 0, 0, 58))
    packet = one(
        T.translate(
            header[:4] + len(message).to_bytes(2, "big") + b"\x3a\x40" + header[8:] + with_checksum(message, pseudo)
        )
    )
    assert packet.endswith(extension())
    assert packet[25] * 4 == len(packet) - 28 - len(extension())
