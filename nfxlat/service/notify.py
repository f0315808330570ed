"""sd_notify(3): tell the service manager how far we are, where one has asked for it."""

import os
import socket


def notify(state: str) -> bool:
    """Send `state`, e.g. "READY=1", to the datagram socket in NOTIFY_SOCKET; False where nobody listens there."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        try:
            manager.sendto(state.encode(), "\0" + path[1:] if path[0] == "@" else path)
        except OSError:  # the manager has gone: no reason to stop translating
            return False
    return True
