"""A reload exchanges tables of any size: the former ones are given back at once."""

import gc
import sys
import weakref
from collections.abc import Callable
from ipaddress import IPv6Network

import pytest

from nfxlat.service.options import Options
from nfxlat.service.translation import Service
from nfxlat.terms import MODELS, Model
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


@pytest.mark.parametrize("model", MODELS)
def test_after_a_reload_nothing_refers_to_the_former_domain(model: Model) -> None:
    former, new = (Domain(prefix6=IPv6Network(prefix)) for prefix in ("2001:db8:64::/96", "2001:db8:65::/96"))
    before = sys.getrefcount(former)
    service = Service(Options(former, model=model), print)
    assert sys.getrefcount(former) > before

    def reload(_former: Domain, _read: object, _setup: object, use: Callable[[Domain], None]) -> None:
        use(new)

    service._reload = reload  # type: ignore[assignment]
    service._read_again()
    assert service._options.domain is new
    assert sys.getrefcount(former) == before
