"""Prefixes of two domains, one inside the other."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfxlat.host.overlap import overlapping
from nfxlat.plan.routes import Route


def route(network: str, device: str | None = "siit0", table: int = 254) -> Route:
    return Route(network, device, 0, table=table)


@pytest.mark.parametrize(
    ("ours", "theirs", "overlap"),
    [
        ("2001:db8:64::/96", "2001:db8:64::/64", True),
        ("2001:db8:64::/64", "2001:db8:64::/96", True),
        ("2001:db8:64::/96", "2001:db8:65::/96", False),
        ("203.0.113.2/32", "203.0.113.0/24", True),
        ("203.0.113.2/32", "203.0.113.3/32", False),
        ("203.0.113.2/32", "203.0.113.2/32", True),
        ("203.0.113.2/32", "0.0.0.0/0", False),
        ("203.0.113.2/32", "cb00:7102::/32", False),
    ],
)
def test_inside_one_another(ours: str, theirs: str, overlap: bool) -> None:
    expected = (route(ours), route(theirs, "siit1")) if overlap else None
    assert overlapping([route("192.0.2.1/32"), route(ours)], [route(theirs, "siit1")]) == expected


def test_what_is_unreachable_or_in_another_table_does_not_count() -> None:
    assert overlapping([route("192.0.2.1/32")], [route("192.0.2.0/24", None)]) is None
    assert overlapping([route("192.0.2.1/32")], [route("192.0.2.0/24", table=10)]) is None


PREFIXES = st.sets(st.tuples(st.integers(0, 255), st.integers(1, 8)), max_size=6).map(
    lambda found: sorted({str(ip_network((bits << 24, length), strict=False)) for bits, length in found})
)


@given(PREFIXES, PREFIXES)
def test_as_the_standard_library_finds_it(ours: list[str], theirs: list[str]) -> None:
    expected = any(ip_network(one).overlaps(ip_network(other)) for one in ours for other in theirs)
    found = overlapping(map(route, ours), map(route, theirs))
    assert (found is not None) == expected
    if found is not None:
        assert ip_network(found[0].network).overlaps(ip_network(found[1].network))
