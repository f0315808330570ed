"""Route MTUs by destination, for the ip injector: what connect(2) says, remembered for a moment."""

import errno
from collections.abc import Callable

from nfxlat.outcome import Reason

_REASONS = {errno.EHOSTUNREACH: Reason.HOST_UNREACHABLE, errno.EACCES: Reason.PROHIBITED}
_CAPACITY = 1 << 16


class RouteCache:
    """Route MTUs by destination, kept for `lifetime` seconds.

    `lookup(destination)` gives the MTU or raises OSError as connect(2) does: ENETUNREACH, EHOSTUNREACH, EACCES.
    """

    def __init__(self, lookup: Callable[[bytes], int], clock: Callable[[], float], lifetime: float = 1.0) -> None:
        self._lookup, self._clock, self._lifetime = lookup, clock, lifetime
        self._routes: dict[bytes, int | Reason] = {}
        self._expires = 0.0

    def refresh(self) -> None:
        """Once a batch: forget what is too old."""
        now = self._clock()
        if now >= self._expires or len(self._routes) > _CAPACITY:
            self._routes.clear()
            self._expires = now + self._lifetime

    def route(self, destination: bytes) -> int | Reason:
        """The MTU of the route, or why there is none."""
        known = self._routes.get(destination)
        if known is None:
            try:
                known = self._lookup(destination)
            except OSError as error:
                known = _REASONS.get(error.errno or 0, Reason.NO_ROUTE)
            self._routes[destination] = known
        return known

    def mtu(self, destination: bytes) -> int:
        """The MTU; 0 where there is no route, so that every packet is too big and the slow path looks closer."""
        known = self.route(destination)
        return known if isinstance(known, int) else 0
