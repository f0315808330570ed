"""Packets and octets of each mapping, counted by a worker while somebody asks.

    what leaves --> its pair of addresses: packets, octets --> once a second: those of each mapping, the busiest pairs

Rules
- A pair is that of the result, as it leaves. Each packet counts for the mapping of its source and for that of its
  destination; a superframe as one, the further fragments of a packet with their octets alone.
- Mappings are looked up when a pair is new, and remembered with it.
- Bounded: a full table of pairs is added up and emptied; a pair without a packet in the last second is forgotten.
"""

from collections.abc import Callable, Collection, Sequence
from heapq import nlargest

CAPACITY = 1 << 14  # pairs
BUSIEST = 16

Row = list[int]
"""Packets and octets from the mapping's address, packets and octets to it."""
Known = tuple[list[int], Row, Row]
"""Of a pair: packets and octets, the rows of its source and its destination."""
Pairs = list[tuple[bytes, int, int]]
"""Source and destination, 8 or 32 octets; packets, octets."""


class Tally:
    """`mapping` gives what an address is counted under; `frame`: octets in front of what the fast path puts out."""

    def __init__(self, mapping: Callable[[bytes], bytes], frame: int, capacity: int = CAPACITY) -> None:
        self._mapping = mapping
        self._frame, self._capacity = frame, capacity
        self._pairs: dict[bytes, Known] = {}
        self._rows: dict[bytes, Row] = {}

    def took(self, buffer: bytearray, base: int, messages: Sequence[int], parts: Collection[int]) -> None:
        """What the fast path has put out (fastpath.Taken)."""
        pairs, frame = self._pairs, self._frame
        for address, length in zip(messages[::2], messages[1::2], strict=True):
            at = address - base + frame
            if buffer[at] >> 4 == 6:
                pair, octets = bytes(buffer[at + 8 : at + 40]), length - frame - 40
            else:
                pair, octets = bytes(buffer[at + 12 : at + 20]), length - frame - 20
            known = pairs.get(pair) or self._new(pair)
            known[0][0] += not parts or address not in parts
            known[0][1] += octets

    def left(self, packets: Sequence[bytes]) -> None:
        """What the core has made of one packet."""
        for number, packet in enumerate(packets):
            pair, header = (packet[8:40], 40) if packet[0] >> 4 == 6 else (packet[12:20], 20)
            known = self._pairs.get(pair) or self._new(pair)
            known[0][0] += not number
            known[0][1] += len(packet) - header

    def drain(self) -> tuple[dict[bytes, Row], Pairs]:
        """Of what was counted since: by mapping, and the busiest pairs."""
        active = ((pair, known[0][0], known[0][1]) for pair, known in self._pairs.items() if any(known[0]))
        busiest: Pairs = nlargest(BUSIEST, active, key=lambda one: one[2])
        self._fold()
        rows, self._rows = self._rows, {}
        self._pairs = {}
        return rows, busiest

    def _new(self, pair: bytes) -> Known:
        if len(self._pairs) >= self._capacity:
            self._fold()
            self._pairs.clear()
        half = len(pair) // 2
        source, destination = (
            self._rows.setdefault(self._mapping(address), [0, 0, 0, 0]) for address in (pair[:half], pair[half:])
        )
        known = self._pairs[pair] = [0, 0], source, destination
        return known

    def _fold(self) -> None:
        for counts, source, destination in self._pairs.values():
            packets, octets = counts
            source[0] += packets
            source[1] += octets
            destination[2] += packets
            destination[3] += octets
            counts[:] = 0, 0
