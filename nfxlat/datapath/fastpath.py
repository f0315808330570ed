"""The fast path: the core teaches a header template for a pair of addresses, and packets of the pair are then
rewritten in place.

Rules
- It takes whole TCP and UDP packets without options, extension headers or fragmentation, and TCP superframes; all
  else is the core's. What it takes comes out as the core would have it, octet for octet (a superframe: after
  segmentation, in which the kernel counts the Identification up).
- The new header is written in front of the transport header, with the injector's frame before it, of which nothing is
  known here but its octets. The payload is not touched.
- The IPv4 header checksum is not verified again: the kernel has (ip_rcv_core).
- A stretch of packets of one family is translated in one loop, written out in one piece for each family: a packet costs
  what Python executes for it, and a call alone as much as reading a header.
"""

import struct
from collections.abc import Callable, Collection, Mapping, Sequence

from nfxlat.datapath.cuts import Cuts
from nfxlat.datapath.flows import Flows
from nfxlat.datapath.frame import Frame
from nfxlat.datapath.hops import hops_of
from nfxlat.datapath.source import Record
from nfxlat.datapath.tails import Tails
from nfxlat.wire.nfqueue import FORWARD, POSTROUTING, PREROUTING, SKB_CSUMNOTREADY, SKB_GSO
from nfxlat.xlat.fragmentation4 import DF_THRESHOLD, MODULUS
from nfxlat.xlat.translator import Translator

_TCP, _UDP = 6, 17
_DF = 0x4000

# IPv4: version to tos, total_length, flags and offset, ttl, protocol, addresses. IPv6: version to flow label,
# payload_length, next_header, hop_limit, addresses. Behind IPv4: UDP's checksum; TCP's data offset and flags, checksum.
# Behind IPv6: the first 16 octets of the transport, which make the Identification, as two words; TCP's checksum.
_ipv4 = struct.Struct("!HH2xHBB2x8s6xH4xH2xH").unpack_from
_ipv6 = struct.Struct("!IHBB32sQQH").unpack_from
_words = struct.Struct("!QQ").unpack_from
_BY_32, _BY_64 = (1 << 32) % MODULUS, (1 << 64) % MODULUS
_NO_CHECKSUM = ~0xFFFF  # of a UDP header
_put_u16 = struct.Struct("!H").pack_into
_NEW_IPV6, _NEW_IPV4 = "H2xHBB32s", "BBHHHBBH8s"  # the frame goes before


class Taken:
    """What the fast path has taken of a batch."""

    __slots__ = (
        "accepted",
        "destinations",
        "messages",
        "octets4",
        "octets6",
        "packets4",
        "parts",
        "payload",
        "segments",
        "superframe_payload",
        "superframes",
    )

    def __init__(self) -> None:
        self.messages: list[int] = []  # for each packet the address of its frame, and the length of both
        self.destinations: list[bytes] = []
        self.accepted: list[int] = []  # indices of records that are not to be dropped
        self.parts: list[int] = []  # addresses of superframes less their last segment, a message of its own
        self.clear()

    def clear(self) -> None:
        """For the next batch. `messages` and `destinations` are cleared by who takes them."""
        self.packets4 = 0  # that came as IPv4
        self.payload = self.superframe_payload = 0  # octets behind TCP headers
        self.superframes = self.segments = 0
        self.octets4 = self.octets6 = 0  # behind the IP headers of what came as IPv4, as IPv6
        self.parts.clear()


