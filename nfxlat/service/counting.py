"""What is counted of each mapping, while somebody asks or the configuration says `count-mappings = true`.

    reader: connects where those who trace do (nfxlat.service.tracing), says "mappings FILTER" --> {"ok": true, ...}
            sends "now" --> rows, some hundred a message, at the end an empty message of its own: []
            goes --> nobody counts any more, unless others ask

    row     [IPv4 prefix, IPv6 prefix, packets from, octets from, packets to, octets to] it; octets behind IP headers

Workers count, and say once a second what it was; entries at ingress are looked at as often while somebody reads, else
every few seconds. Here all is added up, in some 200 octets for each mapping that had a packet. Over a reload numbers
go on; of a killed worker those of its last second are lost.
"""

import contextlib
import ipaddress
import json
import socket
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import nlargest
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any, NamedTuple

from nfxlat import ipaddresses
from nfxlat.service.loop import Loop
from nfxlat.service.messages import Busiest, Count, Counted, Message, Ping
from nfxlat.terms import DIRECTIONS
from nfxlat.xlat.addresses import AddressMap
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

ASKING = b"mappings "  # what a reader says first
OTHERWISE = b"\0\0\0\0\xff"  # of prefix6, and whatever is in no EAM
READERS = 8
SECONDS, SELDOM = 1.0, 5.0  # between two looks at entries at ingress
_ROWS, _TURN = 250, 1000  # rows of a message; mappings that are looked at in one go
_SAID = 0.1  # seconds until workers have said what they have
_FULL, _PATIENCE = 0.02, 500  # seconds until a reader's full socket is tried again, and how often
_PAIRS = 10

Entries = Callable[[], Iterable[tuple[bytes, bytes, int, int]]]
"""Entries at ingress: a key, addresses of the result (8 or 32 octets), packets, octets. May raise OSError."""


class _Prefix(NamedTuple):
    """Address and length; "" of none. Without what the classes of ipaddress cost, for a million."""

    address: bytes
    length: int

    def __str__(self) -> str:
        if not self.address:
            return ""
        return f"{socket.inet_ntop(_FAMILIES[len(self.address)], self.address)}/{self.length}"

    def overlaps(self, network: IPv4Network | IPv6Network) -> bool:
        """One of the same family."""
        if not self.address:
            return False
        shift = len(self.address) * 8 - min(self.length, network.prefixlen)
        return int.from_bytes(self.address, "big") >> shift == int(network.network_address) >> shift


_NONE = _Prefix(b"", 0)
_FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}


@dataclass(slots=True, eq=False)
class _Reader:
    connection: socket.socket
    wanted: IPv4Network | IPv6Network | None
    rows: Iterator[list[list[Any]]] | None = None  # what is still to be made
    made: list[list[list[Any]]] = field(default_factory=list)  # messages that are still to be sent
    waits: int = 0


