"""Translated addresses that the neighbours believe to be on their own link: unanswered, and answered.

router4 --- translator --- router6, and its own IPv4 and IPv6 prefix of those links in the domain
"""

from collections.abc import Iterator

import pytest

from nfxlat import config
from nfxlat.lab.netns import wait_for
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.rules import loaded, prepare
from nfxlat.lab.topology import HOST6_4, TRANSLATOR, Lab, in_prefix6
from nfxlat.nft.language.program import Program, program
from nfxlat.service.live_check import check_live

pytestmark = pytest.mark.netns

# host6 has 192.0.2.30 of the link between router4 and the translator; host4 has an address of that to router6
TOML = """
[domain.siit0]
prefix6 = "2001:db8:64::/96"
eam = [["192.0.2.30", "2001:db8:2::2"]]
"""
CLAT6 = "2001:db8:1::64"  # on the link to router6
CLAT = TOML.replace("192.0.2.30", "192.0.0.1").replace("2001:db8:2::2", CLAT6)
ROUTER = """
table inet t {
	chain pre {
		type filter hook prerouting priority -450; policy accept;
		ip daddr 192.0.2.30 xlat to siit0
		ip6 daddr 2001:db8:64::/96 xlat from siit0
	}
}
"""
HOST = f"""
table ip t {{ chain post {{ type filter hook postrouting priority srcnat + 1; oifname "siit0" xlat to siit0; }}; }}
table ip6 t {{ chain pre {{ type filter hook prerouting priority -450; ip6 daddr {CLAT6} xlat from siit0; }}; }}
"""


@pytest.fixture
def node(bare_lab: Lab, request: pytest.FixtureRequest) -> Iterator[tuple[Lab, Program]]:
    role, rules, toml = request.param
    (bare_lab.directory / "domain.toml").write_text(toml)
    found = program(rules, str(bare_lab.directory / "t.nft"), config.load(bare_lab.directory / "domain.toml").domains)
    arguments = ("--config", str(bare_lab.directory / "domain.toml"), "--role", role)
    with (
        loaded(bare_lab.translator, found),
        TranslatorProcess(bare_lab.translator, bare_lab.directory, *arguments, setup=False),
    ):
        prepare(bare_lab.translator, found)
        bare_lab.translator.sysctl("net.ipv4.neigh.to-r4.proxy_delay", 0)
        bare_lab.translator.sysctl("net.ipv6.neigh.to-r6.proxy_delay", 0)
        yield bare_lab, found


def remedies(lab: Lab, found: Program) -> list[tuple[str, str]]:
    judged = lab.translator.call(check_live, found)
    return [(finding.where, finding.instead) for finding in judged if finding.code == "neighbour"]


def follow(lab: Lab, remedy: str) -> None:
    for command in remedy.partition(", or leave it")[0].split("; "):
        lab.translator.run(command.split())


@pytest.mark.advice("neighbour")
@pytest.mark.parametrize("node", [("router", ROUTER, TOML)], indirect=True)
@pytest.mark.parametrize("remedy", ["", "sysctl -w net.ipv4.conf.to-r4.proxy_arp=1"], ids=["entry", "proxy_arp"])
def test_router4_asks_for_a_translated_address_on_its_link(node: tuple[Lab, Program], remedy: str) -> None:
    lab, found = node
    [(where, advised)] = remedies(lab, found)
    assert where == "address 192.0.2.30"
    assert not lab.host4.call(ping, "192.0.2.30", count=1, timeout=0.3).ok
    follow(lab, remedy or advised)
    assert remedies(lab, found) == []
    wait_for(lambda: lab.host4.call(ping, "192.0.2.30", count=1).ok, "an answer")


@pytest.mark.advice("neighbour")
@pytest.mark.parametrize("node", [("host", HOST, CLAT)], indirect=True)
def test_router6_asks_for_a_clat_address_on_its_link(node: tuple[Lab, Program]) -> None:
    lab, found = node
    [(where, advised)] = remedies(lab, found)
    assert where == f"address {CLAT6}"
    assert not lab.translator.call(ping, HOST6_4, "192.0.0.1", count=1, timeout=0.3).ok
    follow(lab, advised)
    assert remedies(lab, found) == []
    wait_for(lambda: lab.translator.call(ping, HOST6_4, "192.0.0.1", count=1).ok, "an answer")


@pytest.mark.parametrize("node", [("router", ROUTER, TOML)], indirect=True)
def test_a_prefix_needs_a_route_on_the_other_side(node: tuple[Lab, Program]) -> None:
    lab, found = node
    lab.translator.ip(f"address add {in_prefix6(TRANSLATOR[0])}/120 dev to-r6")
    said = dict(remedies(lab, found))["prefix 2001:db8:64::c000:200/120"]
    assert said.startswith("on the neighbours, ip -6 route add 2001:db8:64::c000:200/120 via this node")
