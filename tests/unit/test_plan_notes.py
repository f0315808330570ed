"""What `nfxlat rules compile` says about the host is the plan of each domain, as commands."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

from nfxlat.nft.language.compile import queues_of
from nfxlat.nft.language.program import program
from nfxlat.plan.compare import Found, remaining
from nfxlat.plan.facts import NOTHING_KNOWN, Facts, OnLink
from nfxlat.plan.plan import Plan
from nfxlat.plan.routes import Ends
from nfxlat.queues import Queues
from nfxlat.service.plan_notes import host_commands, plan_notes, plans
from nfxlat.terms import Role
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

RULE = "table ip t { chain c { type filter hook prerouting priority -450; ip daddr @%s_to xlat to %s; }; }\n"
FIRST = Domain(prefix6=IPv6Network("2001:db8:64::/96"), pool4=(IPv4Network("198.51.100.0/24"),))
SECOND = Domain(name="siit1", prefix6=IPv6Network("2001:db8:65::/96"))
BEHIND_POOL = IPv6Network("2001:db8:64::c633:6400")[0].packed


def notes(*domains: Domain, facts: Facts = NOTHING_KNOWN, queues: Queues | None = None) -> dict[str, list[str]]:
    return plan_notes(planned(*domains, facts=facts, queues=queues))


def planned(*domains: Domain, facts: Facts = NOTHING_KNOWN, queues: Queues | None = None) -> list[Plan]:
    text = "".join(RULE % (domain.name, domain.name) for domain in domains)
    found = program(text, "x.nft", domains)

    def known(domain: Domain, role: Role, ends: Ends) -> Facts:
        return facts

    return list(plans(found, queues_of(found, queues or Queues()), known).values())


def test_routes_have_the_mtu_that_setup_would_give_them() -> None:
    assert "    ip route add 198.51.100.0/24 dev siit0 mtu 1480" in notes(FIRST)["siit0"]
    looked_up = notes(FIRST, facts=Facts(mtu={BEHIND_POOL: 1400}))["siit0"]
    assert "    ip route add 198.51.100.0/24 dev siit0 mtu 1380" in looked_up


def test_what_domains_share_is_told_once() -> None:
    found = notes(FIRST, SECOND)
    lines = [line for one in found.values() for line in one if "192.0.0.8" in line]
    assert lines == [
        "    ip route add unreachable 192.0.0.8 metric 4294967295",
        "    ip route add 192.0.0.8 dev siit0 mtu 1480",
    ]


def test_what_domains_in_two_vrfs_have_alike_is_told_for_each() -> None:
    found = notes(replace(FIRST, vrf="red"), replace(FIRST, name="siit1", vrf="blue"))
    for name, vrf in (("siit0", "red"), ("siit1", "blue")):
        assert [line.strip() for line in found[name] if "route add" in line and "198.51.100.0/24" in line] == [
            f"ip route add unreachable 198.51.100.0/24 metric 4294967295 vrf {vrf}",
            f"ip route add 198.51.100.0/24 dev {name} mtu 1480 vrf {vrf}",
        ]


def test_the_translator_s_queues_are_named_as_it_is_started() -> None:
    found = notes(FIRST, SECOND, queues=Queues(20, 2))
    assert "    nfxlat run --config FILE --domain siit0 --queue 20 --workers 2" in found["siit0"]
    assert "    nfxlat run --config FILE --domain siit1 --queue 24 --workers 2" in found["siit1"]


def test_forwarding_keeps_a_default_router_that_came_by_advertisement() -> None:
    (line,) = [line for line in notes(FIRST, facts=Facts(advertised=("eth0",)))["siit0"] if "sysctl" in line]
    settings = "net.ipv6.conf.eth0.accept_ra=2 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
    assert line == f"    sysctl -w {settings}"


def test_what_has_this_host_answer_on_a_link_is_told() -> None:
    links = (OnLink(IPv4Network("198.51.0.0/16"), "lan"), OnLink(IPv6Network("2001:db8:64::/125"), "lan"))
    lines = notes(FIRST, facts=Facts(links=links))["siit0"]
    assert lines[-1] == "    sysctl -w net.ipv6.conf.lan.proxy_ndp=1"
    assert "    ip neigh add proxy 198.51.100.0 dev lan" in lines
    assert "    ... and 248 more: rules compile --commands prints all" in lines
    few = notes(replace(FIRST, pool4=()), facts=Facts(links=links))["siit0"]
    assert "    ip neigh add proxy 2001:db8:64::7 dev lan" in few


PAIRS = [(IPv4Network(f"192.0.{n}.1"), IPv6Network(f"2001:db8::{n:x}")) for n in range(2, 102)]


def test_a_long_table_is_cut_and_says_so() -> None:
    lines = notes(Domain(prefix6=FIRST.prefix6, eamt=Eamt(PAIRS)))["siit0"]
    assert len(lines) < 64
    assert sum("more" in line for line in lines) == 2


def test_commands_are_not_cut() -> None:
    commands = host_commands(planned(Domain(prefix6=FIRST.prefix6, eamt=Eamt(PAIRS))))
    for network, _ in PAIRS:
        name = network.network_address
        assert f"ip route add unreachable {name} metric 4294967295" in commands
        assert f"ip route add {name} dev siit0 mtu 1480" in commands
    assert commands[-1] == "sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"


def test_commands_are_for_what_is_not_there_yet() -> None:
    (meant,) = planned(FIRST)
    standing = {route.place: frozenset({route.device}) for route in meant.routes}
    values = {sysctl.key: sysctl.value for sysctl in meant.sysctls}
    assert host_commands([remaining(meant, Found("up", frozenset(), standing, values))]) == []
    route = meant.routes[-1]
    taken = {**standing, route.place: frozenset({"eth0"})}  # another's: ip(8) will refuse it
    values["net/ipv4/ip_forward"] = "0"
    assert host_commands([remaining(meant, Found("up", frozenset(), taken, values))]) == [
        route.command,
        "sysctl -w net.ipv4.ip_forward=1",
    ]


def test_commands_of_domains_that_share_a_route_make_it_once() -> None:
    commands = host_commands(planned(FIRST, SECOND))
    assert sum("unreachable 192.0.0.8" in command for command in commands) == 1
