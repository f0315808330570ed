"""What became of a packet: an action, the reason for it, and the packets that come out.

Every outcome names one `Reason` out of the one table below; a drop without a reason cannot be written. A reason carries
one sentence for the operator and the clause it follows from, so that counters, `explain` and logs say the same thing.

The reasons listed under "rejected" come with DROPPED too: where an ICMP error would be due but must not be sent (about
an ICMP error, most fragments other than the first, a multicast address; RFC 1812 4.3.2.7, RFC 4443 2.4), the reason
stays what it was and the action is DROPPED, since the operator asks why the packet died, not why nobody was told.
"""

from enum import Enum, StrEnum
from typing import NamedTuple


class Action(StrEnum):
    """The four things that can happen to a packet that reaches the translator."""

    TRANSLATED = "translated"  # packets: the one translated packet, or its fragments in order
    REJECTED = "rejected"  # packets: the one ICMP error, in the sender's own family
    DROPPED = "dropped"  # packets: none
    PASSED = "passed"  # packets: none; the packet is not ours and goes on untouched


class Reason(Enum):
    """Why: (sentence for the operator, clause). The member's `label` is its name in lower case."""

    # translated
    TRANSLATED = ("translated", "RFC 7915 4, 5")
    FRAGMENTED = ("translated and fragmented: the result is too big for the other side", "RFC 7915 4.1, 5.1.1")
    HAIRPINNED = ("translated to IPv4 and back to IPv6: both hosts are IPv6 (hairpin)", "RFC 7757 4.2")
    UDP_CHECKSUM_COMPUTED = ("translated; the missing UDP checksum was computed", "RFC 7915 4.5")
    UDP_CHECKSUM_FORWARDED = ("translated; the UDP checksum stays zero, as configured", "RFC 7915 1.2")
    # passed
    NOT_OURS = (
        "the destination is in no prefix6, EAM or pool of the domain, or an ICMPv6 error quotes what is in none",
        "RFC 7915 4.6, 5.6",
    )
    # rejected: an ICMP error goes back to the sender
    HOP_LIMIT_EXCEEDED = ("the TTL or Hop Limit ran out here", "RFC 7915 4.1, 5.1")
    PACKET_TOO_BIG = ("too big for the next hop, and must not be fragmented", "RFC 7915 1.4, 4.1")
    SOURCE_ROUTE = ("an unexpired IPv4 source route option", "RFC 7915 4.1")
    ROUTING_HEADER = ("an IPv6 Routing header with segments left", "RFC 7915 5.1")
    EXTENSION_AFTER_FRAGMENT = ("an extension header after the Fragment header", "RFC 7915 5.1.1")
    NO_MAPPING_SOURCE = ("the source address is in no prefix6 or EAM of the domain", "RFC 7915 4.4, 5.4")
    NO_ROUTE = ("no route to the translated destination", "RFC 7915 1.4")
    HOST_UNREACHABLE = ("the translated destination is unreachable from here", "RFC 7915 1.4")
    PROHIBITED = ("the route to the translated destination is of type prohibit", "RFC 7915 1.4")
    # dropped: the packet is malformed
    NOT_IP = ("neither IPv4 nor IPv6", "RFC 7915 4, 5")
    TRUNCATED = ("shorter than its own headers say", "RFC 791 3.1, RFC 8200 3")
    HEADER_CHECKSUM = ("the IPv4 header checksum is wrong", "RFC 791 3.1")
    BAD_OPTIONS = ("a malformed IPv4 option list", "RFC 791 3.1")
    BAD_FRAGMENT = (
        "a malformed fragment: length not a multiple of 8, past 65535, or a second Fragment header",
        "RFC 8200 4.5",
    )
    BAD_EXTENSION = ("a malformed or truncated IPv6 extension header chain, or a jumbogram", "RFC 8200 4")
    BAD_TRANSPORT = ("the transport header is cut off, or its length field is wrong", "RFC 7915 4.5, 5.5")
    # dropped: addresses
    MARTIAN_SOURCE = ("the source address must never appear on the wire", "RFC 7915 4.1, 5.1")
    MARTIAN_DESTINATION = ("packets to the destination address must never be forwarded", "RFC 1812 5.3.7")
    MARTIAN_INNER = ("an address in the quoted packet must never appear on the wire", "RFC 1812 5.3.7")
    DENYLISTED = ("an address is on the domain's denylist4", "RFC 7915 6")
    WELL_KNOWN_PREFIX = (
        'a non-global IPv4 address inside the well-known prefix, which well-known-prefix = "lax" would translate',
        "RFC 6052 3.1",
    )
    HAIRPIN_OFF = ("a hairpin packet, and hairpinning is off", "RFC 7757 4")
    LOCAL_SOURCE = (
        "the source, or the one it maps to, is an address of this node, but the packet came from outside",
        "RFC 1812 5.3.8",
    )
    # dropped: transport and ICMP
    FRAGMENTED_ICMP = ("a fragment of an ICMP message: its checksum needs the whole message", "RFC 7915 1.2")
    UDP_ZERO_CHECKSUM = ("IPv4 UDP without a checksum", "RFC 7915 4.5")
    UDP_ZERO_CHECKSUM_FRAGMENT = ("the first fragment of an IPv4 UDP datagram without a checksum", "RFC 7915 4.5")
    FORBIDDEN_PROTOCOL = ("a protocol number that means something else in the other family", "RFC 7915 4.1, 5.1")
    IGMP = ("IGMP is local to its link", "RFC 7915 4.2")
    ICMP_CHECKSUM = ("the ICMP checksum is wrong", "RFC 7915 4.2, 5.2")
    ICMP_TYPE = ("an ICMP type or code without a counterpart in the other family", "RFC 7915 4.2, 5.2")
    ICMP_POINTER = ("a Parameter Problem whose pointer has no counterpart", "RFC 7915 4.2, 5.2")
    ICMP_LENGTH = ("the RFC 4884 length attribute exceeds the message", "RFC 4884 4")
    INNER_TRUNCATED = ("the quoted packet is too short to be translated", "RFC 7915 4.3, 5.3")
    INNER_MALFORMED = ("the quoted packet is malformed", "RFC 7915 4.3, 5.3")
    INNER_NO_MAPPING = ("an address in the quoted packet has no mapping", "RFC 7915 4.3, 5.3")
    INNER_ICMP_ERROR = ("an ICMP error that quotes an ICMP error", "RFC 7915 4.3, 5.3")
    INNER_ICMP_TYPE = ("a quoted ICMP message without a counterpart in the other family", "RFC 7915 4.3, 5.3")
    # dropped where an ICMP error was due but could not be sent
    ERROR_RATE_LIMITED = ("an ICMP error was due, but was suppressed by the rate limit", "RFC 4443 2.4")
    ERROR_NO_SOURCE = ("an ICMP error was due, but the domain has no address to send it from", "RFC 7915 4.4, 5.4")
    # the data path's own
    FROM_DOMAIN_DEVICE = ("came in on the domain's own device, so it is not translated again", "RFC 7915 4.6, 5.6")
    SUPERFRAME_UNKNOWN = ("a superframe whose segment size is unknown", "nfnetlink_queue.c")
    SUPERFRAME_SEGMENTS = (
        "a superframe of more segments than 64 KB in segments of 88 octets",
        "net/tcp.h, TCP_MIN_MSS",
    )
    QUEUE_TRUNCATED = ("the queue delivered only part of the packet", "nfnetlink_queue.c")
    INJECT_TOO_BIG = ("the injector refused the packet as too big", "af_packet.c, raw.c")
    INJECT_NO_BUFFER = ("the injector had no buffer space", "af_packet.c, raw.c")
    INJECT_FAILED = ("the injector refused the packet", "af_packet.c, raw.c")

    def __init__(self, sentence: str, rfc: str) -> None:
        self.sentence, self.rfc = sentence, rfc
        self.label = self.name.lower()


TRANSLATING = frozenset(
    (
        Reason.TRANSLATED,
        Reason.FRAGMENTED,
        Reason.HAIRPINNED,
        Reason.UDP_CHECKSUM_COMPUTED,
        Reason.UDP_CHECKSUM_FORWARDED,
    )
)
PASSING = frozenset((Reason.NOT_OURS, Reason.FROM_DOMAIN_DEVICE))
REFUSING = frozenset((Reason.INJECT_TOO_BIG, Reason.INJECT_NO_BUFFER, Reason.INJECT_FAILED))
"""Reasons for which a packet left translated, went on as it was, and was refused by an injector."""


class Outcome(NamedTuple):
    """What one packet became. `packets` holds whole IP packets; empty for DROPPED and PASSED."""

    action: Action
    reason: Reason
    packets: tuple[bytes, ...] = ()


_DROPPED = {reason: Outcome(Action.DROPPED, reason) for reason in Reason}
NOT_OURS = Outcome(Action.PASSED, Reason.NOT_OURS)


def dropped(reason: Reason) -> Outcome:
    """DROPPED for `reason`, with no packet."""
    return _DROPPED[reason]
