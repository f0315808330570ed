"""ICMPv6 errors to ICMPv4 (RFC 7915 5.2, 5.3), and back to ICMPv6 in a hairpin (RFC 7757 4.2.2, set B).

Rules:
- An ICMP error is never answered by an error: whatever is wrong drops it silently.
- Its checksum is verified before the new one is computed, so that a corrupt error does not become a valid one.
- A source without a mapping (a router, as a rule) is replaced out of rfc6791-v4, else by 192.0.0.8, and its own address
  goes along in a Node Identification Object (RFC 6791; draft-ietf-v6ops-icmpext-xlat-v6only-source).
- An IPv6 host with an EAM (a CLAT, most of all) has IPv6 of its own at the same address: an error that quotes a packet
  without mappings is about that, whatever else may be said of it, and passes.
- What comes out measures at most 576 octets or the MTU of the way, of a hairpin 1280.
- In a hairpin such a source is kept as it is: it never leaves IPv6. RFC 7757 would put a pool address there.
"""

from nfxlat.outcome import NOT_OURS, Action, Outcome, Reason, dropped
from nfxlat.wire import icmp, ipv4, ipv6
from nfxlat.wire.checksum import is_valid, word_sum
from nfxlat.xlat.addresses import AddressMap, Mapping, Method
from nfxlat.xlat.fragmentation4 import identification
from nfxlat.xlat.icmp import (
    NEXT_HEADER_POINTER,
    error_4to6,
    error_6to4,
    mtu_6to4,
    pointer_4to6,
    pointer_6to4,
)
from nfxlat.xlat.quote import Quote, Quotes
from nfxlat.xlat.special import martian4, martian6
from nfxlat.xlat.template import destination_fault6

_ROOM6 = ipv6.ERROR_SIZE - ipv6.HEADER_LENGTH - icmp.HEADER_LENGTH
_MULTICAST = 0xFF  # first octet (RFC 4291 2.7): IPv6 of one's own may go there
_WITH_LENGTH6 = (icmp.UNREACHABLE6, icmp.TIME_EXCEEDED6)  # RFC 4884 4