class Counting:
    """`tell` sends to all workers; `entries`: what is translated at ingress."""

    def __init__(self, domain: Domain, loop: Loop, tell: Callable[[Message], None], entries: Entries) -> None:
        self._loop, self._tell, self._entries = loop, tell, entries
        self._readers: list[_Reader] = []
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

    def heard(self, message: Counted | Busiest) -> None:
        """What a worker has counted."""
        if not self.on:
            return
        if isinstance(message, Busiest):
            self._busy[message.number] = message.pairs
            return
        for mapping, *numbers in message.rows:
            self._add(mapping, numbers)

    def serve(self, connection: socket.socket, said: bytes) -> None:
        """Whoever has connected and said this, which begins with ASKING."""
        try:
            text = said[len(ASKING) :].decode()
            wanted = _network(text) if text else None
        except ValueError:
            self._refuse(connection, "this is no address and no prefix")
            return
        if len(self._readers) >= READERS:
            self._refuse(connection, f"{READERS} others ask already")
            return
        reader = _Reader(connection, wanted)
        self._readers.append(reader)
        self._turn()
        self._loop.on_readable(connection, lambda: self._hear(reader))
        seconds = time.monotonic() - self._since
        with contextlib.suppress(OSError):  # it has gone again, which is heard
            self._send(reader, {"ok": True, "always": self._domain.count_mappings, "seconds": round(seconds, 1)})

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
        seconds = round(time.monotonic() - self._since, 1)
        return {"seconds": seconds, "mappings": len(self._index), "busiest": [self._named(*one) for one in most]}

    def close(self) -> None:
        for reader in tuple(self._readers):
            self._end(reader)

    # --- on and off ---

    def _turn(self) -> None:
        on = self._domain.count_mappings or bool(self._readers)
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
            self._look(first=True)
            if not self._ticking:
                self._ticking = True
                self._loop.later(SECONDS, self._tick)

    def _tick(self) -> None:
        self._ticking = self.on
        if self.on:
            self._loop.later(SECONDS if self._readers else SELDOM, self._tick)
            self._look()

    def _look(self, *, first: bool = False) -> None:
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
                self._add(self.mapping(addresses[:half]), (*more, 0, 0))
                self._add(self.mapping(addresses[half:]), (0, 0, *more))
        self._busy[-1] = tuple(nlargest(_PAIRS, busy, key=lambda one: one[2]))

    def mapping(self, address: bytes) -> bytes:
        return self._domain.eamt.place_of(address) or OTHERWISE

    def _add(self, mapping: bytes, numbers: Iterable[int]) -> None:
        place = self._index.get(mapping)
        if place is None:
            place = self._index[mapping] = len(self._numbers)
            self._numbers.extend((0, 0, 0, 0))
        for offset, number in enumerate(numbers):
            self._numbers[place + offset] += number

    # --- readers ---

    def _hear(self, reader: _Reader) -> None:
        try:
            said = reader.connection.recv(64)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if said != b"now" or reader.rows is not None or reader.made:
            self._end(reader)
            return
        reader.rows = self._rows(reader.wanted)
        self._tell(Ping())  # whoever is asked says what was counted too
        self._loop.later(_SAID, lambda: self._show(reader))

    def _rows(self, wanted: IPv4Network | IPv6Network | None) -> Iterator[list[list[Any]]]:
        """Those that are asked for, some at a time, empty lists among them; the end is told by their end."""
        self._look()
        mappings, eamt = list(self._index), self._domain.eamt
        for start in range(0, len(mappings), _TURN):
            found: list[list[Any]] = []
            for mapping in mappings[start : start + _TURN]:
                if (place := self._index.get(mapping)) is None:
                    return  # begun anew meanwhile
                four, six = self._prefixes(mapping, eamt)
                if wanted is None or (six if wanted.version == 6 else four).overlaps(wanted):
                    found.append([str(four), str(six), *self._numbers[place : place + 4]])
            yield found

    def _prefixes(self, mapping: bytes, eamt: Eamt) -> tuple["_Prefix", "_Prefix"]:
        """As they are now; no IPv6 prefix of an EAM that is gone."""
        if mapping == OTHERWISE:
            prefix6 = self._domain.prefix6
            return _NONE, _NONE if prefix6 is None else _Prefix(prefix6.network_address.packed, prefix6.prefixlen)
        host, length = mapping[:4], mapping[4]
        if eamt.place_of(host) != mapping:
            return _Prefix(host, length), _NONE
        if length == 32 and (address6 := eamt.to6(host)) is not None:
            return _Prefix(host, length), _Prefix(address6, 128)
        entry = eamt.entry4(host)
        assert entry is not None
        return _Prefix(host, length), _Prefix(entry[1].network_address.packed, entry[1].prefixlen)

    def _show(self, reader: _Reader) -> None:
        """Some of it, and more when others had their turn; who does not read for long is forgotten."""
        if reader not in self._readers:
            return
        if not reader.made and reader.rows is not None:
            rows = next(reader.rows, None)
            if rows is None:
                reader.rows, reader.made = None, [[]]
            else:
                reader.made = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
        while reader.made:
            try:
                self._send(reader, reader.made[0])
            except BlockingIOError:
                reader.waits += 1
                if reader.waits > _PATIENCE:
                    self._end(reader)
                else:
                    self._loop.later(_FULL, lambda: self._show(reader))
                return
            except OSError:
                self._end(reader)
                return
            reader.waits = 0
            del reader.made[0]
        if reader.rows is not None:
            self._loop.later(0.0, lambda: self._show(reader))

    @staticmethod
    def _send(reader: _Reader, what: object) -> None:
        reader.connection.send(json.dumps(what).encode(), socket.MSG_NOSIGNAL)

    @staticmethod
    def _refuse(connection: socket.socket, why: str) -> None:
        with connection, contextlib.suppress(OSError):
            connection.send(json.dumps({"ok": False, "why": why}).encode(), socket.MSG_NOSIGNAL)

    def _end(self, reader: _Reader) -> None:
        if reader in self._readers:
            self._readers.remove(reader)
            self._loop.forget(reader.connection)
            reader.connection.close()
            self._turn()

    def _named(self, pair: bytes, counts: list[int]) -> list[Any]:
        half, six = len(pair) // 2, len(pair) == 32
        ends = [self._four(pair[at : at + half]) if six else str(IPv4Address(pair[at : at + half])) for at in (0, half)]
        return [DIRECTIONS[not six], *ends, *counts]

    def _four(self, address6: bytes) -> str:
        address4 = self._addresses.to4(address6).address
        return str(IPv4Address(address4)) if address4 else str(ipaddresses.address6(address6))


def _network(text: str) -> IPv4Network | IPv6Network:
    """Raises ValueError."""
    return ipaddresses.network6(text, strict=False) if ":" in text else ipaddress.IPv4Network(text, strict=False)
