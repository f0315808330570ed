"""sd_notify(3): tell the service manager how far we are, where one has asked for it."""

import os
import socket

PATIENCE = 5.0  # seconds for a manager that is busy


def notify(state: str) -> bool | None:
    """Send `state`, e.g. "READY=1", to the datagram socket in NOTIFY_SOCKET. None: nobody has asked for it; False: it
    cannot be sent, which is no reason to stop translating."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.settimeout(PATIENCE)
            manager.sendto(state.encode(), "\0" + path[1:] if path[0] == "@" else path)
    except OSError:  # the manager has gone, or reads nothing
        return False
    return True
