"""Under which names a translator is asked: for its counters, to trace, for changes; all of this very process, so that a
forked one has others.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from nfxlat.service.loop import Loop
from nfxlat.service.requests import Handler, Requests
from nfxlat.service.status import StatusSocket
from nfxlat.service.tracing import Tracing
from nfxlat.terms import Report


class Names:
    """`summary`: what is told; `tracing` makes the listening end of who traces; `handlers`: of requests."""

    def __init__(
        self,
        domain: str,
        loop: Loop,
        report: Report,
        *,
        summary: Callable[[], dict[str, Any]],
        tracing: Callable[[], Tracing],
        handlers: Mapping[str, Handler],
    ) -> None:
        self._domain, self._loop, self._report = domain, loop, report
        self._summary, self._make_tracing, self._handlers = summary, tracing, handlers
        self._status, self._others = ExitStack(), ExitStack()
        self._tracing: Tracing | None = None

    @property
    def tracing(self) -> Tracing:
        """Who traces; for workers that come."""
        assert self._tracing is not None
        return self._tracing

    def listen(self) -> None:
        """From now on, and no more under those of a parent."""
        self.close()
        self.show()
        requests = Requests(self._domain, self._handlers, self._loop, self._report)
        self._others.callback(requests.close)
        self._tracing = self._make_tracing()
        self._others.callback(self._tracing.close)

    def show(self) -> None:
        """Tell counters, and so that a translator of the domain is here."""
        status = StatusSocket(self._domain, self._summary, self._report)
        self._status.callback(status.close)
        self._status.callback(self._loop.forget, status)
        self._loop.on_readable(status, status.answer)

    def hide(self) -> None:
        """Tell nobody any more; requests are answered."""
        self._status.close()

    def close(self) -> None:
        self.hide()
        self._others.close()
