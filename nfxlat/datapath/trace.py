"""What a worker shows of its packets to those who trace: what came, what went out, and why.

    batch -> not asked for: as ever | asked for: one by one, through the same fast path or the core -> a message

Rules
- A packet goes the way that it would have gone: what the fast path takes, it takes, octet for octet.
- Nothing waits for who reads: a message that does not fit into the socket is counted, and so is what the rate leaves
  out; the next message tells how many. Who has gone is forgotten.
- While nobody traces, there is nothing of this in the way of a packet but two references that the worker keeps.
"""

import json
import socket
import time
from collections.abc import Callable, Collection, Sequence

from nfxlat.datapath.fastpath import FastPath, Taken
from nfxlat.datapath.ratelimit import TokenBucket
from nfxlat.datapath.source import Record
from nfxlat.datapath.trace_filter import Filter, ends, quoted
from nfxlat.outcome import Action, Outcome, Reason
from nfxlat.wire.nfqueue import SKB_CSUMNOTREADY, SKB_GSO
from nfxlat.wire.stamp import gso_size_of
from nfxlat.xlat.addresses import AddressMap

HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_MOST_RESULTS = 64  # of one packet that are shown
_PAIRS = 1 << 14  # of addresses whose verdict is remembered
_AT_ONCE = 2  # seconds' worth of the rate
_LARGEST = 1 << 17  # octets of a message

Slow = Callable[[bytearray, Record, int | None], int]


