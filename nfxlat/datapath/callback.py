"""The netfilterqueue source: the well-known binding, a callback per packet; baseline of benchmarks and fallback.

The package copies at most 4,016 octets of payload and does not say so: what reaches that size is reported as not whole.
It has no flags, so there are no superframes, and no batch verdicts.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Sequence
from typing import Any

from nfxlat.datapath.mmsg import address_of
from nfxlat.datapath.source import HEADROOM, SLOTS, Kind, Record
from nfxlat.errors import OperatorError
from nfxlat.wire import nfqueue

PAYLOAD_LIMIT = 4016
_SLOT_SIZE = 4224


class _OneBatch:
    """The queue's socket for one batch: the binding goes on until nothing comes, and a worker that is killed then would
    have more in its hands than it can have told (SLOTS)."""

    def __init__(self, queue: socket.socket) -> None:
        self._queue, self._left = queue, SLOTS

    def recv(self, size: int) -> bytes:
        """Raises OSError: EAGAIN at the end of the batch, too."""
        if not self._left:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self._left -= 1
        return self._queue.recv(size, socket.MSG_DONTWAIT)


class CallbackQueue:
    """One NFQUEUE queue through the NetfilterQueue package. Raises OperatorError where it is missing or cannot bind."""

    def __init__(self, queue: int, *, maxlen: int = 4096, receive_buffer: int = 64 << 20) -> None:
        try:
            from netfilterqueue import NetfilterQueue
        except ImportError as error:
            raise OperatorError(
                "the NetfilterQueue package is not installed",
                where="--source netfilterqueue",
                hint="install nfxlat[netfilterqueue], or use --source netlink",
            ) from error
        self.queue = queue
        self.plain: int | None = None
        self.buffer = bytearray(SLOTS * _SLOT_SIZE)
        self.base = address_of(self.buffer)
        self._packets: list[Any] = []  # of the batch received last
        self._clears = True  # in each worker's process anew
        try:
            self._binding = NetfilterQueue()
            self._binding.bind(queue, self._take, max_len=maxlen, sock_len=receive_buffer)
        except OSError as error:
            raise OperatorError(
                f"cannot bind ({os.strerror(error.errno) if error.errno else error})",
                where=f"queue {queue}",
                hint="another process may hold the queue, or CAP_NET_ADMIN is missing",
            ) from error
        self._descriptor: int = self._binding.get_fd()
        self._socket = socket.socket(fileno=os.dup(self._descriptor))

    def fileno(self) -> int:
        return self._descriptor

    def descriptors(self) -> tuple[int, ...]:
        """All that it has open."""
        return self._descriptor, self._socket.fileno()

    def _take(self, packet: Any) -> None:
        packet.retain()  # or the payload goes with the end of this callback
        self._packets.append(packet)

    def receive(self) -> Sequence[Record]:
        """The packets that wait, at most one batch, without blocking."""
        self._binding.run_socket(_OneBatch(self._socket))
        self._clear_before()
        records: list[Record] = []
        for slot, packet in enumerate(self._packets):
            payload = packet.get_payload()
            start, length = slot * _SLOT_SIZE + HEADROOM, len(payload)
            self.buffer[start : start + length] = payload
            indev = getattr(packet, "indev", 0)
            records.append((start, length, 0, Kind(packet.hook, indev, whole=length < PAYLOAD_LIMIT)))
        return records

    def _clear_before(self) -> None:
        """What a killed worker had in its hands would stay in the queue for ever: nobody else knows of it."""
        if self._packets and self._clears:
            self._clears = False
            last = self._packets[0].id - 1
            with contextlib.suppress(OSError):
                self._socket.send(nfqueue.verdict(self.queue, nfqueue.NF_DROP, last & 0xFFFFFFFF, batch=True))

    def conclude(self, accepted: Sequence[int], again: Sequence[int] = ()) -> None:
        """One verdict a packet: the binding knows no other way."""
        kept = frozenset(accepted)
        for index, packet in enumerate(self._packets):
            if index in kept:
                packet.accept()
            else:
                packet.drop()
        self._packets.clear()

    def close(self) -> None:
        """Give the queue back: what waits in it is dropped by the kernel."""
        self._socket.close()
        self._binding.unbind()
