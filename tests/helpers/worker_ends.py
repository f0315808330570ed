"""What stands at the ends of a worker in place of the kernel: a queue with packets, and where results go."""

from collections.abc import Collection, Sequence

from nfxlat.datapath import source
from nfxlat.datapath.frame import BARE, Frame
from nfxlat.datapath.source import HEADROOM, TAILROOM, Kind, Record

Waiting = Sequence[tuple[bytes, Kind]]


class Source:
    """A queue in which these packets wait, with dirt around them; what the worker concludes is kept."""

    queue, base = 7, 1 << 20
    plain: int | None = None

    def __init__(self, waiting: Waiting = (), *, priority: int = 0) -> None:
        slot = HEADROOM + max((len(packet) for packet, _ in waiting), default=0) + TAILROOM
        self.buffer = bytearray(b"\xa5" * slot * (len(waiting) + 1))
        self._records: list[Record] = []
        for number, (packet, kind) in enumerate(waiting):
            start = number * slot + HEADROOM
            self.buffer[start : start + len(packet)] = packet
            self._records.append((start, len(packet), priority, kind))
        self.accepted: list[int] = []
        self.again: list[int] = []

    def fileno(self) -> int:
        return -1

    def receive(self) -> Sequence[Record]:
        return self._records

    def conclude(self, accepted: Sequence[int], again: Sequence[int] = ()) -> None:
        self.accepted += accepted
        self.again += again

    def close(self) -> None: ...


class Injector:
    """What leaves, in order: copies, and what has been made, framed, in the buffer of `where`."""

    def __init__(self, where: source.Source, frame: Frame = BARE) -> None:
        self._where, self.frame = where, frame
        self.packets: list[bytes] = []

    def put_all(self, messages: list[int], destinations: list[bytes], parts: Collection[int] = ()) -> None:
        for address, length, destination in zip(messages[::2], messages[1::2], destinations, strict=True):
            begin = address - self._where.base
            framed = bytes(self._where.buffer[begin : begin + length])
            assert len(framed) == length > self.frame.size, "made beyond the buffer"
            packet = framed[self.frame.size :]
            assert destination in (packet[16:20], packet[24:40]), "destination"
            self.leaves(packet)

    def put_packet(self, packet: bytes, what: int) -> None:
        self.leaves(packet)

    def leaves(self, packet: bytes) -> None:
        self.packets.append(packet)

    def flush(self) -> None: ...

    def close(self) -> None: ...
