"""The line between the supervisor and a worker: a socket pair on which a message is one packet (SOCK_SEQPACKET).

A descriptor may go beside a message (SCM_RIGHTS, unix(7)): the one of Trace.
"""

import os
import socket
from dataclasses import replace

from nfxlat.service.messages import Message, Trace, decode

_LARGEST = 4 << 20  # octets of a message, as far as net.core.wmem_max lets the supervisor send it


class Control:
    """One end. The supervisor's never waits; the worker's waits for a message, and never to send one."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def pair(cls) -> "tuple[Control, Control]":
        """The supervisor's end and the worker's."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)
        ours.setblocking(False)
        return cls(ours), cls(theirs)

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, message: Message) -> None:
        """Raises OSError where the other end is gone, or too busy."""
        descriptors = [message.descriptor] if isinstance(message, Trace) else []
        socket.send_fds(self._end, [message.encode()], descriptors, socket.MSG_DONTWAIT)

    def receive(self) -> Message | None:
        """The next message; None where the other end is gone. Raises OSError: BlockingIOError where none is there."""
        data, descriptors, _, _ = socket.recv_fds(self._end, _LARGEST, 1)
        message = decode(data) if data else None
        if isinstance(message, Trace) and descriptors:
            os.set_inheritable(descriptors[0], False)
            return replace(message, descriptor=descriptors[0])
        return message

    def close(self) -> None:
        self._end.close()
