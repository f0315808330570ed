"""The fast path: the core teaches a header template for a pair of addresses, and packets of the pair are then
rewritten in place.

Rules
- It takes whole TCP and UDP packets without options, extension headers or fragmentation, and TCP superframes; all
  else is the core's. What it takes comes out as the core would have it, octet for octet (a superframe: after
  segmentation).
- The new header is written in front of the transport header, with the vnet and Ethernet headers of the device injector
  before it; the ip injector starts behind those. The payload is not touched.
- The IPv4 header checksum is not verified again: the kernel has (ip_rcv_core).
- A stretch of packets of one family is translated in one loop, written out in one piece for each family: a packet costs
  what Python executes for it, and a call alone as much as reading a header.
- Templates are kept in two generations: when the younger is full it becomes the elder, and what is still in use moves
  on. So memory is bounded, and a flood of new addresses does not displace a pair that is in use.
"""

import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from nfxlat.datapath.hops import hops_of
from nfxlat.datapath.source import Kind, Record
from nfxlat.datapath.superframe import safe_gso_size, stamp_of
from nfxlat.wire import vnet
from nfxlat.wire.nfqueue import FORWARD, POSTROUTING, PREROUTING, SKB_CSUMNOTREADY, SKB_GSO
from nfxlat.wire.stamp import gso_size_of, is_udp
from nfxlat.xlat.fragmentation4 import DF_THRESHOLD, identification
from nfxlat.xlat.translator import Translator

LINK_SIZE = vnet.SIZE + 14  # what stands in front of the IP header
_HEADERS4, _HEADERS6 = LINK_SIZE + 20, LINK_SIZE + 40
_LONGER6 = _HEADERS6 - 20  # begins so many octets in front of the IPv4 header
_TCP, _UDP = 6, 17
_DF = 0x4000
_CWR = 0x0080
_CUT = 0xF000 | _CWR
_CUTS = 1024  # remembered: one for each gso_size that is in use

# IPv4: version to tos, total_length, flags and offset, ttl, protocol, addresses. IPv6: version to flow label,
# payload_length, next_header, hop_limit, addresses. Behind both: UDP's checksum; TCP's data offset and flags, checksum.
_ipv4 = struct.Struct("!HH2xHBB2x8s6xH4xH2xH").unpack_from
_ipv6 = struct.Struct("!IHBB32s6xH4xH2xH").unpack_from
_put_ipv6 = struct.Struct("!10s14sH2xHBB32s").pack_into
_put_ipv4 = struct.Struct("!10s14sBBHHHBBH8s").pack_into
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
    destination: bytes


Asked = tuple[int, int, int, int, int, Kind]
"""What decides how a superframe is cut: the result's family, protocol, data offset and CWR of TCP, the most octets
behind the IP header of a segment, priority, kind."""
Cut = tuple[int, int, bytes]
"""Octets of the transport header, octets behind it in a segment (0: the superframe is the core's), vnet header."""
_NOT_OURS: Cut = (0, 0, b"")


