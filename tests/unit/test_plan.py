"""What a domain needs of its host: routes, addresses, sysctls, device."""

import socket
from ipaddress import IPv4Network, IPv6Network

import pytest

from nfxlat import ipaddresses
from nfxlat.errors import OperatorError
from nfxlat.host import routes as kernel_routes
from nfxlat.host import rtnetlink
from nfxlat.plan import routes
from nfxlat.plan.facts import MAIN, NOTHING_KNOWN, Facts
from nfxlat.plan.plan import Device, check, plan
from nfxlat.plan.routes import Ends, Route
from nfxlat.plan.sysctls import dotted
from nfxlat.queues import Queues
from nfxlat.terms import MODELS, Model, Role
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

EAM = (IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2"))
PREFIX6, POOL4 = IPv6Network("2001:db8:64::/96"), IPv4Network("198.51.100.0/24")
DOMAIN = Domain(prefix6=PREFIX6, pool4=(POOL4,), eamt=Eamt([EAM]))
CLAT = Domain(prefix6=PREFIX6, eamt=Eamt([EAM, (IPv4Network("192.0.2.0/25"), IPv6Network("2001:db8:3::/121"))]))


def made(domain: Domain, role: Role = "router", facts: Facts = NOTHING_KNOWN) -> list[Route]:
    return list(plan(domain, role, "hook", Queues(), lambda ends: facts).routes)


def test_router_ends_every_prefix_in_the_device_and_unreachable_ahead_of_it() -> None:
    assert [str(route) for route in made(DOMAIN)] == [
        "unreachable 192.0.0.8 metric 4294967295",
        "192.0.0.8 dev siit0 mtu 1480",
        "unreachable 198.51.100.0/24 metric 4294967295",
        "198.51.100.0/24 dev siit0 mtu 1480",
        "unreachable 203.0.113.2 metric 4294967295",
        "203.0.113.2 dev siit0 mtu 1480",
        "unreachable 2001:db8:64::/96 metric 4294967295",
        "2001:db8:64::/96 dev siit0 mtu 1520",
    ]


def test_host_routes_ipv4_by_default_and_its_own_ipv6_addresses_into_the_device() -> None:
    wanted = made(Domain(prefix6=PREFIX6, eamt=Eamt([EAM])), "host")
    assert [str(route) for route in wanted] == [
        "unreachable default metric 4294967295",
        "default dev siit0 metric 2048 mtu 1480",
        "unreachable 2001:db8:2::2 metric 4294967295",
        "2001:db8:2::2 dev siit0",
    ]
    assert wanted[1].source == "203.0.113.2"


def test_a_network_behind_the_host_has_no_source_for_the_host_itself() -> None:
    behind = Domain(prefix6=PREFIX6, eamt=Eamt([(IPv4Network("192.0.2.0/25"), IPv6Network("2001:db8:3::/121"))]))
    assert {route.source for route in made(behind, "host")} == {None}
    assert made(CLAT, "host")[1].source == "203.0.113.2"


@pytest.mark.parametrize(("domain", "role"), [(DOMAIN, "router"), (DOMAIN, "masquerade"), (CLAT, "host")])
def test_no_route_into_the_device_is_made_before_the_unreachable_one_behind_it(domain: Domain, role: Role) -> None:
    closed = set()
    for route in made(domain, role):
        if route.device is None:
            closed.add(route.network)
        else:
            assert route.network in closed
    assert closed


def test_mtu_is_the_ipv6_route_s_less_the_header_s_growth() -> None:
    through_prefix6 = IPv6Network("2001:db8:64::c633:6400")[0].packed
    found = {
        route.network: route.mtu
        for route in made(DOMAIN, facts=Facts(mtu={through_prefix6: 9000, EAM[1][0].packed: 1400}))
        if route.device
    }
    assert (found["198.51.100.0/24"], found["203.0.113.2/32"]) == (8980, 1380)
    assert set(routes.looked_up(DOMAIN, "router", Ends.of(DOMAIN, "router"))) >= {through_prefix6, EAM[1][0].packed}


def test_only_where_packets_are_routed_into_the_device_its_routes_are_as_wide_as_the_widest_link() -> None:
    """Of 9000 octets: else the path MTU through the device model is 1520."""
    facts = Facts(mtu={EAM[1][0].packed: 1400}, widest=9000)
    wide = {}
    for model in MODELS:
        found = plan(DOMAIN, "router", model, Queues(), lambda ends: facts).routes
        wide[model] = [route.mtu for route in found if route.device and route.network != "192.0.0.8/32"]
    assert wide == {"hook": [1480, 1380, 1520], "route": [1480, 1380, 1520], "device": [8980, 1380, 9020]}
    (route,) = [route for route in made(Domain(prefix6=PREFIX6, mtu4=9000)) if route.device and route.version == 6]
    assert route.mtu == 9020


def test_host_s_mtu_is_that_of_the_route_to_the_far_translator() -> None:
    assert routes.looked_up(CLAT, "host", Ends.of(CLAT, "host")) == [PREFIX6.network_address.packed]
    wanted = made(CLAT, "host", Facts(mtu={PREFIX6.network_address.packed: 1400}))
    assert wanted[1].mtu == 1380


def test_domain_without_prefix6_has_nothing_to_look_up_but_its_eams() -> None:
    only_eams = Domain(eamt=Eamt([EAM]), mtu6=1300)
    assert routes.looked_up(only_eams, "host", Ends.of(only_eams, "host")) == []
    assert routes.looked_up(only_eams, "router", Ends.of(only_eams, "router")) == [
        EAM[1][0].packed
    ]  # 192.0.0.8 stands for nobody
    assert {route.mtu for route in made(only_eams, "host")[:2]} == {None, 1280}


def test_many_prefixes_share_the_domain_s_mtu() -> None:
    pairs = [(IPv4Network(f"192.0.{n}.1"), IPv6Network(f"2001:db8::{n:x}")) for n in range(2, 102)]
    domain = Domain(eamt=Eamt(pairs), mtu6=1400)
    facts = Facts(mtu={pair[1][0].packed: 9000 for pair in pairs})
    assert {route.mtu for route in made(domain, facts=facts) if route.device} == {1380}
    assert routes.looked_up(domain, "router", Ends.of(domain, "router")) == []


def test_domains_share_the_routes_of_error_sources_and_no_others() -> None:
    domain = Domain(
        prefix6=PREFIX6,
        pool4=(POOL4, IPv4Network("203.0.113.248/29")),
        rfc6791_v4=(IPv4Network("203.0.113.8/32"), IPv4Network("203.0.113.240/29")),  # the second one grows together
        rfc6791_v6=(IPv6Network("2001:db8:6791::/96"),),
    )
    shared = plan(domain, "router", "hook", Queues()).shared
    assert shared == {"192.0.0.8/32", "203.0.113.8/32", "2001:db8:6791::/96"}
    assert plan(CLAT, "host", "hook", Queues()).shared == frozenset()


def test_routes_are_told_as_the_commands_that_make_them() -> None:
    commands = [route.command for route in made(Domain(prefix6=PREFIX6, eamt=Eamt([EAM])), "host")]
    assert commands == [
        "ip route add unreachable default metric 4294967295",
        "ip route add default dev siit0 metric 2048 mtu 1480 src 203.0.113.2",
        "ip -6 route add unreachable 2001:db8:2::2 metric 4294967295",
        "ip -6 route add 2001:db8:2::2 dev siit0",
    ]


def test_routes_into_the_device_are_ours_and_not_locked() -> None:
    (request,) = kernel_routes._requests([Route("198.51.100.0/24", "lo", 0, 1480)], {"lo": 1})
    assert (request.protocol, request.mtu) == (118, 1480)
    assert request.body().endswith(b"\x0c\0\x08\0\x08\0\x02\0" + (1480).to_bytes(4, "little"))  # RTAX_MTU, no RTAX_LOCK


def test_our_routes_are_found_however_libc_writes_their_prefix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix = ipaddresses.network6("::c000:280/121")  # ::192.0.2.128/121 as inet_ntop() writes it
    monkeypatch.setattr(
        rtnetlink,
        "routes",
        lambda family, *_: [(prefix.network_address.packed, 121, 1024)] if family == socket.AF_INET6 else [],
    )
    assert kernel_routes.ours([Route(str(prefix), "siit0", 1024)]) == {(str(prefix), 1024, MAIN)}


def test_host_has_its_own_addresses_and_not_those_of_networks_behind_it() -> None:
    assert plan(CLAT, "host", "hook", Queues()).addresses == ("203.0.113.2",)
    assert plan(DOMAIN, "router", "hook", Queues()).addresses == ()


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("host", ["net.ipv6.conf.siit0.disable_ipv6 0"]),
        (
            "masquerade",
            ["net.ipv6.conf.siit0.disable_ipv6 0", "net.ipv4.ip_forward 1", "net.ipv4.conf.siit0.forwarding 1"],
        ),
        (
            "router",
            [
                "net.ipv6.conf.siit0.disable_ipv6 0",
                "net.ipv6.conf.eth0.accept_ra 2",  # before IPv6 is forwarded
                "net.ipv4.ip_forward 1",
                "net.ipv4.conf.siit0.forwarding 1",
                "net.ipv6.conf.all.forwarding 1",
            ],
        ),
    ],
)
def test_sysctls_in_the_order_in_which_they_are_set(role: Role, expected: list[str]) -> None:
    found = plan(CLAT, role, "hook", Queues(), lambda ends: Facts(advertised=("eth0",)))
    assert [str(sysctl) for sysctl in found.sysctls] == expected


