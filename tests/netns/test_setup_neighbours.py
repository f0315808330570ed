"""Addresses that neighbours believe to be on their own link: `--setup` answers for them, and leaves off in the end.

v4 host 10.9.4.2 --- v4  [ node ]  v6 --- v6p in the node, 2001:db8:9::/64
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

import pytest
from set_up import start_and_kill
from setup_node import entered_node, made, snapshot

from nfxlat.host import neighbours
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST6_4, Lab
from nfxlat.plan.neighbours import Proxy
from nfxlat.queues import Queues
from nfxlat.service.setup import Setup
from nfxlat.terms import Role
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

pytestmark = pytest.mark.netns

PREFIX6 = IPv6Network("2001:db8:64::/96")
ON_LINK, CLAT6 = "10.9.4.77", "2001:db8:9::c1a7"
ROUTER = Domain(prefix6=PREFIX6, eamt=Eamt([(IPv4Network(ON_LINK), IPv6Network("2001:db8:2::2"))]))
HOST = Domain(prefix6=PREFIX6, eamt=Eamt([(IPv4Network("192.0.0.1"), IPv6Network(CLAT6))]))
ELSEWHERE = Domain(prefix6=PREFIX6, eamt=Eamt([(IPv4Network("192.0.0.1"), IPv6Network("2001:db8:2::2"))]))
V6 = "net.ipv6.conf.v6"


@pytest.fixture
def node() -> Iterator[Namespace]:
    with entered_node() as node:
        yield node


@pytest.mark.parametrize(("role", "domain"), [("router", ROUTER), ("host", HOST)])
def test_what_is_on_a_link_is_answered_for_and_let_go(node: Namespace, role: Role, domain: Domain) -> None:
    node.sysctl(f"{V6}.accept_ra", 1)
    node.ip("-6 route add default via fe80::1 dev v6 proto ra metric 1024")
    before = snapshot()
    lines: list[str] = []
    setup = made(role, domain, lines.append)
    setup.up()
    assert setup.stands is not None
    (proxy,) = setup.stands.proxies
    assert f"neighbour {proxy}" in lines
    shown = node.ip(f"{'-6 ' if role == 'host' else ''}neigh show proxy")
    assert shown.split()[:3] == [proxy.address, "dev", proxy.interface]
    if role == "host":
        assert [node.sysctl(f"{V6}.{key}") for key in ("proxy_ndp", "forwarding", "accept_ra")] == ["1", "1", "2"]
        assert node.sysctl("net.ipv6.conf.all.forwarding") == "0"
        assert "via fe80::1" in node.ip("-6 route show default")
        setup.apply(setup.planned(ELSEWHERE))
        assert node.ip("-6 neigh show proxy") == ""
        assert [node.sysctl(f"{V6}.{key}") for key in ("proxy_ndp", "forwarding", "accept_ra")] == ["0", "0", "1"]
        setup.apply(setup.planned(HOST))
    setup.down()
    assert f"neighbour {proxy} removed" in lines
    assert snapshot() == before


def test_a_pool_that_is_larger_than_entries_is_answered_for_by_proxy_arp(node: Namespace) -> None:
    node.ip("address add 172.16.0.1/12 dev v4")
    before = snapshot()
    setup = made(domain=Domain(prefix6=PREFIX6, pool4=(IPv4Network("172.20.0.0/16"),)))
    setup.up()
    assert node.sysctl("net.ipv4.conf.v4.proxy_arp") == "1"
    setup.down()
    assert snapshot() == before


def test_an_entry_of_the_operator_s_stays(node: Namespace) -> None:
    node.ip(f"neigh add proxy {ON_LINK} dev v4")
    before = snapshot()
    setup = made(domain=ROUTER)
    setup.up()
    setup.down()
    assert snapshot() == before


@pytest.mark.parametrize("role", ["router", "host"])
def test_what_a_killed_run_answered_for_is_taken_over(node: Namespace, role: Role) -> None:
    """Its configuration had an address on the link; that of the next run has it no more."""
    node.ip("address add 203.0.113.1/24 dev v4")  # DOMAIN has 203.0.113.2
    node.ip("-6 address add 2001:db8:2::1/64 dev v6 nodad")  # and 2001:db8:2::2
    before = snapshot()
    start_and_kill(node, role)
    proxy = Proxy("v4", "203.0.113.2") if role == "router" else Proxy("v6", "2001:db8:2::2")
    assert neighbours.standing([proxy])
    again = made(role, ROUTER if role == "router" else HOST)
    again.up()
    assert not neighbours.standing([proxy])
    again.down()
    assert snapshot() == before


def test_two_domains_on_an_interface_put_its_sysctls_back_in_either_order(node: Namespace) -> None:
    """A host's domain has one interface forward, a router's all: who goes first takes nothing from the other."""
    before = snapshot()
    second = Domain("siit1", PREFIX6, Eamt([(IPv4Network("203.0.113.9"), IPv6Network("2001:db8:2::9"))]))
    for first_to_go in (0, 1):
        host = made("host", HOST)
        router = Setup(second, queues=Queues(17), role="router", report=lambda line: None)
        both = [host, router]
        for setup in both:
            setup.up()
        both.pop(first_to_go).down()
        assert node.sysctl(f"{V6}.forwarding") == "1"
        both[0].down()
        assert snapshot() == before


def test_an_entry_that_goes_with_its_interface_comes_back(lab_of_link: tuple[Lab, TranslatorProcess]) -> None:
    lab, process = lab_of_link
    wait_for(lambda: lab.host4.call(ping, "192.0.2.30", count=1, timeout=0.5).ok, "an answer to ARP")
    lab.translator.ip("link set to-r4 down")
    lab.translator.ip("link set to-r4 up")
    proxy = Proxy("to-r4", "192.0.2.30")
    wait_for(lambda: any("proxy 192.0.2.30" in line and "repaired" in line for line in process.output()), "a repair")
    assert lab.translator.call(neighbours.standing, [proxy])


def test_an_entry_that_is_deleted_by_itself_comes_back(lab_of_link: tuple[Lab, TranslatorProcess]) -> None:
    """The kernel sends no word of that: it is looked for."""
    lab, process = lab_of_link
    lab.translator.ip("neigh del proxy 192.0.2.30 dev to-r4")
    process.told("proxy 192.0.2.30 dev to-r4; repaired")
    assert lab.translator.call(neighbours.standing, [Proxy("to-r4", "192.0.2.30")])


@pytest.fixture
def lab_of_link(bare_lab: Lab) -> Iterator[tuple[Lab, TranslatorProcess]]:
    arguments = ("--prefix6", str(PREFIX6), "--eam", "192.0.2.30=2001:db8:2::2")
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, *arguments) as process:
        yield bare_lab, process


def test_a_clat_address_on_the_uplink_works_by_itself(bare_lab: Lab) -> None:
    arguments = ("--role", "host", "--prefix6", str(PREFIX6), "--eam", "192.0.0.1=2001:db8:1::64")
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, *arguments):
        wait_for(lambda: bare_lab.translator.call(ping, HOST6_4, "192.0.0.1", count=1).ok, "an answer to ND", 20)
    assert bare_lab.translator.ip("-6 neigh show proxy") == ""
