"""ICMP messages between nodes of 2001:db8:64::/96, and what the core makes of them."""

from ipaddress import IPv6Network
from typing import Any

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, in6_chksum
from scapy.packet import Raw
from scapy.utils import checksum as scapy_checksum

from nfxlat.outcome import Action, Outcome, Reason
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.translator import Translator

P = "2001:db8:64::"
A4, B4, R4 = "198.51.100.7", "203.0.113.80", "192.0.2.129"
A6, B6, R6 = P + "c633:6407", P + "cb00:7150", P + "c000:281"
BARE6 = "2001:db8:fe::1"  # a router without a mapping


def translator(**keys: Any) -> Translator:
    return Translator(Domain(**({"prefix6": IPv6Network("2001:db8:64::/96")} | keys)))


T = translator()


def icmp4(
    icmp_type: int, code: int, rest: bytes = bytes(4), body: bytes = b"", damage: int = 0, **fields: Any
) -> bytes:
    message = bytes((icmp_type, code, 0, 0)) + rest + body
    checksum = scapy_checksum(message) ^ damage
    message = message[:2] + checksum.to_bytes(2, "big") + message[4:]
    return bytes(IP(**({"src": R4, "dst": A4, "proto": 1} | fields)) / Raw(message))


def icmp6(
    icmp_type: int, code: int, rest: bytes = bytes(4), body: bytes = b"", damage: int = 0, **fields: Any
) -> bytes:
    header = IPv6(**({"src": R6, "dst": A6, "nh": 58} | fields))
    message = bytes((icmp_type, code, 0, 0)) + rest + body
    checksum = in6_chksum(58, IPv6(src=header.src, dst=header.dst), message) ^ damage
    message = message[:2] + checksum.to_bytes(2, "big") + message[4:]
    return bytes(header / Raw(message))


def quote4(layer: Any = None, **fields: Any) -> bytes:
    return bytes(
        IP(**({"src": A4, "dst": B4, "id": 0} | fields)) / (UDP(sport=1, dport=2) / b"data" if layer is None else layer)
    )


def quote6(layer: Any = None, **fields: Any) -> bytes:
    return bytes(
        IPv6(**({"src": A6, "dst": B6} | fields)) / (UDP(sport=1, dport=2) / b"data" if layer is None else layer)
    )


def message6(outcome: Outcome) -> bytes:
    """The ICMPv6 message of the one packet that came out, its checksum judged."""
    assert outcome.action is Action.TRANSLATED, outcome
    (packet,) = outcome.packets
    header = IPv6(packet)
    assert (header.nh, header.plen, len(packet) <= 1280) == (58, len(packet) - 40, True)
    assert in6_chksum(58, header, packet[40:]) == 0
    return packet[40:]


def message4(outcome: Outcome) -> bytes:
    assert outcome.action is Action.TRANSLATED, outcome
    (packet,) = outcome.packets
    header = IP(packet)
    assert (header.proto, header.len, int(header.flags), len(packet) <= 576) == (1, len(packet), 0, True)
    assert scapy_checksum(packet[:20]) == scapy_checksum(packet[20:]) == 0
    return packet[20:]


def dropped(reason: Reason) -> Outcome:
    return Outcome(Action.DROPPED, reason)