class FastPath:
    """Templates and their use. `frame` is the injector's.

    `device`: it injects through the domain device; `guard`: an interface (index) from which nothing is taken; `local`:
    this node's addresses (packed); `mtu_of`: the ip injector's route MTU; `narrow`: IPv4 path MTUs below 1260 that are
    known, by the addresses of the packets (8 octets); `generation`: pairs of addresses that are remembered for certain.
    """

    def __init__(
        self,
        translator: Translator,
        frame: Frame,
        *,
        device: bool = True,
        guard: int = -1,
        local: Collection[bytes] = frozenset(),
        mtu_of: Callable[[bytes], int] | None = None,
        narrow: Mapping[bytes, int] | None = None,
        generation: int = 1 << 15,
    ) -> None:
        self._device, self._guard = device, guard
        self._mtu_of = mtu_of
        self._narrow = {} if narrow is None else narrow
        self._generation = generation
        self._flows = Flows(translator, local, generation)
        self._df0_limit = translator.domain.lowest_ipv6_mtu
        self._cuts, self._tails = Cuts(frame), Tails(frame)
        self._refused = 0 if frame.offloads else SKB_GSO | SKB_CSUMNOTREADY  # the core has to do those
        # The frame in front of a complete packet, what writes a frame and an IP header, and the octets of both.
        self._to4, self._to6 = (
            (frame.whole(version), struct.Struct(f"!{frame.size}s{form}").pack_into, frame.size + length)
            for version, form, length in ((4, _NEW_IPV4, 20), (6, _NEW_IPV6, 40))
        )
        self._unfinished4, self._unfinished6 = (
            {protocol: frame.unfinished(version, protocol) for protocol in (_TCP, _UDP)} for version in (4, 6)
        )

    def renew(self, translator: Translator, local: Collection[bytes]) -> None:
        """Drop all templates: `translator` teaches from now on, and this node's addresses are now `local`."""
        self._flows = Flows(translator, local, self._generation)
        self._df0_limit = translator.domain.lowest_ipv6_mtu

    def trust_stamps(self, stamped: Collection[int]) -> None:
        """Interfaces, by index, whose stamps count."""
        self._cuts.trust_stamps(stamped)

    def __len__(self) -> int:
        return len(self._flows)

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
        known, messages, former = self._flows.young, taken.messages, None
        complete, put, header = self._to6
        before = len(messages)
        for index in range(first, len(records)):
            start, length, priority, kind = records[index]
            if kind is not former:
                former = kind
                hook, indev, info, whole, reassembled = kind
                if not whole or reassembled or indev == self._guard or info & self._refused:
                    break
                forwarded = self._device or not hops_of(hook, indev, device=False, result_is_local=False)
                passed = hook == POSTROUTING and indev  # a hop was taken on the way there
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
                flow = self._flows.find(pair)
                known = self._flows.young
                if flow is None:
                    break
            addresses, delta, pseudo, traffic_class, local_source, extra_hop, destination = flow
            if local_source and hook == PREROUTING:
                break
            if not forwarded or (extra_hop and not passed and (hook != FORWARD or local_source)):
                if ttl <= 1:
                    break
                ttl -= 1
            if info & SKB_GSO:
                limit = 0xFFFF if fragment else self._df0_limit - 40  # RFC 7915 4.1
                cut = self._cuts.find(6, protocol, offset_flags, limit, priority, kind, size)
                if cut is None:
                    break
                frame, segment, _ = cut
                taken.superframes += 1
                taken.segments += _segments(size, payload, segment)
                taken.superframe_payload += payload
            elif (not fragment and total + 20 > self._df0_limit) or (
                self._mtu_of is not None and total + 20 > self._mtu_of(destination)
            ):
                break
            elif info & SKB_CSUMNOTREADY:
                if protocol == _UDP and (check - pseudo + delta - _UDP - size) % 0xFFFF:
                    break  # not the old pseudo-header's sum: the unfinished one is in an inner header
                frame = self._unfinished6[protocol]
            else:
                frame = complete
            if frame is complete:
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
            tos = traffic_class[word & 0xFF]
            begin = start + 20 - header
            put(buffer, begin, frame, 0x6000 | tos << 4, size, protocol, ttl, addresses)
            messages += (base + begin, size + header)
            taken.destinations.append(destination)
            if payload:
                taken.payload += payload
            if hook == POSTROUTING:
                taken.accepted.append(index)
        else:
            index = len(records)
        taken.packets4 += index - first
        lengths = messages[before + 1 :: 2]
        taken.octets4 += sum(lengths) - header * len(lengths)
        return index

    def _run6(self, buffer: bytearray, base: int, records: Sequence[Record], first: int, taken: Taken) -> int:
        known, messages, former = self._flows.young, taken.messages, None
        complete, put, header = self._to4
        before = len(messages)
        for index in range(first, len(records)):
            start, length, priority, kind = records[index]
            if kind is not former:
                former = kind
                hook, indev, info, whole, reassembled = kind
                if not whole or reassembled or indev == self._guard or info & self._refused:
                    break
                forwarded = self._device or not hops_of(hook, indev, device=False, result_is_local=False)
                passed = hook == POSTROUTING and indev  # a hop was taken on the way there
            word, size, protocol, ttl, pair, first8, next8, tcp_check = _ipv6(buffer, start)
            at = start + 40
            if protocol == _UDP:
                field, check, payload = at + 6, first8 & 0xFFFF, 0
                if size < 8 or not check:
                    break
            elif protocol == _TCP:
                field, check, payload = at + 16, tcp_check, size - (next8 >> 28 & 15) * 4
                if size < 20 or payload < 0:
                    break
            else:
                break
            total = size + 20
            if word >> 28 != 6 or total + 20 > length or total > 0xFFFF:
                break
            flow = known.get(pair)
            if flow is None:
                flow = self._flows.find(pair)
                known = self._flows.young
                if flow is None:
                    break
            addresses, delta, pseudo, traffic_class, local_source, extra_hop, destination = flow
            if local_source and hook == PREROUTING:
                break
            if not forwarded or (extra_hop and not passed and (hook != FORWARD or local_source)):
                if ttl <= 1:
                    break
                ttl -= 1
            segment = size
            if info & SKB_GSO:
                limit = self._narrow.get(addresses, 0xFFFF) - 20
                cut = self._cuts.find(4, protocol, next8 >> 16 & 0xFFFF, limit, priority, kind, size)
                if cut is None:
                    break
                frame, segment, tail = cut
                taken.segments += _segments(size, payload, segment)
                if tail:  # of another DF than the others: they are done here, and it is what the loop goes on with
                    tos = traffic_class[word >> 20 & 0xFF]
                    messages += (base + at - header, size - tail + header)
                    taken.destinations.append(destination)
                    taken.parts.append(base + at - header)
                    sizes, fields = (size - tail, tail), (tos, ttl, protocol)
                    field -= at
                    at, size = self._tails.part(buffer, at, start + length, sizes, fields, frame, flow)
                    field += at
                    first8, next8 = _words(buffer, at)
                    segment, total, frame = size, size + 20, self._unfinished4[protocol]
                taken.superframes += 1
                taken.superframe_payload += payload
            elif (self._mtu_of is not None and total > self._mtu_of(destination)) or (
                self._narrow and total > self._narrow.get(addresses, total)
            ):
                break
            elif info & SKB_CSUMNOTREADY:
                if protocol == _UDP and (check - pseudo + delta - _UDP - size) % 0xFFFF:
                    break  # not the old pseudo-header's sum: the unfinished one is in an inner header
                frame = self._unfinished4[protocol]
            else:
                frame = complete
            if frame is complete:
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
            tos = traffic_class[word >> 20 & 0xFF]
            if segment + 20 > DF_THRESHOLD:
                df, ident = _DF, 0
            elif protocol == _UDP:  # xlat.fragmentation4.identification
                if size < 16:
                    next8 &= -1 << 8 * (16 - size)
                df, ident = 0, ((first8 & _NO_CHECKSUM) % MODULUS * _BY_64 + next8) % MODULUS + 1
            else:
                df, ident = 0, (first8 % MODULUS * _BY_32 + (next8 >> 32)) % MODULUS + 1
            check = 0x4500 + tos + total + ident + df + (ttl << 8) + protocol + pseudo
            check = (check & 0xFFFF) + (check >> 16)
            check = 0xFFFF - ((check & 0xFFFF) + (check >> 16))
            begin = at - header
            put(buffer, begin, frame, 0x45, tos, total, ident, df, ttl, protocol, check, addresses)
            messages += (base + begin, size + header)
            taken.destinations.append(destination)
            if payload:
                taken.payload += payload
            if hook == POSTROUTING:
                taken.accepted.append(index)
        else:
            index = len(records)
        lengths = messages[before + 1 :: 2]
        taken.octets6 += sum(lengths) - header * len(lengths)
        return index


def _segments(size: int, payload: int, largest: int) -> int:
    """Of a superframe; `size` and `largest` are octets behind the IP header, `payload` is of TCP."""
    transport_header = size - payload if payload else 8
    return -(-(size - transport_header) // max(1, largest - transport_header))
