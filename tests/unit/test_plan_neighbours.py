"""Which addresses neighbours ask for on their own link, and what has this node answer."""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from nfxlat.plan.facts import Facts, OnLink
from nfxlat.plan.neighbours import ENTRIES, Answers, Proxy, answers, asked_for
from nfxlat.plan.plan import plan
from nfxlat.plan.sysctls import Sysctl
from nfxlat.queues import Queues
from nfxlat.terms import Role
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

PREFIX6 = IPv6Network("2001:db8:64::/96")
HOST6 = IPv6Network("2001:db8:2::2/128")
LAN4, LAN6 = OnLink(IPv4Network("192.0.2.0/24"), "lan"), OnLink(IPv6Network("2001:db8:4::/64"), "lan")
NDP = "net/ipv6/conf/lan/proxy_ndp"


def router(*eam4: str, pool4: tuple[str, ...] = (), prefix6: IPv6Network = PREFIX6) -> Domain:
    mappings = [(IPv4Network(text), IPv6Network((int(HOST6[0]) + n, 128))) for n, text in enumerate(eam4)]
    return Domain(prefix6=prefix6, eamt=Eamt(mappings), pool4=tuple(map(IPv4Network, pool4)))


def clat(*eam6: str) -> Domain:
    mappings = [
        (IPv4Network((int(IPv4Address("192.0.0.1")) + n, 32)), IPv6Network(text)) for n, text in enumerate(eam6)
    ]
    return Domain(prefix6=PREFIX6, eamt=Eamt(mappings))


def asked(domain: Domain, role: Role, *links: OnLink) -> list[str]:
    return [f"{network} on {link.interface}" for link, network in asked_for(domain, role, links)]


def test_a_translated_address_on_a_link_is_asked_for_there() -> None:
    domain = router("192.0.2.30", "203.0.113.2", "198.51.100.1")
    other = OnLink(IPv4Network("198.51.100.0/29"), "dmz")
    assert asked(domain, "router", LAN4, LAN6, other) == ["192.0.2.30/32 on lan", "198.51.100.1/32 on dmz"]


def test_what_is_asked_for_is_what_both_hold() -> None:
    domain = router(pool4=("192.0.0.0/16",))
    assert asked(domain, "router", LAN4) == ["192.0.2.0/24 on lan"]
    assert asked(router(pool4=("192.0.2.64/27", "192.0.2.96/28")), "router", LAN4) == [
        "192.0.2.64/27 on lan",
        "192.0.2.96/28 on lan",
    ]


def test_a_link_inside_prefix6_whose_hosts_are_ipv6_hosts_asks_for_none() -> None:
    inside = OnLink(IPv6Network("2001:db8:64::c633:6400/120"), "lan")
    assert asked(router(pool4=("198.51.100.0/24",)), "router", inside) == []
    assert asked(router(), "router", inside) == ["2001:db8:64::c633:6400/120 on lan"]


def test_the_domain_s_own_device_is_no_link() -> None:
    assert asked(router("192.0.2.30"), "router", LAN4._replace(interface="siit0")) == []


def test_a_host_is_asked_for_its_ipv6_addresses_alone() -> None:
    on_link = OnLink(IPv4Network("192.0.0.0/29"), "lan")
    assert asked(clat("2001:db8:4::c1a7"), "host", on_link, LAN6) == ["2001:db8:4::c1a7/128 on lan"]


def made(domain: Domain, role: Role, *links: OnLink, local: str = "", advertised: tuple[str, ...] = ()) -> Answers:
    own = frozenset((ipaddress.ip_address(local).packed,)) if local else frozenset()
    return answers(domain, role, Facts(links=links, local=own, advertised=advertised))


def test_an_address_is_answered_for_by_an_entry() -> None:
    found = made(router("192.0.2.30"), "router", LAN4)
    assert found == Answers((Proxy("lan", "192.0.2.30"),))
    assert str(found.proxies[0]) == "proxy 192.0.2.30 dev lan"


