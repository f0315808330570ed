"""sd_notify(3): tell the service manager how far we are, and give it what it is to keep, where one has asked for it."""

import os
import select
import socket
from collections.abc import Collection

PATIENCE = 5.0  # seconds for a manager that is busy


def notify(state: str, descriptors: Collection[int] = ()) -> bool | None:
    """Send `state`, e.g. "READY=1", to the datagram socket in NOTIFY_SOCKET. None: nobody has asked for it; False: it
    cannot be sent, which is no reason to stop translating."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.settimeout(PATIENCE)
            manager.connect("\0" + path[1:] if path[0] == "@" else path)
            socket.send_fds(manager, [state.encode()], [*descriptors])
    except OSError:  # the manager has gone, or reads nothing
        return False
    return True


def settled() -> None:
    """Wait until the manager has read all that it was told (BARRIER=1); a busy one not for ever."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    try:
        told = notify("BARRIER=1", [theirs])
        os.close(theirs)
        theirs = -1
        if told:
            poll = select.poll()
            poll.register(ours, 0)  # its end alone
            poll.poll(PATIENCE * 1000)
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
