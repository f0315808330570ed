"""IPv4 to IPv6: RFC 7915 section 4.

Order of the checks: the header itself, both addresses, options, TTL, fragmentation, transport, size. An ICMP error
takes a way of its own from the addresses on, since its source may be a router without a mapping and it quotes a packet.
"""

from nfxlat.outcome import NOT_OURS, Action, Outcome, Reason, dropped
from nfxlat.wire import fragment, icmp, ipv4, ipv6
from nfxlat.wire.checksum import difference
from nfxlat.wire.transport import CHECKSUM_AT, HEADER_LENGTH, UDP, compute_udp_checksum, update_checksum
from nfxlat.xlat.addresses import AddressMap
from nfxlat.xlat.errors import Errors
from nfxlat.xlat.icmp import ECHO_4TO6, FRAGMENT_DIFFERENCE, HEADER_DIFFERENCE
from nfxlat.xlat.icmp_v4to6 import IcmpErrors4to6
from nfxlat.xlat.protocols import refused4
from nfxlat.xlat.quote import Quotes
from nfxlat.xlat.template import Pair, Pairs

_ERRORS = (icmp.UNREACHABLE4, icmp.TIME_EXCEEDED4, icmp.PARAMETER4)
_UDP_CHECKSUM = slice(CHECKSUM_AT[UDP], CHECKSUM_AT[UDP] + 2)


