"""Prefixes of two domains of which one is inside the other."""

from collections.abc import Iterable, Iterator

from nfxlat.host.routes import packed
from nfxlat.plan.routes import Route

_Kind = tuple[int, int, int]  # family, table, length
_Prefixes = dict[_Kind, dict[int, Route]]  # by the bits in front


def overlapping(ours: Iterable[Route], theirs: Iterable[Route]) -> tuple[Route, Route] | None:
    """One of ours and one of theirs, each into its device by the same table, of which one's prefix is inside the
    other's. Default routes are left out: they are for what nobody else has. Linear in the number of routes."""
    first, second = _prefixes(ours), _prefixes(theirs)
    for inner, outer in _inside(first, second):
        return inner, outer
    for inner, outer in _inside(second, first):
        return outer, inner
    return None


def _prefixes(routes: Iterable[Route]) -> _Prefixes:
    found: _Prefixes = {}
    for route in routes:
        if route.device is not None:
            family, octets, length = packed(route.network)
            if length:
                bits = int.from_bytes(octets, "big") >> (len(octets) * 8 - length)
                found.setdefault((family, route.table, length), {})[bits] = route
    return found


def _inside(inner: _Prefixes, outer: _Prefixes) -> Iterator[tuple[Route, Route]]:
    for (family, table, length), routes in inner.items():
        for (its_family, its_table, shorter), others in outer.items():
            if (its_family, its_table) == (family, table) and shorter <= length:
                yield from (
                    (route, others[bits >> (length - shorter)])
                    for bits, route in routes.items()
                    if bits >> (length - shorter) in others
                )
