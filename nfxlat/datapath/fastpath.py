"""The fast path: the core teaches a header template for a pair of addresses, and packets of the pair are then
rewritten in place.

Rules
- It takes whole TCP and UDP packets without options, extension headers or fragmentation, and TCP superframes; all
  else is the core's. What it takes comes out as the core would have it, octet for octet (a superframe: after
  segmentation).
- The new header is written in front of the transport header, with the vnet and Ethernet headers of the device injector
  before it; the ip injector starts behind those. The payload is not touched.
- The IPv4 header checksum is not verified again: the kernel has (ip_rcv_core).
- Templates are kept in two generations: when the younger is full it becomes the elder, and what is still in use moves
  on. So memory is bounded, and a flood of new addresses does not displace a pair that is in use.
"""

import struct
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from nfxlat.datapath.source import Record
from nfxlat.datapath.superframe import safe_gso_size, stamp_of
from nfxlat.wire import vnet
from nfxlat.wire.nfnetlink import FORWARD, PREROUTING, SKB_CSUMNOTREADY, SKB_GSO
from nfxlat.wire.stamp import gso_size_of, is_udp
from nfxlat.xlat.template import identification
from nfxlat.xlat.translator import Translator

LINK_SIZE = vnet.SIZE + 14  # what stands in front of the IP header
_TCP, _UDP = 6, 17
_DF = 0x4000
_DF_THRESHOLD = 1260  # RFC 7915 5.1: larger IPv4 packets have DF=1

_ipv4 = struct.Struct("!xBH2xHBB2x8s").unpack_from  # tos, total_length, flags and offset, ttl, protocol, addresses
_ipv6 = struct.Struct("!IHBB32s").unpack_from  # version..flow label, payload_length, next_header, hop_limit, addresses
_put_ipv6 = struct.Struct("!10s14sIHBB32s").pack_into
_put_ipv4 = struct.Struct("!10s14sBBHHHBBH8s").pack_into
_u16 = struct.Struct("!H").unpack_from
_put_u16 = struct.Struct("!H").pack_into

# Checksum unfinished, not a superframe: the kernel completes it on the way out.
_PARTIAL = {
    (family, protocol): vnet.pack(vnet.NEEDS_CSUM, 0, 0, 0, 14 + header, offset)
    for family, header in ((4, 20), (6, 40))
    for protocol, offset in ((_TCP, 16), (_UDP, 6))
}


class Flow(NamedTuple):
    """A learnt pair: the template, and what this node has to do with its addresses."""

    addresses: bytes  # source and destination of the result
    delta: int  # to be added to the complement of a checksum
    pseudo: int  # folded sum of the result's addresses
    traffic_class: int | None  # None: copied
    local_source: bool  # the source is an address of this node
    extra_hop: int  # 1: the result is for this node, so that no forwarding will decrement
    v4to6: int  # 1: the result is IPv6
    destination: bytes


Taken = tuple[int, int, Flow, int]
"""Where vnet header, Ethernet header and IP packet start, their length, the flow, octets behind the TCP header."""


