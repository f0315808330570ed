"""What is known about a packet from its two addresses alone, and what is taught to the data path's fast path.

Strategy: the checks and mappings of both addresses depend on nothing else in the packet (but for ICMP errors, which
have rules of their own), so they are done once for a pair of addresses and remembered. The fast path's templates are
made of the same record, so that the core and the fast path cannot differ about addresses.

Order of the checks: the destination first, since a packet that is not ours is nobody's martian; then the source.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from nfxlat.outcome import Reason
from nfxlat.wire.checksum import difference, word_sum
from nfxlat.xlat.addresses import AddressMap, Mapping, Method
from nfxlat.xlat.special import martian4, martian6, stays4, stays6

_REMEMBERED: Final = 8192  # pairs per direction


@dataclass(frozen=True, slots=True)
class Template:
    """How to translate the headers of a TCP packet, or of a UDP packet with a checksum, between two given addresses.

    Valid for packets without IPv4 options, IPv6 extension headers and fragmentation. Size, DF, identification and hop
    limit are the packet's own: RFC 7915 4.1, 5.1 and fragmentation4.
    """

    addresses: bytes  # the new source and destination, 32 or 8 octets
    delta: int  # 1..0xffff: what `checksum.update` takes
    pseudo: int  # folded sum of the words of `addresses`
    traffic_class: bytes  # what each of the 256 octets of Traffic Class or TOS becomes


class Pair(NamedTuple):
    """A translatable pair of addresses. Sums are folded sums of address words, as they stand in the headers."""

    addresses: bytes  # 32 octets for IPv6, 8 for IPv4
    old_sum: int
    new_sum: int
    delta: int
    hairpin: bool = False  # IPv6 to IPv6: `addresses` are what the way through IPv4 and back makes of them


class Pairs:
    """The pairs of one domain: `v4to6[addresses]` and `v6to4[addresses]` give a Pair, or the Reason why there is none.

    The reason NOT_OURS: not for the translator; NO_MAPPING_SOURCE: the sender is to be told; others: dropped silently.
    """

    __slots__ = ("v4to6", "v6to4")

    def __init__(self, addresses: AddressMap) -> None:
        self.v4to6 = _V4to6(addresses)
        self.v6to4 = _V6to4(addresses)


def destination_fault4(address: bytes, mapping: Mapping) -> Reason | None:
    """Why a packet to the IPv4 `address`, mapped by `mapping`, is not translated."""
    if stays4(address):
        return Reason.NOT_OURS
    if martian4(address):  # RFC 1812 5.3.7
        return Reason.MARTIAN_DESTINATION
    if mapping.address is None:
        return Reason.NOT_OURS if mapping.reason is Reason.NO_MAPPING_SOURCE else mapping.reason  # RFC 7915 4.6
    return Reason.MARTIAN_DESTINATION if martian6(mapping.address) else None


def destination_fault6(address: bytes, mapping: Mapping) -> Reason | None:
    """Why a packet to the IPv6 `address`, mapped by `mapping`, is not translated."""
    if stays6(address):
        return Reason.NOT_OURS
    if martian6(address):
        return Reason.MARTIAN_DESTINATION
    if mapping.address is None:
        return Reason.NOT_OURS if mapping.reason is Reason.NO_MAPPING_SOURCE else mapping.reason  # RFC 7915 5.6
    return Reason.MARTIAN_DESTINATION if martian4(mapping.address) else None


class _V4to6(dict[bytes, Pair | Reason]):
    """Keys: 8 octets, IPv4 source and destination."""

    def __init__(self, addresses: AddressMap) -> None:
        super().__init__()
        self._to6 = addresses.to6
        # RFC 7757 4.2.1, S1: a source of no ICMP error is not mapped by EAM
        self._eam_source = addresses.domain.hairpin != "simple"

    def __missing__(self, key: bytes) -> Pair | Reason:
        if len(self) >= _REMEMBERED:
            self.clear()
        result = self[key] = self._decide(key)
        return result

    def _decide(self, key: bytes) -> Pair | Reason:
        source4, destination4 = key[:4], key[4:]
        destination = self._to6(destination4)
        if fault := destination_fault4(destination4, destination):
            return fault
        if martian4(source4):  # RFC 7915 4.1
            return Reason.MARTIAN_SOURCE
        source = self._to6(source4, self._eam_source)
        if source.address is None or destination.address is None:
            return source.reason or Reason.NO_MAPPING_SOURCE
        if martian6(source.address):
            return Reason.MARTIAN_SOURCE
        return _pair(key, source.address + destination.address)


class _V6to4(dict[bytes, Pair | Reason]):
    """Keys: 32 octets, IPv6 source and destination."""

    def __init__(self, addresses: AddressMap) -> None:
        super().__init__()
        self._map = addresses
        self._hairpin = addresses.domain.hairpin

    def __missing__(self, key: bytes) -> Pair | Reason:
        if len(self) >= _REMEMBERED:
            self.clear()
        result = self[key] = self._decide(key)
        return result

    def _decide(self, key: bytes) -> Pair | Reason:
        source6, destination6 = key[:16], key[16:]
        destination = self._map.to4(destination6)
        if fault := destination_fault6(destination6, destination):
            return fault
        if martian6(source6):  # RFC 7915 5.1
            return Reason.MARTIAN_SOURCE
        source = self._map.to4(source6)
        if source.address is None or destination.address is None:
            return source.reason or Reason.NO_MAPPING_SOURCE
        if martian4(source.address):
            return Reason.MARTIAN_SOURCE
        # RFC 7757 4.2.2, set A
        if (
            destination.method is Method.PREFIX6
            and self._hairpin != "simple"
            and self._map.in_eamt4(destination.address)
        ):
            if self._hairpin == "off":
                return Reason.HAIRPIN_OFF
            return self._there_and_back(key, source.address, destination.address)
        return _pair(key, source.address + destination.address)

    def _there_and_back(self, key: bytes, source4: bytes, destination4: bytes) -> Pair | Reason:
        """RFC 7757 4.2.2: the second pass, 4 to 6, by rule S1 of 4.2.1."""
        source, destination = self._map.to6(source4, eam=False), self._map.to6(destination4)
        if source.address is None or destination.address is None:
            return source.reason or Reason.NO_MAPPING_SOURCE
        if martian6(destination.address):
            return Reason.MARTIAN_DESTINATION
        return _pair(key, source.address + destination.address, hairpin=True)


def _pair(old: bytes, new: bytes, hairpin: bool = False) -> Pair:
    old_sum, new_sum = word_sum(old), word_sum(new)
    return Pair(new, old_sum, new_sum, difference(old_sum, new_sum), hairpin)
