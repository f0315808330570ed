"""What is missing of a plan on a host, by name."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

import pytest

from nfxlat.plan.compare import Found, Lack, Wanted, lacks, told, unended
from nfxlat.plan.facts import MAIN
from nfxlat.plan.neighbours import Proxy
from nfxlat.plan.plan import Plan, plan
from nfxlat.plan.record import Record
from nfxlat.plan.routes import DEFAULT4, HOST_METRIC
from nfxlat.queues import Queues
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

PREFIX6 = IPv6Network("2001:db8:64::/96")
ROUTER = plan(Domain(prefix6=PREFIX6, pool4=(IPv4Network("198.51.100.0/24"),)), "router", "hook", Queues())
HOST = plan(
    Domain(prefix6=PREFIX6, eamt=Eamt([(IPv4Network("192.0.0.1"), IPv6Network("2001:db8:2::2"))])),
    "host",
    "hook",
    Queues(),
)


def whole(meant: Plan) -> Found:
    return Found(
        "up",
        frozenset(meant.addresses),
        {
            route.place: frozenset(other.device for other in meant.routes if other.place == route.place)
            for route in meant.routes
        },
        {one.key: one.value for one in meant.sysctls},
    )


@pytest.mark.parametrize("meant", [ROUTER, HOST], ids=["router", "host"])
def test_nothing_lacks_where_all_is_there(meant: Plan) -> None:
    assert lacks(Wanted.of_plan(meant), whole(meant)) == []


def test_each_thing_that_is_gone_is_named_as_it_is_found_by_hand() -> None:
    there = whole(HOST)
    routes = {place: found for place, found in there.routes.items() if place != (str(DEFAULT4), HOST_METRIC, MAIN)}
    found = Found("down", frozenset(), routes, {"net/ipv6/conf/siit0/disable_ipv6": "1"})
    assert lacks(Wanted.of_plan(HOST), found) == [
        Lack("device", "siit0 (down)"),
        Lack("address", "192.0.0.1/32 dev siit0"),
        Lack("route", "default dev siit0 metric 2048 mtu 1480"),
        Lack("sysctl", "net.ipv6.conf.siit0.disable_ipv6 0 (it is 1)"),
    ]


def test_a_route_into_another_device_is_not_ours_unless_domains_share_it() -> None:
    there = whole(ROUTER)
    elsewhere = {place: frozenset({"siit1"}) if None not in found else found for place, found in there.routes.items()}
    wanted = Wanted.of_plan(ROUTER)
    missing = unended(wanted, Found("up", routes=elsewhere))
    assert [route.network for route in missing] == ["198.51.100.0/24", "2001:db8:64::/96"]
    named = [lack.what for lack in lacks(wanted, Found("up", routes=elsewhere)) if lack.kind == "route"]
    assert named == [str(route) for route in missing]


def test_an_unreachable_route_is_looked_for_too() -> None:
    there = whole(ROUTER)
    open_ = {place: found for place, found in there.routes.items() if None not in found}
    missing = unended(Wanted.of_plan(ROUTER), Found("up", routes=open_))
    assert [route.device for route in missing] == [None, None, None]


def test_a_route_of_another_metric_ends_the_prefix_but_is_not_the_one_that_was_made() -> None:
    there = whole(ROUTER)
    moved = {(network, metric + 1, table): found for (network, metric, table), found in there.routes.items()}
    wanted, found = Wanted.of_plan(ROUTER), Found("up", routes=moved)
    assert unended(wanted, found) == []
    assert len([lack for lack in lacks(wanted, found) if lack.kind == "route"]) == len(ROUTER.routes)


@pytest.mark.parametrize("meant", [ROUTER, HOST], ids=["router", "host"])
def test_what_a_record_tells_of_is_looked_for_as_the_plan_s(meant: Plan) -> None:
    wanted = Wanted.of_record(meant.name, Record().covering(meant, ()))
    assert (wanted.device, wanted.routes, wanted.shared) == (meant.device.name, meant.routes, meant.shared)
    assert lacks(wanted, whole(meant)) == []
    off = Found("up", frozenset(meant.addresses), whole(meant).routes, {"net/ipv4/ip_forward": "0"})
    assert [lack.kind for lack in lacks(wanted, off)] == ["sysctl"] * (meant is ROUTER)


def test_a_sysctl_that_does_not_exist_is_nothing_to_tell() -> None:
    assert lacks(Wanted.of_plan(HOST), Found("up", frozenset(HOST.addresses), whole(HOST).routes, {})) == []


def test_what_is_not_answered_for_any_more_is_named() -> None:
    speaking = replace(ROUTER, proxies=(Proxy("lan", "192.0.2.30"), Proxy("lan", "192.0.2.31")))
    there = replace(whole(ROUTER), proxies=frozenset(speaking.proxies[:1]))
    assert lacks(Wanted.of_plan(speaking), there) == [Lack("neighbour", "proxy 192.0.2.31 dev lan")]
    assert Wanted.of_record("siit0", Record().covering(speaking, ())).proxies == speaking.proxies


def test_a_line_names_some_of_many() -> None:
    routes = [Lack("route", f"192.0.2.{n} dev siit0") for n in range(6)]
    line = told([Lack("device", "siit0 (down)"), *routes])
    assert line == (
        "device siit0 (down); route 192.0.2.0 dev siit0, 192.0.2.1 dev siit0, 192.0.2.2 dev siit0, "
        "192.0.2.3 dev siit0 and 2 more"
    )


def test_a_device_in_another_vrf_than_the_wanted_one_is_missed() -> None:
    for vrf, told_as in (("red", "siit0 (not in VRF red)"), ("", "siit0 (in a VRF or a bridge)")):
        found = replace(whole(ROUTER), device="elsewhere")
        assert Lack("device", told_as) in lacks(replace(Wanted.of_plan(ROUTER), vrf=vrf), found)


def test_a_device_that_others_have_changed_is_missed() -> None:
    found = replace(whole(ROUTER), device="altered")
    assert Lack("device", "siit0 (its MAC address, MTU or ARP was changed)") in lacks(Wanted.of_plan(ROUTER), found)


def test_a_route_of_the_same_prefix_in_another_table_is_not_ours() -> None:
    elsewhere = {(network, metric, 10): found for (network, metric, _), found in whole(ROUTER).routes.items()}
    missing = lacks(Wanted.of_plan(ROUTER), replace(whole(ROUTER), routes=elsewhere))
    assert len([lack for lack in missing if lack.kind == "route"]) == len(ROUTER.routes)
