"""The line between the supervisor and a worker: a socket pair on which a message is one packet (SOCK_SEQPACKET)."""

import socket

from nfxlat.service.messages import Message, decode

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
        self._end.send(message.encode(), socket.MSG_DONTWAIT)

    def receive(self) -> Message | None:
        """The next message; None where the other end is gone. Raises OSError: BlockingIOError where none is there."""
        data = self._end.recv(_LARGEST)
        return decode(data) if data else None

    def close(self) -> None:
        self._end.close()