def test_more_addresses_of_ipv4_than_entries_are_answered_for_by_proxy_arp() -> None:
    wide = OnLink(IPv4Network("198.18.0.0/15"), "lan")
    assert len(made(router(pool4=("198.18.1.0/24",)), "router", wide).proxies) == ENTRIES
    more = made(router(pool4=("198.18.1.0/24", "198.18.4.0/32")), "router", wide)
    key = "net/ipv4/conf/lan/proxy_arp"
    assert more == Answers((), (Sysctl(key, "1", key),))
    assert more.hold(wide, IPv4Network("198.18.1.0/24"), frozenset())


def test_of_ipv6_as_many_as_there_is_room_for() -> None:
    """A prefix6 on a link is too large: its neighbours need a route."""
    on_link = OnLink(IPv6Network("2001:db8:64::/64"), "lan")
    assert made(router(), "router", on_link) == Answers()
    several = made(clat("2001:db8:4::/116", "2001:db8:4::1:0/120", "2001:db8:4::2:0/121"), "host", LAN6)
    assert len(several.proxies) == ENTRIES
    assert several.hold(LAN6, IPv6Network("2001:db8:4::1:0/120"), frozenset())
    assert not several.hold(LAN6, IPv6Network("2001:db8:4::/116"), frozenset())
    assert not several.hold(LAN6, IPv6Network("2001:db8:4::2:0/121"), frozenset())


def test_a_host_has_the_interface_forward_and_keeps_its_default_routers() -> None:
    found = made(clat("2001:db8:4::c1a7"), "host", LAN6, advertised=("lan", "wan"))
    assert found.proxies == (Proxy("lan", "2001:db8:4::c1a7"),)
    assert found.sysctls == (
        Sysctl("net/ipv6/conf/lan/accept_ra", "2", NDP),
        Sysctl("net/ipv6/conf/wan/accept_ra", "2", NDP),
        Sysctl("net/ipv6/conf/lan/forwarding", "1", NDP),
        Sysctl(NDP, "1", NDP),
    )


def test_a_router_forwards_already() -> None:
    on_link = OnLink(IPv6Network("2001:db8:64::/126"), "lan")
    found = made(router(), "router", on_link, local="2001:db8:64::1", advertised=("lan",))
    assert [proxy.address for proxy in found.proxies] == ["2001:db8:64::", "2001:db8:64::2", "2001:db8:64::3"]
    assert found.sysctls == (Sysctl(NDP, "1", NDP),)


@pytest.mark.parametrize("role", ["router", "host"])
def test_an_address_of_this_node_is_answered_for_already(role: Role) -> None:
    domain, link = (router("192.0.2.30"), LAN4) if role == "router" else (clat("2001:db8:4::c1a7"), LAN6)
    own = "192.0.2.30" if role == "router" else "2001:db8:4::c1a7"
    found = made(domain, role, link, local=own)
    assert found == Answers()
    (asked_network,) = [network for _, network in asked_for(domain, role, [link])]
    packed = ipaddress.ip_address(own).packed
    assert found.hold(link, asked_network, frozenset((packed,)))
    assert not found.hold(link, asked_network, frozenset())


def test_two_addresses_of_a_link_are_answered_for_once() -> None:
    """An interface may have several addresses with one prefix, or prefixes inside each other."""
    found = made(router("192.0.2.30"), "router", LAN4, OnLink(IPv4Network("192.0.2.0/25"), "lan"))
    assert found.proxies == (Proxy("lan", "192.0.2.30"),)


def test_a_plan_has_them() -> None:
    facts = Facts(links=(LAN6,))
    found = plan(clat("2001:db8:4::c1a7"), "host", "hook", Queues(), lambda ends: facts)
    assert found.proxies == (Proxy("lan", str(IPv6Address("2001:db8:4::c1a7"))),)
    assert found.sysctls[-1] == Sysctl(NDP, "1", NDP)
