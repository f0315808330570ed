"""The netlink source: nfnetlink_queue spoken natively, in batches, with superframes and batch verdicts.

Packets are taken apart in the receive buffer (net/netfilter/nfnetlink_queue.c, nfqnl_build_packet_message):
NFQA_PACKET_HDR is the first attribute, NFQA_PAYLOAD the last, and the payload is never copied. Messages are read by
their shape (`layout`); of those beyond the first LAYOUTS shapes each is learnt anew, which is only slower.
"""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from nfxlat.datapath.layout import Layout, learn
from nfxlat.datapath.mmsg import ReceiveBatch
from nfxlat.datapath.source import HEADROOM, Record
from nfxlat.errors import OperatorError
from nfxlat.wire import nfnetlink as nl

_SO_RCVBUFFORCE = 33
_SOL_NETLINK, _NETLINK_NO_ENOBUFS = 270, 5
COPY_RANGE = 65531  # the largest payload that a 16-bit attribute length allows
SLOT_SIZE = 72 * 1024  # a whole message: 65531 octets of payload, its attributes, the headroom
LAYOUTS = 8  # shapes remembered; a mix of traffic has three or four
_ABSENT = (0,)

_record = cast(Callable[[tuple[int, int, int, int, int, int, int, bool]], Record], partial(tuple.__new__, Record))
_header = struct.Struct("=IH").unpack_from  # netlink: length, type
_put_u32 = struct.Struct("!I").pack_into


class NetlinkQueue:
    """One NFQUEUE queue. With `superframes`, GSO packets arrive whole and checksums may be unfinished (F_GSO).

    Raises OperatorError where the queue cannot be bound.
    """

    def __init__(
        self, queue: int, *, superframes: bool, slots: int = 64, maxlen: int = 4096, receive_buffer: int = 64 << 20
    ) -> None:
        self.queue = queue
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, nl.NETLINK_NETFILTER)
        except OSError as error:
            raise OperatorError(
                f"the kernel has no netfilter netlink ({os.strerror(error.errno or 0)})",
                where=f"queue {queue}",
                hint="a kernel with CONFIG_NETFILTER_NETLINK_QUEUE is needed",
            ) from error
        try:
            self._socket.bind((0, 0))
            self._configure(superframes, maxlen, receive_buffer)
        except BaseException:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self._descriptor = self._socket.fileno()
        self._batch = ReceiveBatch(slots, SLOT_SIZE, HEADROOM)
        self.buffer, self.base = self._batch.buffer, self._batch.base
        self._records: list[Record] = []
        self._layouts: list[Layout] = []
        self._drop = bytearray(nl.verdict(queue, nl.NF_DROP, 0, batch=True))  # the id is filled in

    def _configure(self, superframes: bool, maxlen: int, receive_buffer: int) -> None:
        self._ask(nl.config(self.queue, nl.config_command(nl.CMD_BIND)))
        # Each message is charged at its truesize; the default holds three superframes.
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        # Without it one overflow makes the socket refuse everything until it has been drained (af_netlink.c).
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
        self._ask(nl.config(self.queue, nl.config_maxlen(maxlen)))
        self._ask(nl.config(self.queue, nl.config_flags(nl.F_GSO if superframes else 0, nl.F_GSO | nl.F_FAIL_OPEN)))
        self._ask(nl.config(self.queue, nl.config_copy(COPY_RANGE)))

    def _ask(self, message: bytes) -> None:
        where = f"queue {self.queue}"
        try:
            self._socket.send(message)
            code = nl.error(self._socket.recv(4096))
            while code < 0:  # packets may already arrive in front of the answer
                code = nl.error(self._socket.recv(1 << 17))
        except OSError as error:
            code = error.errno or errno.EIO
        holder = _holder(self.queue)
        if code == errno.EBUSY or (code == errno.EPERM and holder):  # EPERM: the queue is of another port id
            raise OperatorError(
                f"held by another process{holder}", where=where, hint="stop it, or give another --queue"
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

    def receive(self) -> Sequence[Record]:
        """The packets that wait, at most one batch, without blocking."""
        self._records = records = []
        count = self._batch.receive(self._descriptor)
        buffer, layouts = self.buffer, self._layouts
        for slot in range(HEADROOM, HEADROOM + count * SLOT_SIZE, SLOT_SIZE):
            for layout in layouts:
                shape, known, values, indev, skb_info, priority, payload, whole = layout
                seen = shape(buffer, slot)
                size = seen[-2]
                if seen[1:-2] == known and seen[-1] == nl.NFQA_PAYLOAD and 4 <= size <= seen[0] - payload:
                    break
            else:
                length, kind = _header(buffer, slot)
                if kind != nl.TYPE_PACKET:
                    continue  # an error about a verdict that came too late: the queue was flushed meanwhile
                layout = learn(buffer, slot)
                shape, known, values, indev, skb_info, priority, payload, whole = layout
                *_, size, kind = shape(buffer, slot)
                if kind == nl.NFQA_PAYLOAD and 4 <= size <= length - payload:
                    if len(layouts) < LAYOUTS:
                        layouts.append(layout)
                else:
                    size, whole = 4, whole and length - payload < 4  # no payload at all is an empty packet
            value = values(buffer, slot) + _ABSENT
            records.append(
                _record(
                    (
                        slot + payload + 4,
                        size - 4,
                        value[0],
                        value[1],
                        value[indev],
                        value[skb_info],
                        value[priority],
                        whole,
                    )
                )
            )
        return records

    def pending(self) -> bool:
        """Never: all that waits is in the socket."""
        return False

    def conclude(self, accepted: Sequence[int]) -> None:
        """DROP for the batch received last but for the indices in `accepted`; ids are ascending within a queue."""
        records = self._records
        if not records:
            return
        following = 0  # the first index that has no verdict yet
        for index in accepted:
            if index > following:  # a batch verdict covers all ids up to its own: flush before it changes
                self._judge(nl.NF_DROP, records[index - 1].packet_id, batch=True)
            self._judge(nl.NF_ACCEPT, records[index].packet_id, batch=False)
            following = index + 1
        if following < len(records):
            _put_u32(self._drop, nl.VERDICT_ID_AT, records[-1].packet_id)
            with contextlib.suppress(FileNotFoundError):  # as in _judge
                self._socket.send(self._drop)
        self._records = []

    def _judge(self, verdict: int, packet_id: int, *, batch: bool) -> None:
        # A flush by the kernel (a base chain was removed) makes the verdict late: the packet is gone already.
        with contextlib.suppress(FileNotFoundError):
            self._socket.send(nl.verdict(self.queue, verdict, packet_id, batch=batch))

    def close(self) -> None:
        """Give the queue back: what waits in it is dropped by the kernel."""
        self._socket.close()


def _holder(queue: int) -> str:
    """ " (pid N)", if the kernel tells who holds the queue; a port id is mostly a pid."""
    try:
        for line in Path("/proc/net/netfilter/nfnetlink_queue").read_text().splitlines():
            number, port = line.split()[:2]
            if int(number) == queue:
                return f" (pid {port})" if Path("/proc", port).exists() else f" (port id {port})"
    except (OSError, ValueError):
        pass
    return ""
