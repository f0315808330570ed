"""The netlink source: nfnetlink_queue spoken natively, in batches, with superframes and batch verdicts.

Packets are taken apart in the receive buffer (net/netfilter/nfnetlink_queue.c, nfqnl_build_packet_message):
NFQA_PACKET_HDR is the first attribute, NFQA_PAYLOAD the last, and the payload is never copied. Messages are read by
their layout; of those beyond the first LAYOUTS each is learnt anew, which is only slower.
"""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Sequence

from nfxlat.datapath.layout import Layout, learn
from nfxlat.datapath.mmsg import ReceiveBatch
from nfxlat.datapath.source import HEADROOM, SLOTS, Record
from nfxlat.errors import OperatorError
from nfxlat.netlink.bound_queues import bound_queues
from nfxlat.netlink.connection import Connection
from nfxlat.wire import nfqueue as nl
from nfxlat.wire.netlink import HEADER, NETLINK_NETFILTER
from nfxlat.wire.stamp import REASSEMBLED

COPY_RANGE = nl.COPY_RANGE
RECEIVE_BUFFER = 64 << 20  # octets
SLOT_SIZE = 72 * 1024  # a whole message: 65531 octets of payload, its attributes, the headroom
LAYOUTS = 8  # remembered; a mix of traffic has three or four
KINDS = 256  # remembered of each layout: a handful an interface

_priority = struct.Struct("!I").unpack_from
_put_id = struct.Struct("4s").pack_into