class FastPath:
    """Templates and their use. `local` is the set of this node's addresses (packed); `mtu_of` the ip injector's
    route MTU, `narrow` the IPv4 path MTUs below 1260 that are known."""

    def __init__(
        self,
        translator: Translator,
        *,
        near_mac: bytes = bytes(6),
        far_mac: bytes = bytes(6),
        local: Collection[bytes] = frozenset(),
        mtu_of: Callable[[bytes], int] | None = None,
        narrow: Mapping[bytes, int] | None = None,
        generation: int = 1 << 15,
    ) -> None:
        self._translator = translator
        self._local = local
        self._mtu_of = mtu_of
        self._narrow = {} if narrow is None else narrow
        self.stamped: Collection[int] = frozenset()  # interfaces whose stamps count
        self._generation = generation
        self._young: dict[bytes, Flow | None] = {}
        self._old: dict[bytes, Flow | None] = {}
        self._df0_limit = translator.domain.lowest_ipv6_mtu
        self._to6 = near_mac + far_mac + b"\x86\xdd"
        self._to4 = near_mac + far_mac + b"\x08\x00"

    def renew(self, translator: Translator, local: Collection[bytes]) -> None:
        """Drop all templates: `translator` teaches from now on, and this node's addresses are now `local`."""
        self._translator, self._local = translator, local
        self._df0_limit = translator.domain.lowest_ipv6_mtu
        self._young, self._old = {}, {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def _flow(self, pair: bytes) -> Flow | None:
        """What is known of the pair, else what the core teaches of it; None: the core has to see every packet."""
        if pair in self._young:
            return None
        flow = self._old[pair] if pair in self._old else self._learn(pair)
        if len(self._young) >= self._generation:
            self._old, self._young = self._young, {}
        self._young[pair] = flow
        return flow

    def _learn(self, pair: bytes) -> Flow | None:
        template = self._translator.template(pair)
        if template is None:
            return None
        half = len(template.addresses) // 2
        source, destination = template.addresses[:half], template.addresses[half:]
        if source in self._local:
            return None  # such a result leaves by the raw socket (accept_local, rp_filter)
        return Flow(
            template.addresses,
            template.delta,
            template.pseudo,
            template.traffic_class,
            pair[: len(pair) // 2] in self._local,
            int(destination in self._local),
            int(half == 16),
            destination,
        )

    def take(self, buffer: bytearray, record: Record, hops: int) -> Taken | None:
        """Translate the packet in place. None: not one for us, and untouched."""
        start, length, _, hook, _, info, _, _ = record
        stamp = stamp_of(record, self.stamped) if info & SKB_GSO else 0
        if buffer[start] == 0x45 and length >= 40 - 12:
            return self._v4to6(buffer, start, length, hook, info, stamp, hops)
        if buffer[start] >> 4 == 6 and length >= 48:
            return self._v6to4(buffer, start, length, hook, info, stamp, hops)
        return None

    def _v4to6(
        self, buffer: bytearray, start: int, length: int, hook: int, info: int, stamp: int, hops: int
    ) -> Taken | None:
        tos, total, fragment, ttl, protocol, pair = _ipv4(buffer, start)
        flow = self._young.get(pair) or self._flow(pair)
        if flow is None or fragment & ~_DF or total > length or (flow.local_source and hook == PREROUTING):
            return None
        if flow.extra_hop and (hook != FORWARD or flow.local_source):
            hops = 1
        at = start + 20
        size = total - 20
        if protocol == _TCP:
            field = at + 16
            payload = size - (buffer[at + 12] >> 4) * 4 if size >= 20 else -1
            if payload < 0:
                return None
        elif protocol == _UDP:
            field, payload = at + 6, 0
            if size < 8 or not (buffer[field] or buffer[field + 1]):
                return None
        else:
            return None
        if hops and ttl <= hops:
            return None
        if info & SKB_GSO:
            limit = 0xFFFF if fragment else self._df0_limit - 40  # RFC 7915 4.1
            cut = self._superframe(buffer, at, size, protocol, 40, limit, stamp)
            if cut is None:
                return None
            offload = cut[0]
        else:
            if (not fragment and total + 20 > self._df0_limit) or (
                self._mtu_of is not None and total + 20 > self._mtu_of(flow.destination)
            ):
                return None
            offload = _PARTIAL[6, protocol] if info & SKB_CSUMNOTREADY else vnet.NOTHING
        self._checksum(buffer, field, flow, protocol, size, info)
        if flow.traffic_class is not None:
            tos = flow.traffic_class
        begin = at - 40 - LINK_SIZE
        _put_ipv6(buffer, begin, offload, self._to6, 0x60000000 | tos << 20, size, protocol, ttl - hops, flow.addresses)
        return begin, LINK_SIZE + 40 + size, flow, payload

    def _v6to4(
        self, buffer: bytearray, start: int, length: int, hook: int, info: int, stamp: int, hops: int
    ) -> Taken | None:
        word, size, protocol, hop_limit, pair = _ipv6(buffer, start)
        flow = self._young.get(pair) or self._flow(pair)
        if flow is None or size + 40 > length or (flow.local_source and hook == PREROUTING):
            return None
        if flow.extra_hop and (hook != FORWARD or flow.local_source):
            hops = 1
        at = start + 40
        total = size + 20
        if total > 0xFFFF or (hops and hop_limit <= hops):
            return None
        if protocol == _TCP:
            field = at + 16
            octets = 12
            payload = size - (buffer[at + 12] >> 4) * 4 if size >= 20 else -1
            if payload < 0:
                return None
        elif protocol == _UDP:
            field, payload = at + 6, 0
            octets = 8
            if size < 8 or not (buffer[field] or buffer[field + 1]):
                return None
        else:
            return None
        if info & SKB_GSO:
            limit = self._narrow.get(flow.destination, 0xFFFF) - 20
            cut = self._superframe(buffer, at, size, protocol, 20, limit, stamp)
            if cut is None:
                return None
            offload, segment = cut
            df = _DF if segment + 20 > _DF_THRESHOLD else 0
        else:
            if self._mtu_of is not None and total > self._mtu_of(flow.destination):
                return None
            if self._narrow and total > self._narrow.get(flow.destination, total):
                return None
            offload = _PARTIAL[4, protocol] if info & SKB_CSUMNOTREADY else vnet.NOTHING
            df = _DF if total > _DF_THRESHOLD else 0
        self._checksum(buffer, field, flow, protocol, size, info)
        tos = word >> 20 & 0xFF if flow.traffic_class is None else flow.traffic_class
        ident = 0 if df else identification(protocol, bytes(buffer[at : at + octets]))
        ttl = hop_limit - hops
        check = 0x4500 + tos + total + ident + df + (ttl << 8) + protocol + flow.pseudo
        check = (check & 0xFFFF) + (check >> 16)
        check = (check & 0xFFFF) + (check >> 16)
        begin = at - 20 - LINK_SIZE
        _put_ipv4(
            buffer,
            begin,
            offload,
            self._to4,
            0x45,
            tos,
            total,
            ident,
            df,
            ttl,
            protocol,
            0xFFFF - check,
            flow.addresses,
        )
        return begin, LINK_SIZE + 20 + size, flow, payload

    @staticmethod
    def _superframe(
        buffer: bytearray, at: int, size: int, protocol: int, header: int, limit: int, stamp: int
    ) -> tuple[bytes, int] | None:
        """(vnet header, largest segment) of a superframe whose transport header is at `at`; None: the core's.

        `limit` and the segment are octets behind the IP header, which has `header`. Without a `stamp`, TCP is cut to a
        size that no path refuses, and UDP cannot be cut at all.
        """
        gso_size = gso_size_of(stamp)
        if protocol == _TCP:
            transport_header = (buffer[at + 12] >> 4) * 4
            gso_size = min(gso_size or safe_gso_size(transport_header), limit - transport_header)
            kind = vnet.GSO_TCPV6 if header == 40 else vnet.GSO_TCPV4
            if buffer[at + 13] & 0x80:  # CWR
                kind |= vnet.GSO_ECN
            if transport_header < 20:
                return None
        else:
            transport_header, kind = 8, vnet.GSO_UDP_L4
            if not is_udp(stamp) or transport_header + gso_size > limit:
                return None
        if gso_size <= 0 or size < transport_header:
            return None
        if size - transport_header <= gso_size:
            return _PARTIAL[6 if header == 40 else 4, protocol], size
        start = 14 + header
        offset = 16 if protocol == _TCP else 6
        offload = vnet.pack(vnet.NEEDS_CSUM, kind, start + transport_header, gso_size, start, offset)
        return offload, transport_header + gso_size

    @staticmethod
    def _checksum(buffer: bytearray, field: int, flow: Flow, protocol: int, size: int, info: int) -> None:
        if info & (SKB_CSUMNOTREADY | SKB_GSO):  # the field becomes the new pseudo-header sum
            value = flow.pseudo + protocol + size
            value = (value & 0xFFFF) + (value >> 16)
            _put_u16(buffer, field, (value & 0xFFFF) + (value >> 16))
            return
        value = (_u16(buffer, field)[0] ^ 0xFFFF) + flow.delta  # RFC 1624 eqn 3
        value = (value & 0xFFFF) + (value >> 16)
        value = ((value & 0xFFFF) + (value >> 16)) ^ 0xFFFF
        _put_u16(buffer, field, value if value or protocol == _TCP else 0xFFFF)
