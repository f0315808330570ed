"""Why a packet was not translated: which of its addresses failed and by which check, or what else its octets show.

The reason is the core's. What is added here are facts of the packet that the reason is about; where none fits, the
reason's own sentence has to do.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from nfxlat.offline.header import View, shown, view
from nfxlat.offline.icmp_changes import Message, message
from nfxlat.offline.summary import icmp_name, protocol_name
from nfxlat.outcome import Action, Outcome, Reason
from nfxlat.wire import fragment, icmp, ipv4, ipv6
from nfxlat.wire.checksum import internet_checksum, word_sum
from nfxlat.xlat.addresses import AddressMap
from nfxlat.xlat.explain import Explanation, explain

_OUTER: Final = ("source", "destination")
_INNER: Final = ("quoted source", "quoted destination")
_MARTIAN: Final = frozenset((Reason.MARTIAN_SOURCE, Reason.MARTIAN_DESTINATION, Reason.MARTIAN_INNER))
_NO_MAPPING: Final = frozenset((Reason.NO_MAPPING_SOURCE, Reason.NOT_OURS, Reason.INNER_NO_MAPPING))
# The addresses that each reason can be about, and the reasons that the explanation of one of them gives.
_ABOUT: Final = {
    # A link-local destination is left to the link, an error about native IPv6 to its host.
    Reason.NOT_OURS: (_OUTER[1:] + _INNER, _NO_MAPPING | _MARTIAN),
    Reason.NO_MAPPING_SOURCE: (_OUTER, _NO_MAPPING),
    Reason.MARTIAN_SOURCE: (_OUTER[:1], _MARTIAN),
    Reason.MARTIAN_DESTINATION: (_OUTER[1:], _MARTIAN),
    Reason.MARTIAN_INNER: (_INNER, _MARTIAN),
    Reason.INNER_NO_MAPPING: (_INNER, _NO_MAPPING),
    Reason.DENYLISTED: (_OUTER + _INNER, frozenset((Reason.DENYLISTED,))),
    Reason.WELL_KNOWN_PREFIX: (_OUTER + _INNER, frozenset((Reason.WELL_KNOWN_PREFIX,))),
}
_HAS_ERROR: Final = frozenset(
    (
        Reason.HOP_LIMIT_EXCEEDED,
        Reason.PACKET_TOO_BIG,
        Reason.SOURCE_ROUTE,
        Reason.ROUTING_HEADER,
        Reason.EXTENSION_AFTER_FRAGMENT,
        Reason.NO_MAPPING_SOURCE,
    )
)


class Refusal(NamedTuple):
    """Sentences why, and the addresses by role: what each becomes, or why it does not."""

    why: list[str]
    addresses: list[tuple[str, Explanation]]
    failed: list[str]  # the roles of those that failed


def refusal(addresses: AddressMap, packet: bytes, outcome: Outcome) -> Refusal:
    """Why `packet` came to `outcome`, which is not TRANSLATED."""
    reason, seen = outcome.reason, view(packet)
    if seen is None:
        return Refusal([_no_header(packet, reason)], [], [])
    told = _addresses(addresses, seen)
    roles, reasons = _ABOUT.get(reason, ((), frozenset()))
    failed = [(role, each) for role, each in told if role in roles and each.reason in reasons]
    why = [reason.sentence, *(f"{role} {each.address}: {each.arithmetic}" for role, each in failed)]
    if fact := _FACTS.get(reason):
        why.append(fact(seen, packet))
    if reason in _HAS_ERROR and outcome.action is Action.DROPPED:
        why.append("no ICMP error is sent about ICMP errors, fragments other than the first, multicast and the like")
    return Refusal([line for line in why if line], told, [role for role, _ in failed])


def _addresses(addresses: AddressMap, seen: View) -> list[tuple[str, Explanation]]:
    error = message(seen)
    hop_limit = seen.hop_limit if error else None
    told = [
        ("source", explain(addresses, seen.source, error_hop_limit=hop_limit)),
        ("destination", explain(addresses, seen.destination)),
    ]
    if error and (quote := view(error.quote)):
        told.append(("quoted source", explain(addresses, quote.source)))
        told.append(("quoted destination", explain(addresses, quote.destination)))
    return told


def _no_header(packet: bytes, reason: Reason) -> str:
    if reason is Reason.NOT_IP:
        return f"version {packet[0] >> 4} is neither 4 nor 6" if packet else "the packet is empty"
    return f"{len(packet)} octets are shorter than the header"


def _truncated(seen: View, packet: bytes) -> str:
    if seen.version == 4 and seen.length < seen.header_length:
        return f"total_length {seen.length} is less than the header's {seen.header_length}"
    if seen.version == 4 and seen.fields["ihl"] < 5:
        return f"ihl {seen.fields['ihl']} is less than 5"
    return f"the header says {seen.length} octets, but there are {len(packet)}"


def _header_checksum(seen: View, packet: bytes) -> str:
    header = packet[: seen.header_length]
    right = internet_checksum(header[: ipv4.CHECKSUM] + b"\0\0" + header[ipv4.SOURCE :])
    return f"header_checksum is {shown('header_checksum', seen.fields['header_checksum'])}, should be 0x{right:04x}"


def _too_big(seen: View, _: bytes) -> str:
    data = seen.length - seen.header_length
    if seen.version == 4:
        header = ipv6.HEADER_LENGTH + (fragment.FRAGMENT_HEADER_LENGTH if seen.is_fragment else 0)
        flag = "DF is set" if seen.fields["df"] else "DF is not set"
        return f"{seen.length} octets would become {data + header}, and {flag}"
    return f"{seen.length} octets would become {data + ipv4.HEADER_LENGTH} as IPv4"


def _icmp_checksum(seen: View, _: bytes) -> str:
    octets = seen.payload
    pseudo = 0
    if seen.version == 6:
        pseudo = word_sum(seen.source.packed + seen.destination.packed) + len(octets) + icmp.PROTOCOL6
    right = internet_checksum(octets[: icmp.CHECKSUM] + b"\0\0" + octets[icmp.REST :], pseudo)
    return f"{protocol_name(seen.protocol)} checksum is 0x{octets[2:4].hex()}, should be 0x{right:04x}"


def _icmp_type(seen: View, _: bytes) -> str:
    if len(seen.payload) < 2:
        return ""
    name = icmp_name(seen.protocol, seen.payload[0], seen.payload[1])
    return f"{protocol_name(seen.protocol)} {name} has no counterpart"


def _of_quote(fact: Callable[[View, Message], str]) -> Callable[[View, bytes], str]:
    def tell(seen: View, _: bytes) -> str:
        error = message(seen)
        quote = view(error.quote) if error else None
        return fact(quote, error) if error and quote else f"{len(error.quote) if error else 0} octets are quoted"

    return tell


def _pointer(seen: View, _: bytes) -> str:
    error = message(seen)
    return f"pointer {error.pointer} marks a field that the other header does not have" if error else ""


def _rfc4884_length(seen: View, _: bytes) -> str:
    error = message(seen)
    if error is None or error.length is None:
        return ""
    there = len(seen.payload) - icmp.HEADER_LENGTH
    return f"length {error.length} means {error.length * error.unit} octets of quote, but there are {there}"


def _segments_left(seen: View, _: bytes) -> str:
    left = [extension.segments_left for extension in seen.extensions if extension.name == "routing"]
    return f"Segments Left is {', '.join(map(str, left))}"


def _fragment(seen: View, _: bytes) -> str:
    more = "more follow" if seen.more else "the last"
    return f"offset {seen.offset * 8}, {len(seen.payload)} octets, {more}"


_FACTS: Final[dict[Reason, Callable[[View, bytes], str]]] = {
    Reason.HOP_LIMIT_EXCEEDED: lambda seen, _: (
        f"{'ttl' if seen.version == 4 else 'hop_limit'} is {seen.hop_limit}, and "
        + (
            "one hop is taken off here"
            if seen.hop_limit < 2
            else "each of the two passes of the hairpin takes one hop off"
        )
    ),
    Reason.PACKET_TOO_BIG: _too_big,
    Reason.SOURCE_ROUTE: lambda seen, _: f"options {seen.options.hex(' ')}",
    Reason.BAD_OPTIONS: lambda seen, _: f"options {seen.options.hex(' ')}",
    Reason.ROUTING_HEADER: _segments_left,
    Reason.EXTENSION_AFTER_FRAGMENT: lambda seen, _: f"the Fragment Header leads to {protocol_name(seen.protocol)}",
    Reason.TRUNCATED: _truncated,
    Reason.HEADER_CHECKSUM: _header_checksum,
    Reason.BAD_FRAGMENT: _fragment,
    Reason.BAD_EXTENSION: lambda seen, packet: (
        f"the chain of extension headers leads to octet {seen.header_length} of {min(seen.length, len(packet))}"
    ),
    Reason.BAD_TRANSPORT: lambda seen, _: f"{len(seen.payload)} octets of {protocol_name(seen.protocol)}",
    Reason.FRAGMENTED_ICMP: _fragment,
    Reason.UDP_ZERO_CHECKSUM: lambda seen, _: 'udp-zero-checksum = "compute" or "forward" would translate it',
    Reason.UDP_ZERO_CHECKSUM_FRAGMENT: lambda seen, _: 'udp-zero-checksum = "forward" would translate it',
    Reason.FORBIDDEN_PROTOCOL: lambda seen, _: _forbidden(seen),
    Reason.ICMP_CHECKSUM: _icmp_checksum,
    Reason.ICMP_TYPE: _icmp_type,
    Reason.ICMP_POINTER: _pointer,
    Reason.ICMP_LENGTH: _rfc4884_length,
    Reason.INNER_TRUNCATED: _of_quote(lambda quote, error: f"{len(error.quote)} octets are quoted"),
    Reason.INNER_MALFORMED: _of_quote(
        lambda quote, error: f"it says {quote.length} octets and version {quote.version}"
    ),
    Reason.INNER_ICMP_ERROR: _of_quote(lambda quote, error: _icmp_type(quote, b"").replace(" has no counterpart", "")),
    Reason.INNER_ICMP_TYPE: _of_quote(lambda quote, error: _icmp_type(quote, b"")),
    Reason.HAIRPIN_OFF: lambda seen, _: f"{seen.destination} maps to an IPv4 address that an EAM covers",
    Reason.ERROR_NO_SOURCE: lambda seen, _: "set address6, or a prefix6",
}


def _forbidden(seen: View) -> str:
    error = message(seen)
    quote = view(error.quote) if error else None
    if error is None or quote is None:
        return f"protocol {seen.protocol} is {protocol_name(seen.protocol)}"
    return f"the quoted packet has protocol {quote.protocol}, {protocol_name(quote.protocol)}"
