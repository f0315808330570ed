"""Those who trace: `nfxlat trace` connects, says what it wants to see, and reads what the workers show.

    reader: connects, sends a filter --> "ok", or why not; then, from each worker by itself, a message a packet

The name is the status socket's, of another type (SOCK_SEQPACKET). Only root and the translator's own user are heard.
Who asks for mappings connects here too (nfxlat.service.counting). What goes to a reader never waits for it
(nfxlat.datapath.trace). While one is connected, what it asks for is not
translated at ingress: what was taught is forgotten, and taught again but for that.
"""

import contextlib
import itertools
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from nfxlat.datapath.trace_filter import Filter, FilterError
from nfxlat.service.counting import ASKING, Counting
from nfxlat.service.loop import Loop
from nfxlat.service.messages import Message, Trace, Untrace
from nfxlat.service.status import bound, peer
from nfxlat.terms import Report

READERS = 4  # at once
_WAITING = 8  # that have connected, and not said anything
PATIENCE = 2.0  # seconds to say it
_ROOM = 4 << 20  # octets that wait for a reader
_LARGEST = 1 << 15


@dataclass(slots=True, eq=False)
class _Reader:
    connection: socket.socket
    pid: int
    trace: Trace | None = None  # None: it has not said what it wants


class Tracing:
    """The listening end. `tell` sends to all workers; `begun` is called for each that wants to see what is translated;
    `report` hears who traces."""

    def __init__(
        self,
        domain: str,
        loop: Loop,
        tell: Callable[[Message], None],
        *,
        begun: Callable[[], None],
        counting: Counting,
        report: Report,
    ) -> None:
        self._counting = counting
        self._domain, self._loop, self._tell, self._begun, self._report = domain, loop, tell, begun, report
        self._numbers = itertools.count(1)
        self._readers: list[_Reader] = []
        self._listener, _ = bound(domain, socket.SOCK_SEQPACKET)
        loop.on_readable(self._listener, self._accept)

    @property
    def traces(self) -> list[Trace]:
        """What a new worker is told."""
        return [reader.trace for reader in self._readers if reader.trace is not None]

    @property
    def descriptors(self) -> frozenset[int]:
        """That a new worker holds."""
        return frozenset(trace.descriptor for trace in self.traces)

    def close(self) -> None:
        """All readers read the end."""
        self._loop.forget(self._listener)
        self._listener.close()
        for reader in tuple(self._readers):
            self._end(reader)
        self._counting.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        connection.setblocking(False)
        pid, uid, _ = peer(connection)
        waiting = sum(reader.trace is None for reader in self._readers)
        if uid not in (0, os.geteuid()) or waiting >= _WAITING:
            connection.close()
            return
        reader = _Reader(connection, pid)
        self._readers.append(reader)
        self._loop.on_readable(connection, lambda: self._hear(reader))
        self._loop.later(PATIENCE, lambda: self._end(reader) if reader.trace is None else None)

    def _hear(self, reader: _Reader) -> None:
        """What it wants, or that it has gone."""
        try:
            said = reader.connection.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said or reader.trace is not None:
            self._end(reader)
            return
        if said.startswith(ASKING):  # it does not trace
            self._readers.remove(reader)
            self._loop.forget(reader.connection)
            reader.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
            self._counting.serve(reader.connection, said)
            return
        try:
            wanted = Filter.decode(said)
        except FilterError:
            self._refuse(reader, "this is no filter: nfxlat is of another version here than there")
            return
        if len(self.traces) >= READERS:
            pids = ", ".join(str(one.pid) for one in self._readers if one.trace is not None)
            self._refuse(reader, f"{READERS} others trace already (pid {pids})")
            return
        reader.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        self._answer(reader, {"ok": True})
        reader.trace = Trace(next(self._numbers), said, reader.connection.fileno())
        self._report(f"trace: begun by pid {reader.pid}")
        self._tell(reader.trace)
        if wanted.shows_translated:
            self._begun()

    def _refuse(self, reader: _Reader, why: str) -> None:
        self._answer(reader, {"ok": False, "why": why})
        self._end(reader)

    @staticmethod
    def _answer(reader: _Reader, answer: dict[str, object]) -> None:
        with contextlib.suppress(OSError):  # it has gone
            reader.connection.send(json.dumps(answer).encode(), socket.MSG_NOSIGNAL)

    def _end(self, reader: _Reader) -> None:
        if reader not in self._readers:
            return
        self._readers.remove(reader)
        self._loop.forget(reader.connection)
        if reader.trace is not None:
            self._tell(Untrace(reader.trace.number))
            self._report(f"trace: ended by pid {reader.pid}")
        with contextlib.suppress(OSError):
            reader.connection.shutdown(socket.SHUT_RDWR)  # workers may hold it still
        reader.connection.close()
