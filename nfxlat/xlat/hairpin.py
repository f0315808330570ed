"""The way round of simple hairpinning (RFC 7757 4.2.1): to IPv4, and from there back to IPv6 like any IPv4 packet.

The IPv4 network would bring such a packet back to the translator, which is where the EAMs' IPv4 addresses are routed
to; so it stays here. It is translated twice and pays for it: two hops, the lower 16 bits of an identification, 576
octets for an ICMP error. What is refused on the second pass is told to the sender as an error about his own packet.
"""

from nfxlat.outcome import Action, Outcome, Reason
from nfxlat.wire import ipv4, ipv6
from nfxlat.xlat.addresses import AddressMap, Method
from nfxlat.xlat.errors import Errors
from nfxlat.xlat.v4to6 import V4to6
from nfxlat.xlat.v6to4 import V6to4


class WayRound:
    """Simple hairpinning of one domain."""

    __slots__ = ("_errors", "_map", "_mtu6", "_v4to6", "_v6to4")

    def __init__(self, addresses: AddressMap, errors: Errors, v4to6: V4to6, v6to4: V6to4) -> None:
        self._map, self._errors = addresses, errors
        self._v4to6, self._v6to4 = v4to6, v6to4
        self._mtu6 = addresses.domain.mtu6

    def leads_to(self, destination6: bytes) -> bool:
        """Whether 16 octets stand, by prefix6, for an IPv4 address that the EAMT covers."""
        mapping = self._map.to4(destination6)
        return mapping.method is Method.PREFIX6 and self._map.in_eamt4(mapping.address or b"")

    def translate(self, packet: bytes, hops: int, next_hop_mtu: int | None, *, reassembled: bool = False) -> Outcome:
        """An IPv6 packet of at least 40 octets to such a destination. `hops` are taken off on the pass back, and one on
        the way there, behind which no forwarding comes that would do it."""
        there = self._v6to4.translate(packet, 1, ipv4.MAX_LENGTH, None, reassembled=reassembled)
        if there.action is not Action.TRANSLATED:
            return there
        back = self._v4to6.translate(there.packets[0], hops, next_hop_mtu)
        if back.action is Action.TRANSLATED:
            return Outcome(Action.TRANSLATED, Reason.HAIRPINNED, back.packets)
        if back.action is not Action.REJECTED:
            return back
        rest = 0
        if back.reason is Reason.PACKET_TOO_BIG:
            rest = max(ipv6.MIN_MTU, next_hop_mtu or self._mtu6 or 0)
        end = ipv6.HEADER_LENGTH + ipv6.FIXED.unpack_from(packet)[1]
        return self._errors.about6(packet[:end], back.reason, rest)