def test_what_is_a_part_of_forwarding_is_put_back_with_it() -> None:
    groups = {
        one.key: one.group
        for one in plan(DOMAIN, "router", "hook", Queues(), lambda ends: Facts(advertised=("e",))).sysctls
    }
    assert groups["net/ipv6/conf/e/accept_ra"] == groups["net/ipv6/conf/all/forwarding"] != ""
    assert groups["net/ipv4/conf/siit0/forwarding"] == ""


def test_sysctl_names_keep_an_interface_s_dots_apart() -> None:
    assert dotted("net/ipv4/conf/eth0.5/forwarding") == "net.ipv4.conf.eth0/5.forwarding"


@pytest.mark.parametrize(("model", "kind"), [("hook", "veth"), ("route", "veth"), ("device", "tun")])
def test_device_is_what_the_model_needs_and_stays_where_it_was_added(model: Model, kind: str) -> None:
    assert plan(DOMAIN, "router", model, Queues()).device == Device("siit0", kind)  # type: ignore[arg-type]
    assert plan(DOMAIN, "router", model, Queues(), lambda ends: Facts(kept=True)).device.kept


def test_roles_that_cannot_be_had_are_refused() -> None:
    with pytest.raises(OperatorError, match="own address"):
        check(Domain(prefix6=PREFIX6), "host", "hook")
    with pytest.raises(OperatorError, match="the device model has no host role"):
        check(CLAT, "host", "device")
    check(CLAT, "host", "hook")
    check(DOMAIN, "router", "device")


