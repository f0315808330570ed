"""`--setup` asks whether the host is fit before it touches anything: errors refuse, the rest is told once."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

import pytest
from set_up import start_and_kill
from setup_node import DOMAIN, OTHER, entered_node, made, snapshot

from nfxlat.errors import OperatorError
from nfxlat.host import policy
from nfxlat.lab.netns import Namespace
from nfxlat.nft.kernel import load
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

pytestmark = pytest.mark.netns

FORWARD = "table inet fw { chain f { type filter hook forward priority 0; policy drop; }; }"


@pytest.fixture
def node() -> Iterator[Namespace]:
    with entered_node() as node:
        yield node


@pytest.mark.parametrize(
    ("domain", "told"),
    [
        (
            Domain(prefix6=DOMAIN.prefix6, eamt=Eamt([(IPv4Network("10.9.4.1"), IPv6Network("2001:db8:2::2"))])),
            "address 10.9.4.1: an address of this node, but inside 10.9.4.1 of siit0: packets to it end here",
        ),
        (
            Domain(prefix6=DOMAIN.prefix6, pool4=(IPv4Network("10.9.0.0/16"),)),
            "address 10.9.4.1: an address of this node, but inside 10.9.0.0/16 of siit0",
        ),
        (
            Domain(prefix6=DOMAIN.prefix6, pool4=(IPv4Network("0.0.0.0/0"),)),
            "route 0.0.0.0/0: siit0 translates all of IPv4: the default route would lead into siit0",
        ),
        (
            Domain(prefix6=DOMAIN.prefix6, pool4=(IPv4Network("0.0.0.0/1"), IPv4Network("128.0.0.0/1"))),
            "route 0.0.0.0/0: siit0 translates all of IPv4",
        ),
    ],
    ids=["own address", "own link", "default route", "both halves"],
)
def test_what_would_take_the_host_itself_is_refused(node: Namespace, domain: Domain, told: str) -> None:
    before = snapshot()
    with pytest.raises(OperatorError) as caught:
        made(domain=domain).up()
    assert str(caught.value).startswith(told)
    assert snapshot() == before


def test_a_reload_to_what_would_is_refused_too(node: Namespace) -> None:
    setup = made()
    setup.up()
    before = snapshot()
    with pytest.raises(OperatorError, match="an address of this node"):
        setup.planned(replace(OTHER, pool4=(IPv4Network("10.9.0.0/16"),)))
    assert snapshot() == before
    setup.down()


def test_addresses_of_the_domain_device_do_not_count(node: Namespace) -> None:
    """A host's run that was killed leaves its address there, and a router's takes over."""
    start_and_kill(node, "host")
    setup = made()
    setup.up()
    setup.down()


@pytest.mark.parametrize(
    ("domain", "address"),
    [
        (Domain(prefix6=IPv6Network("2001:db8::/32")), "2001:db8:9::1"),
        (Domain(prefix6=DOMAIN.prefix6, pool4=(IPv4Network("198.51.100.0/24"),)), "198.51.100.7"),
    ],
    ids=["in prefix6", "of a pool, on no link"],
)
def test_an_address_that_only_leaves_a_gap_is_told(node: Namespace, domain: Domain, address: str) -> None:
    node.ip("address add 198.51.100.7/32 dev lo")
    lines: list[str] = []
    setup = made(domain=domain, report=lines.append)
    setup.up()
    setup.down()
    (line,) = [line for line in lines if "[local-address]" in line]
    assert line.startswith(f"warning: address {address}: ")


def test_an_eam_for_this_node_s_own_ipv6_address_is_told_and_works(node: Namespace) -> None:
    lines: list[str] = []
    eam = (IPv4Network("203.0.113.2"), IPv6Network("2001:db8:9::1"))
    setup = made(domain=Domain(prefix6=DOMAIN.prefix6, eamt=Eamt([eam])), report=lines.append)
    setup.up()
    setup.down()
    (line,) = [line for line in lines if "[local-address]" in line]
    assert line.startswith("warning: address 2001:db8:9::1: ")


def test_what_is_told_is_told_once(node: Namespace) -> None:
    load.run(FORWARD)
    lines: list[str] = []
    setup = made(report=lines.append)
    setup.up()
    setup.apply(setup.planned(OTHER))
    node.ip("rule add pref 100 blackhole")
    setup.apply(setup.planned(DOMAIN))
    setup.down()
    assert [line.partition("[")[2].partition("]")[0] for line in lines if line.startswith("warning: ")] == [
        "forward-drop",
        "policy-rule",
    ]


def test_a_host_that_cannot_be_judged_is_set_up_all_the_same(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(version: int, *, in_vrf: bool) -> None:
        raise ValueError(f"IPv{version}")

    monkeypatch.setattr(policy, "rules", fail)
    lines: list[str] = []
    setup = made(report=lines.append)
    setup.up()
    setup.down()
    assert any(line.startswith("the host cannot be judged failed: ValueError: IPv4") for line in lines)


def test_policy_rules_are_read_as_ip_shows_them(node: Namespace) -> None:
    words = [
        "from all lookup 100",
        "from 10.0.0.0/8 to 192.0.2.0/24 tos 0x10 iif lo oif v4 fwmark 0x10 lookup 300",
        "not from all to 10.0.0.0/8 lookup main suppress_prefixlength 0",
        "from all ipproto 17 dport 53-80 uidrange 0-10 blackhole",
        "from all unreachable",
    ]
    node.ip("route add default dev v4 table 100")
    node.ip("route add throw 203.0.113.0/24 table 300")
    node.ip("route add unreachable 203.0.112.0/23 table 300")
    for number, text in enumerate(words):
        node.ip(f"rule add pref {10 + number} {text}")
    node.ip("rule add pref 9 l3mdev prohibit")
    found = policy.rules(4)
    assert [(rule.priority, rule.text) for rule in found[: len(words)]] == [
        (10 + number, text) for number, text in enumerate(words)
    ]
    assert [rule.some for rule in found[: len(words)]] == [False, True, True, True, False]
    networks = [IPv4Network("203.0.113.2/32")]
    assert {
        (table, str(route.network), route.device)
        for table, routes in policy.routes(4, found, networks).items()
        for route in routes
    } == {(100, "0.0.0.0/0", "v4"), (300, "203.0.113.0/24", ""), (300, "203.0.112.0/23", None)}
    assert policy.routes(4, [], networks) == {}
