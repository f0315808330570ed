"""nft with `xlat`, compiled: what stays, what is added where, and that complaints lead back to the file."""

import re
from ipaddress import IPv4Network, IPv6Network
from itertools import pairwise
from pathlib import Path

import pytest

import nfxlat
from nfxlat.errors import OperatorError
from nfxlat.lab.rules import explained
from nfxlat.nft.kernel.ruleset import owner_of
from nfxlat.nft.language.compile import Compiled, compile_rules
from nfxlat.nft.language.emit import WHY
from nfxlat.nft.language.program import program
from nfxlat.nft.shipped import RULES
from nfxlat.wire import stamp
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

SIIT0 = Domain(prefix6=IPv6Network("2001:db8:64::/96"), pool4=(IPv4Network("198.51.100.0/24"),))
SIIT1 = Domain("siit1", prefix6=IPv6Network("2001:db8:65::/96"), pool4=(IPv4Network("203.0.113.0/24"),))
CLAT0 = Domain(
    "clat0",
    prefix6=IPv6Network("2001:db8:64::/96"),
    eamt=Eamt([(IPv4Network("192.0.0.1"), IPv6Network("2001:db8:2::2"))]),
)
SAME = Domain("same", prefix6=IPv6Network("2001:db8:64::/96"), pool4=(IPv4Network("192.0.2.0/24"),))

ODD = """\
#!/usr/sbin/nft -f
# xlat to nowhere; { unbalanced
define pool = { 198.51.100.0/24,   198.51.101.0/24 }
include "other.nft"
table inet filter { # a comment behind a brace
  set xlat { type ipv4_addr; flags interval; elements = { 192.0.2.0/24,
                                                          192.0.3.0/24 } }
  map m { type ipv4_addr : verdict; elements = { 192.0.2.1 : jump other } }
\tchain other { counter name "x" drop; comment "xlat to y"; }
  chain pre { type filter hook prerouting priority raw - 150; policy accept
      ip daddr \\
        $pool     xlat   to   siit0   comment "a; b } c"
    meta l4proto { tcp, udp } th dport . ip daddr vmap { 80 . 192.0.2.1 : drop } ; ip saddr @xlat accept;}
}
table ip6 t6 { chain c { type filter hook prerouting priority -450; ip6 daddr 2001:db8:64::/96 xlat from siit0; }; }
"""
ONE = "table ip t { chain c { type filter hook %s priority %s; ip daddr 198.51.100.1 xlat to %s; }; }\n"


def compiled(text: str, *domains: Domain, **options: object) -> Compiled:
    return compile_rules(program(text, "x.nft", domains or (SIIT0, SIIT1)), **options)  # type: ignore[arg-type]


def refused(text: str, *domains: Domain) -> str:
    with pytest.raises(OperatorError) as caught:
        compiled(text, *domains)
    return str(caught.value)


def own_lines(result: Compiled) -> str:
    """The output without what was added."""
    lines = result.text.splitlines(keepends=True)
    return "".join(line for line, origin in zip(lines, result.origins, strict=True) if origin)


def test_all_but_the_statements_passes_octet_for_octet() -> None:
    expected = ODD.replace("xlat   to   siit0", "jump xlat_to_siit0")
    # a table's last brace on a line of other code goes to a line of its own
    expected = expected.replace("xlat from siit0; }; }\n", "jump xlat_from_siit0; }; \n}\n")
    assert own_lines(compiled(ODD)) == expected


@pytest.mark.parametrize("text", [ODD, ODD.rstrip("\n"), ONE % ("output", "-450", "siit0")])
def test_every_line_of_the_output_leads_back_to_the_line_it_began_in(text: str) -> None:
    result = compiled(text)
    lines, source = result.text.splitlines(), text.splitlines()
    assert len(lines) == len(result.origins)
    kept = [(line, result.origin(n)) for n, line in enumerate(lines, 1) if result.origin(n)]
    assert [origin for _, origin in kept] == sorted(origin for _, origin in kept)
    for line, origin in kept:
        assert line == "}" or line.split()[:1] == source[origin - 1].split()[:1]
    assert {origin for _, origin in kept} == set(range(1, len(source) + 1))


