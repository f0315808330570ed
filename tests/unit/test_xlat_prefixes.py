"""Packets by prefixes of other kinds: suffixes, local use, checksum neutral, wide EAMs (RFC 6052, 7757, 8215)."""

from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest
from packets import A4, B4, only, translator
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, in6_chksum

from nfxlat.xlat.eamt import Eamt


def translated(packet: bytes, **keys: Any) -> bytes:
    return only(translator(**keys).translate(packet))


# suffix and u octet of a packet's addresses are not looked at
def test_a_packet_to_an_address_with_a_suffix_is_translated() -> None:
    prefix6 = IPv6Network("2001:db8:122:344::/64")
    packet = bytes(IPv6(src="2001:db8:122:344:c6:3364:700::", dst="2001:db8:122:344:aacb:71:5012:3456") / UDP() / b"x")
    result = IP(translated(packet, prefix6=prefix6))
    assert (result.src, result.dst) == (A4, B4)


# RFC 8215 leaves 64:ff9b:1::/48 to local use, private IPv4 included
@pytest.mark.parametrize("prefix6", ["64:ff9b:1::/48", "64:ff9b:1::/96", "64:ff9b:1:fffe::/96"])
def test_the_local_use_prefix_carries_private_addresses(prefix6: str) -> None:
    packet = bytes(IP(src="10.0.0.1", dst="192.168.1.1") / UDP() / b"x")
    result = IPv6(translated(packet, prefix6=IPv6Network(prefix6), well_known_prefix="strict"))
    assert in6_chksum(17, result, bytes(result.payload)) == 0


def tcp_checksum_is_kept(prefix6: str, **keys: Any) -> bool:
    packet = bytes(IP(src="8.8.8.8", dst="9.9.9.9") / TCP(seq=5) / b"data")
    result = translated(packet, prefix6=IPv6Network(prefix6), **keys)
    assert in6_chksum(6, IPv6(result), result[40:]) == 0
    return result[40:] == packet[20:]


# the words of a neutral prefix sum to a multiple of 0xffff
@pytest.mark.parametrize(
    "prefix6", ["64:ff9b::/96", "64:ff9b:1:fffe::/96", "64:ff9b:1:fffd:1::/96", "64:ff9b:1:fffc:2::/96"]
)
def test_neutral_prefixes_keep_the_checksum(prefix6: str) -> None:
    # Each at bits 64 to 71 zero, so each fit as a prefix6
    assert tcp_checksum_is_kept(prefix6)


@pytest.mark.parametrize("prefix6", ["64:ff9b:1::/96", "2001:db8:64::/96"])
def test_other_prefixes_change_the_checksum(prefix6: str) -> None:
    assert not tcp_checksum_is_kept(prefix6)


# one EAM is enough to make a neutral prefix not neutral
def test_an_eam_beside_a_neutral_prefix_changes_the_checksum() -> None:
    eamt = Eamt([(IPv4Network("8.8.8.8"), IPv6Network("2001:db8::8"))])
    assert not tcp_checksum_is_kept("64:ff9b::/96", eamt=eamt)
