"""What root may ask of a running translator beside its counters: to show packets, to count by mapping, to change
mappings, to make way for a successor.

It listens on @nfxlat/DOMAIN/PID/control (unix(7), SOCK_SEQPACKET; behind "control" a number that cannot be foreseen,
where somebody has taken that name). One message is one request or answer: a JSON object, a file in memory beside it
(memfd_create(2)) where there is more to say than fits.

    {"protocol": 1, "ask": word, ...}   -->
                                       <--   {"protocol": 1, "ok": true, ...}, or {"protocol": 1, "error": line}

Behind an answer, messages of another kind may follow on the same connection, as long as it stands.

Who asks is what the kernel says (SO_PEERCRED): root, or the translator's own user; and who is asked is believed as for
counters (nfxlat.service.status). Another protocol is refused by both sides, never half understood.
"""

import contextlib
import fcntl
import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nfxlat.errors import OperatorError
from nfxlat.service import status
from nfxlat.service.fence import described
from nfxlat.service.loop import Loop
from nfxlat.service.status import Running
from nfxlat.terms import Report

PROTOCOL = 1
PATIENCE = 30.0  # seconds that who asks waits: a reload with a million mappings takes some
MOST = 16  # that ask at once
_LARGEST = 1 << 16  # octets of a message
_LARGEST_TEXT = 1 << 29  # octets beside it: more than the largest list of mappings
_LINE = re.compile(
    r"[0-9a-f]+:(?: [0-9A-F]+){5} +[0-9]+ "
    r"@nfxlat/([A-Za-z0-9_.-]{1,15})/([1-9][0-9]{0,6})(/control(?:-[0-9a-f]{16})?)"
)


class Asker:
    """One who has connected. `pid`: as the kernel tells. `text`: the file beside its request, "" without one;
    `answer_text`: to be sent beside the answer. `on_answered`: called when the answer is out; `on_word`: takes what it
    says from then on; `ends`: called when it has gone, of each thing that it has begun. `end` hangs up."""

    def __init__(self, connection: socket.socket, end: Callable[["Asker"], None]) -> None:
        self.connection = connection
        self.end: Callable[[], None] = lambda: end(self)
        self.pid = status.peer(connection)[0]
        self.text = self.answer_text = ""
        self.on_answered: Callable[[], None] = lambda: None
        self.on_word: Callable[[bytes], None] | None = None
        self.ends = contextlib.ExitStack()


Answer = Mapping[str, Any]
Handler = Callable[[Asker, dict[str, Any]], Answer]  # raises OperatorError


class Requests:
    """The listening end. `handlers`: by what is asked."""

    def __init__(self, domain: str, handlers: Mapping[str, Handler], loop: Loop, report: Report) -> None:
        self._handlers, self._loop, self._report = handlers, loop, report
        self._askers: list[Asker] = []
        self._listener, _ = status.bound(domain, socket.SOCK_SEQPACKET, "control")
        loop.on_readable(self._listener, self._accept)

    def close(self) -> None:
        """Those who have asked read the end; nobody is told."""
        self._loop.forget(self._listener)
        self._listener.close()
        while self._askers:
            self._hang_up(self._askers[-1])

    def _accept(self) -> None:
        connection = status.accepted(self._listener)
        if connection is None:
            return
        if len(self._askers) >= MOST:
            connection.close()
            return
        connection.setblocking(False)
        asker = Asker(connection, self._end)
        self._askers.append(asker)
        self._loop.on_readable(connection, lambda: self._hear(asker))

    def _hear(self, asker: Asker) -> None:
        try:
            octets, descriptors, _, _ = socket.recv_fds(asker.connection, _LARGEST, 1)
        except BlockingIOError:
            return
        except OSError:
            octets, descriptors = b"", []
        if not octets or asker.on_word is not None:
            for descriptor in descriptors:
                os.close(descriptor)
        if not octets:
            self._end(asker)
            return
        if asker.on_word is not None:
            asker.on_word(octets)
            return
        asker.answer_text = ""
        try:
            asker.text = _text_of(descriptors)
            answer = {"ok": True, **self._answered(asker, octets)}
        except OperatorError as error:
            answer = {"error": str(error)}
        except Exception as error:
            answer = {"error": described("a request", error)}
            self._report(answer["error"])
        finally:
            asker.text = ""
        try:
            _send(asker.connection, answer, asker.answer_text)
        except OSError:  # it has gone, or does not read
            self._end(asker)
            return
        answered, asker.on_answered = asker.on_answered, lambda: None
        answered()

    def _answered(self, asker: Asker, octets: bytes) -> Answer:
        request = _decoded(octets)
        handler = self._handlers.get(str(request.get("ask")))
        if handler is None:
            raise OperatorError("this translator knows no such request", where=str(request.get("ask")))
        return handler(asker, request)

    def _end(self, asker: Asker) -> None:
        """Hang up, or notice that it has."""
        if asker in self._askers:
            self._hang_up(asker)
            asker.ends.close()

    def _hang_up(self, asker: Asker) -> None:
        self._askers.remove(asker)
        self._loop.forget(asker.connection)
        with contextlib.suppress(OSError):
            asker.connection.shutdown(socket.SHUT_RDWR)  # workers may hold it still
        asker.connection.close()


