"""IPv6 to IPv4: RFC 7915 section 5, and the hairpin of RFC 7757 4.2.2, which comes back as IPv6.

Order of the checks: the header itself, both addresses, extension headers, Hop Limit, fragmentation, transport, size. An
ICMPv6 error takes a way of its own from the addresses on.

Size. A result of at most 1260 octets has DF=0 and may be cut by anybody; a larger one has DF=1, and its sender is told.
`path_mtu4`, the learned path MTU of a destination, counts like the MTU of the next hop: since Packet Too Big never says
less than 1280 (RFC 7915 4.2), a sender can come down to 1280 octets, which become 1260, and from there on the fragments
are made here, for a path whose routers may not (Jool's issue 436). Larger packets are answered with Packet Too Big each
time, so a sender that missed the first one is told again. What was put together of fragments (`reassembled`) never was
one packet on the wire: it has DF=0 whatever its size.
"""

from nfxlat.outcome import NOT_OURS, Action, Outcome, Reason, dropped
from nfxlat.wire import fragment, icmp, ipv4, ipv6
from nfxlat.wire.checksum import difference
from nfxlat.wire.transport import HEADER_LENGTH, update_checksum
from nfxlat.xlat.addresses import AddressMap
from nfxlat.xlat.errors import Errors
from nfxlat.xlat.fragmentation4 import DF_THRESHOLD, identification, identification_of_whole
from nfxlat.xlat.icmp import ECHO_6TO4, FRAGMENT_DIFFERENCE, HEADER_DIFFERENCE
from nfxlat.xlat.icmp_v6to4 import IcmpErrors6to4
from nfxlat.xlat.quote import Quotes
from nfxlat.xlat.template import Pair, Pairs


