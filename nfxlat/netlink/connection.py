"""A netlink socket: ask and be answered, list, do many things in few system calls, hear what changes.

What is said is made and read by `wire.netlink`. Errors of the kernel are errno values where the caller may go on, and
OSError where it cannot.
"""

import errno
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import TypeVar

from nfxlat.wire.netlink import (
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_OVERRUN,
    Malformed,
    Message,
    Request,
    errno_of,
    message,
    messages,
)

# linux/netlink.h and asm-generic/socket.h, where Python has no names for them
SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP, NETLINK_NO_ENOBUFS, NETLINK_CAP_ACK = 1, 5, 10
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33

RECEIVE_SIZE = 1 << 17  # no datagram of the kernel's is larger
SEND_SIZE = 100_000  # what the socket sends without a larger buffer
DRAINED = 4096  # messages at a time; a datagram's are not parted
REQUESTS_A_CALL = 256  # each may be answered by an error, and there must be room for them all
ROOM_FOR_ERRORS = 8 << 20
_LOST: Message = (NLMSG_OVERRUN, 0, 0, b"")

Object = TypeVar("Object")


class Connection:
    """A socket to the kernel in the calling thread's network namespace, a member of `groups` (RTNLGRP_*, NFNLGRP_*).

    `protocol` is one of NETLINK_*. Raises OSError where the kernel does not have it. It blocks, but for `drain`.
    """

    def __init__(self, protocol: int, *, groups: Iterable[int] = (), receive_buffer: int = 0) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        try:
            self.socket.bind((0, 0))
            # An answer need not repeat what was asked.
            self.socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
            if receive_buffer:
                self.grow(receive_buffer)
            for group in groups:
                self.socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
        except BaseException:
            self.socket.close()
            raise

    @classmethod
    def of(cls, descriptor: int) -> "Connection":
        """The socket that another process has opened; the descriptor is its own from here on. Raises OSError."""
        connection = cls.__new__(cls)
        connection.socket = socket.socket(fileno=descriptor)
        return connection

    @property
    def port(self) -> int:
        """Its port id (netlink(7))."""
        port: int = self.socket.getsockname()[0]
        return port

    def grow(self, octets: int) -> None:
        """Make the receive buffer this large; as large as one may, where the right to exceed the limit is missing, as
        it is in a user namespace."""
        self._buffer(SO_RCVBUFFORCE, socket.SO_RCVBUF, octets)

    def _buffer(self, force: int, bounded: int, octets: int) -> None:
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, force, octets)
        except PermissionError:
            self.socket.setsockopt(socket.SOL_SOCKET, bounded, octets)

    def bear_overruns(self) -> None:
        """Lose what does not fit without a word: else one overflow makes the socket refuse everything until it has been
        drained (af_netlink.c)."""
        self.socket.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)

    def request(self, octets: bytes) -> int:
        """The errno that answers one message with NLM_F_ACK, or a `wire.netlink.batch`; 0 where it is done.

        EMSGSIZE where a batch is larger than one may send here.
        """
        if len(octets) > SEND_SIZE:  # a batch is one datagram
            self._buffer(SO_SNDBUFFORCE, socket.SO_SNDBUF, 2 * len(octets))
        try:
            self.socket.send(octets)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            return errno.EMSGSIZE
        while True:
            for kind, _, _, body in messages(self.socket.recv(RECEIVE_SIZE)):
                if kind == NLMSG_ERROR:  # what was subscribed to may arrive in front of it
                    return errno_of(body)

    def apply(self, requests: Iterable[Request]) -> Iterator[tuple[int, int]]:
        """Do them in order, many in a call; yield (index, errno) of those that the kernel refuses, while it goes on.

        Whoever stops reading stops the rest, but for what is in the same call, and must close the connection.
        """
        self.grow(ROOM_FOR_ERRORS)
        left, first = iter(requests), 0
        while some := list(islice(left, REQUESTS_A_CALL)):
            last = first + len(some) - 1
            self.socket.send(
                b"".join(
                    message(kind, flags | NLM_F_REQUEST | (NLM_F_ACK if number == last else 0), number, body)
                    for number, (kind, flags, body) in enumerate(some, first)
                )
            )
            answered = first - 1
            while answered < last:
                for kind, _, number, body in messages(self.socket.recv(RECEIVE_SIZE)):
                    if kind == NLMSG_ERROR:
                        answered = number
                        if code := errno_of(body):
                            yield number, code
            first = last + 1

    def dump(self, kind: int, body: bytes, read: Callable[[bytes], Object | None]) -> list[Object]:
        """What `read` makes of the body of each object that the kernel lists; None is left out.

        A list that a change interrupts is neither the state before nor the one after it, and is asked for again.
        Raises OSError where the kernel refuses.
        """
        while True:
            self.socket.send(message(kind, NLM_F_REQUEST | NLM_F_DUMP, 0, body))
            found: list[Object] = []
            if self._listed(found, read):
                return found

    def _listed(self, found: list[Object], read: Callable[[bytes], Object | None]) -> bool:
        """Put one dump into `found`; whether nothing has interrupted it."""
        interrupted = 0
        while True:
            for kind, flags, _, body in messages(self.socket.recv(RECEIVE_SIZE)):
                interrupted |= flags & NLM_F_DUMP_INTR
                if kind in (NLMSG_DONE, NLMSG_ERROR):
                    if code := errno_of(body):
                        raise OSError(code, os.strerror(code))
                    return not interrupted
                if (made := read(body)) is not None:
                    found.append(made)

    def drain(self) -> list[Message]:
        """What waits, without blocking; a message of type NLMSG_OVERRUN where something was lost.

        Of a storm only so much that whoever polls the socket has a moment for others; it stays readable.
        """
        found: list[Message] = []
        while len(found) < DRAINED:
            try:
                found += messages(self.socket.recv(RECEIVE_SIZE, socket.MSG_DONTWAIT))
            except BlockingIOError:
                return found
            except Malformed:
                found.append(_LOST)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                found.append(_LOST)
        return found

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
