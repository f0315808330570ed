"""ICMPv4 errors to ICMPv6 (RFC 7915 4.2, 4.3).

Rules:
- An ICMP error is never answered by an error: whatever is wrong drops it silently.
- Its checksum is verified before the new one is computed, so that a corrupt error does not become a valid one.
- A source without a mapping takes an address out of rfc6791-v6, if there is one: the error is worth more than it.
- An illegal IPv4 source is mapped like others (RFC 7915 4.1); the data path is stricter and drops it.
- What comes out measures at most 1280 octets.
"""

from nfxlat.outcome import NOT_OURS, Action, Outcome, Reason, dropped
from nfxlat.wire import icmp, ipv4, ipv6
from nfxlat.wire.checksum import is_valid, word_sum
from nfxlat.xlat.addresses import AddressMap
from nfxlat.xlat.icmp import NEXT_HEADER_POINTER, error_4to6, mtu_4to6, pointer_4to6
from nfxlat.xlat.quote import Quotes
from nfxlat.xlat.special import martian6
from nfxlat.xlat.template import destination_fault4

_ROOM = ipv6.ERROR_SIZE - ipv6.HEADER_LENGTH - icmp.HEADER_LENGTH


class IcmpErrors4to6:
    """The ICMPv4 errors of one domain."""

    __slots__ = ("_domain", "_map", "_quotes", "_traffic_class")

    def __init__(self, addresses: AddressMap, quotes: Quotes, traffic_class: bytes) -> None:
        self._domain = addresses.domain
        self._map, self._quotes, self._traffic_class = addresses, quotes, traffic_class

    def translate(
        self,
        packet: bytes,
        header_length: int,
        message: bytes,
        hops: int,
        mtu6: int | None,
        mtu4: int | None,
    ) -> Outcome:
        """`packet` is whole and unfragmented, its header checked; `message` is what follows the header.

        `mtu6`: of the next hop, None: not known; `mtu4`: of that back to the quoted destination, None: the domain's.
        """
        tos, ttl = packet[ipv4.TOS], packet[ipv4.TTL]
        addresses = self._addresses(packet, message, ttl)
        if isinstance(addresses, Reason):
            return NOT_OURS if addresses is Reason.NOT_OURS else dropped(addresses)
        unexpired = ipv4.source_route(packet[ipv4.HEADER_LENGTH : header_length])
        if unexpired is not False:
            return dropped(Reason.BAD_OPTIONS if unexpired is None else Reason.SOURCE_ROUTE)
        if hops and ttl <= 1:
            return dropped(Reason.HOP_LIMIT_EXCEEDED)
        body = self._body(message, word_sum(addresses), mtu6, self._domain.mtu4 if mtu4 is None else mtu4)
        if isinstance(body, Reason):
            return dropped(body)
        traffic_class = self._traffic_class[tos]
        header = ipv6.build(traffic_class, len(body), icmp.PROTOCOL6, ttl - hops, addresses)
        return Outcome(Action.TRANSLATED, Reason.TRANSLATED, (header + body,))

    def _addresses(self, packet: bytes, message: bytes, ttl: int) -> bytes | Reason:
        source4, destination4 = packet[ipv4.SOURCE : ipv4.DESTINATION], packet[ipv4.DESTINATION : ipv4.HEADER_LENGTH]
        destination = self._map.to6(destination4)
        if fault := destination_fault4(destination4, destination):
            return fault
        # RFC 7915 4.1: an illegal source is translated here, for the purpose of trouble-shooting
        eam = True
        if self._domain.hairpin == "simple":  # RFC 7757 4.2.1, S3
            at = icmp.HEADER_LENGTH + ipv4.DESTINATION
            eam = message[at : at + 4] != source4
        source = self._map.to6(source4, eam)
        source6 = source.address or self._map.rfc6791_v6(source4, ttl)
        if source6 is None or destination.address is None:
            return source.reason or Reason.NO_MAPPING_SOURCE
        return Reason.MARTIAN_SOURCE if martian6(source6) else source6 + destination.address

    def _body(self, message: bytes, addresses_sum: int, mtu6: int | None, mtu4: int | None) -> bytes | Reason:
        """The ICMPv6 message for an ICMPv4 error message, at most 1280 octets with its IPv6 header."""
        if len(message) < icmp.HEADER_LENGTH:
            return Reason.BAD_TRANSPORT
        if not is_valid(message):
            return Reason.ICMP_CHECKSUM
        old_type, old_code = message[0], message[1]
        new = error_4to6(old_type, old_code)
        if new is None:
            return Reason.ICMP_TYPE
        span = message[5] * icmp.LENGTH_UNIT4  # RFC 4884 4
        body = message[icmp.HEADER_LENGTH :]
        if span > len(body):
            return Reason.ICMP_LENGTH
        extension = body[span:] if span else b""
        eam_destination = self._domain.hairpin != "simple"  # RFC 7757 4.2.1, S2
        quote = self._quotes.v4to6(body[:span] if span else body, bool(span), eam_destination)
        if isinstance(quote, Reason):
            return quote
        rest = 0
        if new == (icmp.PACKET_TOO_BIG6, 0):
            mtu = message[6] << 8 | message[7]
            rest = mtu_4to6(mtu, quote.length, self._domain.mtu_plateaus, mtu4, mtu6)
        elif new == (icmp.PARAMETER6, 0):
            pointer = pointer_4to6(message[4])
            if pointer is None:
                return Reason.ICMP_POINTER
            rest = pointer
        elif new[0] == icmp.PARAMETER6:  # RFC 7915 4.2
            rest = NEXT_HEADER_POINTER
        if new[0] in (icmp.PACKET_TOO_BIG6, icmp.PARAMETER6):  # they have no length attribute (RFC 4884 4.5)
            extension = b""
        data, length = icmp.lay_out(quote.packet, extension, icmp.LENGTH_UNIT6, _ROOM)
        return icmp.build6(*new, rest or length << 24, data, addresses_sum)