class Reader:
    """One who traces. `descriptor`: its socket, which this takes over."""

    def __init__(self, wanted: Filter, descriptor: int, clock: Callable[[], float]) -> None:
        self.wanted = wanted
        self._socket = socket.socket(fileno=descriptor)
        self._bucket = TokenBucket(wanted.rate, wanted.rate * _AT_ONCE, clock) if wanted.rate else None
        self.missed = 0  # since the last message

    def show(self, message: dict[str, object]) -> bool:
        """False: who reads has gone."""
        if self._bucket is not None and not self._bucket.take():
            self.missed += 1
            return True
        octets = json.dumps({**message, "missed": self.missed}).encode()
        try:
            if len(octets) > _LARGEST:
                raise BlockingIOError
            self._socket.send(octets, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            self.missed += 1
        except OSError:
            return False
        else:
            self.missed = 0
        return True

    def close(self) -> None:
        self._socket.close()


class Tracing:
    """All who trace, of one worker. `number` is the worker's; `seen` collects what became of the packet at hand."""

    def __init__(self, number: int, addresses: AddressMap, clock: Callable[[], float] = time.monotonic) -> None:
        self._number, self._clock = number, clock
        self._readers: dict[int, Reader] = {}
        self.seen: list[Outcome] = []
        self.renew(addresses)

    def __bool__(self) -> bool:
        return bool(self._readers)

    def renew(self, addresses: AddressMap) -> None:
        """From now on addresses map like this."""
        self._addresses = addresses
        self._wanted: dict[bytes, tuple[Reader, ...]] = {}

    def add(self, number: int, wanted: Filter, descriptor: int) -> None:
        """Show to one more, known by `number`, what it wants."""
        self.remove(number)
        self._readers[number] = Reader(wanted, descriptor, self._clock)
        self._wanted.clear()

    def remove(self, number: int) -> None:
        """Nothing happens where it has gone already."""
        if (reader := self._readers.pop(number, None)) is not None:
            reader.close()
            self._wanted.clear()

    def wants_pair(self, addresses: bytes) -> bool:
        """Whether packets between these addresses (8 or 32 octets, as in a header) may be asked for, whatever they
        are: they are to come here, and not to be translated at ingress."""
        half = len(addresses) // 2
        return any(one.wanted.shows_translated for one in self._of(addresses[:half], addresses[half:]))

    def wants(self, packet: bytes | bytearray) -> bool:
        """Whether somebody asks for a packet, before it is known what becomes of it."""
        return any(one.wanted.fits_transport(packet) for one in self._asking(packet))

    @property
    def wants_translated(self) -> bool:
        """Whether anybody asks for what simply is translated."""
        return any(one.wanted.shows_translated for one in self._readers.values())

    def show(self, packet: bytes, record: Record, outcomes: Collection[Outcome], *, fast: bool) -> None:
        """Tell those who asked for it."""
        gone, asking = [], self._asking(packet)
        for number, reader in tuple(self._readers.items()):
            wanted = reader.wanted
            if (
                reader in asking
                and wanted.fits_transport(packet)
                and wanted.fits_outcome(outcomes)
                and not reader.show(self._message(packet, record, outcomes, wanted.snap, fast))
            ):
                gone.append(number)
        for number in gone:
            self.remove(number)

    def _asking(self, packet: bytes | bytearray) -> tuple[Reader, ...]:
        """Those who ask for packets between its ends, or between those of the packet that it quotes."""
        found = self._of(*ends(packet))
        if len(found) < len(self._readers) and (inner := quoted(packet)):
            found += self._of(*ends(inner))
        return found

    def _of(self, source: bytes, destination: bytes) -> tuple[Reader, ...]:
        """Those who ask for packets between two addresses."""
        pair = source + destination
        found = self._wanted.get(pair)
        if found is None:
            if len(self._wanted) >= _PAIRS:
                self._wanted.clear()
            readers = self._readers.values()
            found = tuple(one for one in readers if one.wanted.fits_ends(source, destination, self._mapped))
            self._wanted[pair] = found
        return found

    def _mapped(self, address: bytes) -> bytes | None:
        if not address:
            return None
        return (self._addresses.to6(address) if len(address) == 4 else self._addresses.to4(address)).address

    def _message(
        self, packet: bytes, record: Record, outcomes: Collection[Outcome], snap: int, fast: bool
    ) -> dict[str, object]:
        _, length, priority, kind = record
        # of a superframe's segments, what is not simply translated is what people look for
        told = next((one for one in outcomes if one.reason is not Reason.TRANSLATED), None) or next(iter(outcomes))
        results = [result for one in outcomes for result in one.packets]
        message: dict[str, object] = {
            "time": time.time(),
            "worker": self._number,
            "hook": HOOKS[kind.hook],
            "interface": kind.indev,
            "action": told.action.value,
            "reason": told.reason.label,
            "fast": fast,
            "packet": packet[:snap].hex(),
            "length": length,
            "packets": [result[:snap].hex() for result in results[:_MOST_RESULTS]],
            "lengths": [len(result) for result in results],
            "unfinished": bool(kind.skb_info & SKB_CSUMNOTREADY),
        }
        if kind.skb_info & SKB_GSO:
            message["superframe"] = {"gso_size": gso_size_of(priority), "segments": 0 if fast else len(outcomes)}
        return message


class Traced:
    """The two ways of a worker's packets, looked on: used in the place of `fast.run` and of the worker's `slow`, whose
    outcomes are in `tracing.seen`. `frame`: octets in front of what the fast path puts out."""

    def __init__(self, tracing: Tracing, fast: FastPath | None, frame: int, slow: Slow) -> None:
        self._tracing, self._fast, self._frame, self._slow = tracing, fast, frame, slow

    def run(self, buffer: bytearray, base: int, records: Sequence[Record], index: int, taken: Taken) -> int:
        """As FastPath.run."""
        assert self._fast is not None
        if not self._tracing.wants_translated:
            return self._fast.run(buffer, base, records, index, taken)
        count = len(records)
        while index < count:
            start, length, _, _ = records[index]
            packet = bytes(buffer[start : start + length])
            if not self._tracing.wants(packet):
                end = self._next(buffer, records, index + 1)
                stopped = self._fast.run(buffer, base, records[:end], index, taken)
                if stopped < end:
                    return stopped
                index = end
                continue
            before = len(taken.messages)
            if self._fast.run(buffer, base, records[: index + 1], index, taken) == index:
                return index
            results = tuple(
                bytes(buffer[address - base + self._frame : address - base + octets])
                for address, octets in zip(taken.messages[before::2], taken.messages[before + 1 :: 2], strict=True)
            )
            outcome = Outcome(Action.TRANSLATED, Reason.TRANSLATED, results)
            self._tracing.show(packet, records[index], (outcome,), fast=True)
            index += 1
        return count

    def slow(self, buffer: bytearray, record: Record, plain: int | None) -> int:
        """As the worker's own. A packet that is asked for again, from another queue, is shown then."""
        start, length, _, _ = record
        packet, seen = bytes(buffer[start : start + length]), self._tracing.seen
        seen.clear()
        verdict = self._slow(buffer, record, plain)
        if seen and self._tracing.wants(packet):
            self._tracing.show(packet, record, tuple(seen), fast=False)
        seen.clear()
        return verdict

    def _next(self, buffer: bytearray, records: Sequence[Record], index: int) -> int:
        """The first one from `index` on that somebody asks for."""
        for at in range(index, len(records)):
            start, length, _, _ = records[at]
            if self._tracing.wants(buffer[start : start + min(length, 256)]):
                return at
        return len(records)