class V6to4:
    """The 6 to 4 half of a translator."""

    __slots__ = ("_domain", "_errors", "_icmp_errors", "_pairs", "_traffic_class")

    def __init__(
        self, addresses: AddressMap, pairs: Pairs, errors: Errors, quotes: Quotes, traffic_class: bytes
    ) -> None:
        self._domain = addresses.domain
        self._pairs, self._errors = pairs.v6to4, errors
        self._icmp_errors = IcmpErrors6to4(addresses, quotes, traffic_class)
        self._traffic_class = traffic_class

    def translate(
        self,
        packet: bytes,
        hops: int,
        next_hop_mtu: int | None,
        path_mtu4: int | None,
        mtu_back: int | None = None,
        *,
        reassembled: bool = False,
    ) -> Outcome:
        """Any octets whose first four bits are 6."""
        limit = self._domain.mtu4 if next_hop_mtu is None else next_hop_mtu
        limit = ipv4.MAX_LENGTH if limit is None else min(ipv4.MAX_LENGTH, max(limit, ipv4.MIN_MTU))
        if path_mtu4 is not None:
            limit = min(limit, max(path_mtu4, ipv4.MIN_MTU))
        if len(packet) < ipv6.HEADER_LENGTH:
            return dropped(Reason.TRUNCATED)
        first, payload_length, protocol, hop_limit = ipv6.FIXED.unpack_from(packet)
        end = ipv6.HEADER_LENGTH + payload_length
        if end > len(packet):
            return dropped(Reason.TRUNCATED)
        if end < len(packet):
            packet = packet[:end]
        chain = None
        start = ipv6.HEADER_LENGTH
        if protocol in ipv6.CHAINED:
            chain = ipv6.walk(packet, end)
            protocol, start = chain.protocol, chain.offset
        word = chain.fragment if chain else None  # of the Fragment Header
        reassembled = reassembled and not word
        payload = packet[start:]
        if (
            protocol == icmp.PROTOCOL6
            and not word
            and payload
            and payload[0] < icmp.INFORMATIONAL6
            and not (chain and (chain.fault or chain.segments_left))
        ):
            number = chain.identification & 0xFFFF if chain and word is not None else None
            return self._icmp_errors.translate(packet, payload, hops, limit, mtu_back, number)

        pair = self._pairs[packet[ipv6.SOURCE : ipv6.HEADER_LENGTH]]
        if isinstance(pair, Reason):
            if pair is Reason.NOT_OURS:  # RFC 7915 5.6
                return NOT_OURS
            return self._errors.about6(packet, pair) if pair is Reason.NO_MAPPING_SOURCE else dropped(pair)
        if chain:
            if chain.fault is Reason.EXTENSION_AFTER_FRAGMENT:  # RFC 7915 5.1.1
                return self._errors.about6(packet, chain.fault)
            if chain.fault:
                return dropped(chain.fault)
            if chain.segments_left:  # RFC 7915 5.1: the pointer counts from the start of the IPv6 header
                return self._errors.about6(packet, Reason.ROUTING_HEADER, chain.segments_left)
        if hops and hop_limit <= 1:  # RFC 7915 5.1
            return self._errors.about6(packet, Reason.HOP_LIMIT_EXCEEDED)

        if word and fragment.is_bad(word >> 3, bool(word & 1), len(payload), ipv4.HEADER_LENGTH):
            return dropped(Reason.BAD_FRAGMENT)
        translated = self._transport(protocol, payload, pair, word or 0)
        if isinstance(translated, Reason):
            return dropped(translated)
        traffic_class = self._traffic_class[(first >> 20) & 255]
        hop_limit -= hops
        if pair.hairpin:
            mtu6 = self._domain.mtu6 if next_hop_mtu is None else next_hop_mtu
            if reassembled and len(packet) > self._domain.lowest_ipv6_mtu:
                return self._cut6(traffic_class, protocol, hop_limit, pair.addresses, translated)
            return self._send6(packet, chain, traffic_class, protocol, hop_limit, pair.addresses, translated, mtu6)
        if protocol == icmp.PROTOCOL6:
            protocol = icmp.PROTOCOL4  # RFC 7915 5.1

        total_length = ipv4.HEADER_LENGTH + len(translated)  # RFC 7915 5.1
        if total_length > limit:
            if total_length > DF_THRESHOLD and not reassembled:  # RFC 7915 1.4
                more = FRAGMENT_DIFFERENCE if word is not None else HEADER_DIFFERENCE
                return self._errors.about6(packet, Reason.PACKET_TOO_BIG, max(ipv6.MIN_MTU, limit + more))
            return self._cut(traffic_class, protocol, hop_limit, pair.addresses, translated, chain, limit, reassembled)
        if chain and word is not None:  # RFC 7915 5.1.1: DF=0, the low 16 bits of the Identification
            number = chain.identification & 0xFFFF
            flags = word >> 3 | (ipv4.MF if word & 1 else 0)
        elif total_length > DF_THRESHOLD and not reassembled:
            number, flags = 0, ipv4.DF  # RFC 7915 5.1; RFC 6864 4.1: no identification where DF=1
        else:
            number = identification_of_whole(translated) if reassembled else identification(protocol, translated)
            flags = 0
        header = ipv4.build(traffic_class, total_length, number, flags, hop_limit, protocol, pair.addresses)
        return Outcome(Action.TRANSLATED, Reason.TRANSLATED, (header + translated,))

    def _cut(
        self,
        tos: int,
        protocol: int,
        ttl: int,
        addresses: bytes,
        payload: bytes,
        chain: ipv6.Chain | None,
        limit: int,
        reassembled: bool,
    ) -> Outcome:
        """RFC 7915 5.1.1: DF=0 and larger than the next hop takes, so it is fragmented here."""
        word = 0
        if chain and chain.fragment is not None:
            word, number = chain.fragment, chain.identification & 0xFFFF
        elif reassembled:
            number = identification_of_whole(payload)
        else:
            number = identification(protocol, payload)
        packets = []
        for piece in fragment.pieces(len(payload), limit - ipv4.HEADER_LENGTH, word >> 3, bool(word & 1)):
            data = payload[piece.start : piece.end]
            flags = piece.offset | (ipv4.MF if piece.more else 0)
            length = ipv4.HEADER_LENGTH + len(data)
            packets.append(ipv4.build(tos, length, number, flags, ttl, protocol, addresses) + data)
        return Outcome(Action.TRANSLATED, Reason.FRAGMENTED, tuple(packets))

    def _send6(
        self,
        packet: bytes,
        chain: ipv6.Chain | None,
        traffic_class: int,
        protocol: int,
        hop_limit: int,
        addresses: bytes,
        payload: bytes,
        mtu6: int | None,
    ) -> Outcome:
        """The end of a hairpin (RFC 7757 4.2.2): the Fragment Header of a fragment stays, nothing is cut."""
        extension, next_header = b"", protocol
        if chain and chain.fragment:
            word = chain.fragment
            extension = fragment.build(protocol, word >> 3, bool(word & 1), chain.identification)
            next_header = ipv6.FRAGMENT
        length = len(extension) + len(payload)
        if mtu6 is not None and ipv6.HEADER_LENGTH + length > max(ipv6.MIN_MTU, mtu6):
            return self._errors.about6(packet, Reason.PACKET_TOO_BIG, max(ipv6.MIN_MTU, mtu6))
        header = ipv6.build(traffic_class, length, next_header, hop_limit, addresses)
        return Outcome(Action.TRANSLATED, Reason.HAIRPINNED, (header + extension + payload,))

    def _cut6(self, traffic_class: int, protocol: int, hop_limit: int, addresses: bytes, payload: bytes) -> Outcome:
        """A hairpin that has been fragments is fragmented anew, for any IPv6 path that the domain counts on."""
        number = identification_of_whole(payload)
        room = self._domain.lowest_ipv6_mtu - ipv6.HEADER_LENGTH - fragment.FRAGMENT_HEADER_LENGTH
        packets = []
        for piece in fragment.pieces(len(payload), room):
            data = fragment.build(protocol, piece.offset, piece.more, number) + payload[piece.start : piece.end]
            packets.append(ipv6.build(traffic_class, len(data), ipv6.FRAGMENT, hop_limit, addresses) + data)
        return Outcome(Action.TRANSLATED, Reason.HAIRPINNED, tuple(packets))

    def _transport(self, protocol: int, payload: bytes, pair: Pair, word: int) -> bytes | Reason:
        """The transport of a packet, or the data of a fragment if `word` is not 0 (RFC 7915 5.2, 5.5)."""
        if protocol in HEADER_LENGTH:
            if word >> 3:
                return payload
            if len(payload) < HEADER_LENGTH[protocol]:
                return Reason.BAD_TRANSPORT
            return update_checksum(protocol, payload, pair.delta)  # RFC 6935: an absent UDP checksum stays absent
        if protocol == icmp.PROTOCOL6:
            return Reason.FRAGMENTED_ICMP if word else self._echo(payload, pair)  # RFC 7915 1.2
        return Reason.FORBIDDEN_PROTOCOL if protocol == icmp.PROTOCOL4 else payload

    def _echo(self, payload: bytes, pair: Pair) -> bytes | Reason:
        """RFC 7915 5.2. The checksum is updated like others: a wrong one stays wrong, for the receiver to see."""
        if len(payload) < icmp.HEADER_LENGTH:
            return Reason.BAD_TRANSPORT
        new_type = ECHO_6TO4.get(payload[0])
        if new_type is None:
            return Reason.ICMP_TYPE
        pseudo = len(payload) + icmp.PROTOCOL6
        old = (payload[0] << 8 | payload[1]) + pair.old_sum + pseudo
        if pair.hairpin:
            new_type = payload[0]
            new = (new_type << 8) + pair.new_sum + pseudo
        else:
            new = new_type << 8
        return icmp.retype(payload, new_type, difference(old, new))
