"""recvmmsg(2) and sendmmsg(2) through ctypes, on buffers, iovecs and headers that are laid out once.

One system call then moves a whole batch, and per packet nothing is written but one iovec. The arrays live in
bytearrays, whose addresses are taken once: they must never be resized.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)
_recvmmsg = _libc.recvmmsg
_recvmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
_MSG_DONTWAIT = 0x40


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Msghdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Mmsghdr(ctypes.Structure):
    _fields_ = [("header", _Msghdr), ("length", ctypes.c_uint)]


_pack_iovec = struct.Struct("@PN").pack_into
_iovec_base = struct.Struct("@P").unpack_from
_IOVEC_SIZE = ctypes.sizeof(_Iovec)
_MMSGHDR_SIZE = ctypes.sizeof(_Mmsghdr)


def address_of(buffer: bytearray) -> int:
    """The address of a bytearray's first octet; the export keeps it from being resized."""
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))


class _Headers:
    """`count` message headers, each with one iovec and, where `name_size` is set, one address."""

    def __init__(self, count: int, name_size: int = 0) -> None:
        self.count = count
        self.iovecs = bytearray(_IOVEC_SIZE * count)
        self.names = bytearray(max(1, name_size * count))
        self._array = (_Mmsghdr * count)()
        self.address = ctypes.addressof(self._array)
        iovecs, names = address_of(self.iovecs), address_of(self.names)
        for i in range(count):
            header = self._array[i].header
            header.iov, header.iovlen = iovecs + _IOVEC_SIZE * i, 1
            if name_size:
                header.name, header.namelen = names + name_size * i, name_size

    def octets(self, count: int) -> int:
        """What the kernel says it has moved with the first `count` messages."""
        array = self._array
        return sum([array[i].length for i in range(count)])


class ReceiveBatch:
    """`slots` buffers of `slot_size` octets, received into at `headroom`, so that a longer header fits in front."""

    def __init__(self, slots: int, slot_size: int, headroom: int) -> None:
        self.slot_size, self.headroom = slot_size, headroom
        self.buffer = bytearray(slots * slot_size)
        self.base = address_of(self.buffer)
        self._headers = _Headers(slots)
        for i in range(slots):
            _pack_iovec(
                self._headers.iovecs, _IOVEC_SIZE * i, self.base + slot_size * i + headroom, slot_size - headroom
            )

    def receive(self, descriptor: int) -> int:
        """How many messages arrived, 0 if none waits. Message i starts at `i * slot_size + headroom`.

        ENOBUFS (the kernel dropped messages because the socket was full) counts as none. Raises OSError otherwise.
        """
        count = _recvmmsg(descriptor, self._headers.address, self._headers.count, _MSG_DONTWAIT, None)
        if count >= 0:
            return int(count)
        code = ctypes.get_errno()
        if code in (errno.EAGAIN, errno.EINTR, errno.ENOBUFS):
            return 0
        raise OSError(code, os.strerror(code))

    def octets(self, count: int) -> int:
        """Octets of the first `count` messages received last, together."""
        return self._headers.octets(count)


class SendBatch:
    """Messages staged for one descriptor and sent together; `failed(errno, address)` hears of each that was refused.

    With `name_size`, each has a destination: a sockaddr of so many octets.
    """

    def __init__(self, descriptor: int, capacity: int, failed: Callable[[int, int], None], name_size: int = 0) -> None:
        self._descriptor, self._full, self._failed = descriptor, 2 * capacity, failed
        self._name_size = name_size
        self._headers = _Headers(capacity, name_size)
        self._iovecs = self._headers.iovecs
        self._staged: list[int] = []  # address, length, address, ...
        self._pack: list[Callable[..., None] | None] = [None] * (self._full + 1)  # all iovecs in one call, by entries

    @property
    def staged(self) -> int:
        """Messages that wait for `flush`."""
        return len(self._staged) // 2

    def put(self, address: int, length: int) -> None:
        """Stage `length` octets at `address`; they must stay as they are until `flush`."""
        staged = self._staged
        staged += (address, length)
        if len(staged) == self._full:
            self.flush()

    def put_all(self, messages: list[int]) -> None:
        """Stage several, at most `capacity`: addresses and lengths by turns."""
        if len(self._staged) + len(messages) > self._full:
            self.flush()
        self._staged += messages
        if len(self._staged) == self._full:
            self.flush()

    def put_to(self, address: int, length: int, name: bytes) -> None:
        """The same with a destination: `name` has `name_size` octets."""
        offset = self._name_size * self.staged
        self._headers.names[offset : offset + self._name_size] = name
        self.put(address, length)

    def flush(self) -> None:
        """Send all that is staged. A message that the kernel refuses is reported and skipped."""
        if self._staged:
            self.send(self.lay_out())

    def lay_out(self) -> int:
        """Make all that is staged ready for `send`; how many messages that are."""
        entries = len(self._staged)
        pack = self._pack[entries]
        if pack is None:
            pack = self._pack[entries] = struct.Struct("@" + "PN" * (entries // 2)).pack_into
        pack(self._iovecs, 0, *self._staged)
        self._staged.clear()
        return entries // 2

    def send(self, count: int) -> None:
        """Send the first `count` messages of those laid out last."""
        done = 0
        while done < count:
            sent = _sendmmsg(self._descriptor, self._headers.address + _MMSGHDR_SIZE * done, count - done, 0)
            if sent > 0:
                done += sent
            elif (code := ctypes.get_errno()) != errno.EINTR:
                self._failed(code, _iovec_base(self._iovecs, _IOVEC_SIZE * done)[0])
                done += 1
