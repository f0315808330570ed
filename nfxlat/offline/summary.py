"""One packet in one line, and the names of protocols and ICMP messages."""

from typing import Final

from nfxlat.offline.header import View, view
from nfxlat.wire import icmp

PROTOCOLS: Final = {
    0: "Hop-by-Hop Options",
    1: "ICMP",
    2: "IGMP",
    4: "IPv4-in-IP",
    6: "TCP",
    17: "UDP",
    33: "DCCP",
    41: "IPv6-in-IP",
    43: "Routing",
    44: "Fragment",
    47: "GRE",
    50: "ESP",
    51: "AH",
    58: "ICMPv6",
    59: "no next header",
    60: "Destination Options",
    132: "SCTP",
    136: "UDP-Lite",
}
_WITH_PORTS: Final = (6, 17, 33, 132, 136)
_ICMP4: Final = {
    0: "echo reply",
    3: "unreachable",
    4: "source quench",
    5: "redirect",
    8: "echo request",
    11: "time exceeded",
    12: "parameter problem",
}
_CODES4: Final = {
    (3, 0): "network unreachable",
    (3, 1): "host unreachable",
    (3, 2): "protocol unreachable",
    (3, 3): "port unreachable",
    (3, 4): "fragmentation needed",
    (3, 9): "prohibited",
    (3, 10): "prohibited",
    (3, 13): "prohibited",
}
_CODES6: Final = {
    (1, 0): "no route",
    (1, 1): "prohibited",
    (1, 3): "address unreachable",
    (1, 4): "port unreachable",
    (1, 5): "source prohibited",
    (1, 6): "route rejected",
}
_ICMP6: Final = {
    1: "unreachable",
    2: "packet too big",
    3: "time exceeded",
    4: "parameter problem",
    128: "echo request",
    129: "echo reply",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbour solicitation",
    136: "neighbour advertisement",
    137: "redirect",
}


def protocol_name(number: int) -> str:
    """`TCP` or `protocol 99`."""
    return PROTOCOLS.get(number, f"protocol {number}")


def icmp_name(protocol: int, icmp_type: int, code: int) -> str:
    """`packet too big (2/0)`, for a message of ICMP (protocol 1) or ICMPv6 (58)."""
    names, codes = (_ICMP4, _CODES4) if protocol == icmp.PROTOCOL4 else (_ICMP6, _CODES6)
    name = codes.get((icmp_type, code)) or names.get(icmp_type, "type")
    return f"{name} ({icmp_type}/{code})"


def brief(packet: bytes) -> str:
    """Addresses, protocol, ports or ICMP message and its MTU, fragment and length of an IP packet."""
    seen = view(packet)
    return f"{len(packet)} octets, not an IP packet" if seen is None else brief_view(seen)


def brief_view(seen: View) -> str:
    """`brief` of a packet that has been taken apart."""
    source, destination = str(seen.source), str(seen.destination)
    kind = protocol_name(seen.protocol)
    if seen.has_transport_header and len(seen.payload) >= 4:
        if seen.protocol in _WITH_PORTS:
            source += f" port {int.from_bytes(seen.payload[:2], 'big')}"
            destination += f" port {int.from_bytes(seen.payload[2:4], 'big')}"
        elif seen.protocol in (icmp.PROTOCOL4, icmp.PROTOCOL6):
            kind += " " + icmp_name(seen.protocol, seen.payload[0], seen.payload[1]) + _mtu(seen)
    if seen.is_fragment:
        kind += f" fragment at {seen.offset * 8}{' and more' if seen.more else ', the last'}"
    return f"{source} > {destination} {kind}, {seen.length} octets"


def _mtu(seen: View) -> str:
    """That of Packet Too Big, or Fragmentation Needed."""
    message = (seen.protocol, seen.payload[0])
    if message == (icmp.PROTOCOL6, icmp.PACKET_TOO_BIG6):
        octets = seen.payload[4:8]
    elif message == (icmp.PROTOCOL4, icmp.UNREACHABLE4) and seen.payload[1] == icmp.FRAGMENTATION_NEEDED:
        octets = seen.payload[6:8]
    else:
        return ""
    return f", MTU {int.from_bytes(octets, 'big')}" if len(seen.payload) >= icmp.HEADER_LENGTH else ""