def test_plans_of_the_same_configuration_are_equal() -> None:
    assert plan(DOMAIN, "router", "hook", Queues()) == plan(DOMAIN, "router", "hook", Queues())
    assert plan(DOMAIN, "router", "hook", Queues()) != plan(DOMAIN, "router", "hook", Queues(9))
    assert plan(DOMAIN, "router", "hook", Queues()).name == "siit0"


def test_in_a_vrf_all_routes_are_in_its_table_and_told_so() -> None:
    red = Domain(prefix6=PREFIX6, pool4=(POOL4,), vrf="red")
    wanted = plan(red, "router", "hook", Queues(), lambda ends: Facts(table=1000))
    assert wanted.device.vrf == "red"
    assert {route.table for route in wanted.routes} == {1000}
    assert {place for _, _, place in (route.place for route in wanted.routes)} == {1000}
    command = next(route.command for route in wanted.routes if route.device)
    assert command == "ip route add 192.0.0.8 dev siit0 table 1000 mtu 1480"


def test_a_host_in_a_vrf_is_refused() -> None:
    with pytest.raises(OperatorError, match="the host role cannot be had in a VRF") as refused:
        check(Domain(prefix6=PREFIX6, eamt=Eamt([EAM]), vrf="red"), "host", "hook")
    assert refused.value.where == "domain.siit0.vrf"
