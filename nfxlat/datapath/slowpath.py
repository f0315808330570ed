"""What the core translates, packet by packet: all that the fast path leaves.

- What only the kernel can do is done for the worker's plain queue: a packet goes there whose unfinished checksum is in
  an inner header, and a superframe that is too long for a queue message, or has CWR, of which the kernel knows whether
  it is the first segment's or every segment's. It is taken, and counted, there.
- The number of hops to take off follows hook and injector (`hops_of`): exactly one decrement a node.
- What came from the domain device itself is never translated again: the guard against loops is the input interface.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from ipaddress import IPv4Address

from nfxlat.datapath.counters import ERROR, PART, Counters, Direction, Total, cell
from nfxlat.datapath.hops import hops_of
from nfxlat.datapath.inject import Injectors, local_source
from nfxlat.datapath.pathmtu import PathMtus, narrowed
from nfxlat.datapath.routecache import RouteCache
from nfxlat.datapath.source import ACCEPT, AGAIN, DROP, Kind, Record
from nfxlat.datapath.superframe import (
    CWR,
    TCP,
    complete_checksum,
    cutting,
    is_later_fragment6,
    is_own_checksum_unfinished,
    segments,
    stamp_of,
    transport,
)
from nfxlat.datapath.tally import Tally
from nfxlat.outcome import Action, Outcome, Reason, dropped
from nfxlat.wire.nfqueue import FORWARD, LOCAL_OUT, POSTROUTING, PREROUTING, SKB_CSUMNOTREADY, SKB_GSO
from nfxlat.xlat.special import martian4
from nfxlat.xlat.translator import Translator

_EVENTS = (Reason.UDP_ZERO_CHECKSUM, Reason.UDP_ZERO_CHECKSUM_FRAGMENT)
# Looking an enumeration's member up takes longer than counting.
_INJECTED, _ORIGINALS, _CUT, _PARTS = Total.INJECTED, Total.ORIGINALS, Total.CUT, Total.PARTS
_SEGMENTS, _OCTETS4, _OCTETS6, _TCP_PAYLOAD = Total.SEGMENTS, Total.OCTETS4, Total.OCTETS6, Total.TCP_PAYLOAD
_FROM_OUTSIDE = (PREROUTING, FORWARD)  # hooks; what a TUN is given by this node itself is told by its source
_HEADER = {4: 20, 6: 40}  # octets of what the core makes
_BY_THE_KERNEL = 65535  # next-hop MTU for the device injector: the kernel's forwarding judges the size


class SlowPath:
    """`translator` translates, and this node's addresses are `local`; at interfaces `stamped` (indexes) the stamp is
    made. `tally` counts what leaves by mapping, and `seen` gets each outcome, where somebody asks.

    All else is as the worker has it.
    """

    def __init__(
        self,
        translator: Translator,
        injectors: Injectors,
        counters: Counters,
        *,
        paths: PathMtus,
        routes: RouteCache | None,
        learnt: Callable[[bytes, int], None],
        event: Callable[[str], None],
        device_index: int,
        local: Collection[bytes],
    ) -> None:
        self.translator, self.local = translator, local
        self.stamped: Collection[int] = frozenset()
        self.tally: Tally | None = None
        self.seen: list[Outcome] | None = None
        self._injectors, self._counters = injectors, counters
        self._paths, self._routes = paths, routes
        self._learnt, self._event = learnt, event
        self._device_index = device_index

    def judge(self, buffer: bytearray, record: Record, plain: int | None) -> int:
        """Have the core translate a packet, and stage what comes out. The verdict on the original; AGAIN: it is for the
        queue `plain`."""
        start, length, priority, kind = record
        packet = bytes(buffer[start : start + length])
        version = packet[0] >> 4 if packet else 0
        direction = Direction.V4TO6 if version == 4 else Direction.V6TO4 if version == 6 else Direction.UNKNOWN
        if self._device_index and kind.indev == self._device_index:
            return self._early(Reason.FROM_DOMAIN_DEVICE, direction, ACCEPT)
        if self._passes(packet, kind):
            return self._early(Reason.NOT_OURS, direction, ACCEPT)
        if not kind.whole:
            if kind.skb_info & SKB_GSO and plain is not None:
                return AGAIN
            return self._early(Reason.QUEUE_TRUNCATED, direction, DROP)
        from_here = bool(packet) and local_source(packet, self.local)
        if kind.hook == PREROUTING and from_here:
            return self._early(Reason.LOCAL_SOURCE, direction, DROP)
        pieces: Iterable[bytes] = (packet,)
        stamp = stamp_of(priority, kind, self.stamped)
        if kind.hook == FORWARD and from_here:
            kind = kind._replace(hook=LOCAL_OUT)  # of a TUN: nobody has forwarded what this node sends
        if kind.skb_info & SKB_GSO:
            how = cutting(packet, stamp)
            if isinstance(how, Reason):
                return self._early(how, direction, DROP)
            if how is not None and plain is not None and how.protocol == TCP and packet[how.offset + 13] & CWR:
                return AGAIN
            pieces = segments(packet, stamp)
        elif kind.skb_info & SKB_CSUMNOTREADY:
            if plain is not None and not is_own_checksum_unfinished(packet):
                return AGAIN
            pieces = (complete_checksum(packet),)
        verdict, number = DROP, 0
        for number, piece in enumerate(pieces, 1):  # noqa: B007
            outcome = self._translate(piece, kind)
            if outcome.action is Action.TRANSLATED and kind.hook in _FROM_OUTSIDE and self._poses(piece, outcome):
                outcome = dropped(Reason.LOCAL_SOURCE)
            if outcome.action is Action.REJECTED:
                self._counters.totals[Total.ERRORS_SENT] += 1
                self._counters.rejected[cell(outcome.reason, direction)] += 1
                self._injectors.raw.put_packet(outcome.packets[0], ERROR)
            self._counters.count(outcome.reason, direction)
            if self.seen is not None:
                self.seen.append(outcome)
            if outcome.action is Action.TRANSLATED:
                if direction is Direction.V4TO6 and (news := self._paths.learn(piece)) is not None:
                    self._learnt(*news)
                self._stage(outcome.packets, outcome.reason, direction)
                if kind.hook == POSTROUTING:
                    verdict = ACCEPT
                    self._counters.totals[_ORIGINALS] += self._fragments(piece)
            elif outcome.action is Action.PASSED:
                verdict = ACCEPT
            elif outcome.reason in _EVENTS:  # RFC 7915 4.5
                self._event(f"{outcome.reason.label}: {_ends(piece)}: {outcome.reason.sentence}")
        if kind.skb_info & SKB_GSO:
            self._counters.totals[_SEGMENTS] += number
            self._counters.totals[_CUT] += number - 1
        return verdict

    def _early(self, reason: Reason, direction: Direction, verdict: int) -> int:
        """What is decided before the core is asked: counted."""
        self._counters.count(reason, direction)
        if self.seen is not None:
            self.seen.append(Outcome(Action.PASSED if verdict == ACCEPT else Action.DROPPED, reason))
        return verdict

    def _passes(self, packet: bytes, kind: Kind) -> bool:
        """Whether the destination is not translated, or is this node, whatever else is to be said of the packet."""
        if not self.translator.is_ours(packet):
            return True
        if kind.hook not in (PREROUTING, LOCAL_OUT):  # what is forwarded is not for this node
            return False
        destination = _destination(packet)
        return destination in self.local and self.translator.keeps(destination)

    def _poses(self, packet: bytes, outcome: Outcome) -> bool:
        """Whether the result of a packet from outside bears an address of this node as its source.

        It would leave by the raw socket, past the rules for what is forwarded. The source of an ICMP error that has no
        mapping, so that a pool or address4 stands in for it, is not meant.
        """
        if not local_source(outcome.packets[0], self.local):
            return False
        mapped = self.translator.addresses
        mapping = mapped.to6(packet[12:16]) if packet[0] >> 4 == 4 else mapped.to4(packet[8:24])
        return mapping.address is not None

    def _translate(self, packet: bytes, kind: Kind) -> Outcome:
        """The core's outcome, with the hops and the next-hop MTU that hold for the result's destination."""
        translate, device = self.translator.translate, self._injectors.device
        if kind.reassembled:
            translate = partial(translate, reassembled=True)
        hops = hops_of(kind.hook, kind.indev, device=device, result_is_local=False)
        outcome = translate(packet, hops, next_hop_mtu=_BY_THE_KERNEL)
        if outcome.action is not Action.TRANSLATED:
            return outcome
        if packet[0] >> 4 == 4 and martian4(packet[12:16]):  # of an ICMP error, where RFC 7915 4.1 would have it pass
            return dropped(Reason.MARTIAN_SOURCE)
        result = outcome.packets[0]
        destination = _destination(result)
        again, mtu, back = hops, _BY_THE_KERNEL, None
        by_raw = not device or local_source(result, self.local)  # as `_stage` has it: nobody forwards it
        if device:
            local = destination in self.local or by_raw
            again = hops_of(kind.hook, kind.indev, device=True, result_is_local=local)
            if not again and packet[7] <= 1 and is_later_fragment6(packet):
                return translate(packet, 1)  # RFC 4443 3.3; of IPv4, forwarding says nothing about such a fragment
        if by_raw and self._routes is not None:
            route = self._routes.route(destination)
            if isinstance(route, Reason):
                return self.translator.unreachable(packet, route)
            mtu = route.mtu
        narrow = self._paths.mtus.get(result[12:20]) if self._paths.mtus and result[0] >> 4 == 4 else None
        if self._routes is not None and (quoted := narrowed(packet, result)):  # RFC 7915 4.2, 5.2: all three terms
            mtu, back = self._routes.mtu(destination) or mtu, self._routes.mtu(quoted) or None
        elif again == hops and len(max(outcome.packets, key=len)) <= min(mtu, narrow or mtu):
            return outcome
        return translate(packet, again, narrow, next_hop_mtu=mtu, mtu_back=back)

    def _fragments(self, original: bytes) -> int:
        """How many packets an original is that goes on from postrouting: of IPv4 without DF, the kernel makes fragments
        for its route."""
        header = (original[0] & 15) * 4
        if self._routes is None or original[0] >> 4 == 6 or original[6] & 0x40:
            return 1
        mtu = self._routes.mtu(original[16:20])
        return 1 if not mtu or len(original) <= mtu else -(-(len(original) - header) // ((mtu - header) & ~7))

    def _stage(self, packets: Sequence[bytes], reason: Reason, direction: Direction) -> None:
        totals, what = self._counters.totals, cell(reason, direction)
        totals[_INJECTED] += len(packets)
        totals[_PARTS] += len(packets) - 1
        if self.tally is not None:
            self.tally.left(packets)
        for packet in packets:
            # Through the device, accept_local and rp_filter would drop a source of our own.
            raw = self._injectors.device and local_source(packet, self.local)
            (self._injectors.raw if raw else self._injectors.main).put_packet(packet, what)
            what = PART
            totals[_OCTETS4 if direction is Direction.V4TO6 else _OCTETS6] += len(packet) - _HEADER[packet[0] >> 4]
            protocol, offset = transport(packet)
            if protocol == TCP and offset and offset + 13 <= len(packet):
                payload = len(packet) - offset - (packet[offset + 12] >> 4) * 4
                totals[_TCP_PAYLOAD] += max(0, payload)


def _ends(packet: bytes) -> str:
    """Addresses and ports of a whole IPv4 packet with UDP."""
    at = (packet[0] & 15) * 4
    ends = zip((packet[12:16], packet[16:20]), (packet[at : at + 2], packet[at + 2 : at + 4]), strict=True)
    return " > ".join(f"{IPv4Address(address)} port {int.from_bytes(port, 'big')}" for address, port in ends)


def _destination(packet: bytes) -> bytes:
    return packet[24:40] if packet[:1] >= b"\x60" else packet[16:20]
