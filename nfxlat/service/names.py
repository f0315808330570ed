"""Under which names a translator is asked: for its counters, and for all else; both of this very process, so that a
forked one has others.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from nfxlat.service.loop import Loop
from nfxlat.service.requests import Handler, Requests
from nfxlat.service.status import StatusSocket
from nfxlat.terms import Report


class Names:
    """`summary`: what is told; `handlers`: of requests; `closed`: called when all who asked have been hung up on."""

    def __init__(
        self,
        domain: str,
        loop: Loop,
        report: Report,
        *,
        summary: Callable[[], dict[str, Any]],
        handlers: Mapping[str, Handler],
        closed: Callable[[], None],
    ) -> None:
        self._domain, self._loop, self._report = domain, loop, report
        self._summary, self._handlers, self._closed = summary, handlers, closed
        self._status, self._others = ExitStack(), ExitStack()

    def listen(self) -> None:
        """From now on, and no more under those of a parent."""
        self.close()
        self.show()
        requests = Requests(self._domain, self._handlers, self._loop, self._report)
        self._others.callback(self._closed)
        self._others.callback(requests.close)

    def show(self) -> None:
        """Tell counters, and so that a translator of the domain is here."""
        self.hide()
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
