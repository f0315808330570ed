"""What is counted of each mapping, while somebody asks (nfxlat.service.mapping_readers) or the configuration says
`count-mappings = true`.

Workers count, and say once a second what it was; entries at ingress are looked at as often while somebody asks, else
every few seconds. Here all is added up, in some 200 octets for each mapping that had a packet. Over a reload numbers
go on; of a killed worker those of its last second are lost.
"""

import contextlib
import time
from array import array
from collections.abc import Callable, Iterable
from heapq import nlargest
from ipaddress import IPv4Address
from typing import Any

from nfxlat import ipaddresses
from nfxlat.service.loop import Loop
from nfxlat.service.messages import Busiest, Count, Counted, Message
from nfxlat.terms import DIRECTIONS
from nfxlat.xlat.addresses import AddressMap
from nfxlat.xlat.domain import Domain

OTHERWISE = b"\0\0\0\0\xff"  # of prefix6, and whatever is in no EAM
SECONDS, SELDOM = 1.0, 5.0  # between two looks at entries at ingress
_PAIRS = 10

Entries = Callable[[], Iterable[tuple[bytes, bytes, int, int]]]
"""Entries at ingress: a key, addresses of the result (8 or 32 octets), packets, octets. May raise OSError."""


class Counting:
    """`tell` sends to all workers; `entries`: what is translated at ingress."""

    def __init__(self, domain: Domain, loop: Loop, tell: Callable[[Message], None], entries: Entries) -> None:
        self._loop, self._tell, self._entries = loop, tell, entries
        self._asked = False
        self._index: dict[bytes, int] = {}  # mapping: its place in the numbers
        self._numbers = array("Q")
        self._busy: dict[int, tuple[tuple[bytes, int, int], ...]] = {}  # by worker; -1: at ingress
        self._known: dict[bytes, tuple[int, int]] = {}  # entries at ingress
        self._since = self._looked = 0.0
        self._ticking = False
        self.on = False
        self.renew(domain)

    def renew(self, domain: Domain) -> None:
        """This one's mappings hold from now on."""
        self._domain, self._addresses = domain, AddressMap(domain)
        self._turn()

    def attend(self, asked: bool) -> None:
        """Whether anybody asks, from now on."""
        self._asked = asked
        self._turn()

    @property
    def domain(self) -> Domain:
        """Whose mappings hold."""
        return self._domain

    @property
    def seconds(self) -> float:
        """How long it has been counted."""
        return round(time.monotonic() - self._since, 1)

    @property
    def mappings(self) -> list[bytes]:
        """That had a packet: five octets each, IPv4 address and length, or OTHERWISE."""
        return list(self._index)

    def numbers(self, mapping: bytes) -> list[int] | None:
        """Packets from, octets from, packets to, octets to; None: all has begun anew since."""
        place = self._index.get(mapping)
        return None if place is None else list(self._numbers[place : place + 4])

    def heard(self, message: Counted | Busiest) -> None:
        """What a worker has counted."""
        if not self.on:
            return
        if isinstance(message, Busiest):
            self._busy[message.number] = message.pairs
            return
        for mapping, *numbers in message.rows:
            self._add(mapping, numbers)

    def summary(self) -> dict[str, Any] | None:
        """None while nobody counts; the busiest pairs of the last second as IPv4 has them: [direction, source,
        destination, packets, octets]."""
        if not self.on:
            return None
        pairs: dict[bytes, list[int]] = {}
        for rows in self._busy.values():
            for pair, packets, octets in rows:
                known = pairs.setdefault(pair, [0, 0])
                known[0] += packets
                known[1] += octets
        most = nlargest(_PAIRS, pairs.items(), key=lambda item: item[1][1])
        return {"seconds": self.seconds, "mappings": len(self._index), "busiest": [self._named(*one) for one in most]}

    def _turn(self) -> None:
        on = self._domain.count_mappings or self._asked
        if on == self.on:
            return
        self.on = on
        self._index.clear()
        self._numbers = array("Q")
        self._busy.clear()
        self._known.clear()
        self._tell(Count(on))
        if on:
            self._since = time.monotonic()
            self.look(first=True)
            if not self._ticking:
                self._ticking = True
                self._loop.later(SECONDS, self._tick)

    def _tick(self) -> None:
        self._ticking = self.on
        if self.on:
            self._loop.later(SECONDS if self._asked else SELDOM, self._tick)
            self.look()

    def look(self, *, first: bool = False) -> None:
        """At the entries at ingress: what they have had since the last look. What they have at the first is not new."""
        former, self._known = self._known, {}
        now = time.monotonic()
        seconds, self._looked = max(now - self._looked, 0.001), now
        busy: list[tuple[bytes, int, int]] = []
        with contextlib.suppress(OSError):
            for key, addresses, packets, octets in self._entries():
                self._known[key] = packets, octets
                before = former.get(key, (0, 0))
                if packets < before[0]:  # learnt anew
                    before = 0, 0
                more = packets - before[0], octets - before[1]
                if first or not more[0]:
                    continue
                busy.append((addresses, round(more[0] / seconds), round(more[1] / seconds)))
                half = len(addresses) // 2
                self._add(self._mapping(addresses[:half]), (*more, 0, 0))
                self._add(self._mapping(addresses[half:]), (0, 0, *more))
        self._busy[-1] = tuple(nlargest(_PAIRS, busy, key=lambda one: one[2]))

    def _mapping(self, address: bytes) -> bytes:
        return self._domain.eamt.place_of(address) or OTHERWISE

    def _add(self, mapping: bytes, numbers: Iterable[int]) -> None:
        place = self._index.get(mapping)
        if place is None:
            place = self._index[mapping] = len(self._numbers)
            self._numbers.extend((0, 0, 0, 0))
        for offset, number in enumerate(numbers):
            self._numbers[place + offset] += number

    def _named(self, pair: bytes, counts: list[int]) -> list[Any]:
        half, six = len(pair) // 2, len(pair) == 32
        ends = [self._four(pair[at : at + half]) if six else str(IPv4Address(pair[at : at + half])) for at in (0, half)]
        return [DIRECTIONS[not six], *ends, *counts]

    def _four(self, address6: bytes) -> str:
        address4 = self._addresses.to4(address6).address
        return str(IPv4Address(address4)) if address4 else str(ipaddresses.address6(address6))
