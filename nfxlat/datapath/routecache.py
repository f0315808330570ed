"""Routes by destination: what connect(2) says of MTU and source address, remembered for a moment."""

import errno
from collections.abc import Callable
from typing import NamedTuple

from nfxlat.outcome import Reason

_REASONS = {errno.EHOSTUNREACH: Reason.HOST_UNREACHABLE, errno.EACCES: Reason.PROHIBITED}
_CAPACITY = 1 << 16
_LARGEST = 65535  # octets of an IP packet; lo says 65536


class Route(NamedTuple):
    """A route of this node: its MTU, and the address (packed) that the node's own packets have there."""

    mtu: int
    source: bytes


class RouteCache:
    """Routes by destination, kept for `lifetime` seconds.

    `lookup(destination)` gives MTU and source or raises OSError as connect(2) does: ENETUNREACH, EHOSTUNREACH, EACCES.
    """

    def __init__(
        self, lookup: Callable[[bytes], tuple[int, bytes]], clock: Callable[[], float], lifetime: float = 1.0
    ) -> None:
        self._lookup, self._clock, self._lifetime = lookup, clock, lifetime
        self._routes: dict[bytes, Route | Reason] = {}
        self._expires = 0.0

    def refresh(self) -> None:
        """Once a batch: forget what is too old."""
        now = self._clock()
        if now >= self._expires or len(self._routes) > _CAPACITY:
            self.forget()
            self._expires = now + self._lifetime

    def forget(self) -> None:
        """All of it: an address came or went."""
        self._routes.clear()

    def route(self, destination: bytes) -> Route | Reason:
        """The route, or why there is none."""
        known = self._routes.get(destination)
        if known is None:
            try:
                mtu, source = self._lookup(destination)
                known = Route(min(mtu, _LARGEST), source)
            except OSError as error:
                known = _REASONS.get(error.errno or 0, Reason.NO_ROUTE)
            self._routes[destination] = known
        return known

    def mtu(self, destination: bytes) -> int:
        """The MTU; 0 where there is no route, so that every packet is too big and the slow path looks closer."""
        known = self.route(destination)
        return known.mtu if isinstance(known, Route) else 0

    def source(self, destination: bytes) -> bytes | None:
        """This node's address towards `destination`; None where there is no route."""
        known = self.route(destination)
        return known.source if isinstance(known, Route) else None