class Line:
    """To the translator `one`, to ask it. Raises OSError, or ValueError where another process has its name."""

    def __init__(self, one: Running) -> None:
        self.one = one
        self.connection = status.connected(one, socket.SOCK_SEQPACKET)
        self.pid = status.peer(self.connection)[0]  # as we count processes

    def ask(self, word: str, text: str = "", *, patience: float = PATIENCE, **more: Any) -> tuple[dict[str, Any], str]:
        """Its answer, within so many seconds, and the text beside it. Raises OperatorError: what it refuses, or that it
        does not answer."""
        try:
            self.connection.settimeout(patience)
            _send(self.connection, {"ask": word, **more}, text)
            octets, descriptors, _, _ = socket.recv_fds(self.connection, _LARGEST, 1)
        except TimeoutError:
            raise status.busy(self.one, patience) from None
        except OSError:  # it has hung up
            octets, descriptors = b"", []
        if not octets:
            for descriptor in descriptors:
                os.close(descriptor)
            raise status.silent(self.one)
        answer = _decoded(octets)
        if "error" in answer:
            raise OperatorError(str(answer["error"]))
        return answer, _text_of(descriptors)

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def lines(domain: str | None = None) -> list[Line]:
    """To each translator of this network namespace, or of one domain, that may be asked."""
    rows = Path("/proc/thread-self/net/unix").read_bytes().decode("ascii", "replace").split("\n")
    names = {Running(name[1], int(name[2]), name[3]) for name in map(_LINE.fullmatch, rows) if name}
    found = []
    for one in sorted(names, key=lambda one: (one.domain, one.pid, one.suffix)):
        if domain in (None, one.domain):
            with contextlib.suppress(OSError, ValueError):
                found.append(Line(one))
    return found


def line_to(one: Running) -> Line:
    """To that translator. Raises OperatorError where it does not answer."""
    found = None
    for line in lines(one.domain):
        if found is None and line.one.pid == one.pid:
            found = line
        else:
            line.close()
    if found is None:
        raise status.silent(one)
    return found


def _send(connection: socket.socket, message: Mapping[str, Any], text: str) -> None:
    octets = json.dumps({"protocol": PROTOCOL, **message}).encode()
    if not text:
        connection.send(octets, socket.MSG_NOSIGNAL)
        return
    with open(os.memfd_create("nfxlat"), "w+", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        socket.send_fds(connection, [octets], [file.fileno()], socket.MSG_NOSIGNAL)


def _decoded(octets: bytes) -> dict[str, Any]:
    try:
        found = json.loads(octets)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise OperatorError("what came is no message of nfxlat")
    if (version := found.get("protocol")) != PROTOCOL:
        raise OperatorError(
            f"the other side speaks version {version!r} of the protocol, this one version {PROTOCOL}",
            hint="use the nfxlat that the service was started with, or restart the service",
        )
    return found


def _text_of(descriptors: list[int]) -> str:
    """What is in the file that came beside a message, which is closed. Raises OperatorError. A file that is not in
    memory is not touched: its mount may hang."""
    if not descriptors:
        return ""
    (descriptor,) = descriptors
    try:
        size = os.fstat(descriptor).st_size
        if not _in_memory(descriptor):
            raise OperatorError("what came beside a message is no file in memory")
        if size > _LARGEST_TEXT:
            raise OperatorError(f"what came beside a message is larger than {_LARGEST_TEXT >> 20} MB")
        return os.pread(descriptor, size, 0).decode()
    except (OSError, UnicodeDecodeError, MemoryError) as error:
        why = str(error) or "no memory"
        raise OperatorError(f"what came beside a message cannot be read: {why}") from None
    finally:
        os.close(descriptor)


def _in_memory(descriptor: int) -> bool:
    """Whether it is a file of memfd_create(2) or tmpfs: others have no seals (fcntl(2))."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return True
