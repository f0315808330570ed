"""A reload exchanges tables of any size: the former ones are given back at once."""

import gc
import weakref
from ipaddress import IPv6Network

from nfxlat.service.options import Options
from nfxlat.service.translation import Service
from nfxlat.xlat.domain import Domain


class Knot:
    """Refers to itself, as a frame does that its own exception refers to."""

    itself: object


def test_reload_leaves_nothing_to_a_later_garbage_collection() -> None:
    service = Service(Options(Domain(prefix6=IPv6Network("2001:db8:64::/96"))), print)
    knots = []

    def reload(*arguments: object) -> None:
        knot = Knot()
        knot.itself = knot
        knots.append(weakref.ref(knot))

    service._reload = reload  # type: ignore[assignment]
    gc.disable()
    try:
        service._read_again()
    finally:
        gc.enable()
    assert [knot() for knot in knots] == [None]
