"""A running translator tells its counters to whoever asks on the same network namespace.

It listens on an abstract Unix socket, @nfxlat/DOMAIN/PID (unix(7)): such a name belongs to the network namespace and
goes with the process, so there is nothing to find, to clean up or to mistake. One connection, one JSON object.

Any user can take any such name. So a name counts only if the kernel says (SO_PEERCRED) that root, our own user, or the
owner of the network namespace (rootless containers) listens there, in the process that it names, as that counts itself:
in another container the same number is another process, and mount namespaces make no difference. A translator
whose name is taken listens at @nfxlat/DOMAIN/PID/NUMBER, which cannot be foreseen. An answer is limited in size and
time, and is checked (nfxlat.service.answer).
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from nfxlat.errors import OperatorError
from nfxlat.host import netns
from nfxlat.service import answer
from nfxlat.terms import Report

_TIMEOUT = 2.0  # seconds that a translator has to answer
_OWN_TIMEOUT = 0.2  # seconds that one who asks may keep the supervisor
_PATIENCE = 1_000_000  # microseconds for a place among those who wait to be heard
_BACKLOG = 64
_LARGEST = 1 << 20  # octets of an answer
NS_GET_USERNS, NS_GET_OWNER_UID = 0xB701, 0xB704  # linux/nsfs.h
_TIMEVAL = struct.Struct("@ll")
_PEER = struct.Struct("=3i")  # struct ucred: pid, uid, gid
_LINE = re.compile(
    r"[0-9a-f]+:(?: [0-9A-F]+){5} +[0-9]+ @nfxlat/([A-Za-z0-9_.-]{1,15})/([1-9][0-9]{0,6})(/[0-9a-f]{16})?"
)


@dataclass(frozen=True, slots=True)
class Running:
    """A translator of `domain` on the calling thread's network namespace. `pid` as it knows itself."""

    domain: str
    pid: int
    suffix: str = ""

    @property
    def address(self) -> str:
        return f"\0nfxlat/{self.domain}/{self.pid}{self.suffix}"