class Taken:
    """What the fast path has taken of a batch."""

    __slots__ = ("accepted", "destinations", "messages", "packets4", "payload", "superframe_payload", "superframes")

    def __init__(self) -> None:
        self.messages: list[int] = []  # for each packet the address of its vnet header, behind which link header and
        # packet follow, and the length of all three
        self.destinations: list[bytes] = []
        self.accepted: list[int] = []  # indices of records that are not to be dropped
        self.clear()

    def clear(self) -> None:
        """For the next batch. `messages` and `destinations` are cleared by who takes them."""
        self.packets4 = 0  # that came as IPv4
        self.payload = self.superframe_payload = 0  # octets behind TCP headers
        self.superframes = 0


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
        self._stamped: Collection[int] = frozenset()  # interfaces whose stamps count
        self._cuts: dict[Asked, Cut] = {}
        self.device = True  # injected through the domain device
        self.guard = -1  # interface from which nothing is taken
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

    def trust_stamps(self, stamped: Collection[int]) -> None:
        """Interfaces, by index, whose stamps count."""
        self._stamped = stamped
        self._cuts.clear()

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
            destination,
        )

    def run(self, buffer: bytearray, base: int, records: Sequence[Record], index: int, taken: Taken) -> int:
        """Translate packets in place, from record `index` on, up to one that is the core's, which stays untouched.

        Gives the index of that one, or how many records there are; `index` is below it. `base` is the buffer's address.
        40 octets behind an IP header are read, whether they are the packet's own or not.
        """
        count = len(records)
        while True:  # a stretch of one family, then one of the other
            first = index
            run = self._run4 if buffer[records[index][0]] >> 4 == 4 else self._run6
            index = run(buffer, base, records, index, taken)
            if index in (first, count):
                return index

    def _run4(self, buffer: bytearray, base: int, records: Sequence[Record], first: int, taken: Taken) -> int:
        known, messages, former = self._young, taken.messages, None
        for index in range(first, len(records)):
            start, length, priority, kind = records[index]
            if kind is not former:
                former = kind
                hook, indev, info, whole = kind
                if not whole or indev == self.guard:
                    break
                forwarded = self.device or not hops_of(hook, indev, device=False, result_is_local=False)
            word, total, fragment, ttl, protocol, pair, udp_check, offset_flags, tcp_check = _ipv4(buffer, start)
            size = total - 20
            if protocol == _UDP:
                field, check, payload = start + 26, udp_check, 0
                if size < 8 or not check:
                    break
            elif protocol == _TCP:
                field, check, payload = start + 36, tcp_check, size - (offset_flags >> 12) * 4
                if size < 20 or payload < 0:
                    break
            else:
                break
            if word >> 8 != 0x45 or fragment & ~_DF or total > length:
                break
            flow = known.get(pair)
            if flow is None:
                flow = self._flow(pair)
                known = self._young
                if flow is None:
                    break
            addresses, delta, pseudo, traffic_class, local_source, extra_hop, destination = flow
            if local_source and hook == PREROUTING:
                break
            if not forwarded or (extra_hop and (hook != FORWARD or local_source)):
                if ttl <= 1:
                    break
                ttl -= 1
            if info & SKB_GSO:
                limit = 0xFFFF if fragment else self._df0_limit - 40  # RFC 7915 4.1
                cut = self._superframe(6, protocol, offset_flags, limit, priority, kind, size)
                if cut is None:
                    break
                offload = cut[0]
                taken.superframes += 1
                taken.superframe_payload += payload
            elif (not fragment and total + 20 > self._df0_limit) or (
                self._mtu_of is not None and total + 20 > self._mtu_of(destination)
            ):
                break
            else:
                offload = _PARTIAL[6, protocol] if info & SKB_CSUMNOTREADY else vnet.NOTHING
            if offload is vnet.NOTHING:
                check = (check ^ 0xFFFF) + delta  # RFC 1624 eqn 3
                check = (check & 0xFFFF) + (check >> 16)
                check = ((check & 0xFFFF) + (check >> 16)) ^ 0xFFFF
                if not check and protocol == _UDP:
                    check = 0xFFFF
            else:
                check = pseudo + protocol + size  # the field holds no more than the pseudo-header's sum
                check = (check & 0xFFFF) + (check >> 16)
                check = (check & 0xFFFF) + (check >> 16)
            _put_u16(buffer, field, check)
            tos = word & 0xFF if traffic_class is None else traffic_class
            begin = start - _LONGER6
            _put_ipv6(buffer, begin, offload, self._to6, 0x6000 | tos << 4, size, protocol, ttl, addresses)
            messages += (base + begin, size + _HEADERS6)
            taken.destinations.append(destination)
            if payload:
                taken.payload += payload
            if hook == POSTROUTING:
                taken.accepted.append(index)
        else:
            index = len(records)
        taken.packets4 += index - first
        return index

    def _run6(self, buffer: bytearray, base: int, records: Sequence[Record], first: int, taken: Taken) -> int:
        known, messages, former = self._young, taken.messages, None
        for index in range(first, len(records)):
            start, length, priority, kind = records[index]
            if kind is not former:
                former = kind
                hook, indev, info, whole = kind
                if not whole or indev == self.guard:
                    break
                forwarded = self.device or not hops_of(hook, indev, device=False, result_is_local=False)
            word, size, protocol, ttl, pair, udp_check, offset_flags, tcp_check = _ipv6(buffer, start)
            at = start + 40
            if protocol == _UDP:
                field, check, payload, octets = at + 6, udp_check, 0, 8
                if size < 8 or not check:
                    break
            elif protocol == _TCP:
                field, check, payload, octets = at + 16, tcp_check, size - (offset_flags >> 12) * 4, 12
                if size < 20 or payload < 0:
                    break
            else:
                break
            total = size + 20
            if word >> 28 != 6 or total + 20 > length or total > 0xFFFF:
                break
            flow = known.get(pair)
            if flow is None:
                flow = self._flow(pair)
                known = self._young
                if flow is None:
                    break
            addresses, delta, pseudo, traffic_class, local_source, extra_hop, destination = flow
            if local_source and hook == PREROUTING:
                break
            if not forwarded or (extra_hop and (hook != FORWARD or local_source)):
                if ttl <= 1:
                    break
                ttl -= 1
            segment = size
            if info & SKB_GSO:
                limit = self._narrow.get(destination, 0xFFFF) - 20
                cut = self._superframe(4, protocol, offset_flags, limit, priority, kind, size)
                if cut is None:
                    break
                offload, segment = cut
                taken.superframes += 1
                taken.superframe_payload += payload
            elif (self._mtu_of is not None and total > self._mtu_of(destination)) or (
                self._narrow and total > self._narrow.get(destination, total)
            ):
                break
            else:
                offload = _PARTIAL[4, protocol] if info & SKB_CSUMNOTREADY else vnet.NOTHING
            if offload is vnet.NOTHING:
                check = (check ^ 0xFFFF) + delta  # RFC 1624 eqn 3
                check = (check & 0xFFFF) + (check >> 16)
                check = ((check & 0xFFFF) + (check >> 16)) ^ 0xFFFF
                if not check and protocol == _UDP:
                    check = 0xFFFF
            else:
                check = pseudo + protocol + size  # the field holds no more than the pseudo-header's sum
                check = (check & 0xFFFF) + (check >> 16)
                check = (check & 0xFFFF) + (check >> 16)
            _put_u16(buffer, field, check)
            df = _DF if segment + 20 > DF_THRESHOLD else 0
            tos = word >> 20 & 0xFF if traffic_class is None else traffic_class
            ident = 0 if df else identification(protocol, buffer[at : at + octets])
            check = 0x4500 + tos + total + ident + df + (ttl << 8) + protocol + pseudo
            check = (check & 0xFFFF) + (check >> 16)
            check = 0xFFFF - ((check & 0xFFFF) + (check >> 16))
            begin = at - _HEADERS4
            _put_ipv4(buffer, begin, offload, self._to4, 0x45, tos, total, ident, df, ttl, protocol, check, addresses)
            messages += (base + begin, size + _HEADERS4)
            taken.destinations.append(destination)
            if payload:
                taken.payload += payload
            if hook == POSTROUTING:
                taken.accepted.append(index)
        else:
            index = len(records)
        return index

    def _superframe(
        self, family: int, protocol: int, offset_flags: int, limit: int, priority: int, kind: Kind, size: int
    ) -> tuple[bytes, int] | None:
        """(vnet header, largest segment) of a superframe with `size` octets behind its IP header; None: the core's.

        `limit` and the segment are octets behind the IP header too; `family` is the result's.
        """
        asked = family, protocol, offset_flags & _CUT if protocol == _TCP else 0, limit, priority, kind
        transport_header, gso_size, offload = self._cuts.get(asked) or self._cut(asked)
        if not gso_size or size < transport_header:
            return None
        if size - transport_header <= gso_size:
            return _PARTIAL[family, protocol], size
        return offload, transport_header + gso_size

    def _cut(self, asked: Asked) -> Cut:
        """How superframes are cut that are alike; remembered. Without a stamp, TCP is cut to a size that no path
        refuses, and UDP cannot be cut at all.
        """
        family, protocol, offset_flags, limit, priority, kind = asked
        stamp = stamp_of(priority, kind, self._stamped)
        gso_size = gso_size_of(stamp)
        if protocol == _TCP:
            transport_header, offset = (offset_flags >> 12) * 4, 16
            gso_size = min(gso_size or safe_gso_size(transport_header), limit - transport_header)
            gso_type = vnet.GSO_TCPV6 if family == 6 else vnet.GSO_TCPV4
            if offset_flags & _CWR:
                gso_type |= vnet.GSO_ECN
            takes = transport_header >= 20 and gso_size > 0
        else:
            transport_header, offset, gso_type = 8, 6, vnet.GSO_UDP_L4
            takes = is_udp(stamp) and 0 < gso_size <= limit - transport_header
        start = (_HEADERS6 if family == 6 else _HEADERS4) - vnet.SIZE
        cut = _NOT_OURS
        if takes:
            offload = vnet.pack(vnet.NEEDS_CSUM, gso_type, start + transport_header, gso_size, start, offset)
            cut = transport_header, gso_size, offload
        if len(self._cuts) >= _CUTS:
            self._cuts.clear()
        self._cuts[asked] = cut
        return cut
