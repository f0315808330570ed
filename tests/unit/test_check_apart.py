"""Two domains with the same addresses: whether the rules tell their packets apart, and whether the checker sees it."""

from ipaddress import IPv4Network, IPv6Network

import pytest

from nfxlat.nft.check.judge import check
from nfxlat.nft.language.program import program
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

POOL = (IPv4Network("198.51.100.0/24"),)
RED = Domain("red", prefix6=IPv6Network("2001:db8:64:1::/96"), pool4=POOL)
BLUE = Domain("blue", prefix6=IPv6Network("2001:db8:64:2::/96"), pool4=POOL)
TEXT = """\
define uplink = "eth7"
table inet t {
	%s
	chain pre {
		type filter hook prerouting priority -450; policy accept;
		%s
		ip6 daddr @red_from xlat from red
		ip6 daddr @blue_from xlat from blue
	}
	chain out {
		type filter hook output priority -450; policy accept;
		%s
		ip6 daddr @red_from xlat from red
		ip6 daddr @blue_from xlat from blue
	}
}
"""
ROUTED = 'oifname "red" xlat to red\noifname "blue" xlat to blue'
CHAINS = "chain red { ip daddr @red_to xlat to red; }\n chain blue { ip daddr @blue_to xlat to blue; }"


def overlaps(prerouting: str, output: str = ROUTED, chains: str = "") -> list[str]:
    found = check(program(TEXT % (chains, prerouting, output), "x.nft", [RED, BLUE]))
    return [finding.what for finding in found if finding.code == "overlap"]


def rules(red: str, blue: str) -> str:
    return f"{red} ip daddr @red_to xlat to red\n{blue} ip daddr @blue_to xlat to blue"


@pytest.mark.parametrize(
    ("red", "blue"),
    [
        ('iifname "eth0"', 'iifname "eth1"'),
        ('iifname { "eth0", "eth2" }', "iifname $uplink"),
        ('iifname "red*"', 'iifname == "blue*"'),
        ("meta mark 1", "meta mark 0x2"),
        ("meta mark { 1, 3 }", "meta mark 0x2"),
        ("ct mark 1", "ct mark 2"),
        ('meta sdifname "vrf1"', 'meta sdifname "vrf2"'),
        ("ip saddr 10.0.0.0/24", "ip saddr { 10.0.1.0/24, 10.0.2.1 }"),
    ],
)
def test_rules_tell_domains_apart(red: str, blue: str) -> None:
    assert overlaps(rules(red, blue)) == []


@pytest.mark.parametrize(
    ("red", "blue"),
    [
        ("", ""),
        ('iifname "eth0"', ""),
        ('iifname "eth0"', 'iifname { "eth1", "eth0" }'),
        ('iifname "eth0"', 'iifname != "eth1"'),
        ('iifname "eth*"', 'iifname "eth0"'),
        ('iifname "eth0"', 'iifname . meta mark { "eth0" . 1 }'),
        ("meta mark 2", "meta mark 0x2"),
        ("meta mark 2", "meta mark 1-5"),
        ("meta mark 2", "meta mark & 1 == 1"),
        ("meta mark 2", "meta mark set 1"),
        ("meta mark @red", "meta mark 3"),
        ("meta mark 1", "ct mark 2"),
        ("iif 3", 'iif "eth0"'),
        ("ip saddr 10.0.0.0/24", "ip saddr { 10.0.0.9, 10.0.2.1 }"),
        ("ip saddr 10.0.0.0/24", "ip saddr @some"),
    ],
)
def test_rules_do_not_tell_domains_apart(red: str, blue: str) -> None:
    [what] = overlaps(rules(red, blue))
    assert "198.51.100.0/24 of red and 198.51.100.0/24 of blue overlap" in what


@pytest.mark.parametrize(
    ("prerouting", "apart"),
    [
        ('iifname "eth0" jump red\niifname "eth1" goto blue', True),
        ('iifname vmap { "eth0" : jump red, "eth1" : jump blue }', True),
        ('iifname vmap { "eth0" : jump red, "eth1" : jump blue, "eth2" : goto red }', True),
        ('iifname vmap { "eth0" : jump red, "eth1" : jump blue, "eth1" : goto red }', False),
        ('iifname "eth0" jump red\njump blue', False),
        ('iifname "eth0" jump red\niifname "eth1" jump blue\niifname "eth0" jump blue', False),
        ("jump red\njump blue", False),
    ],
)
def test_the_way_to_a_statement_tells_too(prerouting: str, apart: bool) -> None:
    assert (overlaps(prerouting, chains=CHAINS) == []) == apart


def test_each_hook_has_to_tell_and_output_is_one() -> None:
    told = rules('iifname "eth0"', 'iifname "eth1"')
    [what] = overlaps(told, "")
    assert "apart for what comes in only" in what
    [what] = overlaps(told, rules("", ""))
    assert "overlap" in what
    assert overlaps(told, rules("meta mark 1", "meta mark 2")) == []


def test_hosts_take_ipv4_by_its_route_so_that_clients_may_be_the_same() -> None:
    eam = [(IPv4Network("192.168.0.0/24"), IPv6Network(f"2001:db8:c:{n}::/120")) for n in (1, 2)]
    one, two = (
        Domain(f"plat{n}", prefix6=IPv6Network(f"2001:db8:64:{n}::/96"), eamt=Eamt([eam[n - 1]])) for n in (1, 2)
    )
    text = """\
table inet t {
	chain post {
		type filter hook postrouting priority srcnat + 1; policy accept;
		oifname != "plat1" return
		ct mark 2 xlat to plat2
		xlat to plat1
	}
	chain pre {
		type filter hook prerouting priority -450; policy accept;
		ip6 daddr 2001:db8:c:1::/120 xlat from plat1
		ip6 daddr 2001:db8:c:2::/120 xlat from plat2
	}
}
"""
    assert [finding.code for finding in check(program(text, "x.nft", [one, two]))] == []
    ahead, wrong = 'oifname != "plat1" return\n\t\tct mark', 'oifname != "plat1" ct mark'
    assert [finding.code for finding in check(program(text.replace(ahead, wrong), "x.nft", [one, two]))] == [
        "route"
    ] * 2
    jumping = text.replace("xlat to plat2", "goto two").replace(
        "chain pre", "chain two { xlat to plat2; }\n\tchain pre"
    )
    assert [finding.code for finding in check(program(jumping, "x.nft", [one, two]))] == []
    elsewhere = check(program(text.replace('"plat1"', '"eth0"'), "x.nft", [one, two]))
    assert [finding.code for finding in elsewhere] == ["route", "route"]