def test_input_without_a_statement_keeps_every_line() -> None:
    text = (RULES / "host.nft").read_text()
    assert own_lines(compiled(text)) == text


def test_chains_are_added_once_in_the_block_of_their_first_statement() -> None:
    rule = "ip daddr 198.51.100.%d xlat to siit0\n"
    base = "type filter hook prerouting priority -450;"
    block = "table ip t {\nchain %s {\n" + base + "\n%s}\n}\n"
    text = block % ("a", rule % 1 + rule % 2) + block % ("b", rule % 3)
    result = compiled(text)
    head, tail = result.text.split("table ip t {")[1:3]
    assert "chain xlat_to_siit0 {" in head
    assert "chain xlat_to_siit0 {" not in tail.partition("\ntable ip xlat_siit0")[0]
    assert result.text.count("jump xlat_to_siit0\n") == 3


def test_chains_for_a_command_stand_before_it() -> None:
    text = (
        "add table ip t\nadd chain ip t c { type filter hook output priority -450; }\n"
        "add rule ip t c ip daddr 192.0.2.1 xlat to siit0\nadd rule ip t c ip daddr 192.0.2.2 xlat to siit0\n"
    )
    result = compiled(text)
    assert own_lines(result) == text.replace("xlat to siit0", "jump xlat_to_siit0")
    first = result.text.index("chain xlat_to_siit0 {")
    assert result.text.index("add chain ip t c") < first < result.text.index("add rule ip t c")


def test_two_domains_get_queues_in_turn() -> None:
    result = compiled(ONE % ("prerouting", "-450", "siit0") + ONE.replace("ip t", "ip u") % ("output", "-450", "siit1"))
    for number in (7, 8, 9, 10):
        assert f"queue num {number} " in result.text
    assert "queue num 11" not in result.text
    closed = compiled(ONE % ("output", "-450", "siit0"), native=False)
    assert not any(line.strip().startswith("queue") for line in closed.text.splitlines())
    assert len(closed.queue_chains) == 6


def test_no_rule_that_is_added_bypasses_or_accepts() -> None:
    result = compiled(ODD)
    added = [line for line, origin in zip(result.text.splitlines(), result.origins, strict=True) if not origin]
    assert not any("bypass" in line or line.strip().startswith("accept") for line in added)


def test_explanations_are_comments_only() -> None:
    plain, told = compiled(ODD), compiled(ODD, explain=True)
    assert "they would loop" in told.text
    added = [line for line in told.text.splitlines() if line not in plain.text.splitlines()]
    assert len(added) > 10
    assert all(line.strip().startswith("#") for line in added)


@pytest.mark.parametrize("hook", ["prerouting", "output", "postrouting"])
def test_every_explanation_stands_ahead_of_what_it_explains(hook: str) -> None:
    text = compiled(ONE % (hook, "101" if hook == "postrouting" else "-450", "siit0"), explain=True).text
    reasons = set(WHY.values())
    lines = [line.strip() for line in text.splitlines() if line.startswith("\t")]
    explained = [following for line, following in pairwise(lines) if line.removeprefix("# ") in reasons]
    assert explained
    assert not [line for line in explained if line.startswith("#") or line == "}"]


def test_a_chain_reached_from_two_hooks_judges_the_source_by_the_input_interface() -> None:
    text = (
        "table ip t { chain both { ip daddr 198.51.100.1 xlat to siit0; }\n"
        "chain pre { type filter hook prerouting priority -450; jump both; }\n"
        "chain out { type filter hook output priority -450; goto both; }\n}\n"
    )
    assert "iif != 0 fib saddr type local counter drop" in compiled(text).text
    assert "meta mark 0x6e667800 return" in compiled(text).text.partition("\ntable ip xlat_siit0")[0]
    only = compiled(text.replace("goto both", "accept")).text.partition("\ntable ip xlat_siit0")[0]
    assert "iif != 0" not in only
    assert "meta mark" not in only


