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
    if protocol == icmp.PROTOCOL4 and (icmp_type, code) == (icmp.UNREACHABLE4, icmp.FRAGMENTATION_NEEDED):
        name = "fragmentation needed"
    else:
        name = (_ICMP4 if protocol == icmp.PROTOCOL4 else _ICMP6).get(icmp_type, "type")
    return f"{name} ({icmp_type}/{code})"


def brief(packet: bytes) -> str:
    """Addresses, protocol, ports or ICMP message, fragment and length of an IP packet."""
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
            kind += " " + icmp_name(seen.protocol, seen.payload[0], seen.payload[1])
    if seen.is_fragment:
        kind += f" fragment at {seen.offset * 8}{' and more' if seen.more else ', the last'}"
    return f"{source} > {destination} {kind}, {seen.length} octets"
