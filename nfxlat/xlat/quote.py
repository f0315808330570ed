"""The packet quoted in an ICMP error, translated (RFC 7915 4.3, 5.3).

Like a packet of its own, with these differences:
- TTL and Hop Limit are copied, nothing is checked that would call for an ICMP error, nothing is fragmented.
- Lengths are those that the quoted packet had, changed by what the header gains or loses; fewer octets may be quoted.
- Checksums are updated where their field is quoted, never computed nor checked: routers quote after their own changes.
- Both addresses are mapped one by one (RFC 7757 3.2); martians are refused here too.
- One level only: an ICMP error in the quote ends it.
"""

from collections.abc import Callable
from typing import NamedTuple

from nfxlat.outcome import Reason
from nfxlat.wire import fragment, icmp, ipv4, ipv6
from nfxlat.wire.checksum import difference, word_sum
from nfxlat.wire.transport import update_checksum
from nfxlat.xlat.addresses import AddressMap, Method
from nfxlat.xlat.fragmentation4 import DF_THRESHOLD
from nfxlat.xlat.icmp import ECHO_4TO6, ECHO_6TO4
from nfxlat.xlat.protocols import refused4
from nfxlat.xlat.special import martian4, martian6


class Quote(NamedTuple):
    """A translated quote, and what the error around it has to know about the original."""

    packet: bytes
    length: int  # the whole length of the quoted packet, by its own header, before translation
    fragment_header: bool = False  # the original IPv6 packet had one
    source_method: Method | None = None


