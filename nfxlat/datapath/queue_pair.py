"""A worker's two queues on one socket: packets of both come in the order in which the kernel queued them.

Rules tell what may arrive whole (superframes) from what the kernel has to cut or finish first, and a flow may have
both: BIG TCP and its other segments, whole datagrams and fragments, a tunnel's superframes and single packets. On two
sockets they would overtake each other. What RFC 7915 4 and 5 ask of a flow thus holds whatever rules say.

nfnetlink_queue.c: a queue sends to the port id that bound it, and one may bind many; ids are counted queue by queue.
"""

from collections.abc import Sequence

from nfxlat.datapath.nfqueue import SLOT_SIZE, NetlinkQueue
from nfxlat.datapath.source import HEADROOM, Record
from nfxlat.wire import nfqueue as nl

_NUMBER = HEADROOM + nl.HEADER_SIZE - 1  # the low octet of nfgenmsg.res_id in the first slot: the queue's number
RECEIVE_BUFFER = 128 << 20  # octets, as two sockets have


class QueuePair(NetlinkQueue):
    """The queues `plain` and `queue`, of which the latter has superframes; numbers that differ in their low octet.

    Raises OperatorError where one cannot be bound.
    """

    def __init__(
        self, queue: int, *, plain: int, superframes: bool, maxlen: int = 4096, descriptor: int | None = None
    ) -> None:
        super().__init__(
            queue,
            superframes=superframes,
            plain=plain,
            maxlen=maxlen,
            receive_buffer=RECEIVE_BUFFER,
            descriptor=descriptor,
        )
        self._superframes = queue, self._drop
        self._plain = plain, bytearray(nl.verdict(plain, nl.NF_DROP, 0, batch=True))
        self._numbers = b""  # low octets of the queues' numbers, slot by slot
        self._slots: list[int] = []  # of the batch's packets, where both queues have some

    def _numbers_bound(self) -> Sequence[int]:
        return [self.plain, self.queue] if self.plain is not None else [self.queue]

    def receive(self) -> Sequence[Record]:
        """The packets that wait in both, at most one batch, in the order of their arrival."""
        records = super().receive()
        # Now, since the worker writes headers over those of the message.
        filled = self.filled
        last = _NUMBER + filled * SLOT_SIZE if filled > 1 else _NUMBER + 1
        self._numbers = numbers = bytes(self.buffer[_NUMBER:last:SLOT_SIZE])
        self._slots = []
        if filled > 1 and numbers.count(numbers[:1]) < filled:
            self._slots = [(start - HEADROOM) // SLOT_SIZE for start, *_ in records]
        return records

    def conclude(self, accepted: Sequence[int], again: Sequence[int] = ()) -> None:
        """DROP for the batch received last but for the indices in `accepted` and, to the queue `plain`, in `again`."""
        ids, slots, self._slots = self._ids, self._slots, []
        if not slots:
            self._conclude(accepted, again, *self._of(self._numbers[:1]))
            return
        self._ids, left = [], dict[int, tuple[bytes, bytearray]]()  # of each queue the last that has no verdict yet
        named = {*accepted, *again}
        for index, (packet_id, slot) in enumerate(zip(ids, slots, strict=True)):
            queue, drop = self._of(self._numbers[slot : slot + 1])
            if index not in named:
                left[queue] = packet_id, drop
                continue
            if queue in left:
                self._drop_up_to(*left.pop(queue))
                self._cleared.add(queue)
            self._judge(packet_id, queue, drop, again=index in again)
        for last in left.values():
            self._drop_up_to(*last)

    def _of(self, octet: bytes) -> tuple[int, bytearray]:
        """The queue of that low octet, and its batch verdict."""
        return self._plain if octet == self._plain[0].to_bytes(2)[1:] else self._superframes
