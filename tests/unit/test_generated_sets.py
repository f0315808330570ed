"""`@DOMAIN_to` and `@DOMAIN_from` in a file: which tables get which set, and what is structure."""

from ipaddress import IPv4Network, IPv6Network

import pytest

from nfxlat.errors import OperatorError
from nfxlat.nft.kernel import in_place
from nfxlat.nft.language.compile import Compiled, compile_rules
from nfxlat.nft.language.program import program
from nfxlat.nft.language.sets import SetName
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

BLOCK = """\
table ip t {
	chain c {
		type filter hook prerouting priority -450; policy accept;
		ip daddr @siit0_to xlat to siit0
	}
}
"""
COMMANDS = """\
add table ip t
add chain ip t c { type filter hook prerouting priority -450; policy accept; }
add rule ip t c ip daddr @siit0_to counter
add rule ip t c ip daddr @siit0_to xlat to siit0
"""
HOST = """\
table ip6 t {
	chain c { type filter hook prerouting priority -450; ip6 daddr @siit0_from xlat from siit0; }
}
table ip t {
	chain c { type filter hook postrouting priority srcnat + 1; oifname "siit0" xlat to siit0; }
}
"""


def domain(*hosts: str) -> Domain:
    pairs = [(IPv4Network(host), IPv6Network(f"2001:db8::{n:x}")) for n, host in enumerate(hosts, 1)]
    return Domain(prefix6=IPv6Network("2001:db8:64::/96"), eamt=Eamt(pairs))


def compiled(text: str, *hosts: str) -> Compiled:
    return compile_rules(program(text, "x.nft", [domain(*hosts)]), native=True)


@pytest.mark.parametrize("text", [BLOCK, COMMANDS])
def test_a_table_that_mentions_a_set_gets_it_once_and_before(text: str) -> None:
    result = compiled(text, "192.0.2.1", "192.0.2.3").text.partition("\ntable ip xlat_siit0")[0]
    assert result.count("set siit0_to {") == 1
    assert "elements = { 192.0.2.1, 192.0.2.3 }" in result
    if text == COMMANDS:
        assert result.index("set siit0_to") < result.index("@siit0_to counter")


def test_a_host_s_own_addresses_are_what_is_translated_from_ipv6() -> None:
    assert "elements = { 2001:db8::1 }" in compiled(HOST, "192.0.0.1").text.partition("set siit0_from")[2][:120]


def test_a_set_of_that_name_in_the_file_is_its_own() -> None:
    text = BLOCK.replace("\tchain", "\tset siit0_to { type ipv4_addr; }\n\tchain")
    result = compiled(text, "192.0.2.1")
    assert result.text.partition("\ntable ip xlat_siit0")[0].count("set siit0_to") == 1
    assert [str(name) for name in result.sets if name.table == "t"] == []


def test_mappings_are_no_part_of_the_structure_and_all_else_is() -> None:
    one, other = compiled(BLOCK, "192.0.2.1"), compiled(BLOCK, "192.0.2.7", "192.0.2.9")
    assert one.structure == other.structure
    assert one.sets != other.sets
    assert one.structure != compiled(BLOCK.replace("-450", "-451"), "192.0.2.1").structure
    assert "192.0.2.1" not in one.structure


@pytest.mark.parametrize("line", ['include "other.nft"\n', "flush ruleset\n"])
def test_what_cannot_be_compared_has_no_structure(line: str) -> None:
    assert compiled(line + BLOCK, "192.0.2.1").structure == ""


@pytest.mark.parametrize("place", ["\tchain c {\n", "policy accept;\n"])
def test_an_include_inside_a_block_keeps_loads_from_being_compared(place: str) -> None:
    assert compiled(BLOCK.replace(place, f'{place}include "other.nft"\n'), "192.0.2.1").structure == ""


def test_what_a_variable_says_of_an_object_is_part_of_its_declaration() -> None:
    """Else a flowtable would keep its devices when rules are put over former ones."""
    one, other = (
        f"define ports = {{ {name} }}\n"
        "table ip t {\n\tflowtable f { hook ingress priority 0; devices = $ports; }\n}\n"
        for name in ("eth0", "eth1")
    )
    assert in_place.marks(compiled(BLOCK + one)) != in_place.marks(compiled(BLOCK + other))


def test_a_set_whose_elements_leave_the_file_is_declared_in_another_way() -> None:
    """Put over the former rules, it would keep them; what others put into a set without elements stays."""
    one = "table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 192.0.2.1 }\n\t}\n}\n"
    other = one.replace("\t\telements = { 192.0.2.1 }\n", "")
    by_command = other + "add element ip t s { 192.0.2.1 }\n"
    marks = [in_place.marks(compiled(BLOCK + text)) for text in (one, other, by_command)]
    assert marks[0] != marks[1] != marks[2]
    for same in (one.replace(".1 }", ".2, 192.0.2.3 }"), one.replace("ipv4_addr\n\t\t", "ipv4_addr; ")):
        assert in_place.marks(compiled(BLOCK + same)) == marks[0]


@pytest.mark.parametrize("again", ["redefine p = 2001:db8:65::/96\n", "define p = 2001:db8:65::/96\n"])
def test_a_variable_of_two_meanings_is_no_operand(again: str) -> None:
    """The first statement would mean the second value."""
    text = f"define p = 2001:db8:64::/96\n{BLOCK.replace('xlat to siit0', 'xlat to $p')}{again}"
    with pytest.raises(OperatorError, match=r"\$p is not defined here as a single word"):
        compiled(text)


def test_pool4_inside_prefix6_is_a_set_and_no_structure() -> None:
    text = BLOCK.replace("table ip t", "table ip6 t").replace(
        "ip daddr @siit0_to xlat to", "ip6 daddr @siit0_from xlat from"
    )
    found = []
    for pool4 in ("198.51.100.0/24", "192.0.2.0/28"):
        some = Domain(prefix6=IPv6Network("2001:db8:64::/96"), pool4=(IPv4Network(pool4),))
        found.append(compile_rules(program(text, "x.nft", [some])))
    one, other = found
    assert one.structure == other.structure
    assert "ip6 daddr @siit0_native return" in one.structure
    native = SetName("ip6", "t", "siit0_native", 128)
    scopes = [IPv6Network(scope) for scope in ("::1/128", "fe80::/10", "ff00::/8")]
    link_scope = prefixes.merged(prefixes.spans(scopes))
    inside = prefixes.spans([IPv6Network("2001:db8:64::c633:6400/120")])
    assert one.sets[native] == sorted([*inside, *link_scope])
    assert other.sets[native] != one.sets[native]


def test_the_addresses_of_a_host_are_no_structure_either() -> None:
    assert compiled(HOST, "192.0.0.1").structure == compiled(HOST, "192.0.0.2", "192.0.0.3").structure