def test_a_chain_reached_through_a_verdict_map_knows_its_hook() -> None:
    text = (
        "table ip t { map m { type ipv4_addr : verdict; elements = { 198.51.100.1 : jump both }; }\n"
        "chain both { ip daddr 198.51.100.1 xlat to siit0; }\n"
        "chain pre { type filter hook prerouting priority -450; %s; }; }\n"
    )
    for rule in ("ip daddr vmap @m", "ip daddr vmap { 198.51.100.1 : goto both }"):
        assert "fib saddr type local counter drop" in compiled(text % rule).text
    assert "no base chain" in refused(text % "ip daddr @n accept")


def test_an_output_rule_of_the_file_leaves_only_kernel_errors_to_the_added_one() -> None:
    added = "icmp type { destination-unreachable, time-exceeded, parameter-problem } ip daddr @siit0_to jump"
    assert added in compiled(ONE % ("output", "-450", "siit0")).text
    assert added not in compiled(ONE % ("prerouting", "-450", "siit0")).text
    assert "\tip daddr @siit0_to jump" in compiled(ONE % ("prerouting", "-450", "siit0")).text


def test_a_rule_at_postrouting_makes_it_a_host_that_forwards_nothing() -> None:
    result = compiled(ONE % ("postrouting", "srcnat + 1", "clat0"), CLAT0)
    assert "hook forward" not in result.text
    assert (
        "ip route add default dev clat0"
        in explained(program(ONE % ("postrouting", "srcnat + 1", "clat0"), "x.nft", (CLAT0,))).text
    )


@pytest.mark.parametrize(
    ("domain", "returning", "role"),
    [
        (CLAT0, "2001:db8:2::2", "host"),
        (CLAT0, "@unknown", "host"),
        (CLAT0, "2001:db8:64::/96", "masquerade"),
        (CLAT0, "$prefix6", "masquerade"),
        (SIIT0, "@unknown", "masquerade"),
    ],
)
def test_what_comes_back_tells_a_host_from_a_router_behind_masquerade(
    domain: Domain, returning: str, role: str
) -> None:
    text = "define prefix6 = { 2001:db8:64::/96, 2001:db8:99::/96 }\n"
    text += (
        f'table ip t {{ chain c {{ type filter hook postrouting priority 101; oifname "x" xlat to {domain.name}; }}; }}'
    )
    text += "\ntable ip6 t { chain c { type filter hook prerouting priority -450; "
    text += f"ip6 daddr {returning} xlat from {domain.name}; }}; }}"
    found = program(text, "x.nft", (domain,))
    assert found.role(domain) == role
    result = compile_rules(found).text
    assert ("hook forward" in result) == (role == "masquerade")
    assert "notrack" not in result.partition(f"\ntable ip xlat_{domain.name} {{")[2].partition("\n}")[0]


def test_an_inet_table_tells_the_families_apart() -> None:
    text = ONE.replace("table ip t", "table inet t") % ("prerouting", "-450", "siit0")
    assert "meta nfproto != ipv4 return" in compiled(text).text


def test_a_bare_prefix_is_the_domain_that_has_it() -> None:
    assert "jump xlat_to_siit1" in compiled(ONE % ("prerouting", "-450", "2001:db8:65::/96")).text
    several = refused(ONE % ("prerouting", "-450", "2001:db8:64::/96"), SIIT0, SAME)
    assert "several domains: siit0, same" in several


