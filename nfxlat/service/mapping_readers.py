"""Those who ask what was counted of each mapping (nfxlat.service.counting), by requests (nfxlat.service.requests).

"mappings", "filter": an address, a prefix or ""  --> ok, "always": whether it is counted anyway, "seconds": for how
                                                      long by now
then, as often as wanted, the word "now"          --> rows, some hundred a message, at the end an empty message: []
who goes                                          --> nobody counts any more, unless others ask

row     [IPv4 prefix, IPv6 prefix, packets from, octets from, packets to, octets to] it; octets behind IP headers
"""

import ipaddress
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple

from nfxlat import ipaddresses
from nfxlat.errors import OperatorError
from nfxlat.service.counting import OTHERWISE, Counting
from nfxlat.service.loop import Loop
from nfxlat.service.messages import Message, Ping
from nfxlat.service.requests import Answer, Asker
from nfxlat.service.tracing import ROOM
from nfxlat.xlat.eamt import Eamt

READERS = 8
NOW = b"now"
_ROWS, _TURN = 250, 1000  # rows of a message; mappings that are looked at in one go
_SAID = 0.1  # seconds until workers have said what they have
_FULL, _PATIENCE = 0.02, 500  # seconds until a reader's full socket is tried again, and how often


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
    asker: Asker
    wanted: IPv4Network | IPv6Network | None
    rows: Iterator[list[list[Any]]] | None = None  # what is still to be made
    made: list[list[list[Any]]] = field(default_factory=list)  # messages that are still to be sent
    waits: int = 0


class MappingReaders:
    """`tell` sends to all workers."""

    def __init__(self, counting: Counting, loop: Loop, tell: Callable[[Message], None]) -> None:
        self._counting, self._loop, self._tell = counting, loop, tell
        self._readers: list[_Reader] = []

    def begin(self, asker: Asker, request: dict[str, Any]) -> Answer:
        """The request "mappings". Raises OperatorError."""
        try:
            wanted = _network(text) if (text := str(request.get("filter", ""))) else None
        except ValueError:
            raise OperatorError("this is no address and no prefix", where="mappings") from None
        if len(self._readers) >= READERS:
            raise OperatorError(f"{READERS} others ask already", where="mappings")
        asker.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
        reader = _Reader(asker, wanted)
        self._readers.append(reader)
        asker.on_word = lambda said: self._hear(reader, said)
        asker.ends.callback(self._ended, reader)
        self._counting.attend(True)
        return {"always": self._counting.domain.count_mappings, "seconds": self._counting.seconds}

    def forget(self) -> None:
        """All of them: they have been hung up on."""
        self._readers.clear()
        self._counting.attend(False)

    def _ended(self, reader: _Reader) -> None:
        self._readers.remove(reader)
        self._counting.attend(bool(self._readers))

    def _hear(self, reader: _Reader, said: bytes) -> None:
        if said != NOW or reader.rows is not None or reader.made:
            reader.asker.end()
            return
        reader.rows = self._rows(reader.wanted)
        self._tell(Ping())  # whoever is asked says what was counted too
        self._loop.later(_SAID, lambda: self._show(reader))

    def _rows(self, wanted: IPv4Network | IPv6Network | None) -> Iterator[list[list[Any]]]:
        """Those that are asked for, some at a time, empty lists among them; the end is told by their end."""
        counting = self._counting
        counting.look()
        mappings, eamt = counting.mappings, counting.domain.eamt
        for start in range(0, len(mappings), _TURN):
            found: list[list[Any]] = []
            for mapping in mappings[start : start + _TURN]:
                if (numbers := counting.numbers(mapping)) is None:
                    return  # begun anew meanwhile
                four, six = self._prefixes(mapping, eamt)
                if wanted is None or (six if wanted.version == 6 else four).overlaps(wanted):
                    found.append([str(four), str(six), *numbers])
            yield found

    def _prefixes(self, mapping: bytes, eamt: Eamt) -> tuple[_Prefix, _Prefix]:
        """As they are now; no IPv6 prefix of an EAM that is gone."""
        if mapping == OTHERWISE:
            prefix6 = self._counting.domain.prefix6
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
                reader.asker.connection.send(json.dumps(reader.made[0]).encode(), socket.MSG_NOSIGNAL)
            except BlockingIOError:
                reader.waits += 1
                if reader.waits > _PATIENCE:
                    reader.asker.end()
                else:
                    self._loop.later(_FULL, lambda: self._show(reader))
                return
            except OSError:
                reader.asker.end()
                return
            reader.waits = 0
            del reader.made[0]
        if reader.rows is not None:
            self._loop.later(0.0, lambda: self._show(reader))


def _network(text: str) -> IPv4Network | IPv6Network:
    """Raises ValueError."""
    return ipaddresses.network6(text, strict=False) if ":" in text else ipaddress.IPv4Network(text, strict=False)
