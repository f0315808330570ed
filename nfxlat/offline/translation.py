"""The translation of captures, packet by packet, as `nfxlat translate` shows it."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from nfxlat.offline import link, superframe
from nfxlat.offline.record import Record
from nfxlat.offline.superframe import Superframe
from nfxlat.outcome import Action, Outcome, Reason, dropped
from nfxlat.xlat.translator import Translator

_NO_IP = Outcome(Action.PASSED, Reason.NOT_IP)  # a frame of another protocol never reaches a translator
DIRECTION_OF_VERSION = {4: "4to6", 6: "6to4"}
_MIDDLES: dict[tuple[str | None, str, str], str] = {}  # what JSON lines have between their number and their packets


class Judgement(NamedTuple):
    """What became of one record. `number` counts from 1; `packet` is its IP packet, None if it has none."""

    number: int
    record: Record
    frame: link.Frame
    packet: bytes | None
    outcome: Outcome
    superframe: Superframe | None = None  # what is known of it, if it is one

    @property
    def direction(self) -> str | None:
        """`4to6` for IPv4, `6to4` for IPv6 (a hairpin too), None for what is neither."""
        return DIRECTION_OF_VERSION.get(self.packet[0] >> 4) if self.packet else None

    def frames(self) -> tuple[bytes, ...]:
        """The frames that come out: translated packets or the ICMP error; the record's own if it passed.

        Where results are written as raw IP, a frame without IP has no place.
        """
        if self.outcome.action is Action.PASSED:
            kept = link.written_as(self.record.link_type) == self.record.link_type
            own = self.record.data if kept else self.packet
            return () if own is None else (own,)
        return tuple(self.frame.around(packet) for packet in self.outcome.packets)

    def as_json(self) -> str:
        """One line: n, direction, action, reason, rfc, packets (hex), and of a superframe segments."""
        action, reason, packets = self.outcome
        known = self.direction, action.value, reason.label
        middle = _MIDDLES.get(known)
        if middle is None:
            values = {"direction": self.direction, "action": action.value, "reason": reason.label, "rfc": reason.rfc}
            middle = _MIDDLES[known] = json.dumps(values)[1:-1]
        digits = ", ".join([f'"{packet.hex()}"' for packet in packets])
        of = f', "segments": {self.superframe.segments}' if self.superframe else ""
        return f'{{"n": {self.number}, {middle}, "packets": [{digits}]{of}}}'


def judge(translator: Translator, record: Record, number: int = 1, hops: int = 1) -> Judgement:
    """The outcome of one record."""
    frame = link.split(record.link_type, record.data)
    packet = frame.packet
    if packet is None:
        outcome = _NO_IP
    elif frame.version is not None and (not packet or packet[0] >> 4 != frame.version):
        outcome = dropped(Reason.NOT_IP)  # as the kernel does, net/ipv4/ip_input.c and net/ipv6/ip6_input.c
    else:
        return Judgement(number, record, frame, packet, *superframe.judge(translator, packet, hops))
    return Judgement(number, record, frame, packet, outcome)


def judge_all(translator: Translator, records: Iterable[Record], hops: int = 1) -> Iterator[Judgement]:
    """The outcomes of `records`, in order."""
    for number, record in enumerate(records, 1):
        yield judge(translator, record, number, hops)


class Counts:
    """How many packets met which fate."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str | None, Action, str]] = Counter()  # the reason by its name
        self.packets = self.results = self.cut_off = self.superframes = self.segments = 0

    def add(self, judgement: Judgement) -> None:
        """Count one."""
        action, reason, packets = judgement.outcome
        self._counts[judgement.direction, action, reason.name] += 1
        self.packets += 1
        self.results += len(packets)
        self.cut_off += judgement.record.missing > 0
        if judgement.superframe:
            self.superframes += 1
            self.segments += judgement.superframe.segments

    def rows(self) -> list[tuple[str | None, Action, Reason, int]]:
        """Direction, action, reason and number, by action in the order of their table, the most frequent first."""
        order = list(Action)
        found = [(way, action, Reason[name], number) for (way, action, name), number in self._counts.items()]
        return sorted(found, key=lambda row: (order.index(row[1]), -row[3], row[2].label, row[0] or ""))
