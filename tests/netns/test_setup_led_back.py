"""A change that fails half-way leads back: routes, sets, sysctls and the record are what they were before.

v4 host 10.9.4.2 --- v4  [ node: Setup of siit0 ]  v6 --- (nobody) 2001:db8:9::/64
"""

import gc
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from setup_node import DOMAIN, OTHER, entered_node, made, snapshot

from nfxlat.errors import OperatorError
from nfxlat.host import netns
from nfxlat.lab.netns import Namespace
from nfxlat.service import setup as setups


@pytest.fixture
def node() -> Iterator[Namespace]:
    with entered_node() as namespace:
        yield namespace


def record() -> str:
    return Path(f"/run/nfxlat/siit0-{netns.own_inode()}.json").read_text()


def test_a_route_in_the_way_leaves_all_as_it_was(node: Namespace) -> None:
    setup = made()
    setup.up()
    node.ip("route add 192.0.2.0/24 dev v4")
    before = snapshot(), record()
    with pytest.raises(OperatorError, match="already is a route"):
        setup.apply(setup.planned(replace(OTHER, mtu6=1400)))
    assert (snapshot(), record()) == before
    setup.down()


def test_a_route_in_the_place_of_ours_is_not_replaced(node: Namespace) -> None:
    setup = made()
    setup.up()
    node.ip("route replace 198.51.100.0/24 dev v4")
    before = record()
    with pytest.raises(OperatorError, match="already is a route"):
        setup.apply(setup.planned(replace(DOMAIN, mtu6=1400)))
    assert "198.51.100.0/24 dev v4 scope link" in node.ip("route show 198.51.100.0/24")
    node.ip("route del 198.51.100.0/24 dev v4")
    setup.repair()
    assert record() == before
    assert "mtu 1480" in node.ip("route show 203.0.113.2")
    setup.down()


def test_rules_that_fail_leave_all_as_it_was(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = made()
    setup.up()
    before = snapshot(), record()

    def fail(*_: object) -> None:
        raise OperatorError("no")

    monkeypatch.setattr(setups.Setup, "_narrow", fail)
    with pytest.raises(OperatorError, match="no"):
        setup.apply(setup.planned(replace(OTHER, mtu6=1400)))
    assert (snapshot(), record()) == before
    setup.down()


def test_ipv6_that_is_off_by_default_is_on_for_the_device_before_its_routes(node: Namespace) -> None:
    node.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    before = snapshot()
    setup = made()
    setup.up()
    assert "2001:db8:64::/96 dev siit0" in node.ip("-6 route show proto 118")
    setup.down()
    assert snapshot() == before


def test_ipv6_that_was_switched_off_on_the_device_is_repaired_with_its_routes(node: Namespace) -> None:
    setup = made()
    setup.up()
    before = snapshot()
    node.sysctl("net.ipv6.conf.siit0.disable_ipv6", 1)
    assert "2001:db8:64::/96 dev siit0" not in node.ip("-6 route show proto 118")
    setup.repair()
    assert snapshot()["routes6"] == before["routes6"]
    setup.down()


def test_a_change_frees_the_former_domain(node: Namespace) -> None:
    former = replace(DOMAIN)
    references = sys.getrefcount(former)
    setup = made(domain=former)
    setup.up()
    assert sys.getrefcount(former) > references
    setup.apply(setup.planned(OTHER))
    gc.collect()
    assert sys.getrefcount(former) == references
    setup.down()