def test_a_bare_prefix_with_mappings_makes_a_domain_of_its_own() -> None:
    text = (
        ONE
        % ("postrouting", "101", "64:ff9b::/96 with source { 192.0.0.1 : 2001:db8:2::2 }")
        + "table ip6 t { chain c { type filter hook prerouting priority -450; ip6 daddr 2001:db8:2::2 "
        "xlat from 64:ff9b::/96 with destination { 2001:db8:2::2 : 192.0.0.1 }; }; }\n"
    )
    found = program(text, "x.nft", (SIIT0,))
    assert list(found.domains) == ["xlat0"]
    domain = found.domains["xlat0"]
    assert domain.prefix6 == IPv6Network("64:ff9b::/96")
    assert list(domain.eamt) == list(Eamt([(IPv4Network("192.0.0.1"), IPv6Network("2001:db8:2::2"))]))
    assert '["192.0.0.1/32", "2001:db8:2::2/128"]' in explained(found).text


@pytest.mark.parametrize(
    ("operand", "what"),
    [
        ("nowhere", "no domain 'nowhere'"),
        ("64:ff9b::/96", "nothing says how to map the source"),
        ("64::ff9b::/96", "'::' more than once"),
        ("siit0 with source { 192.0.0.1 : 2001:db8::1 }", "has its own mappings"),
        ("64:ff9b::/96 with source { 192.0.0.0/24 : 2001:db8::/124 }", "EAM"),
        ("64:ff9b::/96 with source { 2001:db8::1 : 192.0.0.1 }", "not an IPv4 prefix"),
        ("64:ff9b::/96 with source { 192.0.0.1 : 2001:db8::1::2 }", "'::' more than once"),
    ],
)
def test_a_statement_without_a_sound_domain_is_refused_with_its_place(operand: str, what: str) -> None:
    error = refused(ONE % ("prerouting", "-450", operand))
    assert error.startswith("x.nft:1:")
    assert what in error


def test_a_statement_that_no_hook_reaches_is_refused() -> None:
    assert "no base chain" in refused("table ip t { chain c { ip daddr 198.51.100.1 xlat to siit0; }; }")


def test_the_owner_is_of_the_path_not_of_its_spelling() -> None:
    assert owner_of("rules/x.nft") == owner_of("./rules/../rules/x.nft") != owner_of("rules/y.nft")


@pytest.mark.parametrize("hook", ["prerouting", "output", "postrouting"])
def test_no_added_rule_judges_martians_since_the_core_drops_and_counts_them(hook: str) -> None:
    text = compiled(ONE % (hook, "101" if hook == "postrouting" else "-450", "siit0")).text
    assert "xlat_to_siit0" in text
    rules = re.sub(r"elements = .*", "", text)
    assert not re.search(r"martian|127\.0\.0\.0|::1\b|ff00::", rules)


def test_the_values_of_stamp_and_mark_are_written_in_one_place() -> None:
    package = Path(nfxlat.__file__).parent
    files = [file for file in package.rglob("*.py") if re.search("0x6e_?6[67]_?", file.read_text(), re.IGNORECASE)]
    assert [file.relative_to(package).as_posix() for file in files] == ["wire/stamp.py"]
    text = compiled(ONE % ("prerouting", "-450", "siit0")).text
    assert f"meta priority & {stamp.ANY_MASK:#x} == {stamp.ANY:#x} meta priority set 0" in text
    assert f"meta priority & {stamp.ANY_MASK | stamp.UDP:#x} == {stamp.ANY | stamp.UDP:#x} ip protocol udp" in text
    assert f"meta mark {stamp.INJECTED_MARK:#x} " in text


OWN_TABLE = """\
table ip nfxlat_siit0 {
	chain prerouting {
		type filter hook prerouting priority -450; policy accept;
		counter
		ip daddr 198.51.100.0/24 xlat to siit0
	}
}
"""


