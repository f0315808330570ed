"""Rules for several workers: every packet has exactly one place to go to, and a flow always the same."""

import re
from ipaddress import IPv4Network, IPv6Network

import pytest

from nfxlat.errors import OperatorError
from nfxlat.nft.language.builtin import compile_builtin
from nfxlat.nft.language.compile import Compiled, compile_rules, queues_of
from nfxlat.nft.language.program import Program, program
from nfxlat.queues import SPREADS, Queues, checked
from nfxlat.terms import Role
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

RED = Domain(
    "red",
    prefix6=IPv6Network("2001:db8:64::/96"),
    pool4=(IPv4Network("198.51.100.0/24"),),
    eamt=Eamt([(IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2"))]),
)
BLUE = Domain("blue", prefix6=IPv6Network("2001:db8:65::/96"), pool4=(IPv4Network("192.0.2.0/24"),))
OWN = """\
table inet mine {
	chain prerouting {
		type filter hook prerouting priority -450; policy accept;
		ip daddr @red_to xlat to red
		ip6 daddr @red_from xlat from red
		ip daddr @blue_to xlat to blue
	}
}
"""


def own() -> Program:
    return program(OWN, "x.nft", (RED, BLUE))


def gotos(text: str, name: str) -> list[str]:
    """The rules of the guard chain `name` that lead to queue chains, less their comments."""
    chain = text.partition(f"chain {name} {{\n")[2].partition("}\n\n")[0]
    return [line.strip().partition(" comment ")[0] for line in chain.splitlines() if "goto" in line]


@pytest.mark.parametrize("role", ["router", "host"])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_worker_has_its_two_queue_chains_in_each_family(role: Role, workers: int) -> None:
    result = compile_builtin(RED, role, "hook", Queues(7, workers), native=True)
    for family in ("ip", "ip6"):
        found = [chain for chain in result.queue_chains if chain.family == family]
        assert sorted(chain.queue for chain in found) == list(range(7, 7 + 2 * workers))
        for chain in found:
            block = rf"\tchain {chain.chain} \{{\n\t\tqueue num {chain.queue} comment .*\n\t\tdrop comment .*\n\t\}}\n"
            assert len(re.findall(block, result.text)) == 1


def test_tcp_and_udp_go_by_ports_and_all_else_to_the_first_worker() -> None:
    text = compile_builtin(RED, "router", "hook", Queues(7, 2), native=True).text
    to4, to6 = gotos(text, "xlat_to_red"), gotos(text, "xlat_from_red")
    whole = "ip frag-off & 0x3fff == 0"
    to = "vmap {{ 0 : goto xlat_to_red_{1}, 1 : goto xlat_to_red_{1}_1 }}"
    by_ports = f"jhash {{0}} sport . {{0}} dport mod 2 seed 0x1eeb {to}"
    assert to4 == [
        f"ip protocol tcp meta length <= 65531 tcp flags & cwr == 0 {whole} {by_ports.format('tcp', 'tcp')}",
        f"meta priority & 0x6ffd0000 == 0x6e650000 ip protocol udp {whole} {by_ports.format('udp', 'tcp')}",
        f"ip protocol {{ 6, 17 }} {whole} {by_ports.format('th', 'plain')}",
        "goto xlat_to_red_plain",
    ]
    assert [line.partition(" jhash")[0] for line in to6] == [
        "meta l4proto tcp meta length <= 65531 tcp flags & cwr == 0 exthdr frag missing",
        "meta priority & 0x6ffd0000 == 0x6e650000 meta l4proto udp exthdr frag missing",
        "meta l4proto { 6, 17 } exthdr frag missing",
        "goto xlat_from_red_plain",
    ]


def test_by_addresses_all_of_a_pair_goes_to_one_worker_fragments_and_what_has_no_ports_too() -> None:
    text = compile_builtin(RED, "router", "hook", Queues(7, 2, "addresses"), native=True).text
    for name, ip, protocol in (("xlat_to_red", "ip", "ip protocol"), ("xlat_from_red", "ip6", "meta l4proto")):
        to = f"vmap {{{{ 0 : goto {name}_{{0}}, 1 : goto {name}_{{0}}_1 }}}}"
        by_pair = f"jhash {ip} saddr . {ip} daddr mod 2 seed 0x1eeb {to}"
        assert gotos(text, name) == [
            f"{protocol} tcp meta length <= 65531 tcp flags & cwr == 0 {by_pair.format('tcp')}",
            f"meta priority & 0x6ffd0000 == 0x6e650000 {protocol} udp {by_pair.format('tcp')}",
            by_pair.format("plain"),
        ]
    one = [compile_builtin(RED, "router", "hook", Queues(7, 1, how), native=True).text for how in SPREADS]
    assert one[0] == one[1]


def test_domains_in_turn_are_spread_alike() -> None:
    assert queues_of(own(), Queues(7, 2, "addresses"))["blue"] == Queues(11, 2, "addresses")


def test_one_worker_has_all_of_a_flow_that_may_have_superframes_in_one_queue() -> None:
    """Packets with extension headers and UDP's fragments too; and of all hashes, each flow's is the same."""
    text = compile_builtin(RED, "router", "hook", Queues(), native=True).text
    stamped = "meta priority & 0x6ffd0000 == 0x6e650000"
    for name, protocol in (("xlat_to_red", "ip protocol"), ("xlat_from_red", "meta l4proto")):
        assert gotos(text, name) == [
            f"{protocol} tcp meta length <= 65531 tcp flags & cwr == 0 goto {name}_tcp",
            f"{stamped} {protocol} udp goto {name}_tcp",
            f"goto {name}_plain",
        ]
    several = compile_builtin(RED, "router", "hook", Queues(7, 3), native=True).text
    assert several.count("jhash ") == several.count(" mod 3 seed 0x1eeb ") == 6


def test_rules_of_the_operator_s_own_have_workers_too() -> None:
    result: Compiled = compile_rules(own(), queues=Queues(20, 3))
    by_tcp = "tcp sport . tcp dport mod 3 seed 0x1eeb vmap { 0 : goto xlat_to_red_tcp, 1 : goto xlat_to_red_tcp_1, 2 : "
    assert sum(by_tcp in line for line in gotos(result.text, "xlat_to_red")) == 1
    found = {(chain.domain, chain.chain): chain.queue for chain in result.queue_chains if chain.table == "mine"}
    assert found["red", "xlat_to_red_plain"] == 20
    assert found["red", "xlat_from_red_tcp_2"] == 25
    assert found["blue", "xlat_to_blue_plain"] == 26
    assert found["blue", "xlat_to_blue_tcp_2"] == 31


def test_domains_take_their_queues_in_turn() -> None:
    assert queues_of(own(), Queues(7, 4)) == {"red": Queues(7, 4), "blue": Queues(15, 4)}


def test_more_workers_than_there_are_queue_numbers_are_refused() -> None:
    assert checked(65536 - 2 * 2 * 3, 3, 2) == Queues(65524, 3)
    with pytest.raises(OperatorError, match="invalid queue 65525"):
        checked(65525, 3, 2)


def test_another_number_of_workers_or_queue_is_another_structure_where_the_target_opens_the_queues_too() -> None:
    structures = {
        compile_rules(own(), native=False, queues=queues).structure for queues in (Queues(7), Queues(9), Queues(7, 2))
    }
    assert len(structures) == 3