def bound(domain: str, kind: int, word: str = "") -> tuple[socket.socket, Running]:
    """A socket of this type that listens under this process's name, with `word` behind it, or where that is taken,
    under one that cannot be foreseen."""
    listener = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
    own = Running(domain, os.getpid(), f"/{word}" if word else "")
    try:
        listener.bind(own.address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        own = Running(domain, own.pid, f"{own.suffix}-{secrets.token_hex(8)}" if word else f"/{secrets.token_hex(8)}")
        listener.bind(own.address)
    listener.listen(_BACKLOG)
    return listener, own


def accepted(listener: socket.socket) -> socket.socket | None:
    """Who waits, if it may be told: root, or our own user. Raises OSError where no descriptor is left for that."""
    try:
        connection, _ = listener.accept()
    except (BlockingIOError, ConnectionAbortedError):  # has gone again
        return None
    if peer(connection)[1] in (0, os.geteuid()):
        return connection
    connection.close()
    return None


class StatusSocket:
    """The listening end. `answer` when it can be read; only root and the translator's own user are told."""

    def __init__(self, domain: str, summary: Callable[[], dict[str, Any]], report: Report = lambda line: None) -> None:
        self._summary = summary
        self._listener, own = bound(domain, socket.SOCK_STREAM)
        if own.suffix:
            report(f"status: another process has taken the name @nfxlat/{domain}/{own.pid}; another name is used")

    def fileno(self) -> int:
        return self._listener.fileno()

    def answer(self) -> None:
        """Tell the first who waits. Raises OSError where no descriptor is left for that."""
        if (connection := accepted(self._listener)) is not None:
            with connection, contextlib.suppress(OSError):  # does not read: its own loss
                connection.settimeout(_OWN_TIMEOUT)
                connection.sendall(json.dumps(self._summary()).encode())

    def close(self) -> None:
        self._listener.close()


def running() -> list[Running]:
    """All translators on this namespace, by name; names that others have taken are left out."""
    lines = Path("/proc/thread-self/net/unix").read_bytes().decode("ascii", "replace").split("\n")
    found = {Running(name[1], int(name[2]), name[3] or "") for name in map(_LINE.fullmatch, lines) if name}
    return [one for one in sorted(found, key=lambda one: (one.domain, one.pid, one.suffix)) if _pid(one) is not None]


def other(domain: str) -> Running | None:
    """A translator of `domain` on this namespace that is not this process; None without one."""
    return next((one for one in running() if one.domain == domain and _pid(one) != os.getpid()), None)


def refuse_another(domain: str) -> None:
    """Raises OperatorError where another process of this network namespace translates for `domain`, whatever container
    it is in."""
    if (one := other(domain)) is not None:
        pid = f"pid {one.pid}" if _pid(one) == one.pid else f"pid {one.pid} of its own"
        raise OperatorError(
            f"another nfxlat translates for this domain without --setup, or in another container ({pid})",
            where=f"domain.{domain}",
            hint="stop it first",
        )


def ask(one: Running) -> dict[str, Any]:
    """Its counters, as `nfxlat run --summary` writes them. Raises OperatorError where it does not answer."""
    octets, deadline = b"", time.monotonic() + _TIMEOUT
    try:
        with connected(one) as connection:
            while part := connection.recv(1 << 16):
                octets += part
                left = deadline - time.monotonic()
                if len(octets) > _LARGEST or left <= 0:
                    raise ValueError("an answer without end")
                connection.settimeout(left)
        return answer.checked(octets, one.domain)
    except (TimeoutError, BlockingIOError):  # the latter: others wait already, and no more fit
        raise busy(one, _TIMEOUT) from None
    except (OSError, ValueError):
        raise silent(one) from None


def silent(one: Running) -> OperatorError:
    """Of one that does not answer us."""
    hint = "run as root or as the translator's user"
    return OperatorError("does not answer", where=_place(one), hint=hint)


def busy(one: Running, seconds: float) -> OperatorError:
    """Of one that answers nobody now."""
    hint = "it is busy (a large reload takes seconds), or hangs: ask again"
    return OperatorError(f"does not answer within {seconds:g} s", where=_place(one), hint=hint)


def _place(one: Running) -> str:
    return f"domain {one.domain} (pid {one.pid})"


def connected(one: Running, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """To it, and to nobody else. Raises OSError, ValueError where another process has its name, or it has ended."""
    connection = _connected(one, kind)
    if not _believed(one, connection):
        connection.close()
        raise ValueError("another process has its name")
    return connection


def _connected(one: Running, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Raises OSError: at once where nobody listens, or too many wait already; behind a translator's own name after
    _PATIENCE. Anybody may fill that queue, again and again, and the kernel wakes who waits for a place in it
    (unix_wait_for_peer, af_unix.c); for names that anybody may take nobody waits."""
    connection = socket.socket(socket.AF_UNIX, kind)
    try:
        if _translates(one.pid):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(*divmod(_PATIENCE, 1_000_000)))
        else:
            connection.setblocking(False)
        connection.connect(one.address)
        connection.settimeout(_TIMEOUT)
    except BaseException:
        connection.close()
        raise
    return connection


def _translates(pid: int) -> bool:
    """Whether that process is `nfxlat run` by root, or our own user; one of another PID namespace is none."""
    process = Path(f"/proc/{pid}")
    try:
        words = [os.path.basename(word) for word in (process / "cmdline").read_bytes().split(b"\0")]
        return process.stat().st_uid in (0, os.geteuid()) and (b"nfxlat", b"run") in pairwise(words)
    except OSError:
        return False


def peer(connection: socket.socket) -> tuple[int, int, int]:
    """pid (0: not of our PID namespace, or ended), uid and gid of the other end; of one that listens, when it began."""
    pid, uid, gid = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return pid, uid, gid


def _believed(one: Running, connection: socket.socket) -> bool:
    """A name outlives a killed translator for as long as others that hold its socket take to end."""
    pid, uid, _ = peer(connection)
    return (
        _lives(pid) and uid in (0, os.geteuid(), _owner()) and (pid in (0, one.pid) or _counts_itself(pid) == one.pid)
    )


def _counts_itself(pid: int) -> int:
    """What number a process has in its own PID namespace, below ours perhaps; 0 where that cannot be seen."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^NSpid:.*?(\d+)$", status, re.MULTILINE)
    return int(found[1]) if found else 0


def _owner() -> int:
    """The user who made the user namespace that our network namespace belongs to: root of a rootless container, as seen
    from outside of it (ioctl_ns(2)). 0 where that cannot be asked."""
    descriptors = []
    try:
        descriptors.append(os.open(netns.OWN, os.O_RDONLY | os.O_CLOEXEC))
        descriptors.append(fcntl.ioctl(descriptors[0], NS_GET_USERNS))
        return int(struct.unpack("=I", fcntl.ioctl(descriptors[1], NS_GET_OWNER_UID, bytes(4)))[0])
    except OSError:  # it is above our own user namespace, or the kernel is older than 4.11
        return 0
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _lives(pid: int) -> bool:
    """Whether the process is there, as far as can be seen from here."""
    try:
        os.kill(pid, 0) if pid else None  # tells, and does nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _pid(one: Running) -> int | None:
    """The process behind the name, as we count processes; None where it is not to be believed, or has ended."""
    try:
        with _connected(one) as connection:
            return peer(connection)[0] if _believed(one, connection) else None
    except OSError:
        return None