def test_a_table_of_the_domain_s_name_takes_all_that_the_domain_needs_in_its_family() -> None:
    result = compiled(OWN_TABLE)
    assert set(result.tables) == {("ip", "nfxlat_siit0"), ("ip6", "xlat_siit0")}
    table = result.text.partition("\ntable ip6 xlat_siit0")[0]
    assert (
        '-450; policy accept;\n\t\tiifname "siit0" notrack return comment "xlat_siit0-untracked"\n\t\tcounter\n'
        in table
    )
    for chain in ("xlat_stamped", "xlat_sent", "xlat_forward", "xlat_output", "xlat_to_siit0", "xlat_to_siit0_tcp"):
        assert table.count(f"chain {chain} {{") == 1
    assert "chain xlat_untracked" not in table
    assert "meta mark 0x6e667800 return" in table  # the rules take nothing at output, so the added chain does
    assert [result.origin(n) for n, line in enumerate(result.text.splitlines(), 1) if line == "\t\tcounter"] == [4]


def test_what_the_rules_say_themselves_costs_no_rule() -> None:
    def guards(rule: str, hook: str) -> set[str]:
        text = f"table ip t {{ chain c {{ type filter hook {hook}; {rule} xlat to siit0; }}; }}\n"
        chain = compiled(text).text.partition("chain xlat_to_siit0 {")[2].partition("}")[0]
        return {label for label in ("injected", "sent-by-nfxlat", "to-this-node", "forged-source") if label in chain}

    early, late = "prerouting priority -450", "output priority -450"
    assert guards("ip daddr 198.51.100.1", early) == {"injected", "to-this-node", "forged-source"}
    assert guards('iifname != "siit0" ip daddr 198.51.100.1', early) == {"to-this-node", "forged-source"}
    assert guards('fib daddr oifname "siit0"', early) == {"injected", "forged-source"}
    for other in ('fib saddr oifname "siit0"', 'log prefix "oifname siit0 "', 'fib daddr oifname != "siit0"'):
        assert guards(f"{other} ip daddr 198.51.100.1", early) == {"injected", "to-this-node", "forged-source"}
    assert guards("ip daddr 198.51.100.1", late) == {"sent-by-nfxlat", "to-this-node"}
    assert guards('oifname != "siit0"', late) == {"sent-by-nfxlat", "to-this-node"}
    assert guards('oifname "siit0"', "postrouting priority 101") == {"injected"}


@pytest.mark.parametrize(
    ("chain", "added"),
    [
        ("ip daddr @siit0_to xlat to siit0", False),
        ('oifname "siit0" xlat to siit0', False),
        ('oifname "siit0" xlat to siit0; counter', False),
        ("ip daddr 198.51.100.1 xlat to siit0; ip daddr @siit0_to xlat to siit0", False),
        ("counter; ip daddr @siit0_to xlat to siit0", True),
        ("meta skuid 1000 ip daddr @siit0_to xlat to siit0", True),
        ("ip daddr 198.51.100.0/24 xlat to siit0", True),
    ],
)
def test_kernel_errors_are_taken_besides_unless_the_rules_take_all_at_output(chain: str, added: bool) -> None:
    text = f"table ip t {{ chain c {{ type filter hook output priority -450; {chain}; }}; }}\n"
    assert ("chain xlat_output" in compiled(text).text.partition("table ip6 ")[0]) == added


def test_a_table_of_the_file_that_bears_a_domain_s_name_is_replaced_by_a_whole_one() -> None:
    """The checker refuses it; what is compiled in spite of that holds each chain that it jumps to."""
    named = ONE.replace("table ip t", "table ip xlat_siit0", 1) % ("prerouting", "-450", "siit0")
    assert named.startswith("table ip xlat_siit0")
    own = compiled(named).text.partition("delete table ip xlat_siit0\n")[2].partition("\ntable ip6")[0]
    assert "jump xlat_to_siit0 " in own
    assert "chain xlat_to_siit0 {" in own
    assert "chain xlat_to_siit0_plain {" in own