class IcmpErrors6to4:
    """The ICMPv6 errors of one domain."""

    __slots__ = ("_domain", "_map", "_quotes", "_traffic_class")

    def __init__(self, addresses: AddressMap, quotes: Quotes, traffic_class: bytes) -> None:
        self._domain = addresses.domain
        self._map, self._quotes, self._traffic_class = addresses, quotes, traffic_class

    def translate(
        self, packet: bytes, message: bytes, hops: int, mtu4: int, mtu6: int | None, number: int | None
    ) -> Outcome:
        """`packet` is whole, its extension headers walked; `message` is what follows them.

        `mtu4`: of the next hop, or of the path; `mtu6`: of the next hop back to the quoted destination, None: the
        domain's; `number`: the IPv4 Identification, if there was a Fragment Header.
        """
        first, _, _, hop_limit = ipv6.FIXED.unpack_from(packet)
        source6, destination6 = packet[ipv6.SOURCE : ipv6.DESTINATION], packet[ipv6.DESTINATION : ipv6.HEADER_LENGTH]
        destination = self._map.to4(destination6)
        if fault := destination_fault6(destination6, destination):
            return NOT_OURS if fault is Reason.NOT_OURS else dropped(fault)
        if destination.method is Method.EAM and self._is_native(message):
            return NOT_OURS
        if martian6(source6):  # RFC 7915 5.1
            return dropped(Reason.MARTIAN_SOURCE)
        source = self._map.to4(source6)
        if source.reason is Reason.WELL_KNOWN_PREFIX:  # RFC 6052 3.1: dropped, whatever it is
            return dropped(Reason.WELL_KNOWN_PREFIX)
        if source.address is None:
            pooled = self._map.rfc6791_v4(source6, hop_limit, destination.address or b"")  # RFC 6791 4
            source = Mapping(pooled, Method.RFC6791, None)
        if source.address is None or destination.address is None or martian4(source.address):
            return dropped(Reason.MARTIAN_SOURCE)
        if hops and hop_limit <= 1:  # RFC 7915 5.1
            return dropped(Reason.HOP_LIMIT_EXCEEDED)
        if len(message) < icmp.HEADER_LENGTH:
            return dropped(Reason.BAD_TRANSPORT)
        addresses_sum = word_sum(packet[ipv6.SOURCE : ipv6.HEADER_LENGTH])
        if not is_valid(message, addresses_sum + len(message) + icmp.PROTOCOL6):
            return dropped(Reason.ICMP_CHECKSUM)
        new = error_6to4(message[0], message[1])
        if new is None:
            return dropped(Reason.ICMP_TYPE)

        body = message[icmp.HEADER_LENGTH :]
        span = message[4] * icmp.LENGTH_UNIT6 if message[0] in _WITH_LENGTH6 else 0  # RFC 4884 4
        if span > len(body):
            return dropped(Reason.ICMP_LENGTH)
        extension = body[span:] if span else b""
        quote = self._quotes.v6to4(body[:span] if span else body, bool(span))
        if isinstance(quote, Reason):
            return dropped(quote)
        traffic_class = self._traffic_class[(first >> 20) & 255]
        if self._is_hairpin(quote):
            if self._domain.hairpin == "off":
                return dropped(Reason.HAIRPIN_OFF)
            keep = source6 if source.method is Method.RFC6791 else None
            addresses = self._addresses_back(source.address, destination.address, quote, keep)
            if isinstance(addresses, Reason):
                return dropped(addresses)
            back = self._message_back(message, new, quote, extension, word_sum(addresses))
            if isinstance(back, Reason):
                return dropped(back)
            header = ipv6.build(traffic_class, len(back), icmp.PROTOCOL6, hop_limit - hops, addresses)
            return Outcome(Action.TRANSLATED, Reason.HAIRPINNED, (header + back,))

        rest = self._rest4(message, new, quote, mtu4, self._domain.mtu6 if mtu6 is None else mtu6)
        if rest is None:
            return dropped(Reason.ICMP_POINTER)
        if source.method is Method.RFC6791:
            extension = icmp.append_object(extension, icmp.node_identification(source6))
        room = min(ipv4.ERROR_SIZE, mtu4) - ipv4.HEADER_LENGTH - icmp.HEADER_LENGTH
        data, length = icmp.lay_out(quote.packet, extension, icmp.LENGTH_UNIT4, room)
        message4 = icmp.build4(*new, rest | length << 16, data)
        # RFC 7915 5.1: at most 576 octets, so DF=0
        header4 = ipv4.build(
            traffic_class,
            ipv4.HEADER_LENGTH + len(message4),
            identification(icmp.PROTOCOL4, message4) if number is None else number,
            0,
            hop_limit - hops,
            icmp.PROTOCOL4,
            source.address + destination.address,
        )
        return Outcome(Action.TRANSLATED, Reason.TRANSLATED, (header4 + message4,))

    def _is_native(self, message: bytes) -> bool:
        """Whether the error quotes a packet that no translator has made: an address in it has no mapping."""
        inner = message[icmp.HEADER_LENGTH : icmp.HEADER_LENGTH + ipv6.HEADER_LENGTH]
        if len(inner) < ipv6.HEADER_LENGTH or inner[0] >> 4 != 6:
            return False
        ends = inner[ipv6.SOURCE : ipv6.DESTINATION], inner[ipv6.DESTINATION :]
        if any(martian6(end) and end[0] != _MULTICAST for end in ends):
            return False
        return any(self._map.to4(end).reason is Reason.NO_MAPPING_SOURCE for end in ends)

    def _rest4(self, message: bytes, new: tuple[int, int], quote: Quote, mtu4: int, mtu6: int | None) -> int | None:
        """Octets 4-7 of the ICMPv4 error, but for the length; None for a pointer without a counterpart."""
        value = int.from_bytes(message[icmp.REST : icmp.HEADER_LENGTH], "big")
        if message[0] == icmp.PACKET_TOO_BIG6:
            return mtu_6to4(value, quote.fragment_header, mtu4, mtu6)
        if new == (icmp.PARAMETER4, 0):
            pointer = pointer_6to4(value)
            return None if pointer is None else pointer << 24
        return 0

    def _is_hairpin(self, quote: Quote) -> bool:
        """RFC 7757 4.2.2, set B: the inner source was made by prefix6, and the EAMT covers it."""
        if self._domain.hairpin == "simple" or quote.source_method is not Method.PREFIX6:
            return False
        return self._map.in_eamt4(quote.packet[ipv4.SOURCE : ipv4.DESTINATION])

    def _addresses_back(
        self, source4: bytes, destination4: bytes, quote: Quote, source6: bytes | None
    ) -> bytes | Reason:
        """The outer addresses of the second pass. `source6`: that of a node without a mapping, kept."""
        destination, reason = self._map.to6(destination4), None
        if source6 is None:
            # RFC 7757 4.2.1, S3
            eam = source4 != quote.packet[ipv4.DESTINATION : ipv4.HEADER_LENGTH]
            source6, _, reason = self._map.to6(source4, eam)
        if source6 is None or destination.address is None:
            return reason or Reason.NO_MAPPING_SOURCE
        if martian6(source6) or martian6(destination.address):
            return Reason.MARTIAN_DESTINATION
        return source6 + destination.address

    def _message_back(
        self, message: bytes, between: tuple[int, int], quote: Quote, extension: bytes, addresses_sum: int
    ) -> bytes | Reason:
        """The ICMPv6 error of the second pass; `between`: type and code of the ICMPv4 error that it was on the way."""
        new = error_4to6(*between)
        assert new is not None  # whatever RFC 7915 5.2 yields is in the table of 4.2
        inner = self._quotes.v4to6(quote.packet, False, eam_destination=False)  # RFC 7757 4.2.1, S2
        if isinstance(inner, Reason):
            return inner
        value = int.from_bytes(message[icmp.REST : icmp.HEADER_LENGTH], "big")
        rest = 0
        if new[0] == icmp.PACKET_TOO_BIG6:  # what RFC 7915 5.2 takes off, 4.2 adds again
            rest = max(ipv6.MIN_MTU, min(value, ipv4.MAX_LENGTH))
        elif new == (icmp.PARAMETER6, 0):
            between_pointer = pointer_6to4(value)
            pointer = None if between_pointer is None else pointer_4to6(between_pointer)
            if pointer is None:
                return Reason.ICMP_POINTER
            rest = pointer
        elif new[0] == icmp.PARAMETER6:
            rest = NEXT_HEADER_POINTER
        data, length = icmp.lay_out(inner.packet, extension, icmp.LENGTH_UNIT6, _ROOM6)
        return icmp.build6(*new, rest or length << 24, data, addresses_sum)
