"""Whether what came out is what must come out: octet by octet, and where not, field by field."""

from __future__ import annotations

from dataclasses import dataclass

from nfxlat.conformance.fields import differences, fields_of
from nfxlat.conformance.hosts import Hosts
from nfxlat.conformance.notation import WHOLE, Packet
from nfxlat.conformance.octets import Builder
from nfxlat.conformance.parts import cut_layer, with_part
from nfxlat.conformance.suite import Case

Received = tuple[int, bytes]  # side it came out on, 4 or 6, and the IP packet


@dataclass(frozen=True, slots=True)
class Verdict:
    """`lines`: what is wrong, field by field; none if all is well. `other`: packets that did not come, or should not
    have."""

    lines: tuple[str, ...] = ()
    absent: bool = False  # something did not come, and nothing came in its place
    other: int = 0

    @property
    def ok(self) -> bool:
        return not self.lines


def family_of(packet: Packet) -> int:
    """Of a packet as written, and so the side where it is sent and wanted."""
    return 4 if packet[0].kind == "ip" else 6


@dataclass(frozen=True, slots=True)
class Sent:
    """What is sent on a side. `segment`: of a superframe, octets of payload in each of its segments; else 0."""

    side: int
    octets: bytes
    segment: int = 0


def octets_of(case: Case, hosts: Hosts) -> tuple[list[Sent], set[str]]:
    """The packets to send, each with its side, and the names of all hosts in the case."""
    builder = Builder(hosts)
    sent = []
    for packet in case.send:
        segment = packet[0].fields.get("super", 0)
        assert isinstance(segment, int)
        sent.append(Sent(family_of(packet), builder.build(packet), segment))
    wanted = Builder(hosts, want=True)
    for outcome in case.outcomes:
        for packet in outcome:
            wanted.build(packet)
    return sent, builder.names | wanted.names


def judge(case: Case, hosts: Hosts, hops: dict[tuple[int, int], int], received: list[Received]) -> Verdict:
    """`hops`: how many the translator takes off, by side in and side out."""
    best: Verdict | None = None
    for outcome in case.outcomes:
        verdict = _compare(case, outcome, hosts, hops, received)
        if verdict.ok:
            return verdict
        if best is None or (verdict.other, len(verdict.lines)) < (best.other, len(best.lines)):
            best = verdict  # the one that what came out is nearest to
    assert best is not None
    return best


def _compare(
    case: Case, outcome: tuple[Packet, ...], hosts: Hosts, hops: dict[tuple[int, int], int], received: list[Received]
) -> Verdict:
    left = list(received)
    lines: list[str] = []
    open_packets: list[Packet] = []
    absent, other = False, 0
    for packet in outcome:
        if cut_layer(packet) is not None:
            faults, incomplete = _fragments(packet, _Around(case, packet, hosts, hops), left)
            lines += faults
            absent = absent or incomplete
            other += not any(side == family_of(packet) for side, _ in received)
            continue
        around = _Around(case, packet, hosts, hops)
        candidates = left[:1] if case.ordered else left
        match = next((one for one in candidates if one[0] == around.family and around.build(one[1]) == one[1]), None)
        if match is None:
            open_packets.append(packet)
        else:
            left.remove(match)
    for packet in open_packets:
        around = _Around(case, packet, hosts, hops)
        nearest = next((one for one in left if one[0] == around.family), None)
        if nearest is None:
            lines.append(f"nothing came out on the IPv{around.family} side, wanted: {summary(around.build(b''))}")
            absent, other = True, other + 1
        else:
            left.remove(nearest)
            lines += differences(around.build(nearest[1]), nearest[1]) or ["out of order"]
    lines += [f"unwanted on the IPv{side} side: {summary(octets)}" for side, octets in left]
    return Verdict(tuple(lines), absent and not left, other + len(left))


class _Around:
    """Builds one wanted packet around what was received."""

    def __init__(self, case: Case, packet: Packet, hosts: Hosts, hops: dict[tuple[int, int], int]) -> None:
        self.packet, self.family = packet, family_of(packet)
        sent = case.send[0][0]
        start = sent.fields.get("ttl", sent.fields.get("hlim", 64))
        assert isinstance(start, int)
        came = {family_of(one) for one in case.send} - {self.family} or {self.family}
        self._hosts, self._hop = hosts, max(0, start - hops[min(came), self.family])

    def build(self, received: bytes, packet: Packet | None = None) -> bytes:
        builder = Builder(self._hosts, want=True, hop=self._hop, received=received)
        return builder.build(self.packet if packet is None else packet)


def _fragments(packet: Packet, around: _Around, left: list[Received]) -> tuple[list[str], bool]:
    """`part *`: fragments of any sizes, together the whole; takes them out of `left`. What is wrong, and whether some
    of it has not come."""
    at = cut_layer(packet)
    assert at is not None
    part, largest = packet[at].fields["part"], packet[at].fields.get("max", WHOLE)
    assert isinstance(part, tuple)
    assert isinstance(largest, int)
    whole = around.build(b"")
    before = len(around.build(b"", with_part(packet, at, part[0], part[0] + 8))) - 8  # octets of headers
    lines: list[str] = []
    pieces: list[tuple[int, int]] = []
    for side, octets in [one for one in left if one[0] == around.family]:
        start = _offset(octets, before)
        end = start + len(octets) - before
        wanted = around.build(octets, with_part(packet, at, start, max(end, start + 1)))
        left.remove((side, octets))
        if wanted != octets:
            lines += differences(wanted, octets) or ["a fragment differs"]
        if len(octets) > largest:
            lines.append(f"a fragment of {len(octets)} octets, at most {largest} wanted")
        pieces.append((start, end))
    if not pieces:
        return [f"nothing came out on the IPv{around.family} side, wanted: fragments of {summary(whole)}"], True
    reached, total = part[0], part[0] + len(whole) - before
    for start, end in sorted(pieces):
        if start != reached:
            lines.append(f"octets {reached} to {start} of the datagram are missing or come twice")
        reached = end
    if reached != total:
        lines.append(f"the fragments end at octet {reached} of {total}")
    return lines, reached < total


def _offset(octets: bytes, before: int) -> int:
    """Of a fragment whose headers take `before` octets, in octets."""
    if octets[0] >> 4 == 4:
        return (int.from_bytes(octets[6:8], "big") & 0x1FFF) * 8
    return int.from_bytes(octets[before - 6 : before - 4], "big") & 0xFFF8


def summary(octets: bytes) -> str:
    """A packet in a few words."""
    values = dict(fields_of(octets))
    outer = "ip6" if "ip6.src" in values else "ip"
    what = next((f"{key.split('.')[0]} {value}" for key, value in values.items() if key.endswith("type/code")), "")
    if not what:
        names = ("tcp", "udp", "udplite", "dccp")
        what = next((name for name in names if f"{name}.sport" in values), "")
    if "frag.off" in values:
        what = f"fragment {what}"
    return f"{values.get(f'{outer}.src')} > {values.get(f'{outer}.dst')} {what}, {len(octets)} octets".replace(
        " ,", ","
    )