class V4to6:
    """The 4 to 6 half of a translator."""

    __slots__ = ("_domain", "_errors", "_icmp_errors", "_limit", "_pairs", "_traffic_class")

    def __init__(
        self, addresses: AddressMap, pairs: Pairs, errors: Errors, quotes: Quotes, traffic_class: bytes
    ) -> None:
        self._domain = addresses.domain
        self._pairs, self._errors = pairs.v4to6, errors
        self._icmp_errors = IcmpErrors4to6(addresses, quotes, traffic_class)
        self._traffic_class = traffic_class
        self._limit = self._domain.lowest_ipv6_mtu

    def translate(
        self,
        packet: bytes,
        hops: int,
        next_hop_mtu: int | None,
        mtu_back: int | None = None,
        *,
        reassembled: bool = False,
    ) -> Outcome:
        """Any octets whose first four bits are 4."""
        mtu6 = self._domain.mtu6 if next_hop_mtu is None else next_hop_mtu
        if len(packet) < ipv4.HEADER_LENGTH:
            return dropped(Reason.TRUNCATED)
        version_ihl, tos, total_length, _, word, ttl, protocol = ipv4.FIXED.unpack_from(packet)
        header_length = (version_ihl & 15) * 4
        if not ipv4.HEADER_LENGTH <= header_length <= total_length <= len(packet):
            return dropped(Reason.TRUNCATED)
        if total_length < len(packet):  # the padding of a short Ethernet frame
            packet = packet[:total_length]
        if int.from_bytes(packet[:header_length], "big") % 0xFFFF:  # RFC 791 3.1: the sum of a header is 0xffff
            return dropped(Reason.HEADER_CHECKSUM)
        if reassembled and word & (ipv4.DF | ipv4.FRAGMENTED) == ipv4.DF:
            packet, word = ipv4.without_df(packet), word & ~ipv4.DF
        payload = packet[header_length:]
        if protocol == icmp.PROTOCOL4 and not word & ipv4.FRAGMENTED and payload and payload[0] in _ERRORS:
            return self._icmp_errors.translate(packet, header_length, payload, hops, mtu6, mtu_back)

        pair = self._pairs[packet[ipv4.SOURCE : ipv4.HEADER_LENGTH]]
        if isinstance(pair, Reason):
            if pair is Reason.NOT_OURS:  # RFC 7915 4.6
                return NOT_OURS
            return self._errors.about4(packet, pair) if pair is Reason.NO_MAPPING_SOURCE else dropped(pair)
        if header_length > ipv4.HEADER_LENGTH:  # RFC 7915 4.1: options are ignored, but for source routes
            unexpired = ipv4.source_route(packet[ipv4.HEADER_LENGTH : header_length])
            if unexpired is None:
                return dropped(Reason.BAD_OPTIONS)
            if unexpired:
                return self._errors.about4(packet, Reason.SOURCE_ROUTE)
        if hops and ttl <= 1:  # RFC 7915 4.1
            return self._errors.about4(packet, Reason.HOP_LIMIT_EXCEEDED)

        reason = Reason.TRANSLATED
        if not word & ipv4.FRAGMENTED:
            translated = self._whole(protocol, payload, pair)
        elif fragment.is_bad(word & ipv4.OFFSET_MASK, bool(word & ipv4.MF), len(payload)):
            return dropped(Reason.BAD_FRAGMENT)
        else:
            translated = self._fragment(protocol, payload, pair, bool(word & ipv4.OFFSET_MASK))
        if isinstance(translated, Reason):
            return dropped(translated)
        if protocol == UDP and payload[_UDP_CHECKSUM] == b"\0\0" and not word & ipv4.OFFSET_MASK:
            computed = self._domain.udp_zero_checksum == "compute"
            reason = Reason.UDP_CHECKSUM_COMPUTED if computed else Reason.UDP_CHECKSUM_FORWARDED

        next_header = icmp.PROTOCOL6 if protocol == icmp.PROTOCOL4 else protocol  # RFC 7915 4.1
        traffic_class = self._traffic_class[tos]  # RFC 7915 4.1: the option
        length = len(translated)
        hop_limit = ttl - hops
        size = ipv6.HEADER_LENGTH + length
        if not word & ipv4.FRAGMENTED and (
            size <= ipv6.MIN_MTU or ((mtu6 is None or size <= mtu6) and (word & ipv4.DF or size <= self._limit))
        ):  # RFC 7915 4: what fits goes whole, without a Fragment Header
            header = ipv6.build(traffic_class, length, next_header, hop_limit, pair.addresses)
            return Outcome(Action.TRANSLATED, reason, (header + translated,))
        return self._sized(packet, traffic_class, next_header, hop_limit, pair.addresses, translated, mtu6, reason)

    def _sized(
        self,
        packet: bytes,
        traffic_class: int,
        next_header: int,
        hop_limit: int,
        addresses: bytes,
        payload: bytes,
        mtu6: int | None,
        reason: Reason,
    ) -> Outcome:
        """A fragment, or a packet that does not fit: DF=1 is refused with the MTU, DF=0 is cut (RFC 7915 4.1)."""
        identification, word = ipv4.FIXED.unpack_from(packet)[3:5]
        is_fragment = bool(word & ipv4.FRAGMENTED)
        size = ipv6.HEADER_LENGTH + len(payload) + (fragment.FRAGMENT_HEADER_LENGTH if is_fragment else 0)
        if mtu6 is not None:
            mtu6 = max(ipv6.MIN_MTU, mtu6)  # RFC 8200 5: no IPv6 link has less
        if not word & ipv4.DF:
            limit = self._limit if mtu6 is None else min(self._limit, mtu6)
        elif mtu6 is None or size <= mtu6:
            limit = size
        else:  # RFC 7915 4.1; a fragment grows by its Fragment Header too
            less = FRAGMENT_DIFFERENCE if is_fragment else HEADER_DIFFERENCE
            return self._errors.about4(packet, Reason.PACKET_TOO_BIG, mtu6 - less)
        room = limit - ipv6.HEADER_LENGTH - fragment.FRAGMENT_HEADER_LENGTH
        packets = []
        for piece in fragment.pieces(len(payload), room, word & ipv4.OFFSET_MASK, bool(word & ipv4.MF)):
            data = payload[piece.start : piece.end]
            length = fragment.FRAGMENT_HEADER_LENGTH + len(data)  # RFC 7915 4.1
            header = ipv6.build(traffic_class, length, ipv6.FRAGMENT, hop_limit, addresses)
            # RFC 7915 4.1: the Identification is 0x0000 and the IPv4 one
            packets.append(header + fragment.build(next_header, piece.offset, piece.more, identification) + data)
        return Outcome(Action.TRANSLATED, Reason.FRAGMENTED if len(packets) > 1 else reason, tuple(packets))

    def _whole(self, protocol: int, payload: bytes, pair: Pair) -> bytes | Reason:
        """The transport of an unfragmented packet (RFC 7915 4.2, 4.5)."""
        if protocol in HEADER_LENGTH:
            if len(payload) < HEADER_LENGTH[protocol]:
                return Reason.BAD_TRANSPORT
            if protocol == UDP and payload[_UDP_CHECKSUM] == b"\0\0":
                return self._udp_without_checksum(payload, pair)
            return update_checksum(protocol, payload, pair.delta)
        if protocol == icmp.PROTOCOL4:
            return self._echo(payload, pair)
        return refused4(protocol) or payload  # RFC 7915 4.5: other transports as they are

    def _fragment(self, protocol: int, payload: bytes, pair: Pair, is_later: bool) -> bytes | Reason:
        """The data of a fragment; the first one holds the transport header, whose checksum spans the whole datagram."""
        if protocol == icmp.PROTOCOL4:  # RFC 7915 1.2
            return Reason.FRAGMENTED_ICMP
        if reason := refused4(protocol):
            return reason
        if is_later or protocol not in HEADER_LENGTH:
            return payload
        if len(payload) < HEADER_LENGTH[protocol]:
            return Reason.BAD_TRANSPORT
        if protocol == UDP and payload[_UDP_CHECKSUM] == b"\0\0" and self._domain.udp_zero_checksum != "forward":
            return Reason.UDP_ZERO_CHECKSUM_FRAGMENT  # RFC 7915 4.5: computing would take the other fragments
        return update_checksum(protocol, payload, pair.delta)

    def _udp_without_checksum(self, payload: bytes, pair: Pair) -> bytes | Reason:
        """RFC 7915 4.5 and its erratum 6955: it is the UDP checksum that is computed."""
        mode = self._domain.udp_zero_checksum
        if mode == "drop":
            return Reason.UDP_ZERO_CHECKSUM
        if mode == "forward":
            return payload
        return compute_udp_checksum(payload, pair.new_sum) or Reason.BAD_TRANSPORT

    def _echo(self, payload: bytes, pair: Pair) -> bytes | Reason:
        """RFC 7915 4.2. The checksum is updated like others: a wrong one stays wrong, for the receiver to see."""
        if len(payload) < icmp.HEADER_LENGTH:
            return Reason.BAD_TRANSPORT
        new_type = ECHO_4TO6.get(payload[0])
        if new_type is None:
            return Reason.ICMP_TYPE
        new = (new_type << 8) + pair.new_sum + len(payload) + icmp.PROTOCOL6
        return icmp.retype(payload, new_type, difference(payload[0] << 8 | payload[1], new))
