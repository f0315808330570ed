"""ip rules that lead translated prefixes past the main table."""

from ipaddress import IPv4Network, ip_network

import pytest

from nfxlat.plan.facts import MAIN
from nfxlat.plan.policy import THROW, Diverted, Network, PolicyRule, TableRoute, diverted

POOL, OTHER = ip_network("198.51.100.0/24"), ip_network("203.0.113.2/32")
LAST = PolicyRule(32766, "from all lookup main", MAIN)
LOOK = PolicyRule(100, "from all lookup 100", 100)
DEFAULT = TableRoute(IPv4Network("0.0.0.0/0"), "eth0")


def found(
    *rules: PolicyRule, table: tuple[TableRoute, ...] = (DEFAULT,), networks: tuple[Network, ...] = (POOL, OTHER)
) -> list[Diverted]:
    return list(diverted({"siit0"}, networks, [*rules, LAST], {100: table}))


def test_a_table_with_a_default_route_takes_all_and_is_told_once() -> None:
    assert found(LOOK) == [Diverted(LOOK, (POOL, OTHER), "default dev eth0", True)]


@pytest.mark.parametrize(
    "table",
    [
        (),
        (TableRoute(ip_network("192.0.2.0/24"), "eth0"),),
        (DEFAULT, TableRoute(POOL, "siit0"), TableRoute(OTHER, "siit0")),
        (DEFAULT, TableRoute(POOL, THROW), TableRoute(OTHER, THROW)),
    ],
    ids=["empty", "elsewhere", "into the device", "thrown on"],
)
def test_a_table_that_does_not_lead_elsewhere_is_none(table: tuple[TableRoute, ...]) -> None:
    assert found(LOOK, table=table) == []


def test_without_a_rule_for_main_each_is_looked_at() -> None:
    assert list(diverted({"siit0"}, [POOL], [LOOK._replace(some=True)], {})) == []


def test_a_rule_behind_main_s_does_not_count() -> None:
    assert list(diverted({"siit0"}, [POOL], [LAST, LOOK], {100: (DEFAULT,)})) == []


def test_a_rule_for_some_packets_diverts_those() -> None:
    some = LOOK._replace(some=True)
    assert [one.whole for one in found(some)] == [False]
    assert [one.rule for one in found(some, LOOK)] == [some, LOOK]


def test_a_rule_that_leads_some_into_the_device_leaves_the_others_to_the_next() -> None:
    table = (DEFAULT, TableRoute(POOL, "siit0"))
    assert found(LOOK._replace(some=True), PolicyRule(110, "", 200), table=table, networks=(POOL,)) == []
    refusing = PolicyRule(110, "from all blackhole", None)
    assert found(LOOK._replace(some=True), refusing, table=table, networks=(POOL,)) == [
        Diverted(refusing, (POOL,), "nowhere", True)
    ]


def test_a_route_to_a_part_diverts_that() -> None:
    part = TableRoute(ip_network("198.51.100.128/25"), None)
    assert found(LOOK, table=(part,)) == [Diverted(LOOK, (POOL,), "198.51.100.128/25, nowhere", False)]


def test_a_rule_for_a_destination_counts_where_it_overlaps() -> None:
    assert found(LOOK._replace(to=ip_network("192.0.2.0/24"))) == []
    assert [one.whole for one in found(LOOK._replace(to=ip_network("198.51.0.0/16")))] == [True]
    assert [one.whole for one in found(LOOK._replace(to=ip_network("198.51.100.7/32")))] == [False]


def test_what_wg_quick_makes_leaves_prefixes_alone() -> None:
    """A main table whose default route does not count comes before the tunnel's."""
    main = PolicyRule(32764, "from all lookup main suppress_prefixlength 0", MAIN, suppress=0)
    tunnel = PolicyRule(32765, "not from all fwmark 0xca6c lookup 51820", 100, some=True)
    assert found(main, tunnel) == []
    assert found(main, tunnel, networks=(ip_network("0.0.0.0/0"),)) != []


def test_routes_that_a_rule_suppresses_do_not_count() -> None:
    assert found(LOOK._replace(suppress=0)) == []


def test_a_rule_that_sends_some_to_main_leaves_the_others_to_the_next() -> None:
    to_main = PolicyRule(90, "from 10.0.0.0/8 lookup main", MAIN, some=True)
    assert [one.rule for one in found(to_main, LOOK)] == [LOOK]
