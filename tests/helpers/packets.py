"""Packets between nodes of 2001:db8:64::/96, built and judged by scapy, and the core that translates between them.

A (198.51.100.7) and B (203.0.113.80) are hosts, R (192.0.2.129) is a router; each has an address in either family.
"""

import socket
import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

from scapy.layers.inet import IP, UDP, in4_chksum
from scapy.layers.inet6 import IPv6, in6_chksum
from scapy.packet import Raw
from scapy.utils import checksum as scapy_checksum

from nfxlat.outcome import Action, Outcome, Reason
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.translator import Translator

P = "2001:db8:64::"
PREFIX6 = IPv6Network(P + "/96")
A4, B4, R4 = "198.51.100.7", "203.0.113.80", "192.0.2.129"
A6, B6, R6 = P + "c633:6407", P + "cb00:7150", P + "c000:281"
BARE6 = "2001:db8:fe::1"  # a router without a mapping


def translator(**keys: Any) -> Translator:
    """The core, for a domain of these keys and the prefix."""
    return Translator(replace(Domain(prefix6=PREFIX6), **keys))


T = translator()


# ---- packets by scapy ------------------------------------------------------------------------------------------


def ipv4(layer: Any = None, **fields: Any) -> bytes:
    """A to B, around UDP unless told otherwise; scapy completes what is not given."""
    return bytes(IP(**({"src": A4, "dst": B4} | fields)) / (UDP() / b"data" if layer is None else layer))


def ipv6(layer: Any = None, **fields: Any) -> bytes:
    """A to B, around UDP unless told otherwise."""
    return bytes(IPv6(**({"src": A6, "dst": B6} | fields)) / (UDP() / b"data" if layer is None else layer))


def quote4(layer: Any = None, **fields: Any) -> bytes:
    """What an ICMPv4 error to A quotes: a datagram of its own to B."""
    return ipv4(UDP(sport=1, dport=2) / b"data" if layer is None else layer, **({"id": 0} | fields))


def quote6(layer: Any = None, **fields: Any) -> bytes:
    """What an ICMPv6 error to A quotes."""
    return ipv6(UDP(sport=1, dport=2) / b"data" if layer is None else layer, **fields)


def icmp4(
    icmp_type: int, code: int, rest: bytes = bytes(4), body: bytes = b"", damage: int = 0, **fields: Any
) -> bytes:
    """R to A: octets 4-7 are `rest`; `damage` is put into the checksum."""
    message = with_checksum(bytes((icmp_type, code, 0, 0)) + rest + body, damage=damage)
    return bytes(IP(**({"src": R4, "dst": A4, "proto": 1} | fields)) / Raw(message))


def icmp6(
    icmp_type: int, code: int, rest: bytes = bytes(4), body: bytes = b"", damage: int = 0, **fields: Any
) -> bytes:
    """As `icmp4`."""
    header = IPv6(**({"src": R6, "dst": A6, "nh": 58} | fields))
    message = bytes((icmp_type, code, 0, 0)) + rest + body
    pseudo = pseudo6(header.src, header.dst, len(message), 58)
    return bytes(header / Raw(with_checksum(message, pseudo, damage)))


# ---- packets by hand, of any content ---------------------------------------------------------------------------


def with_checksum(message: bytes, pseudo: bytes = b"", damage: int = 0) -> bytes:
    """The ICMP message, or extension structure, with its checksum in octets 2 and 3, which were 0."""
    checksum: int = scapy_checksum(pseudo + message) ^ damage
    return message[:2] + checksum.to_bytes(2, "big") + message[4:]


def pseudo6(source: str, destination: str, length: int, next_header: int) -> bytes:
    """RFC 8200 8.1."""
    return IPv6Address(source).packed + IPv6Address(destination).packed + struct.pack("!II", length, next_header)