class Quotes:
    """The quotes of one domain. `traffic_class`: what Traffic Class and TOS become (nfxlat.xlat.traffic_class)."""

    __slots__ = ("_map", "_traffic_class")

    def __init__(self, addresses: AddressMap, traffic_class: bytes) -> None:
        self._map = addresses
        self._traffic_class = traffic_class

    def v4to6(self, quote: bytes, trim: bool, eam_destination: bool) -> Quote | Reason:
        """`quote`: from its IPv4 header on. `trim`: whether what lies behind its Total Length is padding.

        `eam_destination`: False for rule S2 of RFC 7757 4.2.1.
        """
        if len(quote) < ipv4.HEADER_LENGTH:
            return Reason.INNER_TRUNCATED
        version_ihl, tos, total_length, identification, word, ttl, protocol = ipv4.FIXED.unpack_from(quote)
        header_length = (version_ihl & 15) * 4
        if version_ihl >> 4 != 4 or header_length < ipv4.HEADER_LENGTH:
            return Reason.INNER_MALFORMED
        if total_length < header_length:  # a stack that quotes its ip_len less the header, as 4.4BSD did
            total_length += header_length
        if len(quote) < header_length:
            return Reason.INNER_TRUNCATED
        if reason := refused4(protocol):
            return reason
        old = quote[ipv4.SOURCE : ipv4.HEADER_LENGTH]
        addresses = self._addresses6(old, eam_destination)
        if isinstance(addresses, Reason):
            return addresses
        length = total_length - header_length
        payload = quote[header_length : total_length if trim else None]
        new_sum = word_sum(addresses)
        if word & ipv4.OFFSET_MASK:
            pass  # RFC 7915 4.3 by way of 4.1: no transport header here
        elif protocol == icmp.PROTOCOL4:
            pseudo = None if word & ipv4.MF else new_sum + length + icmp.PROTOCOL6
            echo = _echo(payload, ECHO_4TO6, icmp.is_answerable4, pseudo)
            if isinstance(echo, Reason):
                return echo
            payload = echo
        else:
            payload = update_checksum(protocol, payload, difference(word_sum(old), new_sum))
        next_header = icmp.PROTOCOL6 if protocol == icmp.PROTOCOL4 else protocol
        traffic_class = self._traffic_class[tos]
        if word & ipv4.FRAGMENTED:  # RFC 7915 4.1: a fragment gets a Fragment Header; DF=0 alone does not, in a quote
            extension = fragment.build(next_header, word & ipv4.OFFSET_MASK, bool(word & ipv4.MF), identification)
            next_header, length = ipv6.FRAGMENT, length + fragment.FRAGMENT_HEADER_LENGTH
        else:
            extension = b""
        header = ipv6.build(traffic_class, length, next_header, ttl, addresses)
        return Quote(header + extension + payload, total_length)

    def v6to4(self, quote: bytes, trim: bool) -> Quote | Reason:
        """`quote`: from its IPv6 header on; extension headers must be there whole. `trim`: as for `v4to6`."""
        if len(quote) < ipv6.HEADER_LENGTH:
            return Reason.INNER_TRUNCATED
        first, payload_length, _, hop_limit = ipv6.FIXED.unpack_from(quote)
        end = ipv6.HEADER_LENGTH + payload_length
        if first >> 28 != 6:
            return Reason.INNER_MALFORMED
        chain = ipv6.walk(quote, min(end, len(quote)))
        if chain.fault is Reason.BAD_EXTENSION and len(quote) < end:
            return Reason.INNER_TRUNCATED
        total_length = ipv4.HEADER_LENGTH + end - chain.offset
        if chain.fault or total_length > ipv4.MAX_LENGTH:
            return Reason.INNER_MALFORMED
        if chain.protocol == icmp.PROTOCOL4:
            return Reason.FORBIDDEN_PROTOCOL
        old = quote[ipv6.SOURCE : ipv6.HEADER_LENGTH]
        mapped = self._addresses4(old)
        if isinstance(mapped, Reason):
            return mapped
        addresses, source_method = mapped
        payload = quote[chain.offset : end if trim else None]
        old_sum = word_sum(old)
        word = chain.fragment or 0
        if word >> 3:
            pass  # no transport header here
        elif chain.protocol == icmp.PROTOCOL6:
            pseudo = None if word else -(old_sum + end - chain.offset + icmp.PROTOCOL6)
            echo = _echo(payload, ECHO_6TO4, icmp.is_answerable6, pseudo)
            if isinstance(echo, Reason):
                return echo
            payload = echo
        else:
            payload = update_checksum(chain.protocol, payload, difference(old_sum, word_sum(addresses)))
        protocol = icmp.PROTOCOL4 if chain.protocol == icmp.PROTOCOL6 else chain.protocol
        traffic_class = self._traffic_class[(first >> 20) & 255]
        if chain.fragment is not None:  # RFC 7915 5.1.1: DF=0
            identification, flags = chain.identification & 0xFFFF, word >> 3 | (ipv4.MF if word & 1 else 0)
        else:
            identification, flags = 0, ipv4.DF if total_length > DF_THRESHOLD else 0
        header = ipv4.build(traffic_class, total_length, identification, flags, hop_limit, protocol, addresses)
        return Quote(header + payload, end, chain.fragment is not None, source_method)

    def _addresses6(self, old: bytes, eam_destination: bool) -> bytes | Reason:
        if martian4(old[:4]) or martian4(old[4:]):
            return Reason.MARTIAN_INNER
        source, destination = self._map.to6(old[:4]), self._map.to6(old[4:], eam_destination)
        if source.address is None or destination.address is None:
            return _inner(source.reason or destination.reason)
        if martian6(source.address) or martian6(destination.address):
            return Reason.MARTIAN_INNER
        return source.address + destination.address

    def _addresses4(self, old: bytes) -> tuple[bytes, Method | None] | Reason:
        if martian6(old[:16]) or martian6(old[16:]):
            return Reason.MARTIAN_INNER
        source, destination = self._map.to4(old[:16]), self._map.to4(old[16:])
        if source.address is None or destination.address is None:
            return _inner(source.reason or destination.reason)
        if martian4(source.address) or martian4(destination.address):
            return Reason.MARTIAN_INNER
        return source.address + destination.address, source.method


def _inner(reason: Reason | None) -> Reason:
    return Reason.INNER_NO_MAPPING if reason is None or reason is Reason.NO_MAPPING_SOURCE else reason


def _echo(
    payload: bytes, types: dict[int, int], is_answerable: Callable[[int], bool], pseudo: int | None
) -> bytes | Reason:
    """A quoted echo with its new type and code. `pseudo`: what the checksum gains (or loses) by the pseudo-header.

    None for the first fragment of a larger message: its length is not known, so the checksum stays as it is.
    """
    if not payload:
        return payload
    if payload[0] not in types:  # RFC 7915 4.3, 5.3: one level
        return Reason.INNER_ICMP_TYPE if is_answerable(payload[0]) else Reason.INNER_ICMP_ERROR
    new_type = types[payload[0]]
    if pseudo is None or len(payload) < icmp.REST:
        return bytes((new_type,)) + payload[1:]
    return icmp.retype(payload, new_type, difference(payload[0] << 8 | payload[1], (new_type << 8) + pseudo))