class NetlinkQueue:
    """One NFQUEUE queue. With `superframes`, GSO packets arrive whole and checksums may be unfinished (F_GSO);

    `plain`: a queue without them, for packets whose unfinished checksum is in an inner header. `descriptor`: of the
    socket of a former process that has bound and configured it in just this way (`form`); what waits in it waits on.
    Raises OperatorError where the queue cannot be bound.
    """

    def __init__(
        self,
        queue: int,
        *,
        superframes: bool,
        plain: int | None = None,
        slots: int = SLOTS,
        maxlen: int = 4096,
        receive_buffer: int = RECEIVE_BUFFER,
        descriptor: int | None = None,
    ) -> None:
        self.queue, self.plain = queue, plain
        taken = self._taken(descriptor) if descriptor is not None else None
        if taken is None:
            self._bind(superframes, maxlen, receive_buffer)
        else:
            self._connection = taken
        self._socket = self._connection.socket
        self._socket.setblocking(False)
        self._descriptor = self._socket.fileno()
        self._batch = ReceiveBatch(slots, SLOT_SIZE, HEADROOM)
        self.buffer, self.base = self._batch.buffer, self._batch.base
        self.filled = 0  # slots, by the batch received last
        self._ids: list[bytes] = []  # of its packets, as the kernel wrote them
        self._layouts: list[Layout] = []
        self._drop = bytearray(nl.verdict(queue, nl.NF_DROP, 0, batch=True))  # the id is filled in
        self._cleared: set[int] = set()  # queues in which nothing waits any more for a worker that was killed

    @staticmethod
    def form(queue: int, plain: int | None, *, superframes: bool) -> str:
        """Stands for all that was asked of the kernel for such a source: to be changed where `_configure` is."""
        return f"nfqueue-{queue}-{queue if plain is None else plain}-{'gso' if superframes else 'segments'}-1"

    def _numbers_bound(self) -> Sequence[int]:
        return (self.queue,)

    def _taken(self, descriptor: int) -> Connection | None:
        """The socket, where it has our queues bound still. Nothing is asked of it: its answers would go to whoever
        reads packets from it until we do."""
        try:
            connection = Connection.of(descriptor)
        except OSError:  # it is no socket
            os.close(descriptor)
            return None
        if connection.socket.family == socket.AF_NETLINK:
            port = connection.port
            if {one.number for one in bound_queues() if one.port == port}.issuperset(self._numbers_bound()):
                return connection
        connection.close()
        return None

    def _bind(self, superframes: bool, maxlen: int, receive_buffer: int) -> None:
        try:
            self._connection = Connection(NETLINK_NETFILTER)
        except OSError as error:
            raise OperatorError(
                f"the kernel has no netfilter netlink ({os.strerror(error.errno or 0)})",
                where=f"queue {self.queue}",
                hint="use a kernel with CONFIG_NETFILTER_NETLINK_QUEUE",
            ) from error
        try:
            for number in self._numbers_bound():
                own = superframes and number == self.queue
                self._configure(number, superframes=own, maxlen=maxlen, receive_buffer=receive_buffer)
        except BaseException:
            self._connection.close()
            raise

    def _configure(self, queue: int, *, superframes: bool, maxlen: int, receive_buffer: int) -> None:
        self._ask(queue, nl.config_command(nl.CMD_BIND))
        # Each message is charged at its truesize; the default holds three superframes.
        self._connection.grow(receive_buffer)
        self._connection.bear_overruns()
        self._ask(queue, nl.config_maxlen(maxlen))
        self._ask(queue, nl.config_flags(nl.F_GSO if superframes else 0, nl.F_GSO | nl.F_FAIL_OPEN))
        self._ask(queue, nl.config_copy(COPY_RANGE))

    def _ask(self, queue: int, attributes: bytes) -> None:
        where = f"queue {queue}"
        try:
            code = self._connection.request(nl.config(queue, attributes))
        except OSError as error:
            code = error.errno or errno.EIO
        holder = _holder(queue)
        if code == errno.EBUSY or (code == errno.EPERM and holder):  # EPERM: the queue is of another port id
            raise OperatorError(
                f"held by another process{holder}", where=where, hint="stop it, or choose another --queue"
            )
        if code == errno.EPERM:
            raise OperatorError("not permitted", where=where, hint="run as root or with CAP_NET_ADMIN")
        if code in (errno.EINVAL, errno.EOPNOTSUPP, errno.ECONNREFUSED):
            raise OperatorError(
                f"the kernel has no NFQUEUE ({os.strerror(code)})",
                where=where,
                hint="load nfnetlink_queue, or use a kernel with CONFIG_NETFILTER_NETLINK_QUEUE",
            )
        if code:
            raise OperatorError(os.strerror(code), where=where, hint="see the kernel log")

    def fileno(self) -> int:
        return self._descriptor

    def descriptors(self) -> tuple[int, ...]:
        """All that it has open."""
        return (self._descriptor,)

    def receive(self) -> Sequence[Record]:
        """The packets that wait, at most one batch, without blocking."""
        records: list[Record] = []
        ids: list[bytes] = []
        self.filled = count = self._batch.receive(self._descriptor)
        buffer, layouts = self.buffer, self._layouts
        for slot in range(HEADROOM, HEADROOM + count * SLOT_SIZE, SLOT_SIZE):
            for layout in layouts:
                read, payload, priority, kinds, _ = layout
                seen = read(buffer, slot)
                kind = kinds.get(seen[3:-2])
                size = seen[-2]
                if (
                    kind is not None
                    and seen[1] == nl.TYPE_PACKET
                    and seen[-1] == nl.NFQA_PAYLOAD
                    and 4 <= size <= seen[0] - payload
                ):
                    break
            else:
                length, message, *_ = HEADER.unpack_from(buffer, slot)
                if message != nl.TYPE_PACKET:
                    continue  # an error about a verdict that came too late: the queue was flushed meanwhile
                layout, kind = learn(buffer, slot)
                read, payload, priority, _, _ = layout
                seen = read(buffer, slot)
                size = seen[-2]
                if seen[-1] == nl.NFQA_PAYLOAD and 4 <= size <= length - payload:
                    self._remember(layout)
                else:  # no payload at all is an empty packet
                    size, kind = 4, kind._replace(whole=kind.whole and length - payload < 4)
            ids.append(seen[2])
            stamp = 0
            if priority:
                (stamp,) = _priority(buffer, slot + priority)
                if stamp == REASSEMBLED:
                    kind = kind._replace(reassembled=True)
            records.append((slot + payload + 4, size - 4, stamp, kind))
        self._ids = ids
        return records

    def _remember(self, layout: Layout) -> None:
        for known in self._layouts:
            if (known.form, known.priority) == (layout.form, layout.priority):  # a mark in its place looks alike
                if len(known.kinds) >= KINDS:
                    known.kinds.clear()
                known.kinds.update(layout.kinds)
                return
        if len(self._layouts) < LAYOUTS:
            self._layouts.append(layout)

    def conclude(self, accepted: Sequence[int], again: Sequence[int] = ()) -> None:
        """DROP for the batch received last but for the indices in `accepted` and, to the queue `plain`, in `again`;

        ids are ascending within a queue.
        """
        self._conclude(accepted, again, self.queue, self._drop)

    def _conclude(self, accepted: Sequence[int], again: Sequence[int], queue: int, drop: bytearray) -> None:
        """For packets that are all of `queue`, whose batch verdict is `drop`."""
        ids = self._ids
        if not ids:
            return
        following = 0  # the first index that has no verdict yet
        for index in sorted([*accepted, *again]) if again else accepted:
            if index > following:  # a batch verdict covers all ids up to its own: flush before it changes
                self._drop_up_to(ids[index - 1], drop)
                self._cleared.add(queue)
            self._judge(ids[index], queue, drop, again=index in again)
            following = index + 1
        if following < len(ids):
            self._drop_up_to(ids[-1], drop)
        self._ids = []

    def _drop_up_to(self, packet_id: bytes, drop: bytearray) -> None:
        _put_id(drop, nl.VERDICT_ID_AT, packet_id)
        try:  # noqa: SIM105 (suppress takes longer than all else here)
            self._socket.send(bytes(drop))
        except FileNotFoundError:  # as in _judge
            pass

    def _judge(self, packet_id: bytes, queue: int, drop: bytearray, *, again: bool) -> None:
        """ACCEPT, or `again`: to the queue `plain`. What a killed worker had in its hands would wait ahead of the first
        that this one accepts until something is dropped: for ever, where all is accepted."""
        if queue not in self._cleared:
            self._cleared.add(queue)
            if (before := int.from_bytes(packet_id, "big") - 1) > 0:
                self._drop_up_to(before.to_bytes(4, "big"), drop)
        verdict = nl.NF_QUEUE | (self.plain or 0) << nl.QUEUE_NUMBER_SHIFT if again else nl.NF_ACCEPT
        # A flush by the kernel (a base chain was removed) makes the verdict late: the packet is gone already.
        with contextlib.suppress(FileNotFoundError):
            self._socket.send(nl.verdict(queue, verdict, int.from_bytes(packet_id, "big"), batch=False))

    def close(self) -> None:
        """Give the queue back: what waits in it is dropped by the kernel."""
        self._connection.close()


def _holder(queue: int) -> str:
    """ " (pid N)", if the kernel tells who holds the queue; a port id is mostly a pid."""
    return next((f", {one.holder}" for one in bound_queues() if one.number == queue), "")
