"""An IP packet taken apart for explanations: named fields, extension headers, fragmentation, transport.

Lenient where the core is strict, since packets that the core refuses are explained too: what is not there is left out.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from nfxlat import ipaddresses
from nfxlat.wire import fragment, ipv4, ipv6

EXTENSION_NAMES: Final = {
    ipv6.HOP_BY_HOP: "hop_by_hop_options",
    ipv6.ROUTING: "routing",
    ipv6.DESTINATION_OPTIONS: "destination_options",
}
_HEXADECIMAL: Final = {"tos": 2, "traffic_class": 2, "flow_label": 5, "identification": 4, "header_checksum": 4}
_SEGMENTS_LEFT: Final = 3
_MIN_EXTENSION: Final = 8

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Extension:
    """An IPv6 extension header other than the Fragment Header."""

    name: str
    octets: bytes

    @property
    def segments_left(self) -> int:
        """Of a Routing header."""
        return self.octets[_SEGMENTS_LEFT]


@dataclass(frozen=True, slots=True)
class View:
    """One packet, or one quoted packet, of which octets may be missing at the end."""

    version: int
    fields: dict[str, int]  # those of the fixed header, in its order, by their RFC names; without addresses
    source: Address
    destination: Address
    header_length: int  # of the IPv4 header with its options, or of the IPv6 header with its extension headers
    length: int  # of the whole packet, as its header says
    protocol: int  # of the transport
    payload: bytes  # what is there of the transport, or of a fragment's data
    options: bytes = b""  # IPv4
    extensions: tuple[Extension, ...] = ()  # IPv6
    fragment_header: bool = False  # IPv6
    offset: int = 0  # of the fragment, in units of 8 octets
    more: bool = False
    identification: int = 0

    @property
    def is_fragment(self) -> bool:
        """Whether it is a part of a datagram; an atomic fragment is not."""
        return bool(self.offset) or self.more

    @property
    def hop_limit(self) -> int:
        """TTL or Hop Limit."""
        return self.fields["ttl" if self.version == 4 else "hop_limit"]

    @property
    def has_transport_header(self) -> bool:
        """Whether the payload begins with a transport header."""
        return not self.offset


def shown(name: str, value: int) -> str:
    """A field's value as it is usually written."""
    digits = _HEXADECIMAL.get(name)
    return str(value) if digits is None else f"0x{value:0{digits}x}"


def view(octets: bytes) -> View | None:
    """`octets` from an IP header on; None where not even the fixed header is there. What lies behind it is ignored."""
    version = octets[0] >> 4 if octets else 0
    if version == 4 and len(octets) >= ipv4.HEADER_LENGTH:
        return _view4(octets)
    if version == 6 and len(octets) >= ipv6.HEADER_LENGTH:
        return _view6(octets)
    return None


def _view4(octets: bytes) -> View:
    version_ihl, tos, total_length, identification, word, ttl, protocol = ipv4.FIXED.unpack_from(octets)
    header_length = max(ipv4.HEADER_LENGTH, (version_ihl & 15) * 4)
    fields = {
        "version": 4,
        "ihl": version_ihl & 15,
        "tos": tos,
        "total_length": total_length,
        "identification": identification,
        "df": int(bool(word & ipv4.DF)),
        "mf": int(bool(word & ipv4.MF)),
        "fragment_offset": word & ipv4.OFFSET_MASK,
        "ttl": ttl,
        "protocol": protocol,
        "header_checksum": int.from_bytes(octets[ipv4.CHECKSUM : ipv4.SOURCE], "big"),
    }
    return View(
        version=4,
        fields=fields,
        source=IPv4Address(octets[ipv4.SOURCE : ipv4.DESTINATION]),
        destination=IPv4Address(octets[ipv4.DESTINATION : ipv4.HEADER_LENGTH]),
        header_length=header_length,
        length=total_length,
        protocol=protocol,
        payload=octets[header_length : max(total_length, header_length)],
        options=octets[ipv4.HEADER_LENGTH : header_length],
        offset=word & ipv4.OFFSET_MASK,
        more=bool(word & ipv4.MF),
        identification=identification,
    )


def _view6(octets: bytes) -> View:
    first, payload_length, next_header, hop_limit = ipv6.FIXED.unpack_from(octets)
    length = ipv6.HEADER_LENGTH + payload_length
    octets = octets[:length]
    extensions: list[Extension] = []
    at, protocol = ipv6.HEADER_LENGTH, next_header
    fragment_header, identification, word = False, 0, 0
    while protocol in ipv6.CHAINED and not word >> 3 and at + _MIN_EXTENSION <= len(octets):
        if protocol == ipv6.FRAGMENT:
            if fragment_header:
                break
            protocol, _, word, identification = fragment.HEADER.unpack_from(octets, at)
            fragment_header, at = True, at + fragment.FRAGMENT_HEADER_LENGTH
            continue
        end = at + (octets[at + 1] + 1) * 8
        if end > len(octets):
            break
        extensions.append(Extension(EXTENSION_NAMES[protocol], octets[at:end]))
        protocol, at = octets[at], end
    fields = {
        "version": 6,
        "traffic_class": first >> 20 & 0xFF,
        "flow_label": first & 0xFFFFF,
        "payload_length": payload_length,
        "next_header": next_header,
        "hop_limit": hop_limit,
    }
    return View(
        version=6,
        fields=fields,
        source=ipaddresses.address6(octets[ipv6.SOURCE : ipv6.DESTINATION]),
        destination=ipaddresses.address6(octets[ipv6.DESTINATION : ipv6.HEADER_LENGTH]),
        header_length=at,
        length=length,
        protocol=protocol,
        payload=octets[at:],
        extensions=tuple(extensions),
        fragment_header=fragment_header,
        offset=word >> 3,
        more=bool(word & 1),
        identification=identification,
    )
