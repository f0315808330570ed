"""rules/xlat/canary.nft: a share of the clients by a new NAT64, and the share changed under load.

host4 --- router4 --- translator --- router6 --- host6
"""

from collections.abc import Iterator

import pytest
from lossless import without_loss

from nfxlat.lab import plats
from nfxlat.lab.plats import CLIENTS, PLATS
from nfxlat.lab.rules import load
from nfxlat.lab.topology import HOST6_4, Lab

pytestmark = pytest.mark.quiet
SHARES = (5, 20, 60, 99, 5)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with plats.running("canary") as (found, _):
        yield found


def share(lab: Lab, per_cent: int) -> set[str]:
    """Load the file with this share; the clients that go by the new one then."""
    assert load(lab.translator, plats.rules("canary", "define share = 5 ", f"define share = {per_cent} "))[1] in (
        "in place",
        "elements",
    )
    return {client for client, name in plats.ways(lab, CLIENTS).items() if name == "plat2"}


def test_a_larger_share_brings_clients_over_and_none_back(lab: Lab) -> None:
    by_share = {per_cent: share(lab, per_cent) for per_cent in (1, 5, 20, 60, 99)}
    assert by_share[1] <= by_share[5] < by_share[20] < by_share[60] < by_share[99]
    assert 1 <= len(by_share[5]) <= 15
    assert share(lab, 5) == by_share[5]
    assert share(lab, 5) == by_share[5]


def test_all_kinds_of_traffic_cross_by_either(lab: Lab) -> None:
    ways = plats.ways(lab, CLIENTS)
    for plat in PLATS:
        client = next(client for client, name in ways.items() if name == plat.name)
        plats.crosses(lab, plat, client=client)
        plats.narrows(lab, plat, client)


def test_the_share_is_changed_under_load_and_nobody_loses_a_packet(lab: Lab) -> None:
    def changes() -> None:
        for per_cent in SHARES:
            share(lab, per_cent)

    without_loss(lab, changes, [HOST6_4], 50, CLIENTS[:20])
