"""ICMP errors that the translator makes itself: type, code, source, quote, and when to keep silent.

Rules:
- About an ICMP error or martian addresses: never (RFC 1812 4.3.2.7, RFC 4443 2.4(e)). About a fragment other than the
  first: never in IPv4; in IPv6 Time Exceeded and Packet Too Big alone.
- The default code of IPv6, 1/1, is not sent about any ICMPv6 message (RFC 7915 5.4); a router's own duties (Time
  Exceeded, Packet Too Big, Parameter Problem, no route) are done for echo messages too: ping and traceroute need them.
- The quote is the packet as it was received, as much as fits 576 or 1280 octets.
- The source is address4 or address6, else the node's own towards the receiver, else 192.0.0.8, in prefix6 for IPv6.
- The rate limit is the data path's, which has a clock. It is asked before a source is looked for, which costs more.
"""

from collections.abc import Callable
from typing import Final

from nfxlat.outcome import Action, Outcome, Reason, dropped
from nfxlat.wire import icmp, ipv4, ipv6
from nfxlat.wire.checksum import word_sum
from nfxlat.xlat.addresses import DUMMY4, AddressMap
from nfxlat.xlat.fragmentation4 import identification
from nfxlat.xlat.special import martian4, martian6

_TYPE_CODE4: Final = {
    Reason.HOP_LIMIT_EXCEEDED: (11, 0),  # RFC 7915 4.1
    Reason.PACKET_TOO_BIG: (3, 4),  # RFC 7915 4.1
    Reason.SOURCE_ROUTE: (3, 5),  # RFC 7915 4.1
    Reason.NO_MAPPING_SOURCE: (3, 13),  # RFC 7915 4.4: the default
    Reason.NO_ROUTE: (3, 0),  # RFC 1812 5.2.7.1
    Reason.HOST_UNREACHABLE: (3, 1),
    Reason.PROHIBITED: (3, 13),
}
_TYPE_CODE6: Final = {
    Reason.HOP_LIMIT_EXCEEDED: (3, 0),  # RFC 7915 5.1
    Reason.PACKET_TOO_BIG: (2, 0),  # RFC 7915 1.4
    Reason.ROUTING_HEADER: (4, 0),  # RFC 7915 5.1
    Reason.EXTENSION_AFTER_FRAGMENT: (1, 1),  # RFC 7915 5.1.1, 5.4
    Reason.NO_MAPPING_SOURCE: (1, 1),  # RFC 7915 5.4: the default
    Reason.NO_ROUTE: (1, 0),  # RFC 4443 3.1
    Reason.HOST_UNREACHABLE: (1, 3),
    Reason.PROHIBITED: (1, 1),
}
_EACH_FRAGMENT: Final = (Reason.HOP_LIMIT_EXCEEDED, Reason.PACKET_TOO_BIG)  # RFC 4443 3.2, 3.3: a router must
_DEFAULT6: Final = (1, 1)
_TOS: Final = 0xC0  # RFC 1812 4.3.2.5: precedence 6
_TTL: Final = 64

Allow = Callable[[Reason, bytes], bool]  # whether an error for that reason may go to a receiver, 4 or 16 octets


def always(reason: Reason, receiver: bytes) -> bool:
    """No limit."""
    return True


class Errors:
    """The errors of one domain. Both methods give REJECTED with the one ICMP error, or DROPPED where none is sent."""

    __slots__ = ("_allow", "_dummy6", "_map")

    def __init__(self, addresses: AddressMap, allow: Allow = always) -> None:
        self._map, self._allow = addresses, allow
        self._dummy6 = addresses.to6(DUMMY4, eam=False).address

    def about4(self, packet: bytes, reason: Reason, mtu: int = 0) -> Outcome:
        """An ICMPv4 error about `packet`: whole, its header checked. `mtu`: for PACKET_TOO_BIG, 16 bits."""
        header_length = (packet[ipv4.VERSION_IHL] & 15) * 4
        source = packet[ipv4.SOURCE : ipv4.DESTINATION]
        if (packet[ipv4.FRAGMENT] << 8 | packet[ipv4.FRAGMENT + 1]) & ipv4.OFFSET_MASK:
            return dropped(reason)
        if packet[ipv4.PROTOCOL] == icmp.PROTOCOL4 and not (
            len(packet) > header_length and icmp.is_answerable4(packet[header_length])
        ):
            return dropped(reason)
        if martian4(source) or martian4(packet[ipv4.DESTINATION : ipv4.HEADER_LENGTH]):
            return dropped(reason)
        if not self._allow(reason, source):
            return dropped(Reason.ERROR_RATE_LIMITED)
        own = self._map.own_source(source) or DUMMY4
        quote = packet[: ipv4.ERROR_SIZE - ipv4.HEADER_LENGTH - icmp.HEADER_LENGTH]  # RFC 1812 4.3.2.3
        message = icmp.build4(*_TYPE_CODE4[reason], mtu, quote)
        total_length = ipv4.HEADER_LENGTH + len(message)
        number = identification(icmp.PROTOCOL4, message)
        header = ipv4.build(_TOS, total_length, number, 0, _TTL, icmp.PROTOCOL4, own + source)
        return Outcome(Action.REJECTED, reason, (header + message,))

    def about6(self, packet: bytes, reason: Reason, rest: int = 0) -> Outcome:
        """An ICMPv6 error about `packet`: whole, its header checked. `rest`: MTU or pointer, 32 bits."""
        type_code = _TYPE_CODE6[reason]
        source = packet[ipv6.SOURCE : ipv6.DESTINATION]
        chain = ipv6.walk(packet, len(packet))
        if chain.fault in (Reason.BAD_EXTENSION, Reason.BAD_FRAGMENT):
            return dropped(reason)
        # Of a later fragment nobody can tell whether it belongs to an ICMPv6 error (RFC 4443 2.4(e.1)).
        if (
            chain.fragment
            and chain.fragment >> 3
            and (chain.protocol == icmp.PROTOCOL6 or reason not in _EACH_FRAGMENT)
        ):
            return dropped(reason)
        if chain.protocol == icmp.PROTOCOL6 and not (
            type_code != _DEFAULT6  # RFC 7915 5.4
            and len(packet) > chain.offset
            and icmp.is_answerable6(packet[chain.offset])
        ):
            return dropped(reason)
        if martian6(source) or martian6(packet[ipv6.DESTINATION : ipv6.HEADER_LENGTH]):
            return dropped(reason)
        if not self._allow(reason, source):
            return dropped(Reason.ERROR_RATE_LIMITED)
        own = self._map.own_source(source) or self._dummy6
        if own is None:
            return dropped(Reason.ERROR_NO_SOURCE)
        quote = packet[: ipv6.ERROR_SIZE - ipv6.HEADER_LENGTH - icmp.HEADER_LENGTH]  # RFC 4443 2.4(c)
        addresses = own + source
        message = icmp.build6(*type_code, rest, quote, word_sum(addresses))
        header = ipv6.build(0, len(message), icmp.PROTOCOL6, _TTL, addresses)
        return Outcome(Action.REJECTED, reason, (header + message,))
