"""Routes are looked up once in their lifetime."""

import errno

from clock import Clock

from nfxlat.datapath.routecache import RouteCache
from nfxlat.outcome import Reason


def test_routes_are_looked_up_once_in_their_lifetime() -> None:
    clock, asked = Clock(), []
    answers: dict[bytes, tuple[int, bytes] | OSError] = {
        b"a": (1400, b"own"),
        b"l": (65536, b"l"),
        b"n": OSError(errno.ENETUNREACH, ""),
        b"h": OSError(errno.EHOSTUNREACH, ""),
        b"p": OSError(errno.EACCES, ""),
    }

    def lookup(destination: bytes) -> tuple[int, bytes]:
        asked.append(destination)
        answer = answers[destination]
        if isinstance(answer, OSError):
            raise answer
        return answer

    routes = RouteCache(lookup, clock, lifetime=1)
    routes.refresh()
    assert [routes.mtu(b"a"), routes.mtu(b"a"), asked] == [1400, 1400, [b"a"]]
    assert [routes.route(d) for d in (b"n", b"h", b"p")] == [
        Reason.NO_ROUTE,
        Reason.HOST_UNREACHABLE,
        Reason.PROHIBITED,
    ]
    assert [routes.source(b"a"), routes.source(b"n"), routes.mtu(b"l")] == [b"own", None, 65535]
    assert routes.mtu(b"n") == 0  # larger than that is every packet: the slow path looks closer
    clock.now = 1
    routes.refresh()
    answers[b"a"] = (1280, b"own")
    assert routes.mtu(b"a") == 1280
