"""Those who trace: `nfxlat trace` asks (nfxlat.service.requests) and reads what the workers show.

    "trace", "wanted": a filter   --> ok, or why not; then, from each worker by itself, a message a packet

What goes to a reader never waits for it (nfxlat.datapath.trace). While one is there, what it asks for is not translated
at ingress: what was taught is forgotten, and taught again but for that.
"""

import itertools
import socket
from collections.abc import Callable
from typing import Any

from nfxlat.datapath.trace_filter import Filter, FilterError
from nfxlat.errors import OperatorError
from nfxlat.service.messages import Message, Trace, Untrace
from nfxlat.service.requests import Answer, Asker
from nfxlat.terms import Report

READERS = 4  # at once
ROOM = 4 << 20  # octets that wait for a reader


class Tracing:
    """`tell` sends to all workers; `begun` is called for each reader that wants to see what is translated; `report`
    hears who traces."""

    def __init__(self, tell: Callable[[Message], None], *, begun: Callable[[], None], report: Report) -> None:
        self._tell, self._begun, self._report = tell, begun, report
        self._numbers = itertools.count(1)
        self._readers: dict[Asker, Trace] = {}

    @property
    def traces(self) -> list[Trace]:
        """What a new worker is told."""
        return list(self._readers.values())

    @property
    def descriptors(self) -> frozenset[int]:
        """That a new worker holds."""
        return frozenset(trace.descriptor for trace in self.traces)

    def begin(self, asker: Asker, request: dict[str, Any]) -> Answer:
        """The request "trace". Raises OperatorError."""
        try:
            octets = str(request.get("wanted")).encode()
            wanted = Filter.decode(octets)
        except (FilterError, UnicodeEncodeError):
            hint = "nfxlat is of another version here than there"
            raise OperatorError("this is no filter", where="trace", hint=hint) from None
        if asker in self._readers:
            raise OperatorError("it traces already")
        if len(self._readers) >= READERS:
            pids = ", ".join(str(one.pid) for one in self._readers)
            raise OperatorError(f"{READERS} others trace already (pid {pids})")
        asker.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
        trace = Trace(next(self._numbers), octets, asker.connection.fileno())
        asker.on_answered = lambda: self._show(asker, trace, wanted)
        return {}

    def forget(self) -> None:
        """All of them: they have been hung up on."""
        for asker in tuple(self._readers):
            self._ended(asker)

    def _show(self, asker: Asker, trace: Trace, wanted: Filter) -> None:
        self._readers[asker] = trace
        asker.ends.callback(self._ended, asker)
        self._report(f"trace: begun by pid {asker.pid}")
        self._tell(trace)
        if wanted.shows_translated:
            self._begun()

    def _ended(self, asker: Asker) -> None:
        self._tell(Untrace(self._readers.pop(asker).number))
        self._report(f"trace: ended by pid {asker.pid}")