def raw4(
    source: str | bytes,
    destination: str | bytes,
    protocol: int,
    payload: bytes,
    *,
    tos: int = 0,
    identification: int = 1,
    word: int = 0,
    ttl: int = 64,
    options: bytes = b"",
) -> bytes:
    """An IPv4 header in front of the payload as it is. `word`: flags and fragment offset."""
    first, length = 0x45 + len(options) // 4, 20 + len(options) + len(payload)
    head = struct.pack("!BBHHHBBH", first, tos, length, identification, word, ttl, protocol, 0)
    head += IPv4Address(source).packed + IPv4Address(destination).packed + options
    checksum: int = scapy_checksum(head)
    return head[:10] + checksum.to_bytes(2, "big") + head[12:] + payload


def raw6(
    source: str | bytes,
    destination: str | bytes,
    next_header: int,
    payload: bytes,
    *,
    traffic_class: int = 0,
    flow: int = 0,
    hop_limit: int = 64,
) -> bytes:
    """An IPv6 header in front of the payload as it is."""
    head = struct.pack("!IHBB", 6 << 28 | traffic_class << 20 | flow, len(payload), next_header, hop_limit)
    return head + IPv6Address(source).packed + IPv6Address(destination).packed + payload


def raw(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """A packet of the addresses' family."""
    return (raw4 if ip_address(source).version == 4 else raw6)(source, destination, protocol, payload)


def udp(payload: bytes, sport: int, dport: int) -> bytes:
    """A UDP header without a checksum, and the payload."""
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


# ---- judgement by scapy ----------------------------------------------------------------------------------------


def transport_is_valid(packet: bytes) -> bool | None:
    """Whether the transport checksum of an unfragmented packet is right; None if there is none to judge."""
    if packet[0] >> 4 == 4:
        header, protocol, payload, judge = IP(packet[:20]), packet[9], packet[20:], in4_chksum
        if int.from_bytes(packet[6:8], "big") & 0x3FFF:
            return None
        if protocol == socket.IPPROTO_ICMP:
            return bool(scapy_checksum(payload) == 0)
    else:
        header, protocol, payload, judge = IPv6(packet[:40]), packet[6], packet[40:], in6_chksum
        if protocol == socket.IPPROTO_ICMPV6:
            return bool(judge(protocol, header, payload) == 0)
    if protocol == socket.IPPROTO_UDP and payload[6:8] == b"\0\0":
        return None
    judged = protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP)
    return bool(judge(protocol, header, payload) == 0) if judged else None


def only(outcome: Outcome) -> bytes:
    """The one packet that came out."""
    assert outcome.action is Action.TRANSLATED, outcome
    (packet,) = outcome.packets
    return packet


def ip4(packet: bytes) -> IP:
    """The packet, its header judged; no options."""
    parsed = IP(packet)
    assert (parsed.ihl, parsed.len, scapy_checksum(packet[:20])) == (5, len(packet), 0)
    return parsed


def ip6(packet: bytes) -> IPv6:
    """The packet, its length judged."""
    parsed = IPv6(packet)
    assert (parsed.version, parsed.plen) == (6, len(packet) - 40)
    return parsed


def one4(outcome: Outcome) -> IP:
    return ip4(only(outcome))


def one6(outcome: Outcome) -> IPv6:
    return ip6(only(outcome))


def message6(outcome: Outcome) -> bytes:
    """The ICMPv6 message of the one packet that came out, its checksum judged."""
    packet = only(outcome)
    assert (ip6(packet).nh, len(packet) <= 1280, transport_is_valid(packet)) == (58, True, True)
    return packet[40:]


def message4(outcome: Outcome) -> bytes:
    """The ICMPv4 message of the one packet that came out, its checksum judged."""
    packet = only(outcome)
    header = ip4(packet)
    assert (header.proto, int(header.flags), len(packet) <= 576, transport_is_valid(packet)) == (1, 0, True, True)
    return packet[20:]


def summary(outcome: Outcome) -> tuple[Action, Reason]:
    return outcome.action, outcome.reason


def dropped(reason: Reason) -> Outcome:
    return Outcome(Action.DROPPED, reason)
