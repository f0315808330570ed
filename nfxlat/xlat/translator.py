"""The translator: octets of one packet in, an Outcome out. Pure and deterministic; no octets make it raise.

    packet --> v4to6 or v6to4 --> pairs of addresses (template) --> ICMP errors: quote, RFC 4884 extension
                    |                                                      |
                    +--> errors (ICMP errors of our own)                   +--> Outcome

Rules: a packet is checked once where it comes in and read without checks from there on. The same packet and the same
domain always come to the same outcome, octet for octet, where the node's own addresses towards a receiver are the same.
"""

from collections.abc import Collection

from nfxlat.outcome import Outcome, Reason, dropped
from nfxlat.wire import ipv4, ipv6
from nfxlat.xlat.addresses import AddressMap, Method, Routed
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.errors import Allow, Errors, always
from nfxlat.xlat.hairpin import WayRound
from nfxlat.xlat.quote import Quotes
from nfxlat.xlat.template import Pair, Pairs, Template
from nfxlat.xlat.traffic_class import COPY, octets
from nfxlat.xlat.v4to6 import V4to6
from nfxlat.xlat.v6to4 import V6to4


class Translator:
    """The stateless translator of one domain (RFC 7915). `own6`: its node's IPv6 addresses, 16 octets each, so that
    errors from there come from its IPv4 address (RFC 6791 4); `routed`: see AddressMap; `allow`: the rate limit of the
    ICMP errors that it makes itself.
    """

    __slots__ = ("_errors", "_pairs", "_traffic_class", "_v4to6", "_v6to4", "_way_round", "addresses", "domain")

    def __init__(
        self,
        domain: Domain,
        own6: Collection[bytes] = (),
        routed: Routed = lambda receiver: None,
        allow: Allow = always,
    ) -> None:
        self.domain = domain
        self.addresses = AddressMap(domain, own6, routed)
        self._traffic_class = octets(domain.traffic_class) or COPY  # RFC 7915 4.1, 5.1
        self._pairs = Pairs(self.addresses)
        self._errors = Errors(self.addresses, allow)
        quotes = Quotes(self.addresses, self._traffic_class)
        self._v4to6 = V4to6(self.addresses, self._pairs, self._errors, quotes, self._traffic_class)
        self._v6to4 = V6to4(self.addresses, self._pairs, self._errors, quotes, self._traffic_class)
        self._way_round: WayRound | None = None
        if domain.hairpin == "simple":
            unsent = Errors(AddressMap(domain))  # nobody gets the error about what is between both passes
            back = V4to6(self.addresses, self._pairs, unsent, quotes, self._traffic_class)
            self._way_round = WayRound(self.addresses, self._errors, back, self._v6to4)

    def translate(
        self,
        packet: bytes,
        hops: int = 1,
        path_mtu4: int | None = None,
        *,
        next_hop_mtu: int | None = None,
        mtu_back: int | None = None,
        reassembled: bool = False,
    ) -> Outcome:
        """Translates one whole IP packet, whatever its octets are.

        `hops` (0 or 1) is taken off TTL or Hop Limit; 0: forwarding does it afterwards, and no Time Exceeded is made.
        `path_mtu4`: a learned IPv4 path MTU towards the destination. `next_hop_mtu`: MTU of the next hop in the output
        family, `mtu_back`: of the next hop towards the destination that an ICMP error quotes, which is what the error
        came over (RFC 7915 4.2, 5.2); None: the domain's mtu4 or mtu6. MTUs in octets of whole packets. `reassembled`:
        it came as fragments, which were put together, so that it may be cut anew whatever its size and DF say.

        A hairpin packet comes in as IPv6 and out as IPv6 (reason HAIRPINNED).
        """
        version = packet[0] >> 4 if packet else 0
        if version == 4:
            return self._v4to6.translate(packet, hops, next_hop_mtu, mtu_back, reassembled=reassembled)
        if version == 6:
            destination = packet[ipv6.DESTINATION : ipv6.HEADER_LENGTH]
            if self._way_round and len(destination) == 16 and self._way_round.leads_to(destination):
                return self._way_round.translate(packet, hops, next_hop_mtu, reassembled=reassembled)
            return self._v6to4.translate(packet, hops, next_hop_mtu, path_mtu4, mtu_back, reassembled=reassembled)
        return dropped(Reason.NOT_IP)

    def is_ours(self, packet: bytes) -> bool:
        """Whether the destination of a packet, whole or cut behind its addresses, is one that is translated."""
        version = packet[0] >> 4 if packet else 0
        if version == 4 and len(packet) >= ipv4.HEADER_LENGTH:
            return self._pairs.v4to6[packet[ipv4.SOURCE : ipv4.HEADER_LENGTH]] is not Reason.NOT_OURS
        if version == 6 and len(packet) >= ipv6.HEADER_LENGTH:
            return self._pairs.v6to4[packet[ipv6.SOURCE : ipv6.HEADER_LENGTH]] is not Reason.NOT_OURS
        return True

    def keeps(self, address: bytes) -> bool:
        """Whether packets to an address of this node (4 or 16 octets) are for it; a CLAT's IPv6 address has an EAM."""
        return len(address) == 4 or self.addresses.to4(address).method is not Method.EAM

    def unreachable(self, packet: bytes, reason: Reason) -> Outcome:
        """The ICMP error, in the family of `packet`, for what the route to the translated destination said.

        `packet` is as it came in; `reason` one of NO_ROUTE, HOST_UNREACHABLE, PROHIBITED.
        """
        version = packet[0] >> 4 if packet else 0
        if version == 4 and len(packet) >= ipv4.HEADER_LENGTH:
            total_length = ipv4.FIXED.unpack_from(packet)[2]
            if ipv4.HEADER_LENGTH <= (packet[0] & 15) * 4 <= total_length <= len(packet):
                return self._errors.about4(packet[:total_length], reason)
        if version == 6 and len(packet) >= ipv6.HEADER_LENGTH:
            end = ipv6.HEADER_LENGTH + ipv6.FIXED.unpack_from(packet)[1]
            if end <= len(packet):
                return self._errors.about6(packet[:end], reason)
        return dropped(reason)

    def template(self, addresses: bytes) -> Template | None:
        """What the fast path may do by itself between `addresses`: source and destination, 8 or 32 octets.

        None: the core must see every packet (no mapping, martian, denied, hairpin).
        """
        pair = self._pairs.v4to6[addresses] if len(addresses) == 8 else self._pairs.v6to4[addresses]
        if not isinstance(pair, Pair) or pair.hairpin:
            return None
        if self._way_round and len(addresses) == 32 and self._way_round.leads_to(addresses[16:]):
            return None
        return Template(pair.addresses, pair.delta, pair.new_sum, self._traffic_class)
